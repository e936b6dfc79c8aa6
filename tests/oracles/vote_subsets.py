"""Votes over all n-subsets of a pool, one subset at a time, in exact fractions.  Imports no project code.

Contract
- `answers` (N,): any hashable, None for a draw without an answer, which does not vote.  `values`, `weights`: Fractions.
- The winner of a subset: uniform among the answers with the largest sum of weights; its value: the mean value of the
  subset's draws that give it.  Nobody votes: the mean value of the subset.
- `left_out_variance`: Efron and Stein's sum_j (U - U without j)^2 with the others' statistic at n - 1, n = N.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction

__all__ = ["left_out_variance", "vote_average", "vote_jackknife"]


def _outcome(draws: Sequence[tuple[Hashable, Fraction, Fraction]]) -> Fraction:
    score: dict[Hashable, Fraction] = {}
    for answer, _, weight in draws:
        if answer is not None:
            score[answer] = score.get(answer, Fraction(0)) + weight
    if not score:
        return sum((value for _, value, _ in draws), Fraction(0)) / len(draws)
    top = max(score.values())
    means = []
    for answer in (a for a, s in score.items() if s == top):
        mine = [value for a, value, _ in draws if a == answer]
        means.append(sum(mine, Fraction(0)) / len(mine))
    return sum(means, Fraction(0)) / len(means)


def vote_average(
    answers: Sequence[Hashable], values: Sequence[Fraction], weights: Sequence[Fraction], n: int
) -> Fraction:
    """Mean over all n-subsets; weights all one: majority."""
    draws = [(a, Fraction(v), Fraction(w)) for a, v, w in zip(answers, values, weights, strict=True)]
    outcomes = [_outcome(subset) for subset in itertools.combinations(draws, n)]
    return sum(outcomes, Fraction(0)) / len(outcomes)


def vote_jackknife(
    answers: Sequence[Hashable], values: Sequence[Fraction], weights: Sequence[Fraction], n: int
) -> Fraction:
    """(N-1)/N sum_j (U_j - mean)^2, n <= N - 1."""

    def without(j: int) -> Fraction:
        return vote_average(*(tuple(x[:j]) + tuple(x[j + 1 :]) for x in (answers, values, weights)), n)

    size = len(answers)
    parts = [without(j) for j in range(size)]
    mean = sum(parts, Fraction(0)) / size
    return Fraction(size - 1, size) * sum(((p - mean) ** 2 for p in parts), Fraction(0))


def left_out_variance(size: int, statistic: Callable[[tuple[int, ...]], Fraction]) -> Fraction:
    """sum_j (Z - Z_j)^2 of a statistic of positions: of all of them, and of all but j."""
    everything = tuple(range(size))
    whole = statistic(everything)
    return sum(((whole - statistic(tuple(i for i in everything if i != j))) ** 2 for j in everything), Fraction(0))
