"""The Hill index of the upper tail of positive numbers, as ratios e^ℓ or weights, with an interval (M41).

With X_(1) ≥ X_(2) ≥ ... the index at k is ξ̂ = (1/k) Σ_{i ≤ k} log X_(i)/X_(k+1). Where the tail beyond X_(k+1) is a
power law, P(X > x) ~ x^{-1/ξ}, the k excesses of logs are iid exponential of mean ξ, so that 2kξ̂/ξ is χ² with 2k
degrees: the interval is exact at every k. With ξ ≥ ½ the variance of the numbers is infinite, with ξ ≥ 1 the mean: a
mean over a pool of them says little then. A tail that is no power law near X_(k+1) biases it; ask at several k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError

__all__ = ["HillIndex", "hill_index"]


@dataclass(frozen=True)
class HillIndex:
    """ξ̂, the ends of its interval, and k, the number of largest values that it rests on."""

    index: float
    low: float
    high: float
    k: int


def hill_index(log_values: ArrayLike, k: int | None = None, level: float = 0.95) -> HillIndex:
    """The index of N numbers from their logs (N,), nats, -inf legal below the k-th; k (default √N) from 1 to N - 1.

    level in (0, 1): how often the interval covers ξ where the tail is a power law. InputError on what has no such tail:
    k out of range, NaN, an infinite number among the k + 1 largest, or a (k + 1)-th that is zero.
    """
    logs = np.sort(as_numbers(log_values, "log_values"))[::-1]
    if logs.ndim != 1 or logs.size < 2:
        raise InputError(f"log_values has shape {logs.shape}: give a flat list of at least two numbers")
    k = int(np.sqrt(logs.size)) if k is None else k
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k < logs.size:
        raise InputError(f"k = {k!r}: give a whole number from 1 to {logs.size - 1}")
    if not 0.0 < level < 1.0:
        raise InputError(f"level = {level!r}: give a number between 0 and 1")
    if np.any(np.isnan(logs)) or not np.all(np.isfinite(logs[: k + 1])):
        raise InputError(f"log_values: the {k + 1} largest must be finite; give a smaller k, or other numbers")
    index = float(np.mean(logs[:k] - logs[k]))
    ends = gammaincinv(float(k), [0.5 * (1.0 + level), 0.5 * (1.0 - level)])
    low, high = (float(k * index / end) for end in ends)
    return HillIndex(index, low, high, int(k))
