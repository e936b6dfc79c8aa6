"""Monte Carlo sampler of every record of gsi_theory.methods, played as written, with what each round costs.

Candidates are drawn, given noise, scored, kept or thrown away, round by round, in NumPy or torch
(sims/sampling/generators.py).
From the library it takes the records `Instance`, `Scheme` and `Method`, and no law: weights, clipping, gates and the
search orders are written out here again, so that laws and sampler check each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import as_count
from gsi_theory.methods import Method, named_method
from gsi_theory.types import Array, Floats
from sims.sampling.aims import aimed
from sims.sampling.generators import Stream, as_stream
from sims.sampling.sampler import alias_table, draw, noise, scores_of, winners

__all__ = ["Rounds", "sample_method"]

# Candidates held at once; methods that look at all candidates of a round play fewer rounds at a time.
HELD = 1 << 20
Further = tuple[ArrayLike, Sequence[int]] | None


@dataclass(frozen=True)
class Rounds:
    """Independent rounds: outcome and accepted (R,), and what each round cost (R,), as in `MethodLaw`.

    Arrays of the stream's kind.
    """

    outcome: Array
    accepted: Array
    draft_samples: Array
    base_samples: Array
    base_scored: Array
    draft_scored: Array
    reward_calls: Array


FIELDS = tuple(Rounds.__dataclass_fields__)


def _rounds(stream: Stream, outcome: Array, accepted: Array = None, **costs: Array) -> Rounds:
    zero = stream.xp.zeros_like(outcome)
    kept = stream.xp.ones_like(outcome, dtype=stream.xp.bool) if accepted is None else accepted
    return Rounds(outcome, kept, **{name: zero + costs.get(name, 0) for name in FIELDS[2:]})


def _drawn(log_policy: Floats, shape: tuple[int, ...], stream: Stream) -> Array:
    return draw(alias_table(log_policy, stream), shape, stream)


def _pick(stream: Stream, drawn: Array, score: Array) -> tuple[Array, Array]:
    """Outcome of the largest score of each row, and that score; ties to the first, a position as good as any."""
    at, lines = stream.xp.argmax(score, axis=1), stream.table(np.arange(drawn.shape[0]))
    return drawn[lines, at], score[lines, at]


def _ratio(instance: Instance) -> Floats:
    """log(π_B/π_S), 0 where the draft has no mass: such outcomes are never drafted."""
    drafted = instance.log_draft > -np.inf
    return np.where(drafted, instance.log_base, 0.0) - np.where(drafted, instance.log_draft, 0.0)


def _weight(method: Method, instance: Instance, scheme: Scheme) -> Floats:
    """The log-weights (K,) of the record's `weight`."""
    ratio, limit = _ratio(instance), np.log(scheme.n)
    raised = aimed(instance, scheme)[2]
    return {
        "none": lambda: np.zeros(instance.size),
        "reward": lambda: raised,
        "best": lambda: instance.reward,
        "ratio": lambda: raised + ratio,
        "clipped": lambda: raised + np.minimum(ratio, limit),
        "clipped_both": lambda: raised + np.clip(ratio, -limit, limit),
    }[method.weight]()


def _fall_back(method: Method, instance: Instance, scheme: Scheme, outcome: Array, kept: Array, stream: Stream) -> None:
    """Replace rejected outcomes in place: by a selection among n_base base draws weighted β r, or one draw."""
    lost = int(stream.xp.sum(~kept))
    if not lost:
        return
    if method.fallback == "select":
        weight, table = stream.table(aimed(instance, scheme)[2]), alias_table(instance.log_base, stream)
        outcome[~kept] = winners(table, weight, scheme.base_draws, scheme.rule, lost, stream)[0]
        return
    policy = instance.log_base
    if method.fallback == "residual":
        with np.errstate(divide="ignore"):
            policy = np.log(np.maximum(np.exp(instance.log_base) - np.exp(instance.log_draft), 0.0))
    outcome[~kept] = _drawn(policy, (lost,), stream)


def _log_cut(instance: Instance, scheme: Scheme, weight: Floats) -> float:
    """log M: β u, or n times the mean weight."""
    if scheme.threshold is not None:
        return aimed(instance, scheme)[1] * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
    terms = (instance.log_draft + weight)[instance.log_draft > -np.inf]
    top = float(np.max(terms))
    return float(np.log(scheme.n) + top + np.log(np.sum(np.exp(terms - top))))


