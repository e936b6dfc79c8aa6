"""The bench of curves: its exact truth against enumeration, and what it measures, small and with a fixed seed."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np

from tests.benches.curve import CURVES, WORLDS, Prompts, measured, truth


def _enumerated(prompts: Prompts, n: int) -> list[float]:
    """Curves of one prompt at n, outcome by outcome."""
    total = [0.0] * len(CURVES)
    mass, reward, correct, answer = prompts.mass[0], prompts.reward[0], prompts.correct[0], prompts.answer
    for drawn in itertools.product(range(mass.size), repeat=n):
        chance = float(np.prod(mass[list(drawn)]))
        top = max(reward[i] for i in drawn)
        best = [i for i in drawn if reward[i] == top]
        votes = Counter(int(answer[i]) for i in drawn)
        winners = [a for a, count in votes.items() if count == max(votes.values())]
        worth = (
            top,
            np.mean([correct[i] for i in best]),
            max(correct[i] for i in drawn),
            (0 in winners) / len(winners),
        )
        total = [t + chance * float(w) for t, w in zip(total, worth, strict=True)]
    return total


def test_the_truth_is_the_enumerated_one() -> None:
    rng = np.random.default_rng(1)
    mass = rng.dirichlet(np.ones(5))[None]
    prompts = Prompts(
        mass, np.array([[0.2, 0.5, 0.5, 0.9, 0.1]]), np.array([[1.0, 0, 1, 0, 0]]), np.array([0, 1, 0, 2, 1])
    )
    exact = truth(prompts, np.array([1, 2, 3, 4]))[0]
    for m, n in enumerate((1, 2, 3, 4)):
        assert np.allclose(exact[:, m], _enumerated(prompts, n), atol=1e-12)


def test_intervals_and_bands_hold() -> None:
    """60 logs of twelve prompts: no share is below what 95 % would give in one of ten thousand runs."""
    table = measured(WORLDS[0], 60, 12, 8, np.array([1, 2, 4, 8]), 3, lambda done, total: None)
    assert len(table["n"]) == 4 * len(CURVES)
    for name in ("like", "these", "band"):
        assert min(table[name]) >= 49 / 60, name
    assert np.mean(table["like"]) > 0.93 and np.mean(table["these"]) > 0.93
