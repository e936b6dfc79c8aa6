"""Choosing a scheme from noisy values without believing the luckiest one.

Units are independent: prompts (each its positions' mean), or, with few prompts, pseudo-values of a jackknife over
candidates. values (S, U) hold every option's estimate on every unit, so options are compared in pairs.

    shortfall   a bound, at 95 % for all options at once, of how much better than the chosen one another may be:
                max over options of mean difference + q · its standard error, q from a multiplier bootstrap of the
                maximum, carried over from the normal law to Student's t
    value       of the chosen option, less what its choice believed too much: the mean, over thirds of the units, of how
                much better the option chosen on the others looks there than on the third; its interval is that of a
                mean over units (`gsi_theory.intervals`)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from gsi_theory.intervals import Interval, population_mean

__all__ = ["LEVEL", "Standing", "cross_fit", "pick_best", "standing"]

Floats = NDArray[np.float64]
LEVEL = 0.95
FOLDS = 3
_BOOTSTRAPS = 1000
_SEED = 20250604


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


def standing(values: Floats, reference: Floats) -> Standing:
    """Options (S, U) against a reference (U,). Units are drawn again by normal multipliers of a fixed seed."""
    difference = values - reference
    units = difference.shape[1]
    gap = difference.mean(axis=1)
    centered = difference - gap[:, None]
    error = np.sqrt(np.sum(centered**2, axis=1) / (units * max(units - 1, 1)))
    moving = error > 1e-12 * (1.0 + np.abs(gap))
    if not moving.any():
        return Standing(gap, error, 0.0)
    weights = np.random.default_rng(_SEED).normal(size=(_BOOTSTRAPS, units))
    # multipliers of a sample mean, in units of its standard error
    deviations = weights @ (centered[moving] / (np.sqrt(units * max(units - 1, 1)) * error[moving, None])).T
    # each error is estimated from the same few units: Student's quantile at the level of one option's normal one
    normal = float(np.quantile(deviations.max(axis=1), LEVEL))
    return Standing(gap, error, float(stdtrit(units - 1.0, ndtr(normal))))


Picker = Callable[[Floats], int | None]


def pick_best(means: Floats, allowed: NDArray[np.bool_]) -> int | None:
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
    held = apart[fold, np.arange(units)]
    found = values[overall] + held - (apart.sum(axis=0) - held) / (folds - 1)
    if bounds is not None:
        bounds = min(bounds[0], float(found.min())), max(bounds[1], float(found.max()))
    return population_mean(found, LEVEL, bounds if bounds is None or bounds[0] < bounds[1] else None)
