"""Log-weights β r + ℓ as they are formed in float64: how far rounding moves them, and which of them tie.

Rounding moves β r + ℓ, ℓ = log π_B − log π_S, by at most EPS·size, size = |β r| + |ℓ| + |log π_B| + |log π_S|, also
where β r and ℓ cancel. A log-probability of softmax or race moves by at most twice the largest move. Under a rule by
order, such as max, a tie that rounding breaks moves the law by O(1): weights nearer than their rounding are made one
level. Where they are equal in all digits, those that the sum lost included, that is the law; elsewhere the float64
numbers cannot tell a tie from an order, and the error of the law holds the mass of the level.

Under a target other than kl (M41) the weight is log_tilt + ℓ, log_tilt off by at most EPS·size of its own; equal
are those of equal r and ℓ. Outcomes whose weight rounding cannot tell from zero (`Aim.vague`) stand at the
largest that they may have: lowered, they change the winner only where one of them wins, which the error holds.

So it is with the gate r̃ ≥ u (M6). Equal float64 numbers are a tie, which is accepted; numbers that differ by less than
their rounding were parted by it, and the error of the law holds the mass of the candidate.

Example: r = (1e-13, 0, -1e-3), ℓ = 10^4, β = 1. The weights are 10^4 plus r, and float64 keeps 1.8e-12 there: the first
two are one number. They are not equal in all digits (1e-13 was lost), so that rule max may not say which is larger:
they become one level in doubt, shared by mass, and the error of the law holds that level's probability.

>>> mass, reward, ratio = np.log([0.2, 0.3, 0.5]), np.array([1e-13, 0.0, -1e-3]), np.full(3, 1e4)
>>> formed = form_weights(mass, reward, ratio, 1.0, "max")
>>> formed.log_weight.tolist(), formed.doubt.tolist()
([10000.0, 10000.0, 9999.999], [True, True, False])
>>> law = rounded(selection_law(mass, formed.log_weight, 2, "max"), formed)
>>> np.exp(law.log_prob).round(6).tolist(), round(float(law.error), 6)
([0.3, 0.45, 0.25], 0.75)

Under softmax the same rounding moves each log-probability by at most 2 EPS·size = 2 · 2.2e-16 · 2·10^4.

>>> formed = form_weights(mass, reward, ratio, 1.0, "softmax")
>>> formed.doubt is None, rounded(selection_law(mass, formed.log_weight, 2), formed).error < 1e-11
(True, True)
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import detached, host, plain_number, table
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.targets.target import Aim
from gsi_theory.types import Array, Floats

__all__ = ["Weights", "form_weights", "gate_doubt", "rounded"]

_SPLIT = 2.0**27 + 1.0  # Veltkamp's, for products without error


@dataclass(frozen=True)
class Weights:
    """log_weight (..., K) to select by; size (..., K) that its rounding is in proportion to; doubt (..., K): members of
    a level of a rule by order whose order float64 cannot tell, None for other rules; vague: as of an `Aim`, or None."""

    log_weight: Array
    size: Array
    doubt: Array
    vague: Array = None


def form_weights(
    log_mass: Array, reward: Array, log_ratio: Array, beta: Array, rule: str | Rule, aim: Aim | None = None
) -> Weights:
    """β r + ℓ (..., K) of candidates log_mass, reward, log_ratio (..., K); without log_ratio (None) β r, of base draws.

    beta: a number, or an array that broadcasts. Candidates of mass zero, or with ℓ = -inf, are left as they are.
    aim: of a target whose log_tilt (K,) stands in place of β r; reward and beta are not read then.
    """
    if aim is not None:
        return _aimed(log_mass, log_ratio, aim, rule_named(rule).order_only)
    raised, by_order = beta * reward, rule_named(rule).order_only
    size = abs(detached(raised))
    if log_ratio is None:
        if not by_order:
            return Weights(raised, size, None)
        # rewards are exact: such a rule compares them, all being equal at β = 0
        return Weights(table(_ranks(np.asarray(host(reward), dtype=np.float64)), reward) * (beta > 0), size, None)
    weight, ratio, mass = raised + log_ratio, detached(log_ratio), detached(log_mass)
    xp = array_api_compat.array_namespace(weight)
    used = xp.isfinite(weight) & xp.isfinite(ratio) & xp.isfinite(mass)
    ratio, mass = xp.where(used, ratio, 0.0), xp.where(used, mass, 0.0)
    size = xp.where(used, size + abs(ratio) + abs(mass) + abs(mass + ratio), 0.0)
    if not by_order:
        return Weights(weight, size, None)
    shape = np.broadcast_shapes(tuple(weight.shape), tuple(size.shape))
    plain = [np.broadcast_to(np.asarray(host(part), dtype=np.float64), shape) for part in (weight, size, raised)]
    lost = _lost(np.asarray(host(reward)), np.asarray(host(beta)), plain[2], np.asarray(host(ratio)))
    level, doubt = _levels(plain[0], plain[1], np.broadcast_to(lost, shape), np.broadcast_to(host(used), shape))
    return Weights(table(level, weight), size, table(doubt, weight))


def _aimed(log_mass: Floats, log_ratio: Floats | None, aim: Aim, by_order: bool) -> Weights:
    """`form_weights` of a target's own log_tilt."""
    tilt, size = aim.log_tilt, aim.size
    if log_ratio is None:
        weight = np.where(tilt > -np.inf, _ranks(aim.order) * (aim.beta > 0), -np.inf) if by_order else tilt
        return Weights(weight, size + np.abs(np.where(tilt > -np.inf, tilt, 0.0)), None, aim.vague)
    used = np.isfinite(tilt) & np.isfinite(log_ratio) & np.isfinite(log_mass)
    parts = [np.where(used, part, 0.0) for part in (tilt, log_ratio, log_mass)]
    # the clipped reads of a ratio are as exact as the ratio
    size = np.where(used, size + sum(np.abs(part) for part in parts) + np.abs(parts[1] + parts[2]), 0.0)
    weight = np.where(used, parts[0] + parts[1], np.where(log_ratio == np.inf, np.inf, -np.inf))
    if not by_order:
        return Weights(weight, size, None, aim.vague)
    _, pair = np.unique(np.stack([np.where(used, aim.order, 0.0), parts[1]]), axis=1, return_inverse=True)
    level, doubt = _levels(weight, size, pair.astype(np.float64).reshape(-1), used)
    return Weights(level, size, doubt, aim.vague)


