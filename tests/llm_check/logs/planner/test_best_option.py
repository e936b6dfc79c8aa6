"""Bounds of how much better the best option may be, against brute force and known truth; and what is picked by them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from llm_check.logs.planner.best_option import behind_best, by_cost, cross_fit, mean_error, pareto_front, standing
from llm_check.logs.planner.goal import Goal, worth_of
from llm_check.logs.planner.recommendation import choose_option
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.tail import Tail, tail_shown

SEEN = Tail(5.0, 0.2, (4.0, 9.0), 50.0, 0.01, (64.0, 64.0), 1.0, 64, 64)


def _brute(values: np.ndarray, unseen: np.ndarray, seed: int) -> np.ndarray:
    """Every pair in turn: the quantile of option s from the same multipliers, no row left out."""
    count, units = values.shape
    weights = np.random.default_rng(seed).normal(size=(1000, units))
    bounds = np.zeros(count)
    for s in range(count):
        apart = []
        for c in range(count):
            difference = values[s] - values[c]
            error = difference.std(ddof=1) / np.sqrt(units)
            if error > 0:
                centered = difference - difference.mean()
                apart.append(weights @ centered / np.sqrt(units * (units - 1)) / error)
        quantile = stats.t.ppf(stats.norm.cdf(np.quantile(np.max(apart, axis=0), 0.95)), units - 1)
        quantile *= 1.0 + 10.0 / units**2
        for c in range(count):
            if c != s:
                difference = values[s] - values[c]
                error = difference.std(ddof=1) / np.sqrt(units)
                bounds[c] = max(bounds[c], difference.mean() + quantile * error + unseen[c, s])
    return bounds


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bounds_by_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = (
        rng.normal(size=(25, 1)) * 0.3 + rng.normal(size=50) + rng.normal(size=(25, 50)) * rng.uniform(0.1, 2, (25, 1))
    )
    unseen = 0.1 * rng.integers(0, 2, (25, 25))
    found = behind_best(values, np.arange(25), unseen, seed)
    np.testing.assert_allclose(found.shortfall, _brute(values, unseen, seed), rtol=1e-4, atol=1e-6)
    few = behind_best(values, np.array([3, 7]), unseen[[3, 7]], seed)
    np.testing.assert_allclose(few.shortfall, found.shortfall[[3, 7]], rtol=1e-6)
    assert found.shortfall[0] != behind_best(values, np.arange(25), unseen, seed + 1).shortfall[0]
    assert standing(values, values[0], 1).quantile != standing(values, values[0], 2).quantile


def test_bounds_hold_for_all_candidates_at_once() -> None:
    """Ten equal options and ten worse ones: in 95 % of pools no candidate's bound is below the truth."""
    truth, rng, held = np.r_[np.zeros(10), np.linspace(-0.5, -0.05, 10)], np.random.default_rng(7), 0
    sizes = []
    for k in range(150):
        values = truth[:, None] + rng.normal(size=(20, 40)) + rng.normal(size=40)
        bounds = behind_best(values, np.arange(20), np.zeros((20, 20)), k).shortfall
        held += bool(np.all(bounds >= -truth))
        sizes.append(bounds[:10].mean())
    assert held >= 150 * 0.95 - 4 * np.sqrt(150 * 0.95 * 0.05)
    assert np.mean(sizes) < 1.2  # of a standard error of 0.22: what all 190 pairs at once would cost is no more


@pytest.mark.parametrize(("units", "options"), [(5, 40), (8, 40)])
def test_few_units_keep_the_level_for_many_options(units: int, options: int) -> None:
    """Residuals of 5 units span 4 dimensions, in which 40 independent options look alike: 95 % nonetheless."""
    rng, held, behind = np.random.default_rng([3, units]), 0, 0
    truth = np.linspace(0.0, 1e3, options)
    for k in range(600):
        noise = rng.normal(size=(options, units))
        held += bool(np.all(standing(noise, np.zeros(units), k).upper >= 0.0))
        if k < 200:  # means so far apart that the best option alone has a say
            bounds = behind_best(truth[:, None] + noise, np.arange(options), np.zeros((options, options)), k)
            behind += bool(np.all(bounds.shortfall >= truth[-1] - truth))
    assert held / 600 >= 0.95 - 3.0 * np.sqrt(0.95 * 0.05 / 600)
    assert behind / 200 >= 0.95 - 3.0 * np.sqrt(0.95 * 0.05 / 200)


