"""Claims on trees of two steps: Transfer Q* (M26), chain rule (M28), stepwise tilt (M29).

The tree made of an instance: both steps draw from the same policies; the first earns r_j, the second, after j, earns
s_j r_k with s = r/max|r| (0 if r = 0) over the outcomes that the base has, so that what comes depends on what was done.
The trajectory (j, k) has reward R = r_j + s_j r_k. Arrays over trajectories are (..., K, K). α = β in Transfer Q*.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial
from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.assumptions import COVERED, UNSIGNED
from gsi_theory.claims.claim import IDENTITY, Claim, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.selection_law import EPS, Law, selection_laws
from gsi_theory.types import Array

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = [
    "TABLE",
    "chain_kl",
    "sequence_of",
    "stepwise_gap",
    "stepwise_law_of",
    "transfer_ratio",
    "two_steps_of",
]


@dataclass(frozen=True)
class _Tree:
    """first (..., K), second (..., K, K) step rewards; total R and log π_B of trajectories; error of a log, nats."""

    first: Array
    second: Array
    total: Array
    log_joint: Array
    error: Array


def _log_sum(log_terms: Array) -> Array:
    """Log of the sum of exp along the last axis, -inf without a gradient where every term is -inf."""
    xp = array_api_compat.array_namespace(log_terms)
    none = xp.all(log_terms == -np.inf, axis=-1)
    return xp.where(none, -np.inf, log_sum(xp.where(none[..., None], 0.0, log_terms)))


def flat_pairs(values: Array) -> Array:
    """(..., K, K) as one law (..., K²)."""
    shape = tuple(values.shape)
    return values.reshape((*shape[:-2], shape[-1] * shape[-1]))


def _normalized(log_terms: Array) -> Array:
    return log_terms - _log_sum(log_terms)[..., None]


def _tree(f: Facts) -> _Tree:
    xp = f.xp
    based = xp.isfinite(f.log_base)
    reward = xp.where(based, f.reward, 0.0)
    largest = xp.max(xp.abs(reward), axis=-1)
    share = reward / xp.where(largest > 0, largest, 1.0)[..., None]
    second = share[..., :, None] * reward[..., None, :]
    size = (
        1.0
        + 3.0 * detached(f.beta * largest)
        + 2.0 * xp.max(xp.where(based, xp.abs(detached(f.log_base)), 0.0), axis=-1)
    )
    joint = f.log_base[..., :, None] + f.log_base[..., None, :]
    return _Tree(reward, second, reward[..., :, None] + second, joint, (32.0 + 2.0 * f.outcomes) * EPS * size)


def two_steps_of(f: Facts) -> _Tree:
    return f.once("tree of two steps", lambda: _tree(f))


def sequence_of(f: Facts) -> Array:
    """log of the sequence tilt ∝ π_B e^{βR} (..., K²)."""
    tree = two_steps_of(f)
    return _normalized(flat_pairs(tree.log_joint + f.beta[..., None, None] * tree.total))


def _stepwise(f: Facts) -> tuple[Array, Array, Array]:
    """(log of the stepwise tilt (..., K²), log Z of the second step (..., K), log Z of the first (...))."""
    tree, beta = two_steps_of(f), f.beta[..., None]
    later = f.log_base[..., None, :] + beta[..., None] * tree.second
    log_z = _log_sum(later)
    start = f.log_base + beta * tree.first
    top = _log_sum(start)
    joint = (start - top[..., None])[..., :, None] + (later - log_z[..., None])
    return flat_pairs(joint), log_z, top


def _mean(f: Facts, log_p: Array, values: Array) -> Array:
    """E_p of values (..., K²)."""
    xp = f.xp
    p = xp.exp(log_p)
    return xp.sum(p * xp.where(p > 0, values, 0.0), axis=-1)


def _largest(f: Facts) -> Array:
    return f.xp.max(f.xp.abs(detached(two_steps_of(f).first)), axis=-1)


def value_increments(f: Facts) -> Sides:
    """(M29): tilting by the increments of the soft value, V(j) and then R - V(j), is the sequence tilt."""
    xp, tree, beta = f.xp, two_steps_of(f), f.beta[..., None]
    # β V(j) = β r_j + log Z_2(j); the tilt of the second step by β(R - V(j)) is that by its reward.
    later = f.log_base[..., None, :] + beta[..., None] * tree.second
    log_z = _log_sum(later)
    start = f.log_base + beta * tree.first + log_z
    joint = flat_pairs((start - _log_sum(start)[..., None])[..., :, None] + (later - log_z[..., None]))
    lhs = divergence.tv(sequence_of(f), xp.clip(joint, None, 0.0))
    return Sides(lhs, 0.0, 2.0 * tree.error, scale=1.0)


def stepwise_is_sequence(f: Facts) -> Sides:
    """The reading that (M29) refutes: tilting each step by its own reward is tilting the sequence by their sum."""
    lhs = divergence.tv(sequence_of(f), f.xp.clip(_stepwise(f)[0], None, 0.0))
    return Sides(lhs, 0.0, 2.0 * two_steps_of(f).error, scale=1e-2)


def stepwise_gap(f: Facts) -> Sides:
    """(M29): KL(sequence‖stepwise) = E_seq Σ log Z_t - β V()."""
    xp, (step, log_z, top) = f.xp, _stepwise(f)
    sequence = sequence_of(f)
    tree = two_steps_of(f)
    lhs = divergence.kl(sequence, xp.clip(step, None, 0.0))
    root = _log_sum(flat_pairs(tree.log_joint + f.beta[..., None, None] * tree.total))
    later = flat_pairs(xp.broadcast_to(log_z[..., :, None], tree.total.shape))
    # The law sums to one only to tree.error, which log Z of size β r would multiply: count from its value at the mode.
    mode = xp.take_along_axis(later, xp.argmax(detached(sequence), axis=-1, keepdims=True), axis=-1)
    apart = xp.where(xp.isfinite(later), later, mode) - mode
    rhs = _mean(f, sequence, apart) + (mode[..., 0] + top - root)
    spread = detached(_mean(f, sequence, xp.abs(apart)))
    return Sides(lhs, rhs, 4.0 * tree.error * (1.0 + detached(lhs) + spread), scale=1.0)


def stepwise_oscillation(f: Facts) -> Sides:
    """(M29): KL(sequence‖stepwise) ≤ max - min of Σ log Z_t over trajectories."""
    xp, (step, log_z, _) = f.xp, _stepwise(f)
    based = xp.isfinite(f.log_base)
    high = xp.max(xp.where(based, log_z, -np.inf), axis=-1)
    low = xp.min(xp.where(based, log_z, np.inf), axis=-1)
    lhs = divergence.kl(sequence_of(f), xp.clip(step, None, 0.0))
    return Sides(lhs, high - low, 4.0 * two_steps_of(f).error * (1.0 + detached(lhs)))


def _transfer(f: Facts) -> tuple[Array, Array]:
    """(log ρ (..., K²) the sequence tilt, log of the algorithm (..., K²): each step of ρ tilted by e^{αQ}, α = β)."""
    xp, tree, beta = f.xp, two_steps_of(f), f.beta[..., None]
    rho = sequence_of(f).reshape(tree.total.shape)
    first = _log_sum(rho)
    held = xp.isfinite(first)
    second = rho - xp.where(held, first, 0.0)[..., None]
    q = xp.sum(xp.exp(second) * tree.total, axis=-1)
    later = second + beta[..., None] * tree.total
    norm = xp.where(held, _log_sum(xp.where(held[..., None], later, 0.0)), 0.0)
    start = _normalized(first + beta * q)
    return flat_pairs(rho), xp.clip(flat_pairs(start[..., :, None] + (later - norm[..., None])), None, 0.0)


def transfer_ratio(f: Facts, steps: int) -> Sides:
    """(M26): log(alg/π_B) ≤ (β + α·steps) R_max for 0 ≤ R ≤ R_max; trivial: max -log π_B.

    steps = T = 2 as published; steps = 1 is the sharper form, whatever the depth.
    """
    xp, tree = f.xp, two_steps_of(f)
    _, alg = _transfer(f)
    base = flat_pairs(tree.log_joint)
    held = xp.isfinite(base)
    apart = xp.where(held, alg, 0.0) - xp.where(held, base, 0.0)
    lhs = xp.max(xp.where(held, apart, -np.inf), axis=-1)
    top = xp.max(xp.where(held, flat_pairs(tree.total), -np.inf), axis=-1)
    worst = xp.max(xp.where(held, -detached(base), 0.0), axis=-1)
    return Sides(lhs, (1.0 + steps) * f.beta * top, 8.0 * tree.error * (1.0 + detached(f.beta) * _largest(f)), worst)


def transfer_reward(f: Facts) -> Sides:
    """(M26), times β: β(E_{ρ*}R - E_alg R) ≤ KL(ρ*‖π_B) - KL(ρ‖π_B) - KL(ρ*‖ρ), ρ* the sequence tilt at 2β."""
    tree = two_steps_of(f)
    rho, alg = _transfer(f)
    total, base = flat_pairs(tree.total), flat_pairs(tree.log_joint)
    star = _normalized(base + 2.0 * f.beta[..., None] * total)
    lhs = f.beta * (_mean(f, star, total) - _mean(f, alg, total))
    rhs = divergence.kl(star, base) - divergence.kl(rho, base) - divergence.kl(star, rho)
    size = 1.0 + 3.0 * detached(f.beta) * _largest(f)
    return Sides(lhs, rhs, 16.0 * tree.error * size)


def stepwise_law_of(f: Facts) -> Law:
    """Softmax selection at both steps, n drafts each: log P (..., K²); log_error of a trajectory."""
    tree, beta = _tree(f), f.beta[..., None]
    first = f.draft_law("softmax")
    shape = tuple(tree.total.shape)
    wide = f.xp.broadcast_to
    weight = beta[..., None] * tree.second + f.log_ratio[..., None, :]
    later = selection_laws(wide(f.log_draft[..., None, :], shape), weight, wide(f.n[..., None], shape[:-1]), "softmax")
    log_prob = flat_pairs(first.log_prob[..., :, None] + later.log_prob)
    worst = f.xp.max(later.log_error, axis=-1)
    return Law(log_prob, first.error + worst, first.log_error + worst + 4.0 * tree.error)


def _steps(f: Facts) -> tuple[Array, Array, Law]:
    """(log π^1 (..., K), log π^2 (..., K, K), joint law of the method) of the stepwise tilt and the stepwise method."""
    tree = two_steps_of(f)
    first = _normalized(f.log_base + f.beta[..., None] * tree.first)
    second = _normalized(f.log_base[..., None, :] + f.beta[..., None, None] * tree.second)
    return first, second, f.shared("stepwise law", stepwise_law_of)


def _conditional(f: Facts, law: Law) -> tuple[Array, Array]:
    """(log P^1 (..., K), log P^2 (..., K, K)) of a joint law; P^2 is uniform after a step of probability zero."""
    xp = f.xp
    joint = law.log_prob.reshape((*f.shape, f.size, f.size))
    first = _log_sum(joint)
    held = xp.isfinite(first)[..., None]
    second = xp.where(held, joint - xp.where(held, first[..., None], 0.0), -float(np.log(f.size)))
    return xp.clip(first, None, 0.0), xp.clip(second, None, 0.0)


def chain_kl(f: Facts) -> Sides:
    """(M28): KL(Ππ^t‖ΠP^t) = KL(π^1‖P^1) + E_{j ~ π^1} KL(π^2(·|j)‖P^2(·|j)), P stepwise softmax selection."""
    xp, (first, second, law) = f.xp, _steps(f)
    one, two = _conditional(f, law)
    lhs = divergence.kl(flat_pairs(first[..., :, None] + second), law.log_prob)
    each = divergence.kl(second, two)
    held = xp.isfinite(first)
    rhs = divergence.kl(first, one) + xp.sum(xp.exp(first) * xp.where(held, each, 0.0), axis=-1)
    size = 1.0 + detached(lhs)
    return Sides(lhs, rhs, 8.0 * (law.log_error + f.weight_error) * size, scale=1.0)


def chain_tv(f: Facts) -> Sides:
    """(M28): TV(Ππ^t, ΠP^t) ≤ TV(π^1, P^1) + E_{j ~ π^1} TV(π^2(·|j), P^2(·|j)); trivial: 1."""
    xp, (first, second, law) = f.xp, _steps(f)
    one, two = _conditional(f, law)
    lhs = divergence.tv(flat_pairs(first[..., :, None] + second), law.log_prob)
    rhs = divergence.tv(first, one) + xp.sum(xp.exp(first) * divergence.tv(second, two), axis=-1)
    return Sides(lhs, rhs, 4.0 * (law.log_error + f.weight_error) + 64.0 * EPS, 1.0)


class _BallTree:
    """The two-step tree of an instance : laws of trajectories as K² balls."""

    def __init__(self, f: BallFacts) -> None:
        inst = f.instance
        self.f, self.beta = f, f.scheme.beta
        based = [(b, r) for b, r in zip(inst.base, inst.reward, strict=True) if b]
        top = max(abs(r) for _, r in based) or Fraction(1)
        self.pairs = [(i, j) for i in range(len(based)) for j in range(len(based))]
        self.first = [based[i][1] for i, _ in self.pairs]
        self.second = [based[i][1] * based[j][1] / top for i, j in self.pairs]
        self.reward = [a + b for a, b in zip(self.first, self.second, strict=True)]
        self.base = [f.ball(based[i][0] * based[j][0]) for i, j in self.pairs]
        self.size = len(based)

    def tilt(self, law: list[arb], values: list[arb]) -> list[arb]:
        """∝ law e^{values}."""
        grown = [p * v.exp() for p, v in zip(law, values, strict=True)]
        whole = self.f.total(grown)
        return [g / whole for g in grown]

    def rows(self, values: list[arb]) -> list[arb]:
        """Sums over the second step, repeated for each of them."""
        k = self.size
        sums = [self.f.total(values[i * k : (i + 1) * k]) for i in range(k)]
        return [s for s in sums for _ in range(k)]

    def stepwise(self, law: list[arb], first: list[arb], second: list[arb]) -> list[arb]:
        """Each step of `law` tilted by its own value."""
        start = self.rows(law)
        later = [p * v.exp() for p, v in zip(law, second, strict=True)]
        within = [x / y for x, y in zip(later, self.rows(later), strict=True)]
        grown = [p * v.exp() / self.size for p, v in zip(start, first, strict=True)]
        whole = self.f.total(grown)
        return [g * self.size / whole * w for g, w in zip(grown, within, strict=True)]

    @cached_property
    def sequence(self) -> list[arb]:
        """∝ π_B e^{βR}."""
        return self.tilt(self.base, [self.f.ball(self.beta * r) for r in self.reward])

    @cached_property
    def steps(self) -> list[arb]:
        """The stepwise tilt."""
        return self.stepwise(self.base, *([self.f.ball(self.beta * r) for r in v] for v in (self.first, self.second)))

    @cached_property
    def algorithm(self) -> list[arb]:
        """Transfer Q*: each step of the sequence tilt tilted by βQ."""
        rho, beta = self.sequence, self.f.ball(self.beta)
        earned = self.rows([p * self.f.ball(r) for p, r in zip(rho, self.reward, strict=True)])
        q = [beta * e / p for e, p in zip(earned, self.rows(rho), strict=True)]
        return self.stepwise(rho, q, [self.f.ball(self.beta * r) for r in self.reward])

    def mean(self, law: list[arb]) -> arb:
        """E R."""
        return self.f.total([p * self.f.ball(r) for p, r in zip(law, self.reward, strict=True)])


def transfer_ratio_balls(f: BallFacts, steps: int) -> tuple[arb, arb]:
    """`transfer_ratio`."""
    tree = _BallTree(f)
    lhs = f.largest([(p / b).log() for p, b in zip(tree.algorithm, tree.base, strict=True)])
    return lhs, f.ball((1 + steps) * tree.beta * max(tree.reward))


def transfer_reward_balls(f: BallFacts) -> tuple[arb, arb]:
    """`transfer_reward`."""
    tree = _BallTree(f)
    star = tree.tilt(tree.base, [f.ball(2 * tree.beta * r) for r in tree.reward])
    lhs = f.ball(tree.beta) * (tree.mean(star) - tree.mean(tree.algorithm))
    kl = [f.excess(p, q).kl_from() for p, q in ((star, tree.base), (tree.sequence, tree.base), (star, tree.sequence))]
    return lhs, kl[0] - kl[1] - kl[2]


def oscillation_balls(f: BallFacts) -> tuple[arb, arb]:
    """`stepwise_oscillation`."""
    tree = _BallTree(f)
    grown = [b * f.ball(tree.beta * r).exp() for b, r in zip(tree.base, tree.second, strict=True)]
    log_z = [(g / b).log() for g, b in zip(tree.rows(grown), tree.rows(tree.base), strict=True)]
    return f.excess(tree.sequence, tree.steps).kl_from(), f.largest(log_z) - f.smallest(log_z)


def stepwise_balls(f: BallFacts) -> tuple[arb, arb]:
    """`stepwise_is_sequence`."""
    tree = _BallTree(f)
    return f.excess(tree.sequence, tree.steps).tv(), f.zero


_TRANSFER = "Transfer Q*, arXiv 2405.20495"
_RATIO = r"\log(alg/\pi_B) \le "

_identity = partial(proved, relation="=", uncertified=IDENTITY)

TABLE = (
    Claim(
        "M26-ratio",
        _RATIO + r"(\beta+\alpha T)R_{\max}",
        *twins(transfer_ratio, transfer_ratio_balls, 2),
        (UNSIGNED,),
        source=_TRANSFER,
        most_outcomes=512,
    ),
    proved(
        "M26-sharp",
        _RATIO + r"(\beta+\alpha)R_{\max}\ \text{for every}\ T",
        *twins(transfer_ratio, transfer_ratio_balls, 1),
        (UNSIGNED,),
    ),
    Claim(
        "M26-reward",
        r"\beta(E_{\rho^*}R-E_{alg}R) \le KL(\rho^*\|\pi_B)-KL(\rho\|\pi_B)-KL(\rho^*\|\rho)",
        transfer_reward,
        transfer_reward_balls,
        source=_TRANSFER,
        most_outcomes=512,
    ),
    _identity(
        "M28-kl",
        r"KL(\prod\pi^t\|\prod P^t) = \sum_tE_{\pi}KL(\pi^t\|P^t)",
        chain_kl,
        assumptions=(COVERED,),
        most_outcomes=64,
    ),
    proved(
        "M28-tv",
        r"TV(\prod\pi^t,\prod P^t) \le \sum_tE_{\pi}TV(\pi^t,P^t)",
        chain_tv,
        assumptions=(COVERED,),
        uncertified="laws of selection on a tree have no enclosure: a counterexample would not be proved",
        most_outcomes=64,
    ),
    _identity("M29-increments", r"r_t=V(\cdot,y)-V\Rightarrow\prod_t tilt(r_t) = tilt(R)", value_increments),
    _identity("M29-gap", r"KL(seq\|step) = E_{seq}\sum\log Z_t-\beta V()", stepwise_gap),
    proved(
        "M29-oscillation",
        r"KL(seq\|step) \le osc(\sum_t\log Z_t)",
        stepwise_oscillation,
        oscillation_balls,
        most_outcomes=64,
    ),
    reading(
        "M29-stepwise",
        r"\prod_t tilt(r_t) = tilt(\sum_tr_t)",
        stepwise_is_sequence,
        stepwise_balls,
        source="the natural reading of stepwise GSI as a sampler of the sequence tilt",
        relation="=",
    ),
)
