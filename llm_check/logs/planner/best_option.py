"""Choosing a scheme from noisy values without believing the luckiest one; the front in value and cost.

Units are independent: prompts (each its positions' mean), or, with few prompts, pseudo-values of a jackknife over
candidates. values (S, U) hold every option's estimate on every unit, so options are compared in pairs.

    shortfall   a bound, at 95 %, of how much better than a candidate the best option may be, for all candidates at
                once, so that one may be picked by its bound: the largest over options s of mean difference + q_s · its
                standard error (multiple comparisons with the best, Hsu, Ann. Stat. 12, 1984). With s the best option
                and q_s the quantile of the largest deviation of s from any other, the bound of no candidate fails; as
                the best is not known, every s has its say. With a ceiling of the value, what the candidate lacks of it,
                + q · its own standard error, bounds the difference too: pairs then at 96 %, candidates against the
                ceiling at 99 %. q_s by a multiplier bootstrap, carried over from the normal law to Student's t, widened
                for few units, at most to the union bound
    value       of the chosen option, less what its choice believed too much: the mean, over thirds of the units, of how
                much better the option chosen on the others looks there than on the third; its interval is that of a
                mean over units (`gsi_theory.samples.intervals`)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from gsi_theory.samples.intervals import Interval, population_mean
from gsi_theory.types import Flags, Floats, Ints

__all__ = [
    "LEVEL",
    "Behind",
    "Picker",
    "Standing",
    "behind_best",
    "by_cost",
    "cross_fit",
    "mean_error",
    "pareto_front",
    "pick_best",
    "standing",
]

Singles = npt.NDArray[np.float32]
LEVEL = 0.95
PAIRED, ALONE = 0.96, 0.99  # with a ceiling: 4 % + 1 % in all
FOLDS = 3
_BOOTSTRAPS = 1000
_SURE = 0.02  # a quantile of the bootstrap lies below the union bound at this level, whatever the seed
_FEW = 10.0  # chosen by simulation (test_choose.py): 1 + 10/U² restores the level at 5 units of up to 40 options
_EQUAL = 1e-12  # of their sizes: a smaller error of a difference is rounding
_TIE = 1e-9  # of the largest: numbers that differ by less are ties, decided by rounding alone


@dataclass(frozen=True)
class Standing:
    """Differences to one option: gap (S,) mean, error (S,) its standard error, quantile of the largest deviation."""

    gap: Floats
    error: Floats
    quantile: float

    @property
    def upper(self) -> Floats:
        """Simultaneous upper bounds of the differences (S,)."""
        return self.gap + self.quantile * self.error

    @property
    def lower(self) -> Floats:
        """Simultaneous lower bounds of the differences (S,)."""
        return self.gap - self.quantile * self.error


def mean_error(values: Floats) -> tuple[Floats, Floats]:
    """(mean, standard error) over units of values (S, U), each (S,)."""
    units = values.shape[1]
    mean = values.mean(axis=1)
    centered = values - mean[:, None]
    return mean, np.sqrt(np.sum(centered**2, axis=1) / (units * max(units - 1, 1)))


def _student(normal: float, units: int) -> float:
    """Student's quantile at the level of a normal one: each error is estimated from the same few units."""
    return float(-stdtrit(max(units - 1.0, 1.0), ndtr(-normal)))


def _carried(normal: float, units: int) -> float:
    """A bootstrap quantile of the largest of several deviations, for t statistics of `units` units.

    Their residuals span units - 1 dimensions, in which the deviations of many options look more alike than they are.
    """
    return _student(normal, units) * (1.0 + _FEW / units**2)


def standing(values: Floats, reference: Floats, seed: int = 0) -> Standing:
    """Options (S, U) against a reference (U,). Units are drawn again by normal multipliers of the seed."""
    difference = values - reference
    units = difference.shape[1]
    gap, error = mean_error(difference)
    centered = difference - gap[:, None]
    moving = error > _EQUAL * (1.0 + np.abs(gap))
    if not moving.any():
        return Standing(gap, error, 0.0)
    weights = np.random.default_rng(seed).normal(size=(_BOOTSTRAPS, units))
    # multipliers of a sample mean, in units of its standard error
    deviations = weights @ (centered[moving] / (np.sqrt(units * max(units - 1, 1)) * error[moving, None])).T
    union = _student(float(-ndtri((1.0 - LEVEL) / np.count_nonzero(moving))), units)
    return Standing(gap, error, min(_carried(float(np.quantile(deviations.max(axis=1), LEVEL)), units), union))


@dataclass(frozen=True)
class Behind:
    """Of candidates (C,): shortfall, the bound of how much better the best option may be; rival, the option (a row of
    the values) whose bound that is, the candidate itself where the bound is 0."""

    shortfall: Floats
    rival: Ints