def test_an_option_is_not_behind_itself() -> None:
    one = np.random.default_rng(0).normal(size=(1, 20))
    assert behind_best(one, np.array([0]), np.full((1, 1), 0.7)).shortfall == 0.0
    twice = behind_best(np.repeat(one, 2, axis=0), np.array([0, 1]), np.zeros((2, 2)))
    assert twice.shortfall == pytest.approx([0.0, 0.0], abs=1e-9)


def test_mean_and_error_by_hand() -> None:
    mean, error = mean_error(np.array([[1.0, 2.0, 6.0]]))
    assert mean == 3.0 and error == pytest.approx(np.sqrt((4 + 1 + 9) / 6))


def _table(options: list[Option], tail: Tail = SEEN, drafts: int = 6400) -> Any:
    return SimpleNamespace(
        options=tuple(options), tails={o.beta: replace(tail, beta=o.beta) for o in options}, drafts=drafts,
        base_draws=drafts, fixed=False,
    )  # fmt: skip


def _drafts(count: int) -> list[Option]:
    return [Option("softmax", "none", 2 ** (k + 1), 1, 5.0, None) for k in range(count)]


def _values(means: list[float], spread: float = 0.01, units: int = 60) -> np.ndarray:
    """Pairwise differences of a known spread around the means, exactly as stated."""
    noise = np.random.default_rng(5).normal(size=(len(means), units))
    noise -= noise.mean(axis=1, keepdims=True)
    return np.array(means)[:, None] + spread * noise / noise.std(axis=1, keepdims=True)


def _chosen(means: list[float], costs: list[float], goal: Goal, **more: Any) -> int | None:
    kl = np.array(more.pop("kl", [0.0] * len(means)))
    table = more.pop("table", _table(_drafts(len(means))))
    values = more.pop("values", _values(means))
    return choose_option(table, values, np.array(costs), kl, goal, (0.0, 1.0))[0].chosen


def test_the_cheapest_of_those_that_nothing_beats_by_more_than_the_tolerance() -> None:
    """Sixteen times the cost for a thousandth of the value is not bought; what may be worse by more is not taken."""
    assert _chosen([0.5, 0.7990, 0.7995, 0.8], [1.0, 2.0, 8.0, 32.0], Goal(tolerance=0.02)) == 1
    assert _chosen([0.5, 0.7990, 0.7995, 0.8], [1.0, 2.0, 8.0, 32.0], Goal(tolerance=0.001)) is None
    # a budget leaves the cheap ones alone
    assert _chosen([0.5, 0.7990, 0.7995, 0.8], [1.0, 2.0, 8.0, 32.0], Goal(max_cost=1.5, tolerance=0.02)) == 0


def test_ties_of_cost_go_to_the_value_then_to_the_distance() -> None:
    for goal in (Goal(tolerance=0.2), Goal(max_cost=9.0, tolerance=0.2)):
        assert _chosen([0.79, 0.80, 0.80, 0.78], [3.0, 3.0, 3.0, 3.0], goal, kl=[0.1, 0.4, 0.2, 0.0]) == 2
    base = [Option("softmax", "none", 1, 1, 5.0, None, "base"), *_drafts(3)]
    for goal in (Goal(min_gain=0.1), Goal(within=0.01, baseline_n=1)):
        found = _chosen(
            [0.5, 0.70, 0.72, 0.72], [9.0, 3.0, 3.0, 3.0 + 1e-10], goal, kl=[0, 0.1, 0.4, 0.2], table=_table(base)
        )
        assert found == 3, goal


def test_a_saving_of_one_percent_buys_no_loss_of_value() -> None:
    for goal in (Goal(tolerance=0.2), Goal(tolerance=0.2, max_cost=4.0)):
        assert _chosen([0.79, 0.80, 0.81], [3.0, 3.03, 3.1], goal) == 1
    base = [Option("softmax", "none", 1, 1, 5.0, None, "base"), *_drafts(3)]
    assert _chosen([0.5, 0.70, 0.72, 0.8], [9.0, 3.0, 3.03, 3.1], Goal(min_gain=0.1), table=_table(base)) == 2


