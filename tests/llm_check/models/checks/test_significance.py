"""Verdicts over many comparisons: each p-value against an oracle, and the error they promise, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory.errors import InputError
from llm_check.models.checks.significance import binomial_p, calibration, holm, mean_difference


def test_holm_is_the_step_down_of_bonferroni() -> None:
    p = np.array([0.04, 0.001, 0.03, 0.5])
    np.testing.assert_allclose(holm(p), [0.09, 0.004, 0.09, 0.5])
    assert holm(np.array([])).size == 0
    for bad in (np.nan, -0.1, 1.5):
        with pytest.raises(InputError, match="holm got p-value"):
            holm(np.array([0.5, bad]))


def test_binomial_p_values_are_twice_the_smaller_tail() -> None:
    for draws, q in ((5, 0.3), (8, 0.9), (3, 0.0), (3, 1.0)):
        mass = [math.comb(draws, k) * q**k * (1 - q) ** (draws - k) for k in range(draws + 1)]
        for k in range(draws + 1):
            expected = min(1.0, 2 * min(sum(mass[: k + 1]), sum(mass[k:])))
            assert binomial_p(np.array([float(k)]), draws, np.array([q]))[0] == pytest.approx(expected, abs=1e-12)


def test_binomial_p_values_hold_their_level_at_small_counts() -> None:
    rng = np.random.default_rng(71)
    for q in (0.001, 0.02, 0.3):
        p = binomial_p(rng.binomial(500, q, 20_000), 500, np.full(20_000, q))
        for level in (0.05, 0.001):
            assert (p <= level).mean() <= level + 4 * np.sqrt(level / 20_000)


def test_mean_difference_is_students_t() -> None:
    found = mean_difference(np.array([1.0, 2.0, 3.0]))
    t = 2.0 / (1.0 / np.sqrt(3.0))
    assert found.freedom == 2
    assert found.p_value == pytest.approx(1.0 - t / np.sqrt(2.0 + t * t), abs=1e-12)  # closed form for 2 degrees
    assert mean_difference(np.zeros(5)).p_value == 1.0
    assert mean_difference(np.full(5, 0.1)).p_value == 0.0
    with pytest.raises(InputError, match="at least 2"):
        mean_difference(np.array([1.0]))


def test_mean_difference_holds_its_level_also_with_rare_large_errors() -> None:
    """Differences as a pool makes them that has not seen a rare outcome: mostly tiny, now and then large, mean 0."""
    rng = np.random.default_rng(72)
    rare = rng.random((4000, 30)) < 0.05
    d = rng.normal(0, 0.01, rare.shape) + np.where(rare, rng.choice([-0.3, 0.3], rare.shape), 0.0)
    p = np.array([mean_difference(row).p_value for row in d])
    assert (p <= 0.01).mean() <= 0.01 + 4 * np.sqrt(0.01 / 4000)


def test_calibration_of_standard_normal_and_of_too_narrow_errors() -> None:
    rng = np.random.default_rng(73)
    cluster = np.repeat(np.arange(200), 10)
    shared = rng.normal(size=200)[cluster]
    z = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal(size=2000)
    found = calibration(z, cluster)
    assert abs(found.variance - 1.0) <= 4 * found.variance_se
    assert found.variance_se > np.sqrt(2.0 / 2000)  # cells of a cluster are no independent evidence
    assert abs(found.beyond_5 - 0.05) <= 4 * found.beyond_5_se
    assert calibration(1.5 * z, cluster).variance > 1.0 + 4 * calibration(1.5 * z, cluster).variance_se
    with pytest.raises(InputError, match="at least 2"):
        calibration(z, np.zeros(2000, dtype=int))
