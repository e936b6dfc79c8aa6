"""Monte Carlo sampler of every method of gsi_theory.methods, played as written, with what each round costs.

Candidates are drawn, given noise, scored, kept or thrown away, round by round, in NumPy or torch
(sims/sampling/generators.py).
From the library it takes the record `Instance`, the scheme and the documented defaults of a method's parameters, and no
law: weights, clipping, gates and the search orders are written out here again, so that laws and sampler check each
other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import as_count
from gsi_theory.types import Array, Floats
from sims.sampling.generators import Stream, as_stream
from sims.sampling.sampler import alias_table, draw, noise, winners

__all__ = ["SAMPLERS", "Rounds", "sample_method"]

# Candidates held at once; methods that look at all candidates of a round play fewer rounds at a time.
HELD = 1 << 20


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
    xp = stream.xp
    zero = xp.zeros_like(outcome)
    filled = {name: zero + costs.get(name, 0) for name in FIELDS[2:]}
    kept = xp.ones_like(outcome, dtype=xp.bool) if accepted is None else accepted
    return Rounds(outcome, kept, **filled)


def _drawn(log_policy: Floats, shape: tuple[int, ...], stream: Stream) -> Array:
    return draw(alias_table(log_policy, stream), shape, stream)


def _pick(stream: Stream, drawn: Array, score: Array) -> tuple[Array, Array]:
    """Outcome of the largest score of each row, and that score; ties to the first, a position as good as any."""
    xp = stream.xp
    at, lines = xp.argmax(score, axis=1), stream.table(np.arange(drawn.shape[0]))
    return drawn[lines, at], score[lines, at]


def _ratio(instance: Instance) -> Floats:
    """log(π_B/π_S), 0 where the draft has no mass: such outcomes are never drafted."""
    drafted = instance.log_draft > -np.inf
    return np.where(drafted, instance.log_base, 0.0) - np.where(drafted, instance.log_draft, 0.0)


def _best(log_policy: Floats, weight: Floats, n: int, rule: str, rounds: int, stream: Stream) -> tuple[Array, Array]:
    return winners(alias_table(log_policy, stream), stream.table(weight), n, rule, rounds, stream)


def _fall_back(instance: Instance, scheme: Scheme, rule: str, outcome: Array, kept: Array, stream: Stream) -> None:
    """Replace rejected outcomes in place by a selection among n_base base draws weighted β r."""
    lost = int(stream.xp.sum(~kept))
    if lost:
        weight = scheme.beta * instance.reward
        outcome[~kept] = _best(instance.log_base, weight, scheme.base_draws, rule, lost, stream)[0]


def _alone(source: str) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        costs: dict[str, Any] = {f"{source}_samples": 1}
        return _rounds(stream, _drawn(getattr(instance, f"log_{source}"), (rounds,), stream), **costs)

    return play


def _selection(source: str, rule: str, tilted: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        weight = instance.reward if rule == "max" else scheme.beta * instance.reward
        weight = weight + _ratio(instance) if tilted else weight
        outcome, _ = _best(getattr(instance, f"log_{source}"), weight, scheme.n, rule, rounds, stream)
        costs: dict[str, Any] = {f"{source}_samples": scheme.n, "base_scored": scheme.n if tilted else 0}
        return _rounds(stream, outcome, reward_calls=scheme.n, **costs)

    return play


def _random_number(source: str) -> Sampler:
    """Poisson(n) ≥ 1 drafts by softmax, or the best of 1 + Poisson(n - 1) base draws."""

    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        xp = stream.xp
        if source == "draft":
            number = stream.poisson(scheme.n, rounds)
            while (none := int(xp.sum(number == 0))) > 0:
                number[number == 0] = stream.poisson(scheme.n, none)
            weight, rule = scheme.beta * instance.reward + _ratio(instance), "softmax"
        else:
            number, weight, rule = 1 + stream.poisson(scheme.n - 1, rounds), instance.reward, "max"
        drawn = _drawn(getattr(instance, f"log_{source}"), (rounds, int(xp.max(number))), stream)
        score = stream.table(weight)[drawn] + noise(rule, drawn.shape, stream)
        beyond = stream.table(np.arange(drawn.shape[1])) >= number[:, None]
        # A candidate of weight zero that was drawn still precedes places that were not: argmax takes the first.
        outcome, _ = _pick(stream, drawn, xp.where(beyond, -np.inf, score))
        costs: dict[str, Any] = {f"{source}_samples": number, "base_scored": number if source == "draft" else 0}
        return _rounds(stream, outcome, reward_calls=number, **costs)

    return play


def _gsi(rule: str, n_base: int | None = None) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        xp = stream.xp
        scheme = scheme if n_base is None else replace(scheme, n_base=n_base)
        weight = scheme.beta * instance.reward + _ratio(instance)
        outcome, _ = _best(instance.log_draft, weight, scheme.n, rule, rounds, stream)
        kept = xp.ones_like(outcome, dtype=xp.bool)
        if scheme.threshold is not None:
            # r + ℓ/β ≥ u in the form of the library's tilted reward: equality counts.
            kept = stream.table((instance.reward + _ratio(instance) / scheme.beta) >= scheme.threshold)[outcome]
            _fall_back(instance, scheme, rule, outcome, kept, stream)
        extra, n = xp.where(kept, 0, scheme.base_draws), scheme.n
        return _rounds(
            stream, outcome, kept, draft_samples=n, base_samples=extra, base_scored=n, reward_calls=n + extra
        )

    return play


def _log_cut(instance: Instance, scheme: Scheme, weight: Floats) -> float:
    """log M: β u, or n times the mean weight."""
    if scheme.threshold is not None:
        return scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
    held = instance.log_draft > -np.inf
    terms = (instance.log_draft + weight)[held]
    top = float(np.max(terms))
    return float(np.log(scheme.n) + top + np.log(np.sum(np.exp(terms - top))))


def _expgsi(clip: bool, two_sided: bool = False, gated: bool = False, early_exit: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        xp, n = stream.xp, scheme.n
        limit = np.log(n) if clip else np.inf
        ratio = np.clip(_ratio(instance), -limit if two_sided else -np.inf, limit)
        weight = scheme.beta * instance.reward + ratio
        cut = _log_cut(instance, scheme, weight) if gated else -np.inf
        ceiling = scheme.beta * float(np.max(instance.reward)) + limit
        # Drafts in ascending order of their noise T, log T in log_noise.
        drawn = _drawn(instance.log_draft, (rounds, n), stream)
        log_noise = xp.sort(-noise("race", drawn.shape, stream), axis=1)
        score = stream.table(weight)[drawn] - log_noise
        best, outcome = xp.asarray(score[:, 0], copy=True), xp.asarray(drawn[:, 0], copy=True)
        scored, searching = xp.zeros_like(outcome) + n, xp.ones_like(outcome, dtype=xp.bool)
        for k in range(n):
            if early_exit:
                left = ceiling - log_noise[:, k]
                hopeless = searching & ((left < cut) | ((best >= left) if k else (left < cut)))
                scored[hopeless] = k
                searching = searching & ~hopeless
            better = searching & (score[:, k] > best)
            best, outcome = xp.where(better, score[:, k], best), xp.where(better, drawn[:, k], outcome)
        # Where the search ended before its first candidate nothing was scored.
        kept = (best >= cut) & (scored > 0)
        _fall_back(instance, scheme, "race", outcome, kept, stream)
        extra = xp.where(kept, 0, scheme.base_draws)
        return _rounds(
            stream, outcome, kept, draft_samples=n, base_samples=extra, base_scored=scored, reward_calls=scored + extra
        )

    return play


def _first_passage(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
    xp = stream.xp
    weight = scheme.beta * instance.reward + _ratio(instance)
    cut = _log_cut(instance, scheme, weight)
    drawn = _drawn(instance.log_draft, (rounds, scheme.n), stream)
    passed = stream.table(weight)[drawn] + noise("race", drawn.shape, stream) >= cut
    outcome, kept = _pick(stream, drawn, xp.astype(passed, xp.int64))
    first, kept = xp.argmax(xp.astype(passed, xp.int64), axis=1), kept > 0
    _fall_back(instance, scheme, "race", outcome, kept, stream)
    calls, extra = xp.where(kept, first + 1, scheme.n), xp.where(kept, 0, scheme.base_draws)
    return _rounds(
        stream, outcome, kept, draft_samples=calls, base_samples=extra, base_scored=calls, reward_calls=calls + extra
    )


def _pooled(rule: str, random: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        xp, own, other = stream.xp, scheme.n, scheme.base_draws
        share, shape = own / (own + other), (rounds, own + other)
        from_draft = stream.table(np.broadcast_to(np.arange(own + other) < own, shape))
        if random:
            from_draft = stream.uniform(shape) < share
        drawn = xp.where(
            from_draft, _drawn(instance.log_draft, shape, stream), _drawn(instance.log_base, shape, stream)
        )
        with np.errstate(divide="ignore"):
            mixed = np.log(share * np.exp(instance.log_draft) + (1.0 - share) * np.exp(instance.log_base))
        weight = instance.log_base + scheme.beta * instance.reward - np.where(mixed > -np.inf, mixed, 0.0)
        outcome, _ = _pick(stream, drawn, stream.table(weight)[drawn] + noise(rule, shape, stream))
        drafts = xp.sum(xp.astype(from_draft, xp.int64), axis=1)
        others = own + other - drafts
        return _rounds(stream, outcome, draft_samples=drafts, base_samples=others, base_scored=drafts,
                       draft_scored=others, reward_calls=own + other)  # fmt: skip

    return play


def _verified(instance: Instance, omega: Floats, rounds: int, stream: Stream) -> Rounds:
    outcome = _drawn(instance.log_draft, (rounds,), stream)
    kept = stream.uniform((rounds,)) < stream.table(omega)[outcome]
    lost = int(stream.xp.sum(~kept))
    if lost:
        outcome[~kept] = _drawn(instance.log_base, (lost,), stream)
    extra = stream.xp.where(kept, 0, 1)
    return _rounds(stream, outcome, kept, draft_samples=1, base_samples=extra, reward_calls=1)


def _above_mean(instance: Instance) -> Floats:
    """r - E_{π_B} r (K,), centered first, so that rewards equal to it stay so under rounding; 0 within 1e-13."""
    base = np.exp(instance.log_base)
    centered = instance.reward - np.min(instance.reward[base > 0])
    mean = float(base @ centered)
    return np.where(np.abs(centered - mean) <= 1e-13 * mean, 0.0, centered - mean)


def _rsd(smooth: bool) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
        excess = _above_mean(instance) if scheme.threshold is None else instance.reward - scheme.threshold
        finite = np.isfinite(excess)
        steep = np.where(finite, scheme.beta * np.where(finite, excess, 0.0), excess)
        smoothed: Floats = 0.5 * (1.0 + np.tanh(0.5 * steep))
        omega: Floats = smoothed if smooth else np.where(excess >= 0.0, 1.0, 0.0)
        return _verified(instance, omega, rounds, stream)

    return play


def _rsd_budget(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
    """Walks down the rewards level by level; the budget, GSI's acceptance, is a number it takes from the library."""
    left, above = gsi_law(instance, scheme).p_accept, _above_mean(instance)
    omega = np.zeros(instance.size)
    for level in sorted(set(instance.reward.tolist()), reverse=True):
        here = instance.reward == level
        mass = float(np.exp(instance.log_draft)[here].sum())
        share = 1.0 if above[here][0] > 0 or mass <= left else max(left, 0.0) / mass
        omega[here] = share
        left -= share * mass
    return _verified(instance, omega, rounds, stream)