def _random_number(
    method: Method, scheme: Scheme, policy: Floats, weight: Array, rounds: int, stream: Stream
) -> tuple[Array, Array]:
    """(outcome, candidates drawn) among Poisson(n) ≥ 1, or 1 + Poisson(n - 1), candidates."""
    xp = stream.xp
    if method.numbers == "poisson":
        number = stream.poisson(scheme.n, rounds)
        while (none := int(xp.sum(number == 0))) > 0:
            number[number == 0] = stream.poisson(scheme.n, none)
    else:
        number = 1 + stream.poisson(scheme.n - 1, rounds)
    drawn = _drawn(policy, (rounds, int(xp.max(number))), stream)
    score = weight[drawn] + noise(scheme.rule, drawn.shape, stream)
    beyond = stream.table(np.arange(drawn.shape[1])) >= number[:, None]
    # A candidate of weight zero that was drawn still precedes places that were not: argmax takes the first.
    return _pick(stream, drawn, xp.where(beyond, -np.inf, score))[0], number


def _in_order_of_noise(
    method: Method, instance: Instance, scheme: Scheme, weight: Array, cut: float, rounds: int, stream: Stream
) -> tuple[Array, Array, Array]:
    """(outcome, score, candidates scored) of the race; drafts in ascending order of their noise T."""
    xp, n = stream.xp, scheme.n
    ceiling = float(np.max(aimed(instance, scheme)[2])) + np.log(n)
    drawn = _drawn(instance.log_draft, (rounds, n), stream)
    log_noise = xp.sort(-noise("race", drawn.shape, stream), axis=1)
    score = weight[drawn] - log_noise
    best, outcome = xp.asarray(score[:, 0], copy=True), xp.asarray(drawn[:, 0], copy=True)
    scored, searching = xp.zeros_like(outcome) + n, xp.ones_like(outcome, dtype=xp.bool)
    for k in range(n):
        if method.search == "early_exit":
            left = ceiling - log_noise[:, k]
            hopeless = searching & ((left < cut) | ((best >= left) if k else (left < cut)))
            scored[hopeless] = k
            searching = searching & ~hopeless
        better = searching & (score[:, k] > best)
        best, outcome = xp.where(better, score[:, k], best), xp.where(better, drawn[:, k], outcome)
    # Where the search ended before its first candidate nothing was scored.
    return outcome, xp.where(scored > 0, best, -np.inf), scored


def _mixture(
    method: Method, instance: Instance, scheme: Scheme, rounds: int, stream: Stream, further: Further
) -> Rounds:
    """One selection among the draws of several policies, weights π/p_mix."""
    xp, policies, counts = stream.xp, [instance.log_draft, instance.log_base], [scheme.n, scheme.base_draws]
    if method.proposal.startswith("drafters"):
        if further is None:
            raise InputError(f"method {method.id!r} needs further drafters: give further=(log-probabilities, counts)")
        policies, counts = [instance.log_draft, *np.atleast_2d(further[0])], [scheme.n, *further[1]]
    total, edges = sum(counts), np.cumsum(counts)
    shape = (rounds, total)
    if method.proposal.endswith("_random"):
        at = stream.uniform(shape)
        source = sum(xp.astype(at >= edge / total, xp.int64) for edge in edges[:-1])
    else:
        source = stream.table(np.broadcast_to(np.searchsorted(edges, np.arange(total), side="right"), shape))
    drawn = xp.zeros_like(source)
    for j, policy in enumerate(policies):
        drawn = xp.where(source == j, _drawn(policy, shape, stream), drawn)
    with np.errstate(divide="ignore"):
        mixed = np.log(sum(count / total * np.exp(policy) for count, policy in zip(counts, policies, strict=True)))
    weight = instance.log_base + aimed(instance, scheme)[2] - np.where(mixed > -np.inf, mixed, 0.0)
    outcome, _ = _pick(stream, drawn, scores_of(scheme.rule)(stream.table(weight)[drawn], stream))
    costs = {"draft_samples": total, "base_scored": total, "draft_scored": total * (len(policies) - 1)}
    if method.proposal.startswith("pooled"):
        drafts = xp.sum(xp.astype(source == 0, xp.int64), axis=1)
        others = total - drafts
        costs = {"draft_samples": drafts, "base_samples": others, "base_scored": drafts, "draft_scored": others}
    return _rounds(stream, outcome, reward_calls=total, **costs)


def _above_mean(instance: Instance) -> Floats:
    """r - E_{π_B} r (K,), centered first, so that rewards equal to it stay so under rounding; 0 within 1e-13."""
    base = np.exp(instance.log_base)
    centered = instance.reward - np.min(instance.reward[base > 0])
    mean = float(base @ centered)
    return np.where(np.abs(centered - mean) <= 1e-13 * mean, 0.0, centered - mean)