def rounded(law: Law, weights: Weights) -> Law:
    """A selection law by `weights` whose errors include that of forming them."""
    size = weights.size
    if weights.vague is not None:
        loose = float(np.sum(np.exp(law.log_prob)[weights.vague]))
        law = Law(law.log_prob, min(1.0, law.error + loose), np.inf if loose > 0 else law.log_error)
    xp = array_api_compat.array_namespace(size)
    if weights.doubt is None:
        extra = plain_number(2.0 * EPS * xp.max(size, axis=-1))
        return Law(law.log_prob, law.error + extra, law.log_error + extra)
    doubt = weights.doubt
    held = xp.sum(xp.where(doubt, xp.exp(detached(law.log_prob)), 0.0), axis=-1)
    moved = xp.where(xp.any(doubt, axis=-1), np.inf, 0.0)
    error = plain_number(xp.clip(law.error + held, None, 1.0))
    return Law(law.log_prob, error, law.log_error + plain_number(moved))


def gate_doubt(tilted: Array, reward: Array, log_ratio: Array, size: Array, beta: Array, threshold: Array) -> Array:
    """Where rounding alone parts r̃ from the threshold u (..., K): |β (r - u) + ℓ| ≤ EPS·(size + |β u| + 8), but r̃ ≠ u.

    The 8 is for masses that were rounded and normalized before their logs were taken, which moves ℓ even where it is 0.
    tilted: r̃, reward, log_ratio, size (of `form_weights`) (..., K); beta, threshold numbers or arrays that broadcast.
    False where ℓ = 0, since r ≥ u is exact. At β = 0 it is where the sign of ℓ is in doubt.
    """
    tilted, reward, log_ratio = (detached(part) for part in (tilted, reward, log_ratio))
    xp = array_api_compat.array_namespace(reward)
    finite = xp.isfinite(log_ratio) & (abs(threshold) < np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = abs(detached(beta) * (reward - xp.where(finite, threshold, 0.0)) + xp.where(finite, log_ratio, np.inf))
        room = EPS * (size + abs(detached(beta) * xp.where(finite, threshold, 0.0)) + 8.0)
    return finite & (room < np.inf) & (gap <= room) & (log_ratio != 0) & (tilted != threshold)


def _ranks(reward: np.ndarray) -> np.ndarray:
    """Dense ranks (..., K) from 0: the order of any rewards, and their ties, in small numbers."""
    order = np.argsort(reward, axis=-1, kind="stable")
    ranked = np.take_along_axis(reward, order, axis=-1)
    new = np.concatenate([np.zeros_like(ranked[..., :1]), ranked[..., 1:] != ranked[..., :-1]], axis=-1)
    return np.take_along_axis(np.cumsum(new, axis=-1), np.argsort(order, axis=-1, kind="stable"), axis=-1)


def _lost(reward: np.ndarray, beta: np.ndarray, raised: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """What float64 lost of β r + ℓ: the errors of the product (Dekker) and of the sum (Knuth)."""
    with np.errstate(over="ignore", invalid="ignore"):
        halves = [_SPLIT * x - (_SPLIT * x - x) for x in (beta, reward)]
        (b, r), (b_low, r_low) = halves, (beta - halves[0], reward - halves[1])
        product = b_low * r_low - (((raised - b * r) - b_low * r) - b * r_low)
        total = raised + ratio
        part = total - raised
        return np.asarray(product + ((raised - (total - part)) + (ratio - part)))


def _levels(weight: np.ndarray, size: np.ndarray, lost: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weights (..., K) with one value a level, members of levels whose order is in doubt)."""
    order = np.argsort(np.where(used, -weight, np.inf), axis=-1, kind="stable")
    w, s, low, inside = (np.take_along_axis(part, order, axis=-1) for part in (weight, size, lost, used))
    both = inside[..., :-1] & inside[..., 1:]
    gap = np.where(both, w[..., :-1], 0.0) - np.where(both, w[..., 1:], 0.0)
    near = both & (gap <= EPS * (s[..., :-1] + s[..., 1:]))
    unclear = near & ~((gap == 0.0) & (low[..., :-1] == low[..., 1:]))
    first = np.concatenate([np.ones_like(inside[..., :1]), ~near], axis=-1)
    place = np.broadcast_to(np.arange(w.shape[-1]), w.shape)
    start = np.maximum.accumulate(np.where(first, place, 0), axis=-1)
    last = np.concatenate([first[..., 1:], np.ones_like(inside[..., :1])], axis=-1)
    end = np.flip(np.minimum.accumulate(np.flip(np.where(last, place, w.shape[-1]), axis=-1), axis=-1), axis=-1)
    passed = np.concatenate([np.zeros_like(place[..., :1]), np.cumsum(unclear, axis=-1)], axis=-1)
    doubt = np.take_along_axis(passed, end, axis=-1) > np.take_along_axis(passed, start, axis=-1)
    back = np.argsort(order, axis=-1, kind="stable")
    level = np.take_along_axis(w, start, axis=-1)
    return np.take_along_axis(level, back, axis=-1), np.take_along_axis(doubt, back, axis=-1)
