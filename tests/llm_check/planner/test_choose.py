"""Bounds for all options at once: their errors by definition, their coverage where units are fewest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llm_check.planner.choose import standing


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
