"""Mean reward of solutions, and paired differences of it between methods on the same problems: Student's t.

A solution's reward is the mean over its steps; solutions of different problems are independent. The interval of a
difference leaves out 0 exactly where the test rejects at 5 %: both are of one t statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["RewardMean", "reward_difference", "reward_mean"]

LEVEL = 0.95


@dataclass(frozen=True)
class RewardMean:
    """mean of `count` rewards or differences, its 95 % interval and the p-value of mean 0; None for fewer than 2, and
    for the mean of none."""

    count: int
    mean: float | None
    low: float | None
    high: float | None
    p_value: float | None


def reward_mean(values: Sequence[float], within: tuple[float, float] = (-np.inf, np.inf)) -> RewardMean:
    """The mean of independent values (P,), which lie in the range `within`: so does the interval. Where all are equal
    to rounding it is a point."""
    count = len(values)
    if count < 2:
        return RewardMean(count, float(values[0]) if count else None, None, None, None)
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(count))
    if error <= 1e-12:
        mean = 0.0 if abs(mean) <= 1e-9 else mean
        return RewardMean(count, mean, mean, mean, float(mean == 0.0))
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, count - 1)) * error
    p_value = float(2.0 * stats.t.sf(abs(mean) / error, count - 1))
    return RewardMean(count, mean, max(mean - reach, within[0]), min(mean + reach, within[1]), p_value)


def reward_difference(first: Sequence[float], second: Sequence[float]) -> RewardMean:
    """First minus second, rewards of the same problems in the same order."""
    return reward_mean([a - b for a, b in zip(first, second, strict=True)])