def _omega(method: Method, instance: Instance, scheme: Scheme) -> Floats:
    """How likely one draft is accepted (K,) by the gates that judge one."""
    excess = _above_mean(instance) if scheme.threshold is None else instance.reward - scheme.threshold
    match method.gate:
        case "ratio":
            return np.exp(np.minimum(_ratio(instance), 0.0))
        case "budget":
            return _filled(instance, gsi_law(instance, scheme).p_accept)
        case "reward":
            return np.where(excess >= 0.0, 1.0, 0.0)
        case "sigmoid":
            finite = np.isfinite(excess)
            steep = np.where(finite, scheme.beta * np.where(finite, excess, 0.0), excess)
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * steep)))
    raise InputError(f"method {method.id!r}: gate {method.gate!r} has no sampler")


def _filled(instance: Instance, left: float) -> Floats:
    """ω that fills a budget level by level down the rewards; GSI's acceptance is a number taken from the library."""
    above, omega = _above_mean(instance), np.zeros(instance.size)
    for level in sorted(set(instance.reward.tolist()), reverse=True):
        here = instance.reward == level
        mass = float(np.exp(instance.log_draft)[here].sum())
        share = 1.0 if above[here][0] > 0 or mass <= left else max(left, 0.0) / mass if mass else 0.0
        omega[here] = share
        left -= share * mass
    return omega


def _play(
    method: Method, instance: Instance, asked: Scheme, rounds: int, stream: Stream, further: Further = None
) -> Rounds:
    xp, scheme = stream.xp, method.applied(asked)
    if method.mixed:
        return _mixture(method, instance, scheme, rounds, stream, further)
    policy = instance.log_draft if method.proposal == "draft" else instance.log_base
    weight, kept = _weight(method, instance, scheme), None
    drawn = scored = scheme.n
    if method.weight == "none":
        outcome = _drawn(policy, (rounds,), stream)
        if method.single:
            kept = stream.uniform((rounds,)) < stream.table(_omega(method, instance, asked))[outcome]
    elif method.numbers != "fixed":
        outcome, drawn = _random_number(method, scheme, policy, stream.table(weight), rounds, stream)
        scored = drawn
    elif method.search == "first_passage":
        cut, candidates = _log_cut(instance, scheme, weight), _drawn(policy, (rounds, scheme.n), stream)
        passed = stream.table(weight)[candidates] + noise("race", candidates.shape, stream) >= cut
        outcome, first = _pick(stream, candidates, xp.astype(passed, xp.int64))
        kept = first > 0
        drawn = scored = xp.where(kept, xp.argmax(xp.astype(passed, xp.int64), axis=1) + 1, scheme.n)
    elif scheme.rule == "race" and (method.gate == "score" or method.weight.startswith("clipped")):
        cut = _log_cut(instance, scheme, weight) if method.gate == "score" else -np.inf
        outcome, score, scored = _in_order_of_noise(method, instance, scheme, stream.table(weight), cut, rounds, stream)
        kept = score >= cut if method.gate == "score" else None
    else:
        outcome, _ = winners(alias_table(policy, stream), stream.table(weight), scheme.n, scheme.rule, rounds, stream)
    if method.gate == "tilted_reward" and scheme.threshold is not None:
        # r + ℓ/β ≥ u in the form of the library's tilted reward: equality counts.
        own, beta, _ = aimed(instance, scheme)
        kept = stream.table((own + _ratio(instance) / beta) >= scheme.threshold)[outcome]
    extra: Array = 0
    if kept is not None:
        _fall_back(method, instance, scheme, outcome, kept, stream)
        extra = xp.where(kept, 0, scheme.base_draws)
    reads = method.reads(scheme)
    judged = (scored if reads.reward else 0) + (extra if method.fallback == "select" else 0)
    costs = {"base_samples": extra, f"{method.proposal}_samples": drawn, "reward_calls": judged}
    return _rounds(stream, outcome, kept, base_scored=scored if reads.ratio else 0, **costs)


def sample_method(
    method: str | Method,
    instance: Instance,
    scheme: Scheme,
    rounds: int,
    rng: np.random.Generator | Stream,
    further: Further = None,
    passed: bool = False,
) -> Rounds:
    """Play one step of `method` (an id of METHODS, or a record) independently `rounds` times; `further` and `passed` as
    in `Method.law`. Raises InputError for an unknown id, bad rounds, drafters that are missing.

    Plays as many rounds at a time as keep the candidates held below HELD, or one round.
    """
    record = named_method(method) if isinstance(method, str) else method
    part, used = record.step(scheme, passed)
    rounds, stream = as_count(rounds, "rounds"), as_stream(rng)
    most = max(1, HELD // (2 * (used.n + used.base_draws)))
    parts = [
        _play(part, instance, used, min(most, rounds - start), stream, further) for start in range(0, rounds, most)
    ]
    if len(parts) == 1:
        return parts[0]
    return Rounds(*(stream.xp.concat([getattr(part, name) for part in parts]) for name in FIELDS))