def _speculative(instance: Instance, scheme: Scheme, rounds: int, stream: Stream) -> Rounds:
    draft, base = np.exp(instance.log_draft), np.exp(instance.log_base)
    outcome = _drawn(instance.log_draft, (rounds,), stream)
    kept = stream.uniform((rounds,)) * stream.table(draft)[outcome] < stream.table(base)[outcome]
    lost = int(stream.xp.sum(~kept))
    if lost:
        with np.errstate(divide="ignore"):
            outcome[~kept] = _drawn(np.log(np.maximum(base - draft, 0.0)), (lost,), stream)
    extra = stream.xp.where(kept, 0, 1)
    return _rounds(stream, outcome, kept, draft_samples=1, base_samples=extra, base_scored=1)


Sampler = Callable[[Instance, Scheme, int, Stream], Rounds]

SAMPLERS: dict[str, Sampler] = {
    "draft": _alone("draft"),
    "base": _alone("base"),
    "soft_bon_draft": _selection("draft", "softmax"),
    "soft_bon_base": _selection("base", "softmax"),
    "best_of_n_draft": _selection("draft", "max"),
    "best_of_n_base": _selection("base", "max"),
    "best_of_poisson": _random_number("base"),
    "gsi_ungated": _selection("draft", "softmax", tilted=True),
    "gsi_ungated_race": _selection("draft", "race", tilted=True),
    "gsi_poisson": _random_number("draft"),
    "gsi": _gsi("softmax"),
    "gsi_race": _gsi("race"),
    "gsi_one_base": _gsi("softmax", 1),
    "gsi_score_gate": _expgsi(clip=False, gated=True),
    "first_passage": _first_passage,
    "expgsi": _expgsi(clip=True),
    "expgsi_two_sided": _expgsi(clip=True, two_sided=True),
    "expgsi_early_exit": _expgsi(clip=True, early_exit=True),
    "expgsi_score_gate": _expgsi(clip=True, gated=True, early_exit=True),
    "pooled": _pooled("softmax"),
    "pooled_race": _pooled("race"),
    "pooled_random": _pooled("softmax", random=True),
    "rsd": _rsd(smooth=False),
    "rsd_sigmoid": _rsd(smooth=True),
    "rsd_budget": _rsd_budget,
    "speculative": _speculative,
}


def sample_method(
    method: str, instance: Instance, scheme: Scheme, rounds: int, rng: np.random.Generator | Stream
) -> Rounds:
    """Play `method` (an id of METHODS) independently `rounds` times. InputError for an unknown id or bad rounds.

    Plays as many rounds at a time as keep the candidates held below HELD, or one round.
    """
    if method not in SAMPLERS:
        raise InputError(f"no method {method!r}{nearest(method, SAMPLERS)}: give one of {', '.join(SAMPLERS)}")
    rounds, stream = as_count(rounds, "rounds"), as_stream(rng)
    most = max(1, HELD // (2 * (scheme.n + scheme.base_draws)))
    parts = [SAMPLERS[method](instance, scheme, min(most, rounds - start), stream) for start in range(0, rounds, most)]
    if len(parts) == 1:
        return parts[0]
    return Rounds(*(stream.xp.concat([getattr(part, name) for part in parts]) for name in FIELDS))
