"""Intervals for a mean over prompts, from one estimate a prompt.

Two different truths: the mean over the population that the prompts were drawn from (`population_mean`), and the mean
over these very prompts (`fixed_mean`), known better because only candidates are random. Prompts are independent.

Rewards and pass rates over prompts are skewed, and Student's t then misses on one side: the interval is Hall's, t with
the skewness taken out. Where rare prompts decide (pass rates near one: most pools show no failing prompt, and any
interval from the spread has almost no width) nothing but the bounds of f helps. Hall's is trusted where four prompts or
more make up the spread (`spread_over` ≥ 4) and, with bounds given, the failures P · (distance of the mean from the
nearer bound)/(range) are as many as two prompts that fail altogether, or one if eight prompts make up the spread; else
`bounded_mean` replaces it, which holds for every population. Without bounds such prompts leave no trace.

Nor does anything show prompts, as rare as one in P, that differ from all the others: 37 % of pools have none of them,
and where the others hardly differ Hall's interval then covers less than it says. Lower limits let more of that through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from gsi_theory.arrays.namespace import numbers_or_indicators
from gsi_theory.errors import InputError
from gsi_theory.estimate import refuse
from gsi_theory.samples.weight_coverage import mean_lows
from gsi_theory.types import Floats

__all__ = ["Interval", "bounded_mean", "fixed_mean", "population_mean", "spread_over", "with_betting"]

FEWEST, FEWEST_FREEDOM = 4.0, 3.0  # prompts that make up the spread; degrees of freedom within them
MANY = 8.0  # prompts that make up the spread, at which half of WHOLE is enough
BOLD = 0.5  # of the stake on the bet that pays where hardly a prompt differs from the bound
WHOLE, WHOLE_FIXED = 2.0, 5.0  # prompts' worth of failure between the mean and a bound


@dataclass(frozen=True)
class Interval:
    """value, stderr and the interval [low, high], arrays of the shape of one prompt's estimate.

    trusted: whether it covers close to the level; a `bounded_mean` (False) covers at least with it.
    """

    value: Floats
    stderr: Floats
    low: Floats
    high: Floats
    trusted: Floats


def population_mean(values: ArrayLike, level: float = 0.95, bounds: tuple[float, float] | None = None) -> Interval:
    """Mean over the population of prompts, from values (P, ...), one unbiased estimate a prompt; Hall's interval.

    With g the skewness of the values, T = (mean − μ)/stderr is made symmetric by T + a T² + a² T³/3 + g/(6√P),
    a = g/(3√P), and that is compared with Student's t of P − 1 degrees (Hall, J. R. Stat. Soc. B 54, 1992). g is shrunk
    by max(0, 1 − 2 v/g²), v = 6 (P − 2)/((P + 1)(P + 3)) its variance for normal values: noise of g only widens. The
    spread between prompts contains the error within them, so no standard error of a prompt is needed. With `bounds`
    (min, max of f), `bounded_mean` where it is not trusted.
    Raises InputError for fewer than two prompts, values that are not finite or out of bounds.
    """
    array = _checked(values, "values", level)
    count = array.shape[0]
    if count < 2:
        raise InputError(f"{count} prompt: an interval over prompts needs 2 or more")
    mean = array.mean(axis=0)
    stderr = array.std(axis=0, ddof=1) / np.sqrt(count)
    quantile = stdtrit(count - 1.0, 0.5 + 0.5 * level)
    low, high = (mean - _unskewed(array, side * quantile) * stderr for side in (1.0, -1.0))
    found = Interval(mean, stderr, low, high, np.asarray(spread_over(array) >= FEWEST))
    if bounds is None:
        return found
    rule = np.where(spread_over(array) >= MANY, 0.5 * WHOLE, WHOLE)
    found = replace(found, trusted=np.logical_and(found.trusted, _inside(mean, count, bounds, rule)))
    return with_betting(found, array, bounds, level)


def with_betting(interval: Interval, values: Floats, bounds: tuple[float, float], level: float) -> Interval:
    """The interval with `bounded_mean` of values (P, ...) in its place where it is not trusted."""
    doubted = np.logical_not(interval.trusted)
    if not doubted.any():
        return interval
    safe = bounded_mean(values.reshape(len(values), -1)[:, doubted.ravel()], *bounds, level=level)
    low, high = np.array(interval.low), np.array(interval.high)
    low[doubted], high[doubted] = safe.low, safe.high
    return replace(interval, low=low, high=high)


def _unskewed(values: Floats, quantile: float) -> Floats:
    """The T at which Hall's transformation of T is `quantile`: (cbrt(1 + 3a(q − a/2)) − 1)/a, q where a is 0."""
    count = values.shape[0]
    apart = values - values.mean(axis=0)
    scale = np.abs(apart).max(axis=0)
    # values that are equal but for rounding have no skewness
    apart = np.where(scale > 1e-12 * np.abs(values).max(axis=0), apart / np.where(scale > 0, scale, 1.0), 0.0)
    square = (apart**2).mean(axis=0)
    skew = (apart**3).mean(axis=0) / np.where(square > 0, square, 1.0) ** 1.5
    noise = 6.0 * (count - 2.0) / ((count + 1.0) * (count + 3.0))
    a = skew * np.maximum(1.0 - 2.0 * noise / np.maximum(skew**2, 1e-300), 0.0) / (3.0 * np.sqrt(count))
    safe = np.where(np.abs(a) > 1e-6, a, 1.0)
    bent = (np.cbrt(1.0 + 3.0 * safe * (quantile - 0.5 * safe)) - 1.0) / safe
    return np.asarray(np.where(np.abs(a) > 1e-6, bent, quantile))


