"""Bounds for all options at once: their errors by definition, their coverage where units are fewest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llm_check.planner.choose import cross_fit, standing


def test_errors_are_standard_errors_of_paired_differences() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=(4, 7)) * np.array([[1.0], [3.0], [0.2], [1.0]])
    found = standing(values, values[3])
    assert found.gap == pytest.approx([(row - values[3]).mean() for row in values])
    assert found.error == pytest.approx([stats.sem(row - values[3]) for row in values])
    np.testing.assert_allclose(found.upper - found.gap, found.quantile * found.error)
    np.testing.assert_allclose(found.gap - found.lower, found.quantile * found.error)


def test_one_option_is_students_bound() -> None:
    """One normal difference: the exact bound is Student's; over samples the noise of the bootstrap averages out."""
    rng = np.random.default_rng(1)
    for units in (5, 10):
        found = [standing(rng.normal(size=(1, units)), np.zeros(units)).quantile for _ in range(200)]
        # samples share 1000 multipliers: over their seeds the mean has a relative standard error of 0.014 at 5 units
        assert np.mean(found) == pytest.approx(stats.t.ppf(0.95, units - 1), rel=0.07), units


@pytest.mark.parametrize(("units", "options"), [(10, 20), (20, 20)])
def test_bounds_hold_for_all_options_at_once(units: int, options: int) -> None:
    """Independent normal options, all truly equal to the reference: in 95 % of samples none looks better beyond its
    bound, neither more (a wasteful bound) nor less."""
    rng, samples = np.random.default_rng(units), 1000
    held = sum(
        bool((standing(rng.normal(size=(options, units)), np.zeros(units)).upper >= 0.0).all()) for _ in range(samples)
    )
    # five standard errors, and a quantile of 1000 multipliers is off by as much as one of the samples
    assert abs(held / samples - 0.95) < 5.0 * np.sqrt(2.0 * 0.95 * 0.05 / samples)


def test_units_of_the_value_do_not_matter() -> None:
    """Values in millionths, or all moved: the same quantile, and bounds that scale."""
    values = np.random.default_rng(3).normal(size=(6, 25))
    one = standing(values, values[0])
    other = standing(1e-6 * values, 1e-6 * values[0])
    assert other.quantile == pytest.approx(one.quantile, rel=1e-9) and one.quantile > 1.6
    np.testing.assert_allclose(other.upper, 1e-6 * one.upper, rtol=1e-9, atol=1e-18)
    moved = standing(values + 3.0, values[0] + 3.0)
    np.testing.assert_allclose(moved.upper, one.upper, atol=1e-12)


def test_estimates_outside_the_bounds_of_the_value_move_them() -> None:
    """Unbiased estimates of a value in [0, 1] may be 1.2 or -0.1: the interval still comes, with the mean in it."""
    for values in (np.r_[np.full(3, 1.2), np.full(9, 0.97)], np.r_[np.full(3, -0.1), np.full(9, 0.01)]):
        found = cross_fit(values[None], lambda _: 0, (0.0, 1.0))
        assert not found.trusted and found.low <= values.mean() <= found.high
        assert found.low >= min(0.0, values.min()) and found.high <= max(1.0, values.max())
