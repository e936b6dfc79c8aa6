"""The laws that attain the limits of rules that stop after n expected draws: nearest to a target, best in reward.

Any law P ≤ nμ is that of such a rule: keep a draw y with probability P(y)/(nμ(y)), else draw again (M36).
"""

from __future__ import annotations

import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum, log_sum
from gsi_theory.arrays.namespace import as_numbers, running_sum
from gsi_theory.divergence import log_pair
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import as_means
from gsi_theory.types import Array, Floats, Namespace

__all__ = ["adaptive_law", "capped_law", "reward_law"]


def adaptive_law(log_target: Array, log_proposal: Array, n: Array) -> Array:
    """log P, P = min(cπ, nμ) with c ≥ 1 such that it sums to 1: the nearest to π after n expected draws (M36).

    c = 1/(1 - E_{n'}) with n'/(1 - E_{n'}) = n. It attains `best_tv_adaptive` and the least f-divergence to π, both
    directions, for every f. Where n μ(π > 0) < 1 no c will do: P is nμ where π > 0 and the rest, in proportion to μ,
    where π has no mass; its TV is still the least. Both (..., K) in nats, n real as in `best_tv_adaptive`; the answer
    (..., K). Error: TV a few K units of rounding. Raises InputError on unequal shapes, NaN, n below 1.
    """
    xp, p, q = log_pair(log_target, log_proposal)
    return capped_law(xp, p, xp.log(as_means(n, p))[..., None] + q)


def capped_law(xp: Namespace, log_weight: Array, log_room: Array) -> Array:
    """log P, P = min(c·weight, room) with the c for which it sums to 1; (..., K), room at least 1 in all.

    Where the room of positive weights is too little, all of it, and the rest in proportion to the room of the others.
    """
    weight, room = xp.broadcast_arrays(log_weight, log_room)
    quotient = _fraction(xp, weight, room)
    quotient = xp.where((weight > -xp.inf) & (room == -xp.inf), xp.inf, quotient)
    quotient = xp.where(weight == -xp.inf, -xp.inf, quotient)
    order = xp.argsort(quotient, axis=-1, descending=True)
    ordered, most = xp.take_along_axis(weight, order, axis=-1), xp.take_along_axis(room, order, axis=-1)
    # With the k outcomes of largest weight/room at their room, c_k = (1 - room of the first k)/(weight of the rest);
    # right is the first k at which the next outcome's share, c_k times its weight, fits into its room.
    filled = running_sum(xp.exp(most))
    edge = xp.zeros_like(filled[..., :1])
    left = xp.clip(1.0 - xp.concat([edge, filled], axis=-1), 0.0, None)
    rest = xp.flip(decayed_log_cumsum(xp.flip(ordered, axis=-1), xp.zeros_like(ordered)), axis=-1)
    rest = xp.concat([rest, edge - xp.inf], axis=-1)
    with np.errstate(divide="ignore"):
        log_left = xp.log(left)
    # The share by its quotient to the weight of the rest and not by c_k: steep tilts put c_k beyond every number.
    share = log_left[..., :-1] + _fraction(xp, ordered, rest[..., :-1])
    fits = xp.concat([(ordered == -xp.inf) | (share <= most), edge == 0.0], axis=-1)
    first = xp.argmax(xp.astype(fits, xp.int64), axis=-1)[..., None]
    log_left, rest = (xp.take_along_axis(x, first, axis=-1) for x in (log_left, rest))
    # Those before the first are at their room, whatever rounding made of their share: where it left nothing, -inf.
    shared = xp.minimum(room, xp.where(rest > -xp.inf, log_left + _fraction(xp, weight, rest), xp.inf))
    inside = xp.where(xp.argsort(order, axis=-1) < first, room, shared)
    outside = xp.where(weight > -xp.inf, -xp.inf, room)
    total = log_sum(outside)[..., None]
    short = (rest == -xp.inf) & (total > -xp.inf)
    return xp.where(weight > -xp.inf, inside, xp.where(short, log_left + _fraction(xp, outside, total), -xp.inf))


def _fraction(xp: Namespace, log_part: Array, log_total: Array) -> Array:
    """log part/total, -inf for no part; 0 where there is no total."""
    some = (log_total > -xp.inf) & (log_part > -xp.inf)
    quotient = xp.where(some, log_part, 0.0) - xp.where(some, log_total, 0.0)
    return xp.where((log_part == -xp.inf) & (log_total > -xp.inf), -xp.inf, quotient)


def reward_law(reward: Array, log_proposal: Array, n: float) -> Floats:
    """log P of the largest expected reward after n expected draws, attaining `best_reward` (M38).

    nμ above the reward t at which nP(r > t) reaches 1, and on the level t what is left, in proportion to μ: keep a draw
    above t, and one at t with probability θ. KL(P‖μ) = log n - nθμ(r = t) log(1/θ). reward, log_proposal (K,), NumPy or
    torch; the answer (K,) in NumPy. Error: TV a few K units of rounding. Raises InputError as `best_reward`.
    """
    _, mass, _ = log_pair(log_proposal, log_proposal)
    values, log_mass = as_numbers(reward, "reward"), as_numbers(mass, "log_proposal")
    if values.ndim != 1 or values.shape != log_mass.shape or not np.isfinite(values).all():
        raise InputError(f"reward {values.shape} and log_proposal {log_mass.shape}: give K finite rewards and K logs")
    log_n = float(np.log(as_means(float(n), log_mass)))
    _, level = np.unique(-values, return_inverse=True)
    level_mass = np.bincount(level, weights=np.exp(log_mass))
    left = np.maximum(1.0 - np.exp(log_n) * np.concatenate([[0.0], np.cumsum(level_mass)[:-1]]), 0.0)
    some = level_mass > 0
    with np.errstate(divide="ignore"):
        log_kept = np.minimum(np.log(left) - np.log(np.where(some, level_mass, 1.0)), log_n)
    return np.asarray(np.where(some, log_kept, -np.inf)[level] + log_mass)
