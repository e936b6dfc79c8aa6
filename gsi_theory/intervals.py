"""Intervals for a mean over prompts, from one estimate a prompt.

Two different truths: the mean over the population that the prompts were drawn from (`population_mean`), and the mean
over these very prompts (`fixed_mean`), known better because only candidates are random. Prompts are independent.

Student's t fails where rare prompts decide (pass rates near one: most pools show no failing prompt, and an interval of
almost no width). With the bounds of f given, t is trusted by the rule of five, P · (distance of the mean from the
nearer bound)/(range) ≥ 5, else replaced by `bounded_mean`, which holds for every population. Without bounds such
prompts leave no trace; all that can be checked is that several make up the spread (`spread_over` ≥ 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from gsi_theory.coverage import mean_low
from gsi_theory.errors import InputError
from gsi_theory.estimate import numbers, refuse
from gsi_theory.logscale import Array

__all__ = ["Interval", "bounded_mean", "fixed_mean", "population_mean", "spread_over"]

FEWEST, RULE_OF_FIVE = 3.0, 5.0


@dataclass(frozen=True)
class Interval:
    """value, stderr and the interval [low, high], arrays of the shape of one prompt's estimate.

    trusted: whether Student's t is, and so covers close to the level; a `bounded_mean` (False) covers at least with it.
    """

    value: Array
    stderr: Array
    low: Array
    high: Array
    trusted: Array


def population_mean(values: ArrayLike, level: float = 0.95, bounds: tuple[float, float] | None = None) -> Interval:
    """Mean over the population of prompts, from values (P, ...), one unbiased estimate a prompt; Student's t, P − 1.

    The spread between prompts contains the error within them, so no standard error of a prompt is needed. With `bounds`
    (min, max of f), `bounded_mean` where t is not trusted.
    Raises InputError for fewer than two prompts, values that are not finite or out of bounds.
    """
    array = _checked(values, "values", level)
    count = array.shape[0]
    if count < 2:
        raise InputError(f"{count} prompt: an interval over prompts needs 2 or more")
    stderr = array.std(axis=0, ddof=1) / np.sqrt(count)
    found = _interval(array.mean(axis=0), stderr, np.full(stderr.shape, count - 1.0), level, spread_over(array))
    if bounds is None:
        return found
    found = replace(found, trusted=np.logical_and(found.trusted, _inside(found.value, count, bounds)))
    safe = bounded_mean(array, *bounds, level=level)
    low, high = np.where(found.trusted, found.low, safe.low), np.where(found.trusted, found.high, safe.high)
    return Interval(found.value, stderr, low, high, found.trusted)


def bounded_mean(values: ArrayLike, low: float, high: float, level: float = 0.95) -> Interval:
    """Interval for the mean of values (P, ...) in [low, high] that covers with `level` at least for every population.

    Two one-sided bounds by betting (`coverage.mean_low`), on the distance from either end. Wider than Student's t.
    """
    array = _checked(values, "values", level)
    if not low < high:
        raise InputError(f"bounds {low!r}, {high!r}: give two numbers, the smaller first")
    slack = 1e-9 * (high - low)
    refuse((array < low - slack) | (array > high + slack), array, "values", f"bounds are {low!r} and {high!r}")
    part = np.clip((array - low) / (high - low), 0.0, 1.0)
    half = 0.5 + 0.5 * level
    with np.errstate(divide="ignore"):
        under = np.apply_along_axis(lambda x: np.exp(mean_low(np.log(x), half)), 0, part)
        over = 1.0 - np.apply_along_axis(lambda x: np.exp(mean_low(np.log(x), half)), 0, 1.0 - part)
    stderr = array.std(axis=0, ddof=min(1, array.shape[0] - 1)) / np.sqrt(array.shape[0])
    scale = high - low
    trusted = np.zeros(np.shape(stderr), dtype=np.bool_)
    return Interval(array.mean(axis=0), stderr, low + scale * under, low + scale * over, trusted)


def _inside(mean: Array, count: int, bounds: tuple[float, float]) -> Array:
    low, high = bounds
    return np.asarray(count * np.minimum(mean - low, high - mean) >= RULE_OF_FIVE * (high - low))


def fixed_mean(
    values: ArrayLike, stderr: ArrayLike, level: float = 0.95, bounds: tuple[float, float] | None = None
) -> Interval:
    """Mean over these very prompts, from values and standard errors (P, ...); Student's t.

    Its degrees of freedom follow from how the squared errors v differ between prompts (Satterthwaite):
    2 (Σ v)²/(P/(P−1) Σ (v − mean v)²), between 1 and P (P − 1); for one prompt, 1. Where the true v differ between
    prompts that is too few, to the safe side. Not trusted below three degrees or, with bounds, by the rule of five.
    """
    array, errors = _checked(values, "values", level), _checked(stderr, "stderr", level)
    if array.shape != errors.shape:
        raise InputError(f"values of shape {array.shape}, stderr of shape {errors.shape}: give one for each")
    refuse(errors < 0, errors, "stderr", "give numbers ≥ 0")
    count, square = array.shape[0], errors**2
    total = square.sum(axis=0)
    noise = count / max(count - 1, 1) * np.sum((square - square.mean(axis=0)) ** 2, axis=0)
    most = float(max(count * (count - 1), 1))
    freedom = np.where(total > 0, np.clip(2 * total**2 / np.where(noise > 0, noise, 1e-300), 1.0, most), 0.0)
    found = _interval(array.mean(axis=0), np.sqrt(total) / count, np.maximum(freedom, 1.0), level, freedom)
    return (
        found
        if bounds is None
        else replace(found, trusted=np.logical_and(found.trusted, _inside(found.value, count, bounds)))
    )


def spread_over(values: ArrayLike) -> Array:
    """How many prompts make up the spread of values (P, ...): (Σd²)²/Σd⁴, between 1 and P; 0 where all are equal."""
    array = numbers(values, "values")
    square = (array - array.mean(axis=0)) ** 2
    scale = square.max(axis=0)
    share = square / np.where(scale > 0, scale, 1.0)
    equal = scale <= (1e-12 * np.abs(array).max(axis=0)) ** 2
    return np.where(equal, 0.0, share.sum(axis=0) ** 2 / np.maximum((share**2).sum(axis=0), 1.0))


def _checked(values: ArrayLike, name: str, level: float) -> Array:
    if not 0 < level < 1:
        raise InputError(f"level {level!r}: give a number between 0 and 1, such as 0.95")
    array = numbers(values, name)
    if array.ndim == 0 or array.shape[0] == 0:
        raise InputError(f"{name} of shape {array.shape}: give one entry for each prompt")
    refuse(~np.isfinite(array), array, name, "give finite numbers; leave out prompts without an estimate")
    return array


def _interval(value: Array, stderr: Array, freedom: Array, level: float, support: Array) -> Interval:
    upper = 0.5 + 0.5 * level
    reach = np.where(freedom > 1e7, ndtri(upper), stdtrit(np.minimum(freedom, 1e7), upper)) * stderr
    return Interval(value, stderr, value - reach, value + reach, np.asarray(support >= FEWEST))
