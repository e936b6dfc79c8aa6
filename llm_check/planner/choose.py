"""Choosing a scheme from noisy values without believing the luckiest one.

Units are independent: prompts (each its positions' mean), or, with few prompts, pseudo-values of a jackknife over
candidates. values (S, U) hold every option's estimate on every unit, so options are compared in pairs.

    shortfall   a bound, at 95 % for all options at once, of how much better than the chosen one another may be:
                max over options of mean difference + q · its standard error, q from a multiplier bootstrap of the
                maximum
    value       cross-fitted: each fifth of the units is valued by the option chosen on the other four; its interval is
                that of a mean over units (`gsi_theory.intervals`)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory.intervals import Interval, population_mean

__all__ = ["LEVEL", "Standing", "cross_fit", "pick_best", "standing"]

Floats = NDArray[np.float64]
LEVEL = 0.95
FOLDS = 5
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
    # the maximum of few units is wider than normal: Student's widening of a single mean at the same level
    widening = (1.0 + 2.0 / units) ** 0.5
    return Standing(gap, error, float(np.quantile(deviations.max(axis=1), LEVEL)) * widening)


Picker = Callable[[Floats], int | None]


def pick_best(means: Floats, allowed: NDArray[np.bool_]) -> int | None:
    """The allowed option with the largest mean, None when none is allowed."""
    return int(np.argmax(np.where(allowed, means, -np.inf))) if allowed.any() else None


def cross_fit(values: Floats, pick: Picker, bounds: tuple[float, float] | None = None) -> Interval:
    """Value, standard error and 95 % interval of choosing by `pick` on values (S, U'), units dealt into FOLDS.

    `pick` gets the values of the training units. A fold in which nothing is chosen is valued by the choice on all.
    Where the folds choose differently, what one holds out has helped another to choose, so their means are correlated:
    the error is widened by √2, the most that was needed (among 30 equal options; test_plan_parts.py).
    bounds: of the value; they replace the spread where it is not trusted. Estimates of single units may lie outside
    (the accepted part is unbiased, not bounded): the bounds are then moved out to hold them.
    """
    units = values.shape[1]
    overall = pick(values)
    folds = min(FOLDS, units)
    held, picked = np.empty(units), set()
    for fold in range(folds):
        test = np.arange(units) % folds == fold
        chosen = pick(values[:, ~test]) if (~test).any() else overall
        chosen = overall if chosen is None else chosen
        picked.add(chosen)
        held[test] = values[0 if chosen is None else chosen, test]
    if units < 2:
        value, wide = held.mean(), np.array(np.inf)
        return Interval(value, wide, -wide, wide, np.array(False))
    if bounds is not None:
        bounds = min(bounds[0], float(held.min())), max(bounds[1], float(held.max()))
    found = population_mean(held, LEVEL, bounds if bounds is None or bounds[0] < bounds[1] else None)
    widening = np.sqrt(2.0) if len(picked) > 1 else 1.0
    low, high = (found.value + widening * (end - found.value) for end in (found.low, found.high))
    return Interval(found.value, widening * found.stderr, low, high, found.trusted)
