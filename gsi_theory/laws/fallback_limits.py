"""What nothing of GSI's own shape can beat: n drafts, and with probability q a fallback to m base draws (M39b).

With recall the outcome may be any of the n drafts, and of the base draws if there were any; without it an accepted
draft is returned before the base is asked, and after a rejection only a base draw may be. q = 0 is one of n drafts
(M19); q = 1 with recall is one of all draws (M37).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.namespace import as_number, plain_number
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import as_count
from gsi_theory.laws.half_plane_sets import as_sources, largest_over_sets, log_missed
from gsi_theory.laws.reward_levels import RewardLevels, reward_levels, some_above
from gsi_theory.types import Array, Floats, Namespace

__all__ = [
    "BestFallback",
    "best_fallback",
    "best_reward_gated",
    "best_reward_no_recall",
    "best_reward_recall",
    "best_tv_no_recall",
    "best_tv_recall",
]


@dataclass(frozen=True)
class BestFallback:
    """The probability of fallback at which the limit without recall is least, and that limit."""

    chance: float
    tv: float


def _as_chance(value: float) -> float:
    cure = "give a probability of fallback, from 0 to 1"
    chance = as_number(value, "chance", cure)
    if not 0.0 <= chance <= 1.0:
        raise InputError(f"chance = {value!r}: {cure}")
    return chance


def best_tv_recall(log_target: Array, log_draft: Array, log_base: Array, n: int, m: int, chance: float) -> Array:
    """Least TV to π with recall: max_A π(A) - g(A), g = 1 - f + min(q, f)(1 - f_B) (M39b).

    f = (1 - μ(A))^n, f_B = (1 - π_B(A))^m, q = chance. Laws (..., K) in nats, n and m whole, ≥ 1. Method, error and
    refusals as `best_tv_two`. A float for single NumPy laws, else an array (...).
    """
    n, m, q = as_count(n, "n"), as_count(m, "m"), _as_chance(chance)

    def missing(target: Floats, draft: Floats, base: Floats) -> Floats:
        log_f, log_fb = log_missed(draft, n), log_missed(base, m)
        return target + np.maximum(np.expm1(log_f + log_fb), np.expm1(log_f) + q * np.expm1(log_fb))

    xp, sources = as_sources(log_target, log_draft, log_base, n, m)
    return sources.shaped(xp, [largest_over_sets(*laws, n, m, missing)[0] for laws in sources.rows()])


def _no_recall(laws: tuple[Floats, Floats, Floats], n: int, m: int, q: float) -> tuple[float, float]:
    """(limit at q, a slope of it in q): a maximum over sets, and over which part of the drafts binds, of lines in q."""

    def lines(target: Floats, draft: Floats, base: Floats) -> tuple[Floats, Floats]:
        gone = q * np.expm1(log_missed(base, m))
        return target + np.expm1(log_missed(draft, n)) + gone, target - (1.0 - q) + gone

    value, at = largest_over_sets(*laws, n, m, lambda *masses: np.maximum(*lines(*masses)))
    drawn, accepted = lines(*(np.array(x) for x in at))
    return value, float(np.expm1(log_missed(np.array(at[2]), m))) + float(accepted > drawn)


def best_tv_no_recall(log_target: Array, log_draft: Array, log_base: Array, n: int, m: int, chance: float) -> Array:
    """Least TV to π without recall, fallback with probability q = chance (M39b).

    max_A π(A) - min{1 - (1 - μ(A))^n, 1 - q} - q(1 - (1 - π_B(A))^m): convex in q. Arguments as `best_tv_recall`.
    """
    n, m, q = as_count(n, "n"), as_count(m, "m"), _as_chance(chance)
    xp, sources = as_sources(log_target, log_draft, log_base, n, m)
    return sources.shaped(xp, [_no_recall(laws, n, m, q)[0] for laws in sources.rows()])


def best_fallback(log_target: Array, log_draft: Array, log_base: Array, n: int, m: int) -> BestFallback:
    """The least of `best_tv_no_recall` over the probability of fallback (M39b); laws (K,).

    The limit is convex and piecewise linear in q: where the lines that touch it on either side cross, until that is on
    it. Raises InputError as `best_tv_no_recall`, and for a batch.
    """
    n, m = as_count(n, "n"), as_count(m, "m")
    _, sources = as_sources(log_target, log_draft, log_base, n, m)
    if sources.target.ndim != 1:
        raise InputError(f"laws of shape {sources.target.shape}: give one triple of laws (K,)")
    laws = next(sources.rows())
    (low, high), (at_low, at_high) = (0.0, 1.0), (_no_recall(laws, n, m, q) for q in (0.0, 1.0))
    best = min((at_low[0], low), (at_high[0], high))
    while at_low[1] < 0.0 < at_high[1]:
        (value, slope), (other, rise) = at_low, at_high
        q = min(max((value - slope * low - other + rise * high) / (rise - slope), low), high)
        if not low < q < high:
            break
        tried = _no_recall(laws, n, m, q)
        best = min(best, (tried[0], q))
        if tried[0] <= value + slope * (q - low) + 1e-15 or tried[1] == 0.0:
            break
        low, at_low, high, at_high = (q, tried, high, at_high) if tried[1] < 0.0 else (low, at_low, q, tried)
    return BestFallback(best[1], plain_number(np.clip(best[0], 0.0, 1.0)))


def _chances(
    reward: Array, log_draft: Array, log_base: Array, n: int, m: int
) -> tuple[Namespace, RewardLevels, Array, Array]:
    """(namespace, levels, P(M_n > x), P(M_B > x)), M the largest reward of the n drafts, of the m base draws."""
    xp, levels = reward_levels(reward, log_draft, log_base)
    drawn = (
        some_above(above, as_count(count, name)) for above, count, name in zip(levels.above, (n, m), "nm", strict=True)
    )
    return xp, levels, *drawn


def best_reward_recall(reward: Array, log_draft: Array, log_base: Array, n: int, m: int, chance: float) -> Array:
    """Largest E r with recall: E M_n + E[(M_B - M_n)_+; lowest q of M_n], M the largest reward of each source (M39b).

    The fallback comes where M_n is low. reward, laws (..., K); rewards finite; n, m whole, ≥ 1; q = chance. Error: a
    few K units of rounding of osc r. Raises InputError on shapes, NaN, infinite rewards, bad n, m or chance.
    """
    xp, levels, drafts, bases = _chances(reward, log_draft, log_base, n, m)
    return levels.mean(drafts + xp.clip(1.0 - drafts, None, _as_chance(chance)) * bases)


def best_reward_no_recall(reward: Array, log_draft: Array, log_base: Array, n: int, m: int, chance: float) -> Array:
    """Largest E r without recall, fallback with probability q: E[M_n; highest 1-q of M_n] + q E M_B (M39b).

    Arguments as `best_reward_recall`.
    """
    xp, levels, drafts, bases = _chances(reward, log_draft, log_base, n, m)
    q = _as_chance(chance)
    return levels.mean(xp.clip(drafts, None, 1.0 - q) + q * bases)


def best_reward_gated(reward: Array, log_draft: Array, log_base: Array, n: int, m: int) -> Array:
    """Largest E r without recall at any probability of fallback: E max(M_n, E M_B), accepting iff M_n ≥ E M_B (M39b).

    Arguments as `best_reward_recall`.
    """
    xp, levels, drafts, bases = _chances(reward, log_draft, log_base, n, m)
    threshold = levels.lowest + xp.sum(levels.steps * bases, axis=-1)
    over = xp.clip(levels.values[..., :-1] - xp.maximum(levels.values[..., 1:], threshold[..., None]), 0.0, None)
    return plain_number(threshold + xp.sum(over * drafts, axis=-1))
