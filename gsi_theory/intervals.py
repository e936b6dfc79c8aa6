"""Intervals for a mean over prompts, from one estimate a prompt.

Two different truths: the mean over the population that the prompts were drawn from (`population_mean`), and the mean
over these very prompts (`fixed_mean`), known better because only candidates are random. Prompts are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from gsi_theory.errors import InputError
from gsi_theory.estimate import numbers, refuse
from gsi_theory.logscale import Array

__all__ = ["Interval", "fixed_mean", "population_mean"]


@dataclass(frozen=True)
class Interval:
    """value, stderr and the interval [low, high], arrays of the shape of one prompt's estimate; freedom: degrees."""

    value: Array
    stderr: Array
    low: Array
    high: Array
    freedom: Array


def population_mean(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over the population of prompts, from values (P, ...), one unbiased estimate a prompt; Student's t, P − 1.

    The spread between prompts contains the error within them, so no standard error of a prompt is needed. Raises
    InputError for fewer than two prompts or values that are not finite.
    """
    array = _checked(values, "values", level)
    count = array.shape[0]
    if count < 2:
        raise InputError(f"{count} prompt: an interval over prompts needs 2 or more")
    stderr = array.std(axis=0, ddof=1) / np.sqrt(count)
    return _interval(array.mean(axis=0), stderr, np.full(stderr.shape, count - 1.0), level)


def fixed_mean(values: ArrayLike, stderr: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over these very prompts, from values and standard errors (P, ...); Student's t.

    Its degrees of freedom follow from how the squared errors v differ between prompts (Satterthwaite):
    2 (Σ v)²/(P/(P−1) Σ (v − mean v)²), between 1 and P (P − 1); for one prompt, 1. Where the true v differ between
    prompts that is too few, to the safe side.
    """
    array, errors = _checked(values, "values", level), _checked(stderr, "stderr", level)
    if array.shape != errors.shape:
        raise InputError(f"values of shape {array.shape}, stderr of shape {errors.shape}: give one for each")
    refuse(errors < 0, errors, "stderr", "give numbers ≥ 0")
    count, square = array.shape[0], errors**2
    total = square.sum(axis=0)
    noise = count / max(count - 1, 1) * np.sum((square - square.mean(axis=0)) ** 2, axis=0)
    most = float(max(count * (count - 1), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.clip(np.where(noise > 0, 2 * total**2 / noise, most), 1.0, most)
    return _interval(array.mean(axis=0), np.sqrt(total) / count, freedom, level)


def _checked(values: ArrayLike, name: str, level: float) -> Array:
    if not 0 < level < 1:
        raise InputError(f"level {level!r}: give a number between 0 and 1, such as 0.95")
    array = numbers(values, name)
    if array.ndim == 0 or array.shape[0] == 0:
        raise InputError(f"{name} of shape {array.shape}: give one entry for each prompt")
    refuse(~np.isfinite(array), array, name, "give finite numbers; leave out prompts without an estimate")
    return array


def _interval(value: Array, stderr: Array, freedom: Array, level: float) -> Interval:
    upper = 0.5 + 0.5 * level
    reach = np.where(freedom > 1e7, ndtri(upper), stdtrit(np.minimum(freedom, 1e7), upper)) * stderr
    return Interval(value, stderr, value - reach, value + reach, freedom)
