"""The sequential test of conform (M50): its value by hand, its level, its bounds of TV, its stated power."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from gsi_theory.conformance.e_process import EProcess, detectable_tv, tv_bounds
from gsi_theory.errors import InputError
from tests.benches.conform import power_at

LAWS = [np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.75])]
OTHER = [np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.5])]
THIRD = [np.array([0.4, 0.3, 0.3]), np.array([0.75, 0.25])]


def by_hand(
    problems: list[int], outcomes: list[int], laws: list[list[Fraction]], others: list[list[list[Fraction]]]
) -> Fraction:
    """½ Π KT/p₀ + ½ mean_j Π q_j/p₀, by its definition."""
    seen = [[0] * len(law) for law in laws]
    mixture, named = Fraction(1), [Fraction(1)] * len(others)
    for m, y in zip(problems, outcomes, strict=True):
        size = len(laws[m])
        chance = (Fraction(seen[m][y]) + Fraction(1, 2)) / (sum(seen[m]) + Fraction(size, 2))
        mixture *= chance / laws[m][y]
        named = [value * other[m][y] / laws[m][y] for value, other in zip(named, others, strict=True)]
        seen[m][y] += 1
    return mixture / 2 + sum(named, Fraction(0)) / (2 * len(named))


def test_the_evidence_is_that_of_its_definition_however_it_is_cut() -> None:
    rng = np.random.default_rng(0)
    exact = [[Fraction(str(p)) for p in law] for law in LAWS]
    others = [[[Fraction(str(p)) for p in law] for law in laws] for laws in (OTHER, THIRD)]
    for _ in range(20):
        problems = rng.integers(0, 2, 40)
        outcomes = np.array([rng.integers(0, len(LAWS[m])) for m in problems])
        whole = EProcess(LAWS, [0.0, 0.0], [OTHER, THIRD])
        path, _ = whole.read(problems, outcomes)
        parts = EProcess(LAWS, [0.0, 0.0], [OTHER, THIRD])
        cuts = [parts.read(problems[a:b], outcomes[a:b])[0] for a, b in ((0, 1), (1, 18), (18, 40))]
        assert np.allclose(np.concatenate(cuts), path, rtol=0.0, atol=1e-10)
        for t in (1, 7, 40):
            value = by_hand(problems[:t].tolist(), outcomes[:t].tolist(), exact, others)
            assert path[t - 1] == pytest.approx(float(np.log(float(value))), abs=1e-10)
        assert whole.draws == parts.draws == 40
        assert [c.tolist() for c in whole.counts] == [c.tolist() for c in parts.counts]


def test_it_is_a_martingale_under_the_law() -> None:
    """Its mean over every sequence of five outcomes is 1, exactly."""
    law = LAWS[0]
    total = 0.0
    for outcomes in product(range(3), repeat=5):
        process = EProcess([law], [0.0], [[OTHER[0]]])
        path, _ = process.read(np.zeros(5, dtype=int), np.array(outcomes))
        total += float(np.exp(path[-1]) * np.prod(law[list(outcomes)]))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_it_stops_at_the_first_crossing() -> None:
    rng = np.random.default_rng(1)
    outcomes = rng.choice(3, 400, p=OTHER[0])
    problems = np.zeros(400, dtype=int)
    path, _ = EProcess([LAWS[0]], [0.0], [[OTHER[0]]]).read(problems, outcomes)
    process = EProcess([LAWS[0]], [0.0], [[OTHER[0]]])
    short, read = process.read(problems, outcomes, 0.01)
    first = int(np.argmax(path >= np.log(100.0))) + 1
    assert read == first == short.size < 400 and process.draws == first
    assert (short[:-1] < np.log(100.0)).all() and short[-1] >= np.log(100.0)


def test_an_impossible_outcome_refutes_at_once_and_a_law_known_within_an_error_does_not() -> None:
    law = np.array([1.0, 0.0])
    sure = EProcess([law], [0.0]).read(np.zeros(1, dtype=int), np.array([1]))[0]
    unsure = EProcess([law], [0.3]).read(np.zeros(1, dtype=int), np.array([1]))[0]
    assert sure[0] > 600.0 and unsure[0] < np.log(2.0)


def test_right_samplers_are_refuted_no_more_often_than_the_level() -> None:
    """2,000 runs of 400 outcomes, looked at after each: at most 5 % and three standard errors at level 5 %."""
    rng = np.random.default_rng(2)
    turns = np.arange(400) % 2
    alarms = 0
    for _ in range(2000):
        outcomes = np.where(turns == 0, rng.choice(3, 400, p=LAWS[0]), rng.choice(2, 400, p=LAWS[1]))
        process = EProcess(LAWS, [0.0, 0.0], [OTHER, THIRD])
        alarms += process.read(turns, outcomes, 0.05)[1] < 400 or process.highest >= np.log(20.0)
    assert alarms <= 2000 * 0.05 + 3.0 * np.sqrt(2000 * 0.05 * 0.95)
    assert alarms > 0


def test_bounds_of_the_distance_hold_the_truth_and_are_those_of_a_grid() -> None:
    law = LAWS[0]
    grid = np.array([(a, b, 1.0 - a - b) for a in np.linspace(1e-4, 0.999, 160) for b in np.linspace(1e-4, 0.999, 160)])
    grid = grid[grid[:, 2] > 1e-5]
    for counts in (np.array([50, 30, 20]), np.array([10, 70, 20]), np.array([0, 3, 0])):
        draws = counts.sum()
        budget = (np.log(20.0) + np.log(draws) + np.log(3.0)) / draws
        share = counts / draws
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(share > 0, share * np.log(share / grid), 0.0).sum(axis=1)
        inside = grid[gain <= budget]
        distances = 0.5 * np.abs(inside - law).sum(axis=1)
        low, high = tv_bounds(counts, law, 0.05)
        assert high == pytest.approx(distances.max(), abs=0.012)
        assert low <= distances.min() + 1e-9  # of every set alone: a bound, not the least
    truth = np.array([0.6, 0.3, 0.1])
    rng, held = np.random.default_rng(3), 0
    for _ in range(300):
        low, high = tv_bounds(np.bincount(rng.choice(3, 500, p=truth), minlength=3), law, 0.05)
        held += low <= 0.1 <= high
    assert held >= 285


@pytest.mark.parametrize("laws", [[np.array([0.4, 0.3, 0.2, 0.1])] * 4, [np.array([0.5, 0.5])]])
def test_the_stated_power_is_met(laws: list[np.ndarray]) -> None:
    """At the stated TV about four runs of five are refuted; at 0.8 and 1.2 times it far fewer and nearly all."""
    stated = detectable_tv(laws, 4000, 0.01)
    low, at, high = (power_at(laws, factor * stated, 120, 4000, 1) for factor in (0.8, 1.0, 1.2))
    assert low < 0.6 and at > 0.65 and high > 0.9


def test_what_is_no_law_is_refused() -> None:
    with pytest.raises(InputError, match=r"sum of 0\.9"):
        EProcess([np.array([0.5, 0.4])], [0.0])
    with pytest.raises(InputError, match="another number"):
        EProcess([np.array([0.5, 0.5])], [0.0], [[LAWS[0]]])
