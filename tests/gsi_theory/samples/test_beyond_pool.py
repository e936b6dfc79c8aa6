"""Bounds beyond N (M49) against moment problems, subsets, integrals without project code; the model on known laws."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.stats import beta, betabinom, binom

from gsi_theory.errors import InputError
from gsi_theory.samples.beyond_bounds import count_bound, rank_bound
from gsi_theory.samples.beyond_pool import beyond_best, beyond_pass, by_reward
from gsi_theory.samples.beyond_rows import count_rows, rank_rows, reward_rows, share_sizes
from gsi_theory.samples.extrapolate import extrapolated
from gsi_theory.types import Floats

FINE = np.unique(np.concatenate([np.linspace(0, 1, 20001), np.geomspace(1e-9, 1, 5001)]))


def _moment_problem(law: Floats, size: int, n: int) -> tuple[float, float]:
    """Least and largest pass@n of difficulties on a grid that give these counts."""
    p = np.sin(np.linspace(0, np.pi / 2, 1500)) ** 2
    counts = np.array([binom.pmf(c, size, p) for c in range(size + 1)])
    goal = 1 - (1 - p) ** n
    slack = 1e-9  # of each count: the grid need not hold the law
    sides = np.vstack([counts, -counts]), np.concatenate([law + slack, slack - law])
    whole = {"A_eq": np.ones((1, p.size)), "b_eq": [1.0], "A_ub": sides[0], "b_ub": sides[1], "method": "highs"}
    return float(linprog(goal, **whole).fun), -float(linprog(-goal, **whole).fun)


@pytest.mark.parametrize("size, n, low, high", [(8, 16, 0.6127, 0.6155), (16, 64, 0.741, 0.745)])
def test_exact_moments_give_the_sharp_bounds_of_a_beta_law(size: int, n: int, low: float, high: float) -> None:
    law = betabinom.pmf(np.arange(size + 1), size, 0.3, 1.0)
    pair = [count_bound(size, n, upper, np.eye(size + 1), law, np.inf) for upper in (False, True)]
    below, above = (float(law @ bound.weights) for bound in pair)
    assert below == pytest.approx(low, abs=5e-4) and above == pytest.approx(high, abs=5e-4)
    least, most = _moment_problem(law, size, n)
    assert below == pytest.approx(least, abs=3e-4) and above == pytest.approx(most, abs=3e-4)


@pytest.mark.parametrize("prompts", [30.0, 1000.0, np.inf])
@pytest.mark.parametrize("size, n", [(1, 2), (2, 3), (5, 7), (16, 64), (64, 100), (1000, 5000)])
def test_weights_dominate_at_every_difficulty(size: int, n: int, prompts: float) -> None:
    cells = min(size, 40)
    law = np.array([binom.pmf(c, size, FINE) for c in range(cells)])
    law = np.vstack([law, 1 - law.sum(axis=0)])
    goal = -np.expm1(n * np.log1p(-np.minimum(FINE, 1 - 1e-16)))
    design = law[:, ::4000].mean(axis=1)
    for upper, side in ((False, -1.0), (True, 1.0)):
        bound = count_bound(size, n, upper, np.eye(cells + 1), design, prompts)
        gap = side * (bound.weights @ law - goal)
        # proved, and no looser than it must be; weights of a thousand bend between the points looked at here
        assert 0.0 <= gap.min() < (2e-5 if np.isfinite(prompts) else 0.02)
        assert (bound.low, bound.high) == (bound.weights.min(), bound.weights.max())


def _rank_mean(a, size: int, c: int) -> float:  # type: ignore[no-untyped-def]
    return quad(lambda u: a(u) * beta.pdf(u, size - c, c + 1), 0, 1, points=[0.3, 0.9])[0]


def _curve(a, n: int) -> float:  # type: ignore[no-untyped-def]
    return quad(lambda u: a(u) * n * u ** (n - 1), 0, 1, points=[0.3, 0.9], limit=200)[0]


@pytest.mark.parametrize("size, n, width", [(4, 8, 0.1709), (8, 16, 0.0282), (16, 32, 0.0006), (16, 64, 0.0515)])
def test_accuracy_is_bounded_for_every_dependence_on_the_rank(size: int, n: int, width: float) -> None:
    """Exact means of ranks: the width is the best approximation of n u^{n−1} by polynomials, and the truth inside."""
    flat = np.full((1, size), 0.5)
    pair = [rank_bound(size, n, upper, flat, np.ones(1), np.inf) for upper in (False, True)]
    wide = [float(flat[0] @ b.weights + b.offset) for b in pair]
    assert wide[1] - wide[0] == pytest.approx(width, abs=2e-4)
    for a in (lambda u: u, lambda u: float(u < 0.9), lambda u: float(0.3 < u < 0.9), lambda u: 1 - 0.5 * u**20):
        ranks = np.array([_rank_mean(a, size, c) for c in range(size)])
        low, high = (float(ranks @ b.weights + b.offset) for b in pair)
        assert low - 1e-7 <= _curve(a, n) <= high + 1e-7
    for b in pair:
        corners = np.where(b.weights > 0, 1.0, 0.0)
        assert b.weights @ corners == pytest.approx(b.high) and b.weights @ (1 - corners) == pytest.approx(b.low)


def test_rows_are_means_over_subsets() -> None:
    rng = np.random.default_rng(3)
    values = np.sort(rng.random(7))
    for size in (2, 4, 7):
        subsets = [np.sort(values[list(s)]) for s in combinations(range(7), size)]
        ranks = np.mean([s[::-1] for s in subsets], axis=0)
        assert np.allclose(rank_rows([values], size)[0], ranks, rtol=0, atol=1e-12)
        gaps = np.mean([np.diff(np.concatenate([[0], s, [1]]))[::-1] for s in subsets], axis=0)
        assert np.allclose(reward_rows([values], size)[0], gaps, rtol=0, atol=1e-12)
        counts = np.mean([np.bincount([np.sum(np.array(s) < 3)], minlength=size + 1) for s in
                          combinations(range(7), size)], axis=0)  # fmt: skip
        assert np.allclose(count_rows(np.array([7]), np.array([3]), size)[0], counts, rtol=0, atol=1e-12)


def test_rewards_of_right_and_wrong_are_counts() -> None:
    """A reward that is the grade: the best of n is pass@n, row by row."""
    right = np.array([0, 1, 3, 8])
    graded = [np.concatenate([np.zeros(8 - c), np.ones(c)]) for c in right]
    for size in (3, 8):
        assert np.allclose(reward_rows(graded, size), count_rows(np.full(4, 8), right, size), rtol=0, atol=1e-12)


def test_many_draws_keep_a_last_cell_for_all_that_follows() -> None:
    values = np.sort(np.random.default_rng(0).random(300))
    whole = rank_rows([values], 300)[0]
    assert (
        whole.size == 41
        and np.allclose(whole[:40], values[::-1][:40])
        and whole[-1] == pytest.approx(values[:260].sum())
    )
    assert share_sizes(np.array([4, 16, 16, 9, 7, 5, 30, 12])).max() <= 30
    assert np.array_equal(share_sizes(np.array([4, 16, 16])), [4, 16, 16])


def test_equal_rewards_share_their_values() -> None:
    assert by_reward([1.0, 0.0, 1.0, 0.0], [2.0, 1.0, 1.0, 3.0]).tolist() == [0.5, 0.5, 1.0, 0.0]


def test_extrapolation_is_exact_in_its_families() -> None:
    """a(p) = 2 − p: the draw that c of N exceed is worth 2 − (c + 1)/(N + 1), best-of-n 2 − 1/(n + 1)."""
    for size in (4, 9, 100):
        ranks = 2 - (np.arange(size) + 1) / (size + 1)
        cells = min(size - 1, 40)
        row = np.append(ranks[:cells], ranks[cells:].sum())
        value, low, high = extrapolated({size: np.vstack([row, row])}, 3 * size)
        assert [value, low, high] == pytest.approx([2 - 1 / (3 * size + 1)] * 3, abs=1e-8)
    with pytest.raises(InputError, match="3 draws a prompt"):
        extrapolated({3: np.zeros((2, 3))}, 8)


def test_bounds_hold_and_the_model_tells_where_it_was_tried() -> None:
    """A law of difficulties with half of the prompts nearly unsolvable; prompts of 8 and 16 draws."""
    rng = np.random.default_rng(5)
    missed, told = 0, 0
    for _ in range(8):
        p = np.where(rng.random(60) < 0.5, 0.01, 0.4)
        draws = rng.choice([8, 16], 60)
        for one in beyond_pass(draws, rng.binomial(draws, p), [32, 500], rng):
            truth = 1 - 0.5 * (0.99**one.n + 0.6**one.n)
            assert one.guaranteed_low is not None and one.guaranteed_high is not None
            missed += not one.guaranteed_low <= truth <= one.guaranteed_high
            if one.n == 500:
                assert one.estimate is None and "tried up to" in one.reason
            elif one.low is not None and one.high is not None:
                told += 1
                assert 0 <= one.low <= one.estimate <= one.high <= 1  # type: ignore[operator]
    assert missed <= 3  # 16 pairs at 95 %
    assert told >= 6


def test_rewards_beyond_the_log() -> None:
    """The best of n uniform rewards is n/(n + 1); without bounds nothing is certain; a range scales everything."""
    rng = np.random.default_rng(8)
    rewards = [np.sort(rng.random(16)) for _ in range(80)]
    one = beyond_best(rewards, [32], np.random.default_rng(1), "reward", (0.0, 1.0))[0]
    assert one.guaranteed_low < 32 / 33 < one.guaranteed_high and one.low < 32 / 33 < one.high  # type: ignore[operator]
    assert one.guaranteed_low > 0.85  # type: ignore[operator]
    wide = beyond_best([10 * r - 5 for r in rewards], [32], np.random.default_rng(1), "reward", (-5.0, 5.0))[0]
    for name in ("estimate", "low", "high", "guaranteed_low", "guaranteed_high"):
        assert getattr(wide, name) == pytest.approx(10 * getattr(one, name) - 5)
    none = beyond_best(rewards, [32], rng, "reward", None)[0]
    assert none.guaranteed_low is None and none.guaranteed_high is None
    assert none.estimate == pytest.approx(one.estimate)


def test_a_model_that_does_not_foretell_the_log_says_nothing() -> None:
    """Accuracy that falls where the best eighth of the rewards begins: the halves of 16 draws do not show it."""
    rng = np.random.default_rng(2)
    values = [(rng.random(16) < np.where(np.arange(16) >= 15, 0.0, 0.9)) * 1.0 for _ in range(300)]
    one = beyond_best(values, [32], rng, "correct", (0.0, 1.0))[0]
    assert one.estimate is None and one.reason.startswith("cannot tell: from 8 draws a prompt")
    assert one.guaranteed_low is not None


def test_few_draws_are_too_few_to_try() -> None:
    one = beyond_pass([2, 2, 2, 2], [1, 0, 2, 1], [4], np.random.default_rng(0))[0]
    assert one.estimate is None and "too few" in one.reason and 0 <= one.guaranteed_low <= one.guaranteed_high <= 1  # type: ignore[operator]
    assert one.record()["n"] == 4


def test_some_prompts_of_few_draws_silence_the_model_and_not_the_bounds() -> None:
    values = [np.arange(2 if k < 3 else 8) / 8 for k in range(20)]
    (one,) = beyond_best(values, [16], np.random.default_rng(0), "reward", (0.0, 1.0))
    assert one.estimate is None and one.reason is not None and "some prompts have fewer than 4 draws" in one.reason
    assert one.guaranteed_low is not None and one.guaranteed_low > 0.1


@pytest.mark.parametrize("right", [np.zeros(30), np.full(30, 16.0)])
def test_all_or_none_right(right: Floats) -> None:
    one = beyond_pass(np.full(30, 16), right, [32], np.random.default_rng(0))[0]
    if one.low is not None:
        assert 0 <= one.low <= one.high <= 1  # type: ignore[operator]
    assert one.guaranteed_low <= right[0] / 16 <= one.guaranteed_high + 1e-3  # type: ignore[operator]


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="right"):
        beyond_pass([4, 4], [5, 1], [8], rng)
    with pytest.raises(InputError, match="2 or more"):
        beyond_pass([4], [1], [8], rng)
    with pytest.raises(InputError, match="n = "):
        beyond_pass([4, 4], [1, 1], [0], rng)
    with pytest.raises(InputError, match="do not ascend"):
        beyond_best([np.array([1.0, 0.0])] * 2, [4], rng, "reward", None)
    with pytest.raises(InputError, match="bounds"):
        beyond_best([np.array([0.0, 2.0])] * 2, [4], rng, "reward", (0.0, 1.0))
    with pytest.raises(InputError, match="1 prompts"):
        beyond_best([np.array([0.0, 2.0])], [4], rng, "reward", (0.0, 1.0))
    with pytest.raises(InputError, match="N = 0"):
        count_bound(0, 2, True, np.eye(1), np.ones(1), 10.0)
