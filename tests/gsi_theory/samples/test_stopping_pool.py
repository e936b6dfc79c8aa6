"""Stopping from a pool: against all orders of its draws in fractions, unbiased over pools, and hard cases."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest

from gsi_theory.laws.stopping import stopping_law, threshold_keep
from gsi_theory.samples.draw_curve import best_of_n
from gsi_theory.samples.stopping_pool import stopped_best


def _over_orders(reward: list[int], value: list[int], n: int, cut: float) -> tuple[Fraction, Fraction]:
    """(value, draws) over all orders: the first n draws in turn, ties among the best shared."""
    total, number, orders = Fraction(0), Fraction(0), 0
    for order in permutations(range(len(reward))):
        orders += 1
        first = order[:n]
        stop = next((d for d, j in enumerate(first) if reward[j] >= cut), None)
        if stop is not None:
            total, number = total + value[first[stop]], number + stop + 1
            continue
        top = max(reward[j] for j in first)
        best = [value[j] for j in first if reward[j] == top]
        total, number = total + Fraction(sum(best), len(best)), number + n
    return total / orders, number / orders


def test_values_and_draws_are_means_over_all_orders() -> None:
    """300 pools of up to six draws, ties and rows that stand for several, every n and four thresholds, to 1e-12."""
    rng = np.random.default_rng(3620)
    for trial in range(300):
        rows = 1 + trial % 4
        counts = rng.integers(1, 3, rows) if rows < 4 else np.ones(4, dtype=np.int64)
        reward, value = rng.integers(0, 3, rows), rng.integers(-2, 3, rows)
        ns, cuts = np.arange(1, counts.sum() + 1), np.array([-1.0, 1.0, 1.5, 9.0])
        each = np.repeat(np.arange(rows), counts)
        found, draws = stopped_best(reward.astype(float), value[None].astype(float), counts, ns, cuts)
        for (u, cut), (m, n) in product(enumerate(cuts.tolist()), enumerate(ns.tolist())):
            exact = _over_orders(reward[each].tolist(), value[each].tolist(), n, cut)
            assert found[0, u, m] == pytest.approx(float(exact[0]), abs=1e-12)
            assert draws[u, m] == pytest.approx(float(exact[1]), abs=1e-12)


def test_the_mean_over_pools_is_the_law() -> None:
    """All 3⁵ pools of five draws, weighed: value and draws of the exact law, to 1e-12."""
    mass, reward, gold = np.array([0.5, 0.3, 0.2]), np.array([0.0, 1.0, 2.0]), np.array([0.3, 1.0, -0.5])
    ns, cuts = np.array([1, 3, 5]), np.array([0.5, 2.0, 3.0])
    value, draws = np.zeros((3, 3)), np.zeros((3, 3))
    for pool in product(range(3), repeat=5):
        rows, chance = np.array(pool), float(np.prod(mass[list(pool)]))
        found = stopped_best(reward[rows], gold[rows][None], np.ones(5, dtype=np.int64), ns, cuts)
        value, draws = value + chance * found[0][0], draws + chance * found[1]
    for u, m in product(range(3), range(3)):
        law = stopping_law(np.log(mass), reward, threshold_keep(reward, cuts[u]), int(ns[m]))
        assert value[u, m] == pytest.approx(float(np.exp(law.log_prob) @ gold), abs=1e-12)
        assert draws[u, m] == pytest.approx(law.mean_draws, abs=1e-12)


def test_hard_cases() -> None:
    """No threshold that is met is best-of-n; one met by all is one draw; a million equal rows cost as much as two."""
    rng = np.random.default_rng(3621)
    reward, values = np.round(rng.random(40), 1), rng.random((2, 40))
    counts, ns = rng.integers(1, 4, 40), np.array([1, 2, 7, 40])
    found, draws = stopped_best(reward, values, counts, ns, np.array([-np.inf, np.inf]))
    assert np.abs(found[:, 1] - best_of_n(reward, values, counts, ns).value).max() <= 1e-12
    assert np.abs(found[:, 0] - (values @ counts / counts.sum())[:, None]).max() <= 1e-12
    assert draws[0].tolist() == [1.0] * 4 and draws[1].tolist() == ns.tolist()
    many, number = stopped_best(
        np.array([0.0, 1.0]), np.array([[0.0, 1.0]]), np.array([10**9 - 1, 1]), np.array([10**9]), np.array([1.0])
    )
    assert many[0, 0, 0] == pytest.approx(1.0, abs=1e-12) and number[0, 0] == pytest.approx((10**9 + 1) / 2, rel=1e-12)
    one = stopped_best(np.array([0.5]), np.array([[2.0]]), np.array([1]), np.array([1]), np.array([0.5, 0.6]))
    assert one[0].ravel().tolist() == [2.0, 2.0] and one[1].ravel().tolist() == [1.0, 1.0]
