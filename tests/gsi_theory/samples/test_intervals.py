"""Intervals over prompts: hand values, coverage by simulation, and the cases where Student's t must not be trusted."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from scipy import optimize, stats

from gsi_theory.errors import InputError
from gsi_theory.samples.intervals import bounded_mean, fixed_mean, population_mean, spread_over


def _hall(values: np.ndarray, side: float) -> float:
    """The μ at which Hall's transformed T is the quantile of Student's t, by bisection on the definition."""
    count, stderr, skew = values.size, stats.sem(values), float(stats.skew(values))
    skew *= max(0.0, 1.0 - 2.0 * 6.0 * (count - 2) / ((count + 1) * (count + 3)) / skew**2)
    quantile = stats.t.ppf(0.975, count - 1)

    def transformed(mu: float) -> float:
        t = (values.mean() - mu) / stderr
        more = skew * t**2 / (3 * math.sqrt(count)) + skew**2 * t**3 / (27 * count) + skew / (6 * math.sqrt(count))
        return float(t + more)

    return float(optimize.brentq(lambda mu: transformed(mu) - side * quantile, -1e3, 1e3, xtol=1e-13))


def test_population_mean_is_halls_interval() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.standard_exponential((19, 4)), rng.normal(size=(19, 3))], axis=1)
    assert np.ptp(stats.skew(values)) > 1.5
    found = population_mean(values)
    for k in range(values.shape[1]):
        assert found.low[k] == pytest.approx(_hall(values[:, k], 1.0), abs=1e-10)
        assert found.high[k] == pytest.approx(_hall(values[:, k], -1.0), abs=1e-10)
    assert found.trusted.tolist() == (spread_over(values) >= 4).tolist()


def test_population_mean_of_symmetric_values_is_student() -> None:
    for values in (np.array([-1.0, 0.5, 0.0, -0.5, 1.0]), np.array([0.2, 0.8])):
        found = population_mean(values)
        expected = stats.t.interval(0.95, values.size - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose([found.low, found.high], expected, atol=1e-12)
    same = population_mean(np.full(7, 0.1) + 0.2)
    assert same.low == pytest.approx(same.high, abs=1e-12)


def test_fixed_mean_of_equal_errors() -> None:
    """Equal squared errors: P (P − 1) degrees of freedom, standard error σ/√P."""
    found = fixed_mean(np.arange(5.0), np.full(5, 0.3))
    reach = stats.t.ppf(0.975, 20) * 0.3 / math.sqrt(5)
    assert (found.low, found.high) == (pytest.approx(2.0 - reach), pytest.approx(2.0 + reach))
    assert fixed_mean([1.0], [0.1]).high == pytest.approx(1.0 + 0.1 * stats.t.ppf(0.975, 1))
    assert not fixed_mean([1.0], [0.1]).trusted


def test_fixed_mean_of_unequal_errors() -> None:
    """Satterthwaite: 2 (Σv)²/(P · sample variance of v) degrees of freedom; trusted from three on."""
    for errors, trusted in (
        ([0.1, 0.2, 0.4, 0.2], True),
        ([0.1, 0.1, 0.1, 0.42], True),
        ([0.1, 0.1, 0.1, 0.45], False),
    ):
        squares = [e**2 for e in errors]
        degrees = 2.0 * sum(squares) ** 2 / (4.0 * statistics.variance(squares))
        assert 1.0 < degrees < 12.0 and (degrees >= 3.0) == trusted
        found = fixed_mean([0.1, 0.5, 0.2, 0.4], errors, level=0.9)
        reach = stats.t.ppf(0.95, degrees) * math.sqrt(sum(squares)) / 4.0
        assert (found.low, found.high) == (pytest.approx(0.3 - reach), pytest.approx(0.3 + reach))
        assert found.stderr == pytest.approx(math.sqrt(sum(squares)) / 4.0) and bool(found.trusted) == trusted


def test_standard_errors_of_bounded_means() -> None:
    values = np.array([0.1, 0.5, 0.9, 0.4])
    assert bounded_mean(values, 0.0, 1.0).stderr == pytest.approx(stats.sem(values))
    assert bounded_mean([0.4], 0.0, 1.0).stderr == np.inf
    levels = [bounded_mean(np.tile(values, 5), 0.0, 1.0, level) for level in (0.5, 0.9, 0.99)]
    assert levels[0].low > levels[1].low > levels[2].low and levels[0].high < levels[1].high < levels[2].high


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
    assert not found.trusted and found.high == 1.0 and 0.79 < found.low <= 0.025 ** (1 / 20)


def test_two_failures_between_the_mean_and_its_bound() -> None:
    """20 prompts of [0, 1], six of which make up the spread: at mean 0.93 they are 1.4 failures: bounded; at mean 0.87
    they are 2.6: Hall's. Where all 20 make it up one failure is enough: Hall's at mean 0.93, bounded at 0.96."""
    few, every = np.r_[np.zeros(14), [0.05, -0.05] * 3], np.array([0.03, -0.03] * 10)
    values = np.stack([0.93 + few, 0.87 + few, 0.93 + every, 0.96 + every], axis=1)
    assert spread_over(values) == pytest.approx([6.0, 6.0, 20.0, 20.0])
    found, alone = population_mean(values, bounds=(0.0, 1.0)), population_mean(values)
    assert found.trusted.tolist() == [False, True, True, False] and alone.trusted.all()
    assert np.array_equal(found.low == alone.low, found.trusted)
    assert (found.low[[0, 3]] < alone.low[[0, 3]]).all() and (found.high[[0, 3]] > alone.high[[0, 3]]).all()
    fixed = [
        fixed_mean(values[:, :2] - shift, np.full((20, 2), 0.1), bounds=(0.0, 1.0)).trusted for shift in (0.0, 0.15)
    ]
    assert np.stack(fixed).tolist() == [[False, False], [False, True]]


def test_three_prompts_that_fail_are_too_few() -> None:
    few, more = np.array([0.0] * 3 + [1.0] * 37), np.array([0.0] * 5 + [1.0] * 35)
    assert not population_mean(few, bounds=(0.0, 1.0)).trusted
    assert population_mean(more, bounds=(0.0, 1.0)).trusted


@pytest.mark.parametrize("chance", [0.5, 0.9, 0.98, 0.995])
def test_bounded_mean_covers(chance: float) -> None:
    rng = np.random.default_rng(0)
    draws = (rng.random((20, 120)) < chance).astype(float)
    found = bounded_mean(draws, 0.0, 1.0)
    missed = np.sum((found.low > chance) | (found.high < chance))
    assert missed <= 120 * 0.05 + 4 * math.sqrt(120 * 0.05 * 0.95)


def test_one_prompt_shows_no_spread() -> None:
    found = bounded_mean([[0.5, 1.0]], 0.0, 1.0)
    assert (found.stderr == math.inf).all() and not found.trusted.any()
    assert ((found.low >= 0.0) & (found.high <= 1.0) & (found.low < found.high)).all()


def test_valid_intervals_of_rare_counts_cover_more() -> None:
    """THEORY: of 100 prompts that fail once in a hundred, what any interval valid for all 0/1 values covers at least.

    The counts at which an interval contains p are a run, of probability 0.95 or more: the least such run.
    """
    chance = stats.binom.pmf(np.arange(101), 100, 0.01)
    total = np.concatenate([[0.0], np.cumsum(chance)])
    runs = (total[None, :] - total[:, None])[np.triu_indices(102, 1)]
    assert runs[runs >= 0.95].min() >= 0.979


def test_population_mean_covers() -> None:
    rng = np.random.default_rng(1)
    for draws, mean in ((rng.normal(size=(15, 4000)), 0.0), (rng.standard_exponential((30, 4000)), 1.0)):
        found = population_mean(draws)
        covered = np.mean((found.low <= mean) & (found.high >= mean))
        assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)
        # Student's t misses skewed values: 92.7 % of 30 exponentials
    student = stats.t.interval(0.95, 29, draws.mean(axis=0), stats.sem(draws, axis=0))
    assert np.mean((student[0] <= mean) & (student[1] >= mean)) < 0.937


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


def test_values_off_their_bounds_by_rounding_are_at_them() -> None:
    inside = bounded_mean([0.0, 0.5, 1.0, 0.25], 0.0, 1.0)
    off = bounded_mean([-1e-10, 0.5, 1.0 + 1e-10, 0.25], 0.0, 1.0)
    assert np.array([off.low, off.high]) == pytest.approx([inside.low, inside.high], abs=1e-9)
    with pytest.raises(InputError, match="bounds are"):
        bounded_mean([-1e-8, 0.5], 0.0, 1.0)
