"""One prompt's curves: against all subsets in exact fractions, rows that stand for many draws, and hard cases."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory.samples.draw_curve import DrawCurve, best_of_n, weighted_by_reward
from gsi_theory.types import Ints
from tests.oracles.subsets import KERNELS, subset_average, subset_variance

# rewards as decimals, several of them equal
REWARDS = {
    "distinct": "0.1 0.7 0.35 0.2 0.9 -0.4 0.15 0.8 0.05",
    "ties": "0.3 0.1 0.3 0.3 0.7 0.7 0.1",
    "all equal": "0.5 0.5 0.5 0.5",
    "binary": "0 1 1 0 0 0 1 0 0 1",
    "pair": "2 1",
    "one": "3",
}


def _values(size: int) -> list[Fraction]:
    return [Fraction((7 * k * k + 3 * k) % 11 - 5, 4) for k in range(size)]


def _against(name: str, rule: str, curve: DrawCurve, weights: list[Fraction]) -> None:
    """Value and variance at every n against the oracle's."""
    values, size = _values(len(weights)), len(weights)
    for n in range(1, size + 1):
        exact = float(subset_average(values, weights, n, KERNELS[rule]))
        assert abs(curve.value[0, n - 1] - exact) < 1e-12, (name, n)
        if size == 1:
            assert curve.variance[0, 0] == np.inf
            continue
        spread = subset_variance(values, weights, n, KERNELS[rule])
        assert curve.variance[0, n - 1] == pytest.approx(float(spread), rel=1e-5, abs=1e-11), (name, n)
    assert not curve.simulation.any()


@pytest.mark.parametrize("name", REWARDS)
def test_best_of_n_is_the_average_over_all_subsets(name: str) -> None:
    decimals = [Fraction(word) for word in REWARDS[name].split()]
    weights = [value - min(decimals) for value in decimals]  # the max rule asks for the order alone
    reward = np.array([float(value) for value in decimals])
    size, values = reward.size, np.array([[float(v) for v in _values(reward.size)]])
    curve = best_of_n(reward, values, np.ones(size, dtype=np.int64), np.arange(1, size + 1))
    _against(name, "max", curve, weights)


@pytest.mark.parametrize("rule", ["softmax", "race"])
@pytest.mark.parametrize("beta", [1.0, 3.5])
def test_soft_curves_are_the_average_over_all_subsets(rule: str, beta: float) -> None:
    weights = [Fraction(w) for w in (3, 1, 1, 5, 2, 5, 7, 4)]
    reward = np.log([float(w) for w in weights]) / beta
    values = np.array([[float(v) for v in _values(8)]])
    curve = weighted_by_reward(reward, values, np.ones(8, dtype=np.int64), np.arange(1, 9), beta, rule)
    _against(rule, rule, curve, weights)


def _as_one(reward: list[float], value: list[float], counts: Ints, ns: Ints) -> tuple[DrawCurve, DrawCurve]:
    rows = np.array(reward), np.array([value])
    many = np.repeat(np.arange(len(reward)), counts)
    return best_of_n(*rows, counts, ns), best_of_n(
        rows[0][many], rows[1][:, many], np.ones(many.size, dtype=np.int64), ns
    )


def test_a_row_may_stand_for_many_draws() -> None:
    counts = np.array([3, 4, 1, 2])
    together, apart = _as_one([0.5, 0.2, 0.2, 0.9], [1.0, 0.0, 1.0, 0.5], counts, np.arange(1, 11))
    assert np.allclose(together.value, apart.value, atol=1e-14)
    assert np.allclose(together.variance, apart.variance, atol=1e-14)


def test_a_million_draws_in_two_rows() -> None:
    ns = np.array([1, 10, 1000, 10**6])
    curve = best_of_n(np.array([0.0, 1.0]), np.array([[0.0, 1.0]]), np.array([10**6 - 20, 20]), ns)
    p = 20 / 10**6
    assert curve.value[0, :3] == pytest.approx(1 - (1 - p) ** ns[:3], rel=2e-3)
    assert curve.value[0, 3] == 1.0
    # of n = 1 it is the variance of a mean
    assert curve.variance[0, 0] == pytest.approx(p * (1 - p) / (10**6 - 1), rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1e6])
@pytest.mark.parametrize("rule", ["softmax", "race"])
def test_beta_of_zero_is_the_mean_and_a_huge_one_the_best(rule: str, beta: float) -> None:
    reward, ns = np.array([0.1, 0.3, 0.3, 0.7, 0.2]), np.arange(1, 6)
    values, counts = np.array([[1.0, 0.0, 1.0, 0.0, 1.0]]), np.ones(5, dtype=np.int64)
    curve = weighted_by_reward(reward, values, counts, ns, beta, rule)
    other = best_of_n(np.zeros(5) if beta == 0 else reward, values, counts, ns)
    assert np.allclose(curve.value, other.value, atol=1e-12) and np.isfinite(curve.variance).all()


def test_what_takes_too_long_is_not_computed() -> None:
    reward = np.linspace(0, 1, 2000)
    ns = np.array([1, 64, 131, 132, 2000])
    curve = weighted_by_reward(reward, reward[None], np.ones(2000, dtype=np.int64), ns, 1.0, "softmax")
    assert np.isfinite(curve.value[0]).tolist() == [True, True, True, False, False]
    huge = weighted_by_reward(np.array([0.0, 1.0]), np.array([[0.0, 1.0]]), np.array([10**9, 5]), ns, 1.0, "softmax")
    assert np.isnan(huge.value).all() and np.isnan(huge.variance).all()


def test_the_variance_is_never_too_small_on_average() -> None:
    """Both parts of it, over many pools of one law: n < N, and n = N by Efron and Stein's inequality."""
    rng, size = np.random.default_rng(3), 8
    ns, ones = np.arange(1, size + 1), np.ones(size, dtype=np.int64)
    pools = rng.random((3000, size)) ** 3
    curves = [best_of_n(pool, pool[None], ones, ns) for pool in pools]
    value = np.array([curve.value[0] for curve in curves])
    variance = np.array([curve.variance[0] for curve in curves])
    noise = 4 * variance.std(axis=0) / np.sqrt(len(pools)) + 0.1 * value.var(axis=0)
    assert (variance.mean(axis=0) >= value.var(axis=0) - noise).all()
    # linear in the draws: exact
    assert variance.mean(axis=0)[0] == pytest.approx(value.var(axis=0)[0], rel=0.1)
