"""Mean rewards: the interval is the test's, covers the truth, and says nothing of what it cannot know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from llm_check.models.decoding.reward_means import reward_difference, reward_mean


def test_the_interval_leaves_out_0_exactly_where_the_test_rejects() -> None:
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(500):
        first = rng.random(12)
        second = first + rng.normal(0.1, 0.2, size=12)
        found = reward_difference(first.tolist(), second.tolist())
        assert found.low is not None and found.high is not None and found.p_value is not None
        assert (not found.low <= 0.0 <= found.high) == (found.p_value < 0.05)
        assert found.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)
        rejected += found.p_value < 0.05
    assert 50 < rejected < 450


def test_the_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(2)
    covered = [
        (r.low or 0) <= 0.5 <= (r.high or 0) for r in (reward_mean(rng.random(10).tolist()) for _ in range(2000))
    ]
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 2000))


def test_the_interval_of_few_stays_in_the_range_of_the_reward() -> None:
    free, bound = reward_mean([0.0, 0.2, 0.0]), reward_mean([0.0, 0.2, 0.0], (0.0, 1.0))
    assert free.low is not None and free.low < 0.0
    assert bound == replace(free, low=0.0)
    high = reward_mean([1.0, 0.8, 1.0], (0.0, 1.0))
    assert high.high == 1.0 and high.low is not None and 0.5 < high.low < 0.8


def test_what_does_not_vary_and_what_is_too_few() -> None:
    same = reward_difference([0.1, 0.7, 0.3], [0.1, 0.7, 0.3])
    assert (same.mean, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    shifted = reward_difference([0.6, 1.2], [0.1, 0.7])
    assert shifted.low == shifted.high == pytest.approx(0.5) and shifted.p_value == 0.0
    assert reward_mean([]).mean is None
    assert reward_mean([0.4]).mean == 0.4 and reward_mean([0.4]).low is None and reward_mean([0.4]).p_value is None
