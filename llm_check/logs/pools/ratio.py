"""Do the two models' log-probabilities belong to one another and to the draws (M32)? Mean ratios, and a bridge.

With ℓ = log π_B - log π_S on each row, at every position

    E_{π_S} e^ℓ = 1 and E_{π_B} e^{-ℓ} = 1     (M32), of infinite variance where the tails are heavy
    E_{π_S} σ(ℓ) = E_{π_B} σ(-ℓ)               σ the logistic function: both sides are Σ π_S π_B/(π_S + π_B)

and the second is bounded: its test holds whatever the tails. The shift c_p that makes σ(ℓ - c_p) balance (Bennett's
acceptance ratio) estimates the log mean ratio of a position from both sources; after it, a second balance, of
σ·tanh, still holds if the log-ratio is off by a constant per position only. Standard errors hold positions fixed:
the identities hold at each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from gsi_theory.types import Floats
from llm_check.logs.pools.position_arrays import PositionArrays

__all__ = ["RatioCheck", "check_ratio", "length_left"]

_LARGEST = 300.0  # nats: squares of what it bounds are floats
_SHIFTS = 2000.0


@dataclass(frozen=True)
class RatioCheck:
    """mean, mean_se of e^ℓ over drafts and inverse_mean, inverse_se of e^{-ℓ} over base draws, positions averaged;
    ratios beyond e^±_LARGEST count as that. None without draws of the source.

    z: of the bridge identity (0 without both sources); shifts (P,): c_p in nats; shift_misfit: mean square of the
    second balance in standard errors, near 1 where a constant shift per position explains every mismatch; by_position:
    mean ratio of each position with drafts; positions: with both sources.
    """

    mean: float | None
    mean_se: float | None
    inverse_mean: float | None
    inverse_se: float | None
    z: float
    shifts: Floats
    shift_misfit: float
    by_position: Floats
    positions: int


def _set_means(arrays: PositionArrays, values: Floats, base: bool) -> tuple[Floats, Floats]:
    """(mean of each set of a source, variance of that mean); a set of one row has its square as variance."""
    starts, sizes = arrays.starts[:-1], np.diff(arrays.starts)
    means = np.add.reduceat(values, starts) / sizes
    squares = np.add.reduceat((values - np.repeat(means, sizes)) ** 2, starts)
    variances = np.where(sizes > 1, squares / np.maximum(sizes * (sizes - 1), 1), means**2)
    chosen = arrays.set_is_base == base
    return means[chosen], variances[chosen]


def _averaged(means: Floats, variances: Floats) -> tuple[float, float]:
    return float(means.mean()), float(np.sqrt(variances.sum()) / means.size)


def _balance(draft: Floats, base: Floats, shift: Floats) -> Floats:
    """mean σ(ℓ - c) over drafts minus mean σ(c - ℓ) over base draws, by position."""
    return expit(draft - shift[:, None]).mean(axis=1) - expit(shift[:, None] - base).mean(axis=1)


def _bennett(draft: Floats, base: Floats) -> Floats:
    """Root c of the balance at each position, by bisection."""
    low, high = (np.full(draft.shape[0], side) for side in (-_SHIFTS, _SHIFTS))
    for _ in range(60):
        middle = 0.5 * (low + high)
        up = _balance(draft, base, middle) > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return 0.5 * (low + high)


def _variance(values: Floats) -> Floats:
    return values.var(axis=1, ddof=1) / values.shape[1] if values.shape[1] > 1 else np.ones(values.shape[0])


def _second(draft: Floats, base: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """Second balance after the shift, and its variance, the noise of the shift taken out to first order."""
    x, y = draft - shift[:, None], base - shift[:, None]
    wing = [(expit(x), np.tanh(x / 2.0)), (expit(-y), np.tanh(y / 2.0))]
    # d/dc of both balances at c: their quotient is what an error of c moves the second by, in units of the first
    (s, h), (t, g) = wing
    first = -(s * (1 - s)).mean(axis=1) - (t * (1 - t)).mean(axis=1)
    second = (-s * (1 - s) * h - s * (1 - h * h) / 2).mean(axis=1) - (t * (1 - t) * g - t * (1 - g * g) / 2).mean(
        axis=1
    )
    slope = np.where(first < -1e-9, second / np.minimum(first, -1e-9), 0.0)[:, None]
    left, right = s * (h - slope), t * (g - slope)
    return left.mean(axis=1) - right.mean(axis=1), _variance(left) + _variance(right)


def check_ratio(arrays: PositionArrays) -> RatioCheck:
    """Both directions of M32, the bridge, and the shift of each position."""
    ratio = arrays.log_ratio
    inverse: tuple[float | None, float | None] = None, None
    if arrays.set_is_base.any():
        inverse = _averaged(*_set_means(arrays, np.exp(np.clip(-ratio, None, _LARGEST)), True))
    if not (~arrays.set_is_base).any():
        return RatioCheck(None, None, inverse[0], inverse[1], 0.0, np.zeros(0), 1.0, np.zeros(0), 0)
    means, variances = _set_means(arrays, np.exp(np.clip(ratio, None, _LARGEST)), False)
    gaps, noises, shifts, statistic, count = [], [], [], 0.0, 0
    for block in arrays.blocks:
        draft, base = ratio[block.draft], ratio[block.base]
        zero = np.zeros(draft.shape[0])
        gaps.append(_balance(draft, base, zero))
        noises.append(_variance(expit(draft)) + _variance(expit(-base)))
        shift = _bennett(draft, base)
        shifts.append(shift)
        finite = np.isfinite(draft).all(axis=1) & np.isfinite(base).all(axis=1)
        value, noise = _second(draft[finite], base[finite], shift[finite])
        # a balance from a handful of rows in the overlap is not normal: ask for some variance
        use = noise > 1e-6
        statistic += float(np.sum(value[use] ** 2 / noise[use]))
        count += int(use.sum())
    z, misfit = 0.0, 1.0
    if gaps:
        gap, noise = np.concatenate(gaps), np.concatenate(noises)
        floor = 1e-9  # where nothing varies, rounding is no mismatch
        z = float(gap.sum() / np.sqrt(noise.sum() + floor))
        misfit = statistic / count if count else 1.0
    mean, mean_se = _averaged(means, variances)
    every = np.concatenate(shifts) if shifts else np.zeros(0)
    return RatioCheck(mean, mean_se, inverse[0], inverse[1], z, every, misfit, means, every.size)


def length_left(arrays: PositionArrays, shifts: Floats) -> float:
    """z of Σ (y − μ)(length − its mean at the position) after the shift of each position, as in `RatioCheck.shifts`:
    near 0 where a constant for each position explains the mismatch; 0 without lengths. μ = P(draft | row), as in
    balance.py."""
    if arrays.tokens is None:
        return 0.0
    ratio, length = arrays.log_ratio, np.nan_to_num(arrays.tokens)
    total, square, start = 0.0, 0.0, 0
    for block in arrays.blocks:
        shift = shifts[start : start + block.positions.size, None]
        start += block.positions.size
        rows = np.concatenate([block.draft, block.base], axis=1)
        drawn = np.arange(rows.shape[1]) < block.draft.shape[1]
        odds = np.log(block.draft.shape[1] / block.base.shape[1]) - ratio[rows] + shift
        apart = length[rows] - length[rows].mean(axis=1, keepdims=True)
        terms = (drawn - expit(odds)) * apart
        total += float(terms.sum())
        square += float(np.sum((terms - terms.mean(axis=1, keepdims=True)) ** 2))
    return total / float(np.sqrt(square)) if square > 0 else 0.0
