"""Verdicts over many comparisons: p-values that hold at small counts, and levels that hold for all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["MeanDifference", "ScoreCalibration", "binomial_p", "calibration", "holm", "mean_difference"]


def holm(p: Floats) -> Floats:
    """Holm's adjusted p-values (M,): rejecting those ≤ a level errs anywhere with probability at most the level,
    whatever the dependence.

    Raises InputError for values outside [0, 1].
    """
    p = np.asarray(p, dtype=np.float64)
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        raise InputError(f"holm got p-value {p[bad][0]} at {int(np.argmax(bad))}: give numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def binomial_p(count: Floats, draws: int, probability: Floats) -> Floats:
    """Two-sided p-values of counts among `draws` of exactly known probability: twice the smaller tail, at most 1."""
    low = stats.binom.cdf(count, draws, probability)
    high = stats.binom.sf(np.asarray(count) - 1, draws, probability)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(low, high)))


@dataclass(frozen=True)
class MeanDifference:
    """Mean of independent differences, its standard error by their spread, and Student's two-sided p-value of 0."""

    mean: float
    stderr: float
    freedom: int
    p_value: float


def mean_difference(differences: Floats) -> MeanDifference:
    """Whether independent differences (P,) have mean 0, by Student's t with P - 1 degrees of freedom.

    Their own spread is the error: whatever made them differ, known or not, is in it. Differences that are all equal
    give p = 1 where they are 0 to rounding, else 0. Raises InputError for fewer than 2.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.size < 2:
        raise InputError(f"mean_difference got {differences.size} difference(s): give at least 2 independent ones")
    mean, freedom = float(differences.mean()), differences.size - 1
    stderr = float(differences.std(ddof=1) / np.sqrt(differences.size))
    if stderr <= 1e-12:
        return MeanDifference(mean, stderr, freedom, 1.0 if abs(mean) <= 1e-9 else 0.0)
    return MeanDifference(mean, stderr, freedom, float(2.0 * stats.t.sf(abs(mean) / stderr, freedom)))


@dataclass(frozen=True)
class ScoreCalibration:
    """Of z-scores in clusters; cells of one cluster may depend on each other, clusters may not.

    cells, clusters: how many
    variance, variance_se: about 0, with its standard error
    beyond_5, beyond_5_se: share beyond 1.96 (nominal 0.05), with its error
    beyond_1, beyond_1_se: share beyond 2.58 (nominal 0.01), with its error
    """

    cells: int
    clusters: int
    variance: float
    variance_se: float
    beyond_5: float
    beyond_5_se: float
    beyond_1: float
    beyond_1_se: float


def calibration(z: Floats, cluster: NDArray[np.integer]) -> ScoreCalibration:
    """How z-scores (M,) compare with standard normal ones; `cluster` (M,) numbers the independent clusters.

    Raises InputError for fewer than 2 clusters.
    """
    _, at = np.unique(cluster, return_inverse=True)
    clusters = int(at.max(initial=-1)) + 1
    if clusters < 2:
        raise InputError(f"calibration got {clusters} cluster(s) of z-scores: give at least 2 independent ones")
    size = np.bincount(at)

    def mean(values: Floats) -> tuple[float, float]:
        """The mean over cells, and the error of this ratio of cluster sums."""
        center = float(values.mean())
        sums = np.bincount(at, weights=values - center, minlength=clusters)
        return center, float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum()) / size.sum())

    z = np.asarray(z, dtype=np.float64)
    shares = [mean(x) for x in (z**2, (np.abs(z) > 1.959964).astype(float), (np.abs(z) > 2.575829).astype(float))]
    return ScoreCalibration(len(z), clusters, *(number for pair in shares for number in pair))
