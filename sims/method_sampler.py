"""Monte Carlo sampler of every method of gsi_theory.methods, played as written, with what each round costs.

Candidates are drawn, given noise, scored, kept or thrown away, round by round in NumPy. From the library it takes the
record `Instance`, the scheme and the documented defaults of a method's parameters, and no law: weights, clipping,
gates and the search orders are written out here again, so that laws and sampler check each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.gate import gsi_law
from gsi_theory.instance import Instance, Scheme
from gsi_theory.law import as_count
from gsi_theory.logscale import Array

__all__ = ["SAMPLERS", "Rounds", "sample_method"]

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]
Rng = np.random.Generator


@dataclass(frozen=True)
class Rounds:
    """Independent rounds: outcome and accepted (R,), and what each round cost (R,), as in `MethodLaw`."""

    outcome: Indices
    accepted: Flags
    draft_samples: Indices
    base_samples: Indices
    base_scored: Indices
    draft_scored: Indices
    reward_calls: Indices


def _rounds(outcome: Indices, accepted: Flags | None = None, **costs: Any) -> Rounds:
    fields = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")
    filled = {name: np.broadcast_to(np.asarray(costs.get(name, 0)), outcome.shape) for name in fields}
    kept = np.ones(outcome.shape, dtype=bool) if accepted is None else accepted
    return Rounds(outcome, kept, **filled)


def _drawn(log_policy: Array, shape: int | tuple[int, ...], rng: Rng) -> Indices:
    policy = np.exp(log_policy)
    return rng.choice(policy.size, size=shape, p=policy / policy.sum())


def _noise(rule: str, shape: tuple[int, ...], rng: Rng) -> Array:
    """-log T: T ~ Exp(1) (softmax), Uniform(0, 1) (race); for max only its order among ties counts, so nothing."""
    if rule == "softmax":
        return -np.log(-np.log1p(-rng.random(shape)))
    return -np.log1p(-rng.random(shape)) if rule == "race" else np.zeros(shape)


def _pick(drawn: Indices, score: Array) -> tuple[Indices, Array]:
    """Outcome of the largest score of each row, and that score; ties to the first, a position as good as any."""
    at = np.argmax(score, axis=1)
    rows = np.arange(drawn.shape[0])
    return drawn[rows, at], score[rows, at]


def _ratio(instance: Instance) -> Array:
    """log(π_B/π_S), 0 where the draft has no mass: such outcomes are never drafted."""
    drafted = instance.log_draft > -np.inf
    return np.where(drafted, instance.log_base, 0.0) - np.where(drafted, instance.log_draft, 0.0)


def _best(log_policy: Array, weight: Array, n: int, rule: str, rounds: int, rng: Rng) -> tuple[Indices, Array]:
    drawn = _drawn(log_policy, (rounds, n), rng)
    return _pick(drawn, weight[drawn] + _noise(rule, drawn.shape, rng))


def _fall_back(instance: Instance, scheme: Scheme, rule: str, outcome: Indices, kept: Flags, rng: Rng) -> None:
    """Replace rejected outcomes in place by a selection among n_base base draws weighted β r."""
    lost = int(np.sum(~kept))
    if lost:
        weight = scheme.beta * instance.reward
        outcome[~kept] = _best(instance.log_base, weight, scheme.base_draws, rule, lost, rng)[0]


def _alone(source: str) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        costs: dict[str, Any] = {f"{source}_samples": 1}
        return _rounds(_drawn(getattr(instance, f"log_{source}"), rounds, rng), **costs)

    return play


def _selection(source: str, rule: str, tilted: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        weight = instance.reward if rule == "max" else scheme.beta * instance.reward
        weight = weight + _ratio(instance) if tilted else weight
        outcome, _ = _best(getattr(instance, f"log_{source}"), weight, scheme.n, rule, rounds, rng)
        costs: dict[str, Any] = {f"{source}_samples": scheme.n, "base_scored": scheme.n if tilted else 0}
        return _rounds(outcome, reward_calls=scheme.n, **costs)

    return play


def _random_number(source: str) -> Sampler:
    """Poisson(n) ≥ 1 drafts by softmax, or the best of 1 + Poisson(n - 1) base draws."""

    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        if source == "draft":
            number = rng.poisson(scheme.n, rounds)
            while np.any(number == 0):
                number[number == 0] = rng.poisson(scheme.n, int(np.sum(number == 0)))
            weight, rule = scheme.beta * instance.reward + _ratio(instance), "softmax"
        else:
            number, weight, rule = 1 + rng.poisson(scheme.n - 1, rounds), instance.reward, "max"
        drawn = _drawn(getattr(instance, f"log_{source}"), (rounds, int(number.max())), rng)
        score = weight[drawn] + _noise(rule, drawn.shape, rng)
        score[np.arange(drawn.shape[1]) >= number[:, None]] = -np.inf
        # A candidate of weight zero that was drawn still precedes places that were not: argmax takes the first.
        outcome, _ = _pick(drawn, score)
        costs: dict[str, Any] = {f"{source}_samples": number, "base_scored": number if source == "draft" else 0}
        return _rounds(outcome, reward_calls=number, **costs)

    return play


def _gsi(rule: str, n_base: int | None = None) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        scheme = scheme if n_base is None else replace(scheme, n_base=n_base)
        weight = scheme.beta * instance.reward + _ratio(instance)
        outcome, _ = _best(instance.log_draft, weight, scheme.n, rule, rounds, rng)
        kept = np.ones(rounds, dtype=bool)
        if scheme.threshold is not None:
            # r + ℓ/β ≥ u in the form of the library's tilted reward: equality counts.
            kept = (instance.reward + _ratio(instance) / scheme.beta)[outcome] >= scheme.threshold
            _fall_back(instance, scheme, rule, outcome, kept, rng)
        extra = np.where(kept, 0, scheme.base_draws)
        n = scheme.n
        return _rounds(outcome, kept, draft_samples=n, base_samples=extra, base_scored=n, reward_calls=n + extra)

    return play


def _log_cut(instance: Instance, scheme: Scheme, weight: Array) -> float:
    """log M: β u, or n times the mean weight."""
    if scheme.threshold is not None:
        return scheme.beta * scheme.threshold
    held = instance.log_draft > -np.inf
    terms = (instance.log_draft + weight)[held]
    top = float(np.max(terms))
    return float(np.log(scheme.n) + top + np.log(np.sum(np.exp(terms - top))))


def _ordered(instance: Instance, weight: Array, n: int, rounds: int, rng: Rng) -> tuple[Indices, Array, Array]:
    """Drafts (R, n), their log-noise log T ascending in each row, and their log-scores."""
    drawn = _drawn(instance.log_draft, (rounds, n), rng)
    log_noise = np.sort(-_noise("race", drawn.shape, rng), axis=1)
    return drawn, log_noise, weight[drawn] - log_noise


def _expgsi(clip: bool, two_sided: bool = False, gated: bool = False, early_exit: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        limit = np.log(scheme.n) if clip else np.inf
        ratio = np.clip(_ratio(instance), -limit if two_sided else -np.inf, limit)
        weight, n = scheme.beta * instance.reward + ratio, scheme.n
        cut = _log_cut(instance, scheme, weight) if gated else -np.inf
        drawn, log_noise, score = _ordered(instance, weight, n, rounds, rng)
        best, outcome = score[:, 0].copy(), drawn[:, 0].copy()
        scored, searching = np.full(rounds, n), np.ones(rounds, dtype=bool)
        ceiling = scheme.beta * float(np.max(instance.reward)) + limit
        for k in range(n):
            if early_exit:
                hopeless = (ceiling - log_noise[:, k] < cut) | ((k > 0) & (best >= ceiling - log_noise[:, k]))
                scored[searching & hopeless] = k
                searching &= ~hopeless
            better = searching & (score[:, k] > best)
            best[better], outcome[better] = score[better, k], drawn[better, k]
        # Where the search ended before its first candidate nothing was scored.
        kept = (best >= cut) & (scored > 0)
        _fall_back(instance, scheme, "race", outcome, kept, rng)
        extra = np.where(kept, 0, scheme.base_draws)
        return _rounds(
            outcome, kept, draft_samples=n, base_samples=extra, base_scored=scored, reward_calls=scored + extra
        )

    return play


def _first_passage(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
    weight = scheme.beta * instance.reward + _ratio(instance)
    cut = _log_cut(instance, scheme, weight)
    drawn = _drawn(instance.log_draft, (rounds, scheme.n), rng)
    passed = weight[drawn] + _noise("race", drawn.shape, rng) >= cut
    first = np.argmax(passed, axis=1)
    kept = passed[np.arange(rounds), first]
    outcome = drawn[np.arange(rounds), first]
    _fall_back(instance, scheme, "race", outcome, kept, rng)
    calls, extra = np.where(kept, first + 1, scheme.n), np.where(kept, 0, scheme.base_draws)
    return _rounds(
        outcome, kept, draft_samples=calls, base_samples=extra, base_scored=calls, reward_calls=calls + extra
    )


def _pooled(rule: str, random: bool = False) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        own, other = scheme.n, scheme.base_draws
        share = own / (own + other)
        from_draft = np.arange(own + other) < own
        if random:
            from_draft = rng.random((rounds, own + other)) < share
        shape = (rounds, own + other)
        drawn = np.where(from_draft, _drawn(instance.log_draft, shape, rng), _drawn(instance.log_base, shape, rng))
        with np.errstate(divide="ignore"):
            mixed = np.log(share * np.exp(instance.log_draft) + (1.0 - share) * np.exp(instance.log_base))
        weight = instance.log_base + scheme.beta * instance.reward - np.where(mixed > -np.inf, mixed, 0.0)
        outcome, _ = _pick(drawn, weight[drawn] + _noise(rule, shape, rng))
        drafts = np.broadcast_to(from_draft, shape).sum(axis=1)
        others = own + other - drafts
        return _rounds(outcome, draft_samples=drafts, base_samples=others, base_scored=drafts, draft_scored=others,
                       reward_calls=own + other)  # fmt: skip

    return play


def _verified(instance: Instance, omega: Array, rounds: int, rng: Rng) -> Rounds:
    outcome = _drawn(instance.log_draft, rounds, rng)
    kept = rng.random(rounds) < omega[outcome]
    outcome[~kept] = _drawn(instance.log_base, int(np.sum(~kept)), rng)
    return _rounds(outcome, kept, draft_samples=1, base_samples=np.where(kept, 0, 1), reward_calls=1)


def _rsd(smooth: bool) -> Sampler:
    def play(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
        mean = float(np.exp(instance.log_base) @ instance.reward)
        excess = instance.reward - (mean if scheme.threshold is None else scheme.threshold)
        smoothed: Array = 0.5 * (1.0 + np.tanh(0.5 * scheme.beta * excess))
        omega: Array = smoothed if smooth else np.where(excess >= 0.0, 1.0, 0.0)
        return _verified(instance, omega, rounds, rng)

    return play


def _rsd_budget(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
    """Walks down the rewards level by level; the budget, GSI's acceptance, is a number it takes from the library."""
    left, mean = gsi_law(instance, scheme).p_accept, float(np.exp(instance.log_base) @ instance.reward)
    omega = np.zeros(instance.size)
    for level in sorted(set(instance.reward.tolist()), reverse=True):
        here = instance.reward == level
        mass = float(np.exp(instance.log_draft)[here].sum())
        share = 1.0 if level > mean or mass <= left else max(left, 0.0) / mass
        omega[here] = share
        left -= share * mass
    return _verified(instance, omega, rounds, rng)


def _speculative(instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
    draft, base = np.exp(instance.log_draft), np.exp(instance.log_base)
    outcome = _drawn(instance.log_draft, rounds, rng)
    kept = rng.random(rounds) * draft[outcome] < base[outcome]
    rest = np.maximum(base - draft, 0.0)
    if not kept.all():
        outcome[~kept] = rng.choice(rest.size, size=int(np.sum(~kept)), p=rest / rest.sum())
    return _rounds(outcome, kept, draft_samples=1, base_samples=np.where(kept, 0, 1), base_scored=1)


Sampler = Callable[[Instance, Scheme, int, Rng], Rounds]

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


def sample_method(method: str, instance: Instance, scheme: Scheme, rounds: int, rng: Rng) -> Rounds:
    """Play `method` (an id of METHODS) independently `rounds` times. InputError for an unknown id or bad rounds.

    Holds rounds × (candidates of a round) numbers at once.
    """
    if method not in SAMPLERS:
        raise InputError(f"no method {method!r}: give one of {', '.join(SAMPLERS)}")
    return SAMPLERS[method](instance, scheme, as_count(rounds, "rounds"), rng)
