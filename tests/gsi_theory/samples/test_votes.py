"""Votes over all subsets (M47): both votes against exact fractions, ties of decimals, silent draws, large pools."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory.samples import vote_kernels, vote_samples, votes
from gsi_theory.samples.vote_samples import sampled_majority, weighted_majority
from gsi_theory.samples.votes import majority, majority_means
from tests.oracles.vote_subsets import left_out_variance, vote_average, vote_jackknife

RNG = np.random.default_rng(0)
# answers (., none), right or wrong, rewards as decimals
POOLS = {
    "plain": ("aabbcada", "11000010", "0.9 0.2 0.3 0.35 0.1 0.6 0.2 0.7"),
    "silent": ("a..ab.bc.", "110000101", "0.5 0.2 0.1 0.4 0.3 0.8 0.6 0.15 0.9"),
    "ties of decimals": ("aabcc", "11000", "0.1 0.2 0.3 0.15 0.15"),
    "all differ": ("abcdef", "010010", "1 2 3 4 5 6"),
    "all alike": ("aaaaa", "11111", "0.5 0.5 0.5 0.5 0.5"),
    "nobody": ("...", "010", "0.1 0.2 0.3"),
    "one": ("a", "1", "0.3"),
    "negative": ("aabbc", "11000", "-0.5 0.2 -0.1 -0.2 0.1"),
    "answer right in part": ("aaabbb", "110100", "0.1 0.2 0.3 0.4 0.5 0.6"),
}


@pytest.fixture(params=[True, False], ids=["compiled", "python"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops compiled, and as they are written."""
    for name, loop in vars(vote_kernels).items():
        if hasattr(loop, "py_func") and not request.param:
            monkeypatch.setattr(vote_kernels, name, loop.py_func)


def _pool(name: str) -> tuple[list[str | None], list[Fraction], list[Fraction]]:
    letters, right, rewards = POOLS[name]
    answers = [None if letter == "." else letter for letter in letters]
    return answers, [Fraction(int(r)) for r in right], [Fraction(word) for word in rewards.split()]