def behind_best(
    values: Floats,
    candidates: Ints,
    unseen: Floats,
    seed: int = 0,
    ceiling: float = np.inf,
    unseen_below: Floats | float = 0.0,
) -> Behind:
    """How much better than each candidate (C,), rows of values (S, U), the best of all rows may be, at LEVEL.

    unseen (C, S): what is added for a row against a candidate, 0 or more; ceiling: what no value exceeds; unseen_below
    (C,): by how much a candidate may be worse than it looks. The bounds hold for all candidates at once. Only the rows
    that may give the largest bound are bootstrapped: those above what the others have for certain.
    """
    count, units = values.shape
    itself = np.arange(candidates.size), candidates
    unseen = unseen.copy()
    unseen[itself] = 0.0
    mean, errors = mean_error(values)
    scaled = (values - mean[:, None]) / np.sqrt(units * max(units - 1, 1))
    gap = mean[None, :] - mean[candidates][:, None]
    error = _pair_error(scaled[candidates], scaled, errors)
    room, room_error = ceiling - mean[candidates] + unseen_below, errors[candidates]
    bounded = np.isfinite(ceiling)
    certain = _student(float(-ndtri(_SURE / count)), units)
    weights = np.random.default_rng(seed).normal(size=(_BOOTSTRAPS, units))
    deviations = (weights @ scaled.T).astype(np.float32)
    if bounded:
        moving = candidates[room_error > 0]
        own = -deviations[:, moving] / errors[moving].astype(np.float32)
        alone = float(np.quantile(own.max(axis=1), ALONE)) if moving.size else 0.0
        union = _student(float(-ndtri((1.0 - ALONE) / candidates.size)), units)
        room = room + min(_carried(alone, units), union) * room_error
    upper = np.minimum(gap + certain * error + unseen, room[:, None])
    least = _student(float(ndtri(0.9)), units)
    floor = np.minimum(gap + least * error + unseen, room[:, None]).max(axis=1)
    contends = (upper >= floor[:, None]).any(axis=0)
    for s in np.flatnonzero(contends).tolist():
        level = PAIRED if bounded else LEVEL
        quantile = _quantile(deviations, s, _pair_error(scaled[[s]], scaled, errors)[0], level)
        upper[:, s] = np.minimum(gap[:, s] + min(_carried(quantile, units), certain) * error[:, s] + unseen[:, s], room)
    upper[:, ~contends] = -np.inf
    upper[itself] = 0.0  # no option is better than itself
    return Behind(upper.max(axis=1), upper.argmax(axis=1))


def _pair_error(some: Floats, every: Floats, errors: Floats) -> Floats:
    """(C, S) standard errors of differences of means, of centered values over the root of units (units - 1)."""
    some_error = np.sqrt(np.sum(some**2, axis=1))
    size = some_error[:, None] ** 2 + errors[None, :] ** 2
    square = size - 2.0 * (some @ every.T)
    return np.sqrt(np.where(square > _EQUAL * size, square, 0.0))


def _quantile(deviations: Singles, s: int, error: Floats, level: float) -> float:
    """Quantile of the largest deviation of option s from any other, in standard errors of the difference."""
    moving = error > 0
    if not moving.any():
        return 0.0
    apart = (deviations[:, [s]] - deviations[:, moving]) / error[moving].astype(np.float32)
    return float(np.quantile(apart.max(axis=1), level))


Picker = Callable[[Floats], int | None]


def pick_best(means: Floats, allowed: Flags) -> int | None:
    """The allowed option with the largest mean, None when none is allowed."""
    return int(np.argmax(np.where(allowed, means, -np.inf))) if allowed.any() else None


def cross_fit(values: Floats, pick: Picker, bounds: tuple[float, float] | None = None) -> Interval:
    """Value, standard error and 95 % interval of the option that `pick` chooses on values (S, U), units dealt in FOLDS.

    With c the choice on all, c_k that without fold k, m means over all units, and i a unit of fold k, the mean of

        x_i = f(c)_i + [f(c_k)_i − m(c_k)] − mean over l ≠ k of [f(c_l)_i − m(c_l)]

    is m(c) + mean over k of (held-out less training mean of c_k), and x_i is what unit i adds to it: where all agree,
    f(c)_i. Of 30 equal, independent options, the worst case, 90 % or more is covered (test_plan_parts.py).
    `pick` gets the values of the training units; a fold in which nothing is chosen takes the choice on all, and where
    that is None too, option 0. bounds: of the value; they replace the spread where it is not trusted. x may lie outside
    (so may the estimates: the accepted part is unbiased, not bounded): the bounds are then moved out to hold it.
    """
    units = values.shape[1]
    overall = pick(values) or 0
    if units < 2:
        wide = np.array(np.inf)
        return Interval(values[overall].mean(), wide, -wide, wide, np.array(False))
    folds = min(FOLDS, units)
    fold = np.arange(units) % folds
    picked = [pick(values[:, fold != k]) for k in range(folds)]
    rows = values[[overall if c is None else c for c in picked]]
    apart = rows - rows.mean(axis=1, keepdims=True)
    tested = apart[fold, np.arange(units)]
    parts = values[overall] + tested - (apart.sum(axis=0) - tested) / (folds - 1)
    if bounds is not None:
        bounds = min(bounds[0], float(parts.min())), max(bounds[1], float(parts.max()))
    return population_mean(parts, LEVEL, bounds if bounds is None or bounds[0] < bounds[1] else None)


def _ranks(numbers: ArrayLike) -> Ints:
    """Ranks from 0, ascending, equal where numbers are."""
    values = np.asarray(numbers, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    ranked, step = values[order], _TIE * np.abs(values[np.isfinite(values)]).max(initial=0.0)
    ranks = np.empty(values.size, dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(ranked[1:] > ranked[:-1] + step)])
    return ranks


def by_cost(value: ArrayLike, cost: ArrayLike, tie: ArrayLike) -> Ints:
    """Numbers (S,) of the options by ascending cost, of equal cost by descending value, then by ascending tie."""
    return np.lexsort([np.asarray(tie, dtype=np.float64), -_ranks(value), _ranks(cost)]).astype(np.int64)


def pareto_front(value: ArrayLike, cost: ArrayLike, tie: ArrayLike = 0.0) -> Ints:
    """Numbers of the options on the front, by ascending cost: each has more value than every option of no more cost.

    value and cost (S,); of equal pairs the one of least `tie`, and of these the first, is kept.
    """
    worth = _ranks(value)
    order = by_cost(value, cost, np.broadcast_to(tie, worth.shape))
    best = np.maximum.accumulate(worth[order])
    first = np.concatenate([[True], worth[order][1:] > best[:-1]])
    return order[first]
