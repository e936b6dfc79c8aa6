"""The largest expected reward after n expected draws, no further than a goal from a target, in KL or in TV (M39).

A frontier: the law of no rule that draws n candidates in expectation, however it stops, lies beyond it. For draws from
draft and base give the mixture (nμ + mπ_B)/(n + m) as the proposal and n + m draws (M37).
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import as_number, as_numbers
from gsi_theory.divergence import kl, log_pair
from gsi_theory.errors import InputError
from gsi_theory.laws.attaining_laws import adaptive_law, capped_law
from gsi_theory.laws.reward_levels import LARGEST
from gsi_theory.limits import best_tv_adaptive
from gsi_theory.types import Array, Floats

__all__ = ["RewardWithin", "reward_within_kl", "reward_within_tv"]

XP = array_api_compat.array_namespace(np.empty(0))
UNIT = 2.0**-52
STEPS = 160  # at most 60 doublings of λ, and bisections to the last bit
STEEPEST = 2.0**60  # λ times the spread of the rewards: beyond, rewards that differ by a rounding are told apart
TINY = 2.0**-1000


@dataclass(frozen=True)
class RewardWithin:
    """value: E r under the law that attains it. log_prob: that law, (K,) in nats. error: the supremum is at most
    value + error.
    """

    value: float
    log_prob: Floats
    error: float


def _checked(reward: Array, log_target: Array, log_proposal: Array, delta: float) -> tuple[Floats, Floats, Floats]:
    _, p, q = log_pair(log_target, log_proposal)
    parts = as_numbers(reward, "reward"), as_numbers(p, "log_target"), as_numbers(q, "log_proposal")
    if not (
        parts[0].ndim == 1
        and parts[0].shape == parts[1].shape == parts[2].shape
        and (np.abs(parts[0]) <= LARGEST).all()
    ):
        shapes = ", ".join(str(x.shape) for x in parts)
        raise InputError(
            f"reward, log_target and log_proposal of shapes {shapes}: give (K,) each, rewards up to {LARGEST:g}"
        )
    cure = "give a finite number ≥ 0"
    if not 0.0 <= as_number(delta, "delta", cure) < np.inf:
        raise InputError(f"delta = {delta!r}: {cure}")
    return parts


def _refuse_below(least: float, delta: float, distance: str) -> None:
    if least == np.inf:
        raise InputError(f"no rule has a finite {distance}: the draws reach too little of the target; give a larger n")
    if not delta >= least:
        raise InputError(f"delta = {delta:g}: no rule comes nearer than {distance} = {least:.17g}; give that or more")


def _mean(log_prob: Floats, values: Floats) -> float:
    return float(np.exp(log_prob) @ values)


def _steepest(values: Floats, weight: Floats, room: Floats) -> tuple[Floats, float]:
    """(the limit of min(room, c·weight·e^{λr}) as λ → ∞, its last level): all room of high rewards, min(room, c·weight)
    on the level where 1 is reached.
    """
    some = np.flatnonzero((weight > -np.inf) & (room > -np.inf))
    above, law = 0.0, np.full(values.shape, -np.inf)
    for level in np.unique(values[some])[::-1]:
        tied = some[values[some] == level]
        level_room = float(np.exp(room[tied]).sum())
        if above + level_room >= 1.0 or level == values[some].min():
            left = np.log(max(1.0 - above, TINY))
            law[tied] = left + capped_law(XP, weight[tied], room[tied] - left)
            break
        law[tied], above = room[tied], above + level_room
    return law, float(level)


def reward_within_kl(reward: Array, log_target: Array, log_proposal: Array, n: float, delta: float) -> RewardWithin:
    """Largest E_P r over laws P ≤ nμ with KL(P‖π) ≤ delta nats, P = min(nμ, cπe^{λr}) (M39).

    reward, log_target, log_proposal (K,), n real ≥ 1. λ by bisection, the law on its feasible side; error from the
    dual, E_λ r + (delta - KL_λ)/λ ≥ the supremum for every λ. Raises InputError if delta is below the least KL that any
    such law has, `kl(adaptive_law(...), log_target)`, which is inf where n μ(π > 0) < 1.
    """
    values, p, q = _checked(reward, log_target, log_proposal, delta)
    nearest = np.asarray(adaptive_law(p, q, float(n)))
    least = kl(nearest, p)
    _refuse_below(least, delta, "KL")
    shared = (p > -np.inf) & (q > -np.inf)
    weight, room = np.where(shared, p, -np.inf), np.log(float(n)) + q
    steepest, level = _steepest(values, weight, room)
    rounding = 4.0 * UNIT * (1.0 + np.log2(values.size))
    spread = float(np.ptp(values[shared]))
    doubt = rounding * max(1.0, float(np.max(np.abs(values))))
    if kl(steepest, p) <= delta or spread == 0.0:
        law = steepest if spread > 0.0 else nearest
        return RewardWithin(_mean(law, values), law, doubt)
    tilt = np.where(shared, values - level, 0.0) / spread  # 0 at the level that is filled in part as λ → ∞
    bound, best, low, high, found = _mean(steepest, values), nearest, 0.0, 1.0, False
    for _ in range(STEPS):
        slope = 0.5 * (low + high) if found else high
        if not low < slope < STEEPEST:
            break
        law = np.asarray(capped_law(XP, weight + slope * tilt, room))
        distance, mean = kl(law, p), _mean(law, values)
        slack = delta - distance + rounding * (delta + distance + np.sqrt(delta) + np.sqrt(distance))
        bound = min(bound, mean + slack * spread / slope)
        if distance <= delta:
            low, best = slope, law
            high = high if found else 2.0 * high
        else:
            high, found = slope, True
    return RewardWithin(_mean(best, values), best, max(0.0, bound - _mean(best, values)) + doubt)


def reward_within_tv(reward: Array, log_target: Array, log_proposal: Array, n: float, delta: float) -> RewardWithin:
    """Largest E_P r over laws P ≤ nμ with TV(P, π) ≤ delta, by moving mass from low rewards to high ones (M39).

    From min(π, nμ) the mass E_n that does not fit, and x more taken from the lowest rewards, go to the highest rewards
    that have room up to nμ, as long as that gains. reward, log_target, log_proposal (K,), n real ≥ 1; error: rounding.
    Raises InputError if delta is below E_n, `best_tv_adaptive`.
    """
    values, p, q = _checked(reward, log_target, log_proposal, delta)
    forced = best_tv_adaptive(p, q, float(n))
    _refuse_below(forced, delta, "TV")
    room = float(n) * np.exp(q)
    kept = np.minimum(np.exp(p), room)
    room = np.minimum(room - kept, 1.0)  # no more is ever moved, and sums of nμ = 10¹⁵ would lose it
    up = np.argsort(values, kind="stable")
    down = up[::-1]
    taken, added = np.cumsum(kept[up]), np.cumsum(room[down])
    most = max(0.0, min(delta - forced, taken[-1]))
    edges = np.unique(np.clip(np.concatenate([[0.0, most], taken, added - forced]), 0.0, most))
    middle = 0.5 * (edges[1:] + edges[:-1])
    last = values.size - 1
    lost = values[up][np.minimum(np.searchsorted(taken, middle), last)]
    # beyond all room the searches end at the lowest reward, which gains nothing
    gained = values[down][np.minimum(np.searchsorted(added, forced + middle), last)]
    worth = np.flatnonzero(gained > lost)
    moved = float(edges[worth[-1] + 1]) if worth.size else 0.0
    mass = kept.copy()
    mass[up] -= np.clip(moved - (taken - kept[up]), 0.0, kept[up])
    mass[down] += np.clip(forced + moved - (added - room[down]), 0.0, room[down])
    with np.errstate(divide="ignore"):
        log_prob = np.log(mass)
    doubt = 4.0 * UNIT * values.size * max(1.0, float(np.max(np.abs(values))))
    return RewardWithin(float(mass @ values), log_prob, doubt)