def _arrays(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    answers, values, rewards = _pool(name)
    order = sorted({a for a in answers if a is not None})
    code = np.array([-1 if a is None else order.index(a) for a in answers])
    return code, np.array([float(r) for r in rewards]), np.array([float(v) for v in values]), np.ones(len(code), int)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", POOLS)
def test_votes_are_the_average_over_all_subsets(name: str, weighted: bool) -> None:
    answers, values, rewards = _pool(name)
    weights = rewards if weighted else [Fraction(1)] * len(answers)
    code, reward, worth, counts = _arrays(name)
    size = len(answers)
    ns = np.arange(1, size + 1)
    if weighted:
        curve = weighted_majority(code, reward, worth, counts, ns, RNG)
    else:
        curve = majority(code, worth, counts, ns, RNG)
    assert not curve.simulation.any()
    for n in ns.tolist():
        assert abs(curve.value[0, n - 1] - float(vote_average(answers, values, weights, n))) < 1e-12, n
        if n < size:
            spread = vote_jackknife(answers, values, weights, n)
        elif size > 1:
            spread = left_out_variance(
                size,
                lambda at: vote_average(
                    [answers[i] for i in at], [values[i] for i in at], [weights[i] for i in at], len(at)
                ),
            )
        else:
            assert curve.variance[0, 0] == np.inf
            continue
        assert abs(curve.variance[0, n - 1] - float(spread)) < 1e-12, n


def test_random_pools_of_up_to_ten() -> None:
    for _ in range(12):
        size = int(RNG.integers(2, 11))
        code, worth = RNG.integers(-1, 5, size), RNG.integers(0, 2, size)
        answers = [None if c < 0 else int(c) for c in code]
        curve = majority(code, worth.astype(float), np.ones(size, int), np.arange(1, size + 1), RNG)
        exact = [
            vote_average(answers, [Fraction(int(w)) for w in worth], [Fraction(1)] * size, n)
            for n in range(1, size + 1)
        ]
        assert np.abs(curve.value[0] - np.array([float(e) for e in exact])).max() < 1e-12


def test_counts_stand_for_draws() -> None:
    code, worth, counts = np.array([0, 1, -1, 0]), np.array([1.0, 0.0, 0.0, 1.0]), np.array([2, 3, 1, 2])
    many = np.repeat(np.arange(4), counts)
    ns = np.arange(1, 9)
    together = majority(code, worth, counts, ns, RNG)
    apart = majority(code[many], worth[many], np.ones(8, int), ns, RNG)
    assert np.allclose(together.value, apart.value, atol=1e-14)
    assert np.allclose(together.variance, apart.variance, atol=1e-14)


@pytest.mark.parametrize("counts", [(5200, 4800), (400, 300, 301), (9000, 600, 300, 100)])
def test_large_pools_keep_their_digits(counts: tuple[int, ...]) -> None:
    """Of three draws a majority is two alike, or one of three that differ: by hand, in fractions."""
    size, c = sum(counts), counts[0]
    pairs = Fraction(c * (c - 1) * (size - c), 2) + Fraction(c * (c - 1) * (c - 2), 6)
    differ = sum((Fraction(a * b) for a, b in itertools.combinations(counts[1:], 2)), Fraction(0)) * c
    exact = (pairs + differ / 3) / Fraction(size * (size - 1) * (size - 2), 6)
    total = np.array([float(c), *[0.0] * (len(counts) - 1)])
    for most in (3, 200):  # whatever else is asked
        value = majority_means(np.array(counts), total, 0, 0.0, np.array([3, most]))
        assert abs(value[0] - float(exact)) < 1e-12


def test_subsets_drawn_at_random_say_how_far_they_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    code = np.array([0] * 14 + [1] * 9 + [2] * 9 + [-1] * 2)
    worth, ns = (code == 0).astype(float), np.array([1, 5, 16])
    exact = majority(code, worth, np.ones(34, int), ns, RNG)
    assert not exact.simulation.any()
    tally = np.array([14, 9, 9]), np.array([14.0, 0.0, 0.0]), 2, 0.0
    off = []
    for seed in range(40):
        drawn = sampled_majority(*tally, ns, np.random.default_rng(seed))
        off.append((drawn.value - exact.value) / drawn.simulation)
    assert 0.8 < np.std(off) < 1.2 and abs(np.mean(off)) < 4 / np.sqrt(np.size(off))
    assert np.mean([sampled_majority(*tally, ns, np.random.default_rng(s)).variance for s in range(20)], axis=0) == (
        pytest.approx(exact.variance, rel=0.25)
    )
    monkeypatch.setattr(votes, "_WORK", 1.0)
    beyond = majority(code, worth, np.ones(34, int), ns, np.random.default_rng(5))
    assert (beyond.simulation[0, 1:] > 0).all() and np.isfinite(beyond.variance).all()
    assert (np.abs(beyond.value - exact.value) <= 5 * beyond.simulation + 1e-12).all()


def test_weights_all_alike_are_a_majority() -> None:
    code = RNG.integers(0, 4, 24)
    worth, ns = (code == 0).astype(float), np.array([1, 2, 12, 23, 24])
    exact = majority(code, worth, np.ones(24, int), ns, RNG)
    drawn = weighted_majority(code, np.full(24, 0.1), worth, np.ones(24, int), ns, np.random.default_rng(1))
    assert drawn.simulation[0, [0, 1, 3, 4]].tolist() == [0.0] * 4 and drawn.simulation[0, 2] > 0
    assert (np.abs(drawn.value - exact.value) <= 5 * drawn.simulation + 1e-12).all()
    assert vote_samples.ENUMERATED >= 252  # C(10, 5): pools of ten are exact