def bounded_mean(values: ArrayLike, low: float, high: float, level: float = 0.95) -> Interval:
    """Interval for the mean of values (P, ...) in [low, high] that covers with `level` at least for every population.

    Two one-sided bounds by betting (`weight_coverage.mean_lows`), on the distance from either end. Wider than Hall's.
    Raises InputError for values not finite or out of bounds, bounds in the wrong order, a level outside (0, 1).
    """
    array = _checked(values, "values", level)
    if not low < high:
        raise InputError(f"bounds {low!r}, {high!r}: give two numbers, the smaller first")
    slack = 1e-9 * (high - low)
    refuse((array < low - slack) | (array > high + slack), array, "values", f"bounds are {low!r} and {high!r}")
    part = np.clip((array - low) / (high - low), 0.0, 1.0)
    half = 0.5 + 0.5 * level
    columns = part.reshape(part.shape[0], -1)
    under = mean_lows(columns, half, BOLD).reshape(part.shape[1:])
    over = 1.0 - mean_lows(1.0 - columns, half, BOLD).reshape(part.shape[1:])
    count = array.shape[0]
    # one value shows no spread
    stderr = array.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(array.shape[1:], np.inf)
    scale = high - low
    trusted = np.zeros(np.shape(stderr), dtype=np.bool_)
    return Interval(array.mean(axis=0), stderr, low + scale * under, low + scale * over, trusted)


def _inside(mean: Floats, count: int, bounds: tuple[float, float], rule: float | Floats) -> Floats:
    low, high = bounds
    return np.asarray(count * np.minimum(mean - low, high - mean) >= rule * (high - low))


def fixed_mean(
    values: ArrayLike, stderr: ArrayLike, level: float = 0.95, bounds: tuple[float, float] | None = None
) -> Interval:
    """Mean over these very prompts, from values and standard errors (P, ...); Student's t.

    Its degrees of freedom follow from how the squared errors v differ between prompts (Satterthwaite):
    2 (Σ v)²/(P/(P−1) Σ (v − mean v)²), between 1 and P (P − 1); for one prompt, 1. Where the true v differ between
    prompts that is too few, to the safe side. Not trusted below three degrees or, with bounds, by the rule of five.
    Raises InputError for shapes that differ, numbers that are not finite, negative errors, a level outside (0, 1).
    """
    array, errors = _checked(values, "values", level), _checked(stderr, "stderr", level)
    if array.shape != errors.shape:
        raise InputError(f"values of shape {array.shape}, stderr of shape {errors.shape}: give one for each")
    refuse(errors < 0, errors, "stderr", "give numbers ≥ 0")
    scale = errors.max(axis=0)  # fourth powers of errors are floats in its units
    scale = np.where(scale > 0, scale, 1.0)
    count, square = array.shape[0], (errors / scale) ** 2
    total = square.sum(axis=0)
    noise = count / max(count - 1, 1) * np.sum((square - square.mean(axis=0)) ** 2, axis=0)
    most = float(max(count * (count - 1), 1))
    freedom = np.where(total > 0, np.clip(2 * total**2 / np.where(noise > 0, noise, 1e-300), 1.0, most), 0.0)
    degrees, upper = np.maximum(freedom, 1.0), 0.5 + 0.5 * level
    error, mean = scale * np.sqrt(total) / count, array.mean(axis=0)
    reach = np.where(degrees > 1e7, ndtri(upper), stdtrit(np.minimum(degrees, 1e7), upper)) * error
    found = Interval(mean, error, mean - reach, mean + reach, np.asarray(freedom >= FEWEST_FREEDOM))
    return (
        found
        if bounds is None
        else replace(found, trusted=np.logical_and(found.trusted, _inside(found.value, count, bounds, WHOLE_FIXED)))
    )


def spread_over(values: ArrayLike) -> Floats:
    """How many prompts make up the spread of values (P, ...): (Σd²)²/Σd⁴, between 1 and P; 0 where all are equal."""
    array = numbers_or_indicators(values, "values")
    square = (array - array.mean(axis=0)) ** 2
    scale = square.max(axis=0)
    share = square / np.where(scale > 0, scale, 1.0)
    equal = scale <= (1e-12 * np.abs(array).max(axis=0)) ** 2
    return np.where(equal, 0.0, share.sum(axis=0) ** 2 / np.maximum((share**2).sum(axis=0), 1.0))


def _checked(values: ArrayLike, name: str, level: float) -> Floats:
    if not 0 < level < 1:
        raise InputError(f"level {level!r}: give a number between 0 and 1, such as 0.95")
    array = numbers_or_indicators(values, name)
    if array.ndim == 0 or array.shape[0] == 0:
        raise InputError(f"{name} of shape {array.shape}: give one entry for each prompt")
    refuse(~np.isfinite(array), array, name, "give finite numbers; leave out prompts without an estimate")
    return array
