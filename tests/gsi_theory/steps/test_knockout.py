"""Tournaments (M25): exact recursion and sum against enumeration in Fractions and against simulation; the bounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.steps.knockout import knockout_bound, knockout_fail, league_bound, league_fail, lost_majority
from tests.oracles import tournament_enumeration


@pytest.mark.parametrize("candidates", [1, 2, 3, 4, 5, 6, 7, 9])
def test_knockout_is_enumeration(candidates: int) -> None:
    for p, right, comparisons in ((Fraction(1, 3), Fraction(2, 3), 1), (Fraction(2, 5), Fraction(3, 4), 4)):
        truth = tournament_enumeration.fail("knockout", p, right, candidates, comparisons)
        found = knockout_fail(float(p), float(right), candidates, comparisons)
        assert float(found) == pytest.approx(float(truth), rel=1e-12)


@pytest.mark.parametrize(("candidates", "comparisons"), [(1, 3), (2, 3), (3, 2), (4, 3), (5, 2)])
def test_league_is_enumeration(candidates: int, comparisons: int) -> None:
    for p, right in ((Fraction(1, 3), Fraction(2, 3)), (Fraction(3, 4), Fraction(4, 5))):
        truth = tournament_enumeration.fail("league", p, right, candidates, comparisons)
        assert league_fail(float(p), float(right), candidates, comparisons) == pytest.approx(float(truth), abs=1e-12)


def test_arrays_are_one_by_one_and_many_candidates_are_cheap() -> None:
    rng = np.random.default_rng(50)
    p, right = rng.uniform(0, 1, 40), rng.uniform(0.5, 1, 40)
    n, k = rng.integers(1, 3000, 40), rng.integers(1, 60, 40)
    found = knockout_fail(p, right, n, k)
    for i in range(40):
        assert found[i] == float(knockout_fail(p[i], right[i], int(n[i]), int(k[i])))
    assert np.all(found <= knockout_bound(p, right, n, k) + 1e-12)
    assert 0.0 < float(knockout_fail(0.5, 0.6, 2**53, 1)) < 1.0


def test_simulation_of_both() -> None:
    """20 000 tournaments each, five standard errors."""
    rng = np.random.default_rng(51)
    p, right, n, k, trials = 0.4, 0.75, 6, 3, 20_000
    types = rng.random((trials, n)) < p

    def meet(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        chance = np.where(a == b, 0.5, np.where(a, right, 1 - right))
        return np.where(rng.binomial(k, chance) * 2 > k, a, b)

    halves = [meet(meet(types[:, i], types[:, i + 1]), types[:, i + 2]) for i in (0, 3)]
    scores = np.zeros((trials, n), dtype=int)
    for i in range(n):
        for _ in range(k):
            other = (i + rng.integers(1, n, trials)) % n
            rival = types[np.arange(trials), other]
            chance = np.where(types[:, i] == rival, 0.5, np.where(types[:, i], right, 1 - right))
            scores[:, i] += rng.random(trials) < chance
    top = scores == scores.max(axis=1, keepdims=True)
    for seen, exact in (
        (~meet(*halves), float(knockout_fail(p, right, n, k))),
        (np.any(top & ~types, axis=1), league_fail(p, right, n, k)),
    ):
        assert abs(seen.mean() - exact) <= 5 * np.sqrt(exact * (1 - exact) / trials)


def test_bounds_hold_and_the_league_bound_can_say_something() -> None:
    assert league_fail(0.9, 0.99, 256, 256) <= league_bound(0.9, 0.99, 256, 256) < 1.0
    for n in (2, 5, 16):
        for right in (0.5, 0.8, 1.0):
            assert league_fail(0.3, right, n, 8) <= league_bound(0.3, right, n, 8) + 1e-12
    assert lost_majority(np.array(0.5), np.array(7.0)) == pytest.approx(0.5, abs=1e-14)


@pytest.mark.parametrize("bad", [(1.5, 0.7, 3, 3), (0.5, np.nan, 3, 3), (0.5, 0.7, 2.5, 3), (0.5, 0.7, 3, 0)])
def test_bad_input_is_refused(bad) -> None:
    for function in (knockout_fail, knockout_bound, league_fail, league_bound):
        with pytest.raises(InputError, match="give"):
            function(*bad)


def test_the_first_bad_number_is_named_with_its_place() -> None:
    grid = np.array([[0.5, 0.25], [1.5, -0.5]])
    with pytest.raises(InputError, match=r"p\[1, 0\] = .*1\.5.*: give probabilities"):
        knockout_fail(grid, 0.5, 4, 1)
    with pytest.raises(InputError, match=r"candidates\[1\] = .*2\.5.*: give whole numbers"):
        knockout_fail(0.5, 0.5, [4, 2.5, 0], 1)
