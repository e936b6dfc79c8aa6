"""The exact law of a small random program, by following every choice that it makes.

A program takes `choose`, asks it for an index by probabilities as often as it likes, and returns an outcome 0 … K−1. It
is run again for every sequence of choices; nothing is sampled, and no code of the project is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gsi_theory.types import Floats

__all__ = ["Choose", "exact_law", "systematic_shares"]

Choose = Callable[[Sequence[float]], int]
MOST_RUNS = 1_000_000


class _Trail:
    """Choices replayed as far as `path` says, the first possible one after that."""

    def __init__(self, path: tuple[int, ...]) -> None:
        self.path, self.probability = path, 1.0
        self.taken: list[int] = []
        self.others: list[list[int]] = []

    def choose(self, probabilities: Sequence[float]) -> int:
        depth = len(self.taken)
        if depth < len(self.path):
            index, others = self.path[depth], []
        else:
            index, *others = (k for k, p in enumerate(probabilities) if p > 0.0)
        self.taken.append(index)
        self.others.append(others)
        self.probability *= float(probabilities[index])
        return index


def exact_law(program: Callable[[Choose], int], size: int) -> Floats:
    """Probabilities (size,) of the program's outcomes. Raises RuntimeError beyond a million runs."""
    law, runs = np.zeros(size), 0
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        trail = _Trail(waiting.pop())
        law[program(trail.choose)] += trail.probability
        runs += 1
        if runs > MOST_RUNS:
            raise RuntimeError(f"{MOST_RUNS} runs and more: make the program smaller")
        for depth, others in enumerate(trail.others):
            waiting += [(*trail.taken[:depth], other) for other in others]
    assert abs(law.sum() - 1.0) < 1e-9, law.sum()
    return law / law.sum()


def systematic_shares(shares: Sequence[float], n: int) -> tuple[list[float], list[list[int]]]:
    """Systematic resampling of n by `shares`: the chances of its ancestor lists, and the lists.

    Points (U + k)/n, k = 0 … n−1, fall into the cells of the cumulative shares; U between two breakpoints gives one.
    """
    ends = np.cumsum(shares)
    ends[-1] = 1.0
    breaks = np.unique(np.concatenate([[0.0, 1.0], np.mod(n * ends, 1.0)]))
    middles = (breaks[1:] + breaks[:-1]) / 2.0
    lists = [[int(np.searchsorted(ends, (u + k) / n, side="right")) for k in range(n)] for u in middles]
    return np.diff(breaks).tolist(), lists
