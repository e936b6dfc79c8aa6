"""Intervals over prompts: hand values, coverage by simulation, and the cases where Student's t must not be trusted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from gsi_theory.errors import InputError
from gsi_theory.intervals import bounded_mean, fixed_mean, population_mean, spread_over


def test_population_mean_is_student() -> None:
    values = np.array([[0.1, 1.0], [0.4, 1.5], [0.2, 0.0], [0.7, -1.0]])
    found = population_mean(values)
    expected = stats.t.interval(0.95, 3, values.mean(axis=0), stats.sem(values, axis=0))
    np.testing.assert_allclose([found.low, found.high], expected)
    assert found.trusted.all() == (spread_over(values) >= 3).all()


def test_fixed_mean_of_equal_errors() -> None:
    """Equal squared errors: P (P − 1) degrees of freedom, standard error σ/√P."""
    found = fixed_mean(np.arange(5.0), np.full(5, 0.3))
    reach = stats.t.ppf(0.975, 20) * 0.3 / math.sqrt(5)
    assert (found.low, found.high) == (pytest.approx(2.0 - reach), pytest.approx(2.0 + reach))
    assert fixed_mean([1.0], [0.1]).high == pytest.approx(1.0 + 0.1 * stats.t.ppf(0.975, 1))
    assert not fixed_mean([1.0], [0.1]).trusted


def test_spread_over_counts_prompts() -> None:
    assert spread_over([0.0, 0.0, 0.0, 0.0]) == 0.0
    assert spread_over([1.0, -1.0, 1.0, -1.0]) == pytest.approx(4.0)
    assert spread_over([1.0] * 99 + [0.0]) == pytest.approx(1.0, abs=0.03)
    assert spread_over(np.array([0.1] * 10) + 0.2) == 0.0


def test_no_failure_seen_is_not_certainty() -> None:
    """20 prompts, all right: t has width zero; with bounds the interval reaches down at least to the exact 97.5 %
    bound for counts, 0.025^(1/20), and a value inside stays trusted."""
    assert not population_mean(np.ones(20)).trusted
    found = population_mean(np.ones(20), bounds=(0.0, 1.0))
    assert not found.trusted and found.high == 1.0 and 0.6 < found.low <= 0.025 ** (1 / 20)


def test_rule_of_five() -> None:
    """20 prompts at mean 0.8 of [0, 1] are four failures: bounded; at mean 0.7 they are six: Student's t."""
    rng = np.random.default_rng(2)
    spread = 0.1 * rng.uniform(-1.0, 1.0, 20)
    values = np.stack([0.8 + spread - spread.mean(), 0.7 + spread - spread.mean()], axis=1)
    found, student = population_mean(values, bounds=(0.0, 1.0)), population_mean(values)
    assert found.trusted.tolist() == [False, True]
    assert found.low[1] == student.low[1] and found.low[0] < student.low[0] and found.high[0] > student.high[0]
    assert fixed_mean(values, np.full((20, 2), 0.1), bounds=(0.0, 1.0)).trusted.tolist() == [False, True]


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.98, 0.995])
def test_bounded_mean_covers(chance: float) -> None:
    rng = np.random.default_rng(0)
    draws = (rng.random((20, 120)) < chance).astype(float)
    found = bounded_mean(draws, 0.0, 1.0)
    missed = np.sum((found.low > chance) | (found.high < chance))
    assert missed <= 120 * 0.05 + 4 * math.sqrt(120 * 0.05 * 0.95)


def test_population_mean_covers() -> None:
    rng = np.random.default_rng(1)
    found = population_mean(rng.beta(2.0, 3.0, size=(15, 4000)))
    covered = np.mean((found.low <= 0.4) & (found.high >= 0.4))
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="1 prompt"):
        population_mean([0.5])
    with pytest.raises(InputError, match=r"values\[1\] = nan"):
        population_mean([0.5, math.nan])
    with pytest.raises(InputError, match="level 95"):
        population_mean([0.5, 0.6], level=95)
    with pytest.raises(InputError, match=r"values\[0\] = 1.5"):
        bounded_mean([1.5, 0.5], 0.0, 1.0)
    with pytest.raises(InputError, match=r"bounds 1\.0, 0\.0"):
        bounded_mean([0.5], 1.0, 0.0)
    with pytest.raises(InputError, match="one for each"):
        fixed_mean([0.5, 0.6], [0.1])
    with pytest.raises(InputError, match=r"stderr\[0\] = -0.1"):
        fixed_mean([0.5], [-0.1])
