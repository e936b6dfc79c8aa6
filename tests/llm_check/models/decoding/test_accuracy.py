"""Intervals of accuracy and of paired differences: an independent restricted likelihood, coverage, McNemar at zero."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize, stats

from gsi_theory.errors import InputError
from llm_check.models.decoding.accuracy import accuracy_of, paired_difference, wilson


def verdicts(b: int, c: int, both: int, neither: int) -> tuple[list[str], list[str]]:
    first = ["right"] * (b + both) + ["wrong"] * (c + neither)
    second = ["wrong"] * b + ["right"] * both + ["right"] * c + ["wrong"] * neither
    return first, second


def score_by_search(delta: float, b: int, c: int, m: int) -> float:
    """The score statistic with the restricted maximum found numerically on the multinomial likelihood."""
    low, high = max(0.0, -delta), (1.0 - delta) / 2.0

    def negative(q: float) -> float:
        cells = np.array([q + delta, q, 1.0 - 2.0 * q - delta])
        counts = np.array([b, c, m - b - c])
        if np.any((cells <= 0.0) & (counts > 0)):
            return 1e300
        return -float(counts[counts > 0] @ np.log(cells[counts > 0]))

    q = optimize.minimize_scalar(negative, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (b - c - m * delta) / np.sqrt(m * (2.0 * q + delta - delta**2))


@pytest.mark.parametrize("cell", [(7, 2, 20, 11), (1, 9, 5, 5), (3, 3, 0, 14), (12, 0, 3, 5)])
def test_both_ends_have_the_quantile_as_their_score(cell: tuple[int, int, int, int]) -> None:
    b, c, m = cell[0], cell[1], sum(cell)
    found = paired_difference(*verdicts(*cell))
    assert (found.pairs, found.only_first, found.only_second) == (m, b, c)
    assert found.difference == (b - c) / m
    assert found.low < found.difference < found.high
    z = stats.norm.ppf(0.975)
    assert score_by_search(found.low, b, c, m) == pytest.approx(z, abs=1e-4)
    assert score_by_search(found.high, b, c, m) == pytest.approx(-z, abs=1e-4)


def test_zero_is_excluded_where_mcnemar_rejects() -> None:
    for b, c in itertools.product(range(12), repeat=2):
        found = paired_difference(*verdicts(b, c, 10, 10))
        statistic = (b - c) ** 2 / (b + c) if b + c else 0.0
        assert (not found.low <= 0.0 <= found.high) == (found.p_value < 0.05), (b, c)
        assert found.p_value == pytest.approx(stats.chi2.sf(statistic, 1))


@pytest.mark.parametrize("truth", [(0.2, 0.1), (0.3, 0.3), (0.05, 0.25)])
def test_interval_covers_the_truth(truth: tuple[float, float]) -> None:
    """Exact coverage at m = 30: all multinomial outcomes, no sampling. Score intervals are near 95 %, not above it."""
    m, (p, q) = 30, truth
    covered = 0.0
    for b in range(m + 1):
        for c in range(m + 1 - b):
            mass = stats.multinomial.pmf([b, c, m - b - c], m, [p, q, 1 - p - q])
            if mass > 1e-9:
                found = paired_difference(*verdicts(b, c, 0, m - b - c))
                covered += mass * (found.low <= p - q <= found.high)
    assert 0.93 < covered < 0.98


def test_extremes_and_failures() -> None:
    same = paired_difference(["right", "wrong"], ["right", "wrong"])
    assert same.difference == 0.0 and same.p_value == 1.0 and same.low < 0.0 < same.high
    every = paired_difference(["right"] * 5, ["wrong"] * 5)
    assert every.difference == 1.0 and every.high == 1.0 and every.low > 0.0
    none = paired_difference(["failed"], ["right"])
    assert none.difference is None and (none.low, none.high) == (-1.0, 1.0)
    found = accuracy_of(["right", "failed", "wrong", "right"])
    assert (found.right, found.wrong, found.failed) == (2, 1, 1)
    assert found.accuracy == 2 / 3 and (found.low, found.high) == wilson(2, 3)
    assert accuracy_of([]).accuracy is None and (accuracy_of([]).low, accuracy_of([]).high) == (0.0, 1.0)
    with pytest.raises(InputError, match="verdict 'maybe' of problem 1"):
        accuracy_of(["right", "maybe"])
    with pytest.raises(InputError, match="lengths 1 and 2"):
        paired_difference(["right"], ["right", "wrong"])


def test_wilson_interval_at_the_edge() -> None:
    low, high = wilson(0, 20)
    assert low == 0.0
    assert 0.1 < high < 0.2