def test_costs_and_values_that_differ_by_rounding_are_ties() -> None:
    third = 0.1 + 0.2
    assert by_cost([0.5, 0.5, 0.6], [third, 0.3, 0.3], [0.1, 0.2, 0.3]).tolist() == [2, 0, 1]
    assert pareto_front([0.5, 0.6, 0.6 + 1e-15], [1.0, 2.0, 2.0]).tolist() == [0, 1]
    assert pareto_front([0.6, 0.6], [2.0, 2.0], [0.3, 0.1]).tolist() == [1]
    assert pareto_front([0.6, 0.5], [np.inf, np.inf]).tolist() == [0]


def test_what_is_recommended_is_rarely_worse_than_is_said() -> None:
    """Cheap options just beyond the tolerance, by luck within it: they are taken in less than 5 % of pools."""
    truth = np.array([0.5, 0.789, 0.7895, 0.79, 0.8, 0.8])
    rng, wrong, answered = np.random.default_rng(11), 0, 0
    for _ in range(80):
        values = truth[:, None] + 0.05 * rng.normal(size=(6, 100))
        found = _chosen(truth.tolist(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Goal(tolerance=0.0124), values=values)
        answered += found is not None
        wrong += found is not None and bool(truth[found] * 1.0124 < 0.8)
    assert wrong <= 80 * 0.05 + 4 * np.sqrt(80 * 0.05 * 0.95)
    spread = truth[:, None] + 0.005 * rng.normal(size=(6, 100))
    assert _chosen(truth.tolist(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], Goal(tolerance=0.0124), values=spread) in (3, 4)


def test_unseen_drafts_do_not_speak_against_the_only_option() -> None:
    heavy = _table(_drafts(2), replace(SEEN, khat=0.9), drafts=20)
    assert _chosen([0.5, 0.8], [1.0, 2.0], Goal(max_cost=1.0), table=heavy) == 0
    assert _chosen([0.5, 0.8], [1.0, 2.0], Goal(), table=heavy) is None


@pytest.mark.parametrize("means", [[0.0, 0.0, 0.0], [-0.1, 0.0, 0.1], [1e-320, 0.0, -1e-320]])
def test_a_value_of_zero_is_no_division_by_it(means: list[float]) -> None:
    values = _values(means, 0.5)
    goal = Goal(tolerance=0.01)
    for bounds, many in (((-2.0, 2.0), "times as many prompts (or --tolerance 0."), ((-2e9, 2e-9), "")):
        choice, _ = choose_option(_table(_drafts(3)), values, np.array([1.0, 2.0, 3.0]), np.zeros(3), goal, bounds)
        assert (choice.chosen is None) == bool(many) and many in "".join(choice.improve), bounds
    # nothing varies: the cheapest is as good as any
    same, _ = choose_option(
        _table(_drafts(3)), np.zeros((3, 20)), np.array([3.0, 2.0, 1.0]), np.zeros(3), Goal(), (0.0, 0.0)
    )
    assert same.chosen == 2 and same.shortfall == 0.0


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
def test_bounds_against_one_reference_hold_for_all_options_at_once(units: int, options: int) -> None:
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


@pytest.mark.parametrize(("drafts", "base_draws"), [(100, 400), (400, 100)])
def test_held_prompts_widen_the_interval_by_what_the_smaller_source_hides(drafts: int, base_draws: int) -> None:
    """n log 20/N of the range, N the draws of the smaller source."""
    options = [Option("softmax", "none", 2, 2, 5.0, None), Option("softmax", "tilted_reward", 2, 8, 5.0, 0.5)]
    table: Any = SimpleNamespace(options=tuple(options), fixed=True, drafts=drafts, base_draws=base_draws)
    values = _values([0.3, 0.5], units=10)

    def pick(_: np.ndarray) -> int:
        return 1

    plain, wide = cross_fit(values, pick), worth_of(values, table, (0.0, 1.0), pick, 1)
    assert wide.low == pytest.approx(plain.low - 8 * np.log(20.0) / 100)
    assert wide.high == pytest.approx(plain.high + 8 * np.log(20.0) / 100)


def test_a_tail_is_shown_by_its_shape_and_by_as_many_drafts_as_reach_it() -> None:
    assert tail_shown(replace(SEEN, needed=(64.0, 900.0))) and not tail_shown(replace(SEEN, needed=(65.0, 65.0)))
    assert not tail_shown(replace(SEEN, khat=0.71, needed=(1.0, 1.0)))
