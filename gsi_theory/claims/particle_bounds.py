"""Claims on sequential Monte Carlo with few particles (M42b), on the two-step tree of step_bounds.py. NumPy rows.

n particles, drafts, multinomial resampling after the first step; weights e^{βr + ℓ} of the step rewards. All ways in
which n particles fall on K and on K² places are listed, for n ≤ 3 and K ≤ 4.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import host, table
from gsi_theory.claims.assumptions import COVERED
from gsi_theory.claims.claim import Assumption, proved, reading
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.claims.step_bounds import sequence_of, stepwise_law_of, two_steps_of
from gsi_theory.steps.particles import compositions
from gsi_theory.types import Floats

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["MOST_LISTED", "TABLE", "particle_kl"]

MOST_LISTED = 3, 4  # particles, outcomes


def _log_sums(log_terms: Floats, axis: int) -> Floats:
    """log Σ exp along an axis, -inf where every term is."""
    top = np.max(log_terms, axis=axis, keepdims=True)
    shift = np.where(top > -np.inf, top, 0.0)
    with np.errstate(divide="ignore", under="ignore"):
        return np.asarray(np.squeeze(shift, axis) + np.log(np.sum(np.exp(log_terms - shift), axis=axis)))


def _log_pmf(coefficient: Floats, counts: np.ndarray, log_q: Floats) -> Floats:
    """log of coefficient·Π q^counts, 0^0 = 1: counts (C, K) and log_q (..., K) to (..., C)."""
    terms = np.where(counts > 0, counts * np.where(counts > 0, log_q[..., None, :], 0.0), 0.0)
    return np.asarray(coefficient + np.sum(terms, axis=-1))


def _log_shares(counts: np.ndarray, log_w: Floats) -> Floats:
    """(..., C, K): log of what each place has of the weight of counts (C, K); equal ones where all is zero."""
    with np.errstate(divide="ignore"):
        size = np.log(counts.astype(np.float64))
    mass = size + log_w[..., None, :]
    total = _log_sums(mass, -1)[..., None]
    alive = total > -np.inf
    even = size - np.log(float(counts[0].sum()))
    return np.where(alive, mass - np.where(alive, total, 0.0), even)


def _returned(log_q: Floats, first: Floats, second: Floats, n: int) -> Floats:
    """log P (rows, K²) of the returned trajectory: log-proposals (rows, K), log-weights (rows, K) and (rows, K, K)."""
    k = log_q.shape[-1]
    one, times = compositions(n, k)
    drawn = _log_pmf(np.log(times), one, log_q)
    share = _log_shares(one, first)
    again = _log_pmf(np.log(times), one, share)
    kept = _log_sums(drawn[..., :, None] + again, -2)
    two, _ = compositions(n, k * k)
    parents = two.reshape(-1, k, k).sum(axis=-1)
    place = {tuple(row): i for i, row in enumerate(one.tolist())}
    index = [place[tuple(row)] for row in parents.tolist()]
    ways = np.sum(gammaln(parents + 1.0), axis=-1) - np.sum(gammaln(two + 1.0), axis=-1)
    fallen = kept[..., index] + _log_pmf(ways, two, np.tile(log_q, k))
    flat = second.reshape(*second.shape[:-2], k * k)
    return np.clip(_log_sums(fallen[..., :, None] + _log_shares(two, flat), -2), None, 0.0)


def _log_moment(f: Facts) -> Floats:
    """log E(Ẑ/EẐ)² (...): two of the n particles are one with chance 1/n at each step."""
    n, tree, beta = host(f.n), two_steps_of(f), host(f.beta)[..., None]
    base, draft = host(f.log_base), np.where(np.isfinite(host(f.log_draft)), host(f.log_draft), 0.0)
    mass = base + beta * host(tree.first)  # q w of the first step
    later = base[..., None, :] + beta[..., None] * host(tree.second)
    mean, square = log_sum(later), _log_sums(2.0 * later - draft[..., None, :], -1)
    z = log_sum(mass + mean)
    with np.errstate(divide="ignore"):
        one, two = -np.log(n), np.log1p(-1.0 / n)
    parts = (
        2.0 * two,
        two + one + _log_sums(2.0 * (mass + mean) - draft, -1) - 2.0 * z,
        one + two + log_sum(mass) + _log_sums(mass + square, -1) - 2.0 * z,
        2.0 * one + _log_sums(2.0 * mass - draft + square, -1) - 2.0 * z,
    )
    return _log_sums(np.stack(np.broadcast_arrays(*parts), axis=-1), -1)


def _places(f: Facts) -> np.ndarray:
    """(..., k): which outcomes are no padding, in order, then padding; k as many as a claim may list, or all."""
    padding = ~host(f.real)
    return np.argsort(padding, axis=-1, kind="stable")[..., : MOST_LISTED[1]]


def _pairs(f: Facts, values: Floats) -> Floats:
    """Values (..., K²) of trajectories, those of `_places` alone (..., k²)."""
    at = _places(f)
    square = values.reshape(*f.shape, f.size, f.size)
    kept = np.take_along_axis(np.take_along_axis(square, at[..., :, None], axis=-2), at[..., None, :], axis=-1)
    return np.asarray(kept.reshape(*f.shape, at.shape[-1] ** 2))


def _law(f: Facts) -> Floats:
    """log P (..., k²) of the trajectories of `_places`."""
    tree, beta, at = two_steps_of(f), host(f.beta)[..., None], _places(f)
    k = at.shape[-1]
    ratio = np.where(np.isfinite(host(f.log_draft)), host(f.log_ratio), 0.0)
    second = _pairs(f, beta[..., None] * host(tree.second) + ratio[..., None, :]).reshape(-1, k, k)
    first, draft = (
        np.take_along_axis(v, at, axis=-1).reshape(-1, k) for v in (beta * host(tree.first) + ratio, host(f.log_draft))
    )
    n = np.floor(host(f.n)).reshape(-1)
    law = np.empty((len(n), k * k))
    for count in np.unique(n):
        rows = n == count
        law[rows] = _returned(draft[rows], first[rows], second[rows], int(count))
    return law.reshape(*f.shape, k * k)


def _law_of(f: Facts) -> Floats:
    return f.once("particle law", lambda: _law(f))


def _error(f: Facts) -> Floats:
    return 16.0 * (host(two_steps_of(f).error) + host(f.weight_error))


def _sides(f: Facts, lhs: Floats, rhs: Floats, error: Floats, trivial: float = np.inf) -> Sides:
    one, two, three = (table(np.asarray(v, dtype=np.float64), f.reward) for v in (lhs, rhs, error))
    return Sides(one, two, three, trivial)


def particle_kl(f: Facts) -> Sides:
    """(M42b): KL(tilt of trajectories‖law of the returned particle) ≤ log E(Ẑ/EẐ)²."""
    lhs, rhs = divergence.kl(_pairs(f, host(sequence_of(f))), _law_of(f)), _log_moment(f)
    error = _error(f) * (1.0 + np.where(np.isfinite(lhs), lhs, 0.0))
    return _sides(f, lhs, rhs, error)


def particles_nearer(f: Facts) -> Sides:
    """The reading that (M42b) refutes: n particles are never further from the tilt than n drafts step by step, TV."""
    tilt, law = _pairs(f, host(sequence_of(f))), stepwise_law_of(f)
    lhs, rhs = divergence.tv(tilt, _law_of(f)), divergence.tv(tilt, _pairs(f, host(law.log_prob)))
    error = _error(f) + host(law.error)
    return _sides(f, lhs, rhs, error, 1.0)


def _fallen(f: BallFacts, counts: list[int], q: list[arb]) -> arb:
    """Multinomial chance of counts."""
    out, left = f.ball(Fraction(1)), sum(counts)
    for c, p in zip(counts, q, strict=True):
        for i in range(c):
            out = out * left / (i + 1) * p
            left -= 1
    return out


def _ball_shares(f: BallFacts, counts: list[int], weights: list[arb]) -> list[arb]:
    mass = [c * w for c, w in zip(counts, weights, strict=True)]
    dead = all(m.is_zero() for m in mass)
    total = f.ball(Fraction(sum(counts))) if dead else f.total(mass)
    return [c / total for c in map(f.ball, map(Fraction, counts))] if dead else [m / total for m in mass]


def _real(f: BallFacts) -> list[int]:
    """The outcomes that some policy has."""
    return [y for y in range(f.instance.size) if f.instance.draft[y] or f.instance.base[y]]


def nearer_balls(f: BallFacts) -> tuple[arb, arb]:
    """`particles_nearer`."""
    real, n, beta = _real(f), f.scheme.n, f.scheme.beta
    k = len(real)
    policy, base, rewards = ([getattr(f.instance, name)[y] for y in real] for name in ("draft", "base", "reward"))
    draft, weight = [f.ball(s) for s in policy], [f.draft_weight[y] for y in real]
    reward = [r if b else Fraction(0) for r, b in zip(rewards, base, strict=True)]
    top = max(map(abs, reward)) or Fraction(1)
    later = [[x * y / top for y in reward] for x in reward]
    ratio = [f.ball(b / s) if s else f.zero for b, s in zip(base, policy, strict=True)]
    first = [f.ball(beta * r).exp() * x for r, x in zip(reward, ratio, strict=True)]
    second = [[f.ball(beta * r).exp() * x for r, x in zip(row, ratio, strict=True)] for row in later]
    counts = [list(map(int, row)) for row in compositions(n, k)[0]]
    kept = [f.zero] * len(counts)
    for row in counts:
        chance, share = _fallen(f, row, draft), _ball_shares(f, row, first)
        kept = [x + chance * _fallen(f, other, share) for x, other in zip(kept, counts, strict=True)]
    law = [f.zero] * (k * k)
    weights = [w for row in second for w in row]
    for chance, row in zip(kept, counts, strict=True):
        if chance.is_zero():
            continue
        for way in product(*(compositions(c, k)[0].tolist() if c else [[0] * k] for c in row)):
            fallen = chance
            for part in way:
                fallen = fallen * _fallen(f, part, draft)
            if not fallen.is_zero():
                share = _ball_shares(f, [c for part in way for c in part], weights)
                law = [x + fallen * s for x, s in zip(law, share, strict=True)]
    step = f.law_of(policy, [replace(w, exponent=beta * r) for w, r in zip(weight, reward, strict=True)], n)
    at = [
        f.law_of(policy, [replace(w, exponent=beta * r) for w, r in zip(weight, row, strict=True)], n) for row in later
    ]
    steps = [p * q for p, row in zip(step, at, strict=True) for q in row]
    tilt = [
        f.ball(b * c) * f.ball(beta * (r + x)).exp() if b and c else f.zero
        for b, r, row in zip(base, reward, later, strict=True)
        for c, x in zip(base, row, strict=True)
    ]
    whole = f.total(tilt)
    tilt = [t / whole for t in tilt]
    return f.excess(law, tilt).tv(), f.excess(steps, tilt).tv()


FEW = Assumption(
    f"n ≤ {MOST_LISTED[0]} and K ≤ {MOST_LISTED[1]}",
    lambda f: (f.n <= MOST_LISTED[0]) & (f.outcomes <= MOST_LISTED[1]),
    lambda f: f.scheme.n <= MOST_LISTED[0] and len(_real(f)) <= MOST_LISTED[1],
)

TABLE = (
    proved(
        "M42b-moment",
        r"KL(\pi\|\text{returned particle}) \le \log E(Z_n/EZ_n)^2",
        particle_kl,
        assumptions=(COVERED, FEW),
        uncertified="laws of selection on a tree have no enclosure: a counterexample would not be proved",
        smooth=False,
        most_outcomes=MOST_LISTED[1],
    ),
    reading(
        "M42b-nearer",
        r"TV(\pi,n\ \text{particles}) \le TV(\pi,n\ \text{drafts step by step})",
        particles_nearer,
        nearer_balls,
        (COVERED, FEW),
        source="the natural reading of particle filtering against stepwise selection (arXiv 2602.01381, 2604.16453)",
        smooth=False,
        most_outcomes=MOST_LISTED[1],
    ),
)
