"""Verdicts over many comparisons: p-values that hold at small counts, and levels that hold for all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gsi_theory.errors import InputError

__all__ = ["Calibration", "binomial_p", "calibration", "holm", "normal_p", "rates_p"]

Floats = NDArray[np.float64]


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


def normal_p(z: Floats) -> Floats:
    """Two-sided p-values of standard normal scores."""
    return np.asarray(2.0 * stats.norm.sf(np.abs(z)))


def binomial_p(count: Floats, draws: int, probability: Floats) -> Floats:
    """Two-sided p-values of counts among `draws` of exactly known probability: twice the smaller tail, at most 1."""
    low = stats.binom.cdf(count, draws, probability)
    high = stats.binom.sf(np.asarray(count) - 1, draws, probability)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(low, high)))


def rates_p(count: Floats, draws: int, rate: Floats, rate_se: Floats, least: Floats) -> Floats:
    """Two-sided p-values of "`count` of `draws` have the rate that is estimated as `rate` ± `rate_se`", at any counts.

    The estimate stands for as many independent draws as give its error, rate (1 - rate)/rate_se², but at least `least`
    (what the pool holds of disjoint sets of candidates, where the error is 0 because nothing varied). Then both are
    binomial, and Fisher's exact test compares them; it errs on the safe side.
    """
    count, rate, rate_se, least = (np.asarray(x, dtype=np.float64) for x in (count, rate, rate_se, least))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = rate * (1.0 - rate) / rate_se**2
    size = np.rint(np.clip(np.where(np.isfinite(size), size, 0.0), least, 1e9))
    hits = np.rint(rate * size)
    total, all_hits = size + draws, hits + count
    low = stats.hypergeom.cdf(count, total, all_hits, draws)
    high = stats.hypergeom.sf(count - 1, total, all_hits, draws)
    return np.asarray(np.minimum(1.0, 2.0 * np.minimum(low, high)))


@dataclass(frozen=True)
class Calibration:
    """Of z-scores in clusters: variance about 0 with its standard error, and the shares beyond 1.96 and 2.58 (nominal
    0.05 and 0.01) with theirs. Cells of one cluster may depend on each other, clusters may not."""

    cells: int
    clusters: int
    variance: float
    variance_se: float
    beyond_5: float
    beyond_5_se: float
    beyond_1: float
    beyond_1_se: float


def calibration(z: Floats, cluster: NDArray[np.integer]) -> Calibration:
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
    found = [mean(x) for x in (z**2, (np.abs(z) > 1.959964).astype(float), (np.abs(z) > 2.575829).astype(float))]
    return Calibration(len(z), clusters, *(number for pair in found for number in pair))
