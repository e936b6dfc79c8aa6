"""Votes over subsets of a prompt's draws, one subset at a time (M47): all of them where they are few, else drawn.

Where subsets are drawn at random the value has an error of its own (`simulation`), which is part of the variance. The
jackknife's parts then come from two halves of the subsets, whose product has no noise of its own on average.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from gsi_theory.samples.draw_curve import DrawCurve, closed_at_all, shorter
from gsi_theory.types import Flags, Floats, Ints

__all__ = ["sampled_majority", "weighted_majority"]

ENUMERATED = 1024  # subsets that are taken all
DRAWN = 1024  # subsets that are drawn where there are more; even
TIED = 1e-12  # of the sum of all weights: sums of decimals that differ by less are equal


def weighted_majority(
    answer: Ints, reward: Floats, values: Floats, counts: Ints, ns: Ints, rng: np.random.Generator
) -> DrawCurve:
    """The answer whose draws have the largest sum of rewards, ties shared; answer (−1: none), reward, values, counts
    (R,), ns (M,) in 1..N; (1, M). The value of an answer is the mean of the draws of the subset that give it.

    Over all n-subsets where there are at most 1,024, else over 1,024 drawn with rng.
    """
    size = int(counts.sum())
    each = np.repeat(np.arange(counts.size), counts)
    code, weight, worth = answer[each], reward[each], values[each]
    voting = code >= 0
    one_hot = np.zeros((size, int(code.max(initial=-1)) + 1))
    one_hot[voting, code[voting]] = 1.0
    asked = shorter(ns, size)
    value, jackknife, simulation = (np.zeros((1, asked.size)) for _ in range(3))
    for at, n in enumerate(asked.tolist()):
        subsets, whole = _subsets(size, n, rng)
        outcome = _weighted(subsets, one_hot, weight, worth)
        value[0, at] = outcome.mean()
        if not whole:
            simulation[0, at] = outcome.std(ddof=1) / np.sqrt(outcome.size)
        if 1 <= n < size:
            jackknife[0, at] = _jackknife(subsets.astype(np.float64), np.ones(size), outcome, n, size, whole)
    value, variance = closed_at_all(ns, size, value, jackknife)
    simulation = simulation[:, :-1]
    return DrawCurve(value, variance + simulation**2, simulation)


def _subsets(size: int, n: int, rng: np.random.Generator) -> tuple[Flags, bool]:
    """(subsets (S, N), whether these are all)."""
    if math.comb(size, n) <= ENUMERATED:
        chosen = np.array(list(itertools.combinations(range(size), n)), dtype=np.int64)
        whole = True
    else:
        chosen = np.argpartition(rng.random((DRAWN, size)), n - 1, axis=1)[:, :n]
        whole = False
    subsets = np.zeros((len(chosen), size), dtype=np.bool_)
    np.put_along_axis(subsets, chosen, True, axis=1)
    return subsets, whole


def _weighted(subsets: Flags, one_hot: Floats, weight: Floats, worth: Floats) -> Floats:
    """Value of the winner of each subset (S,)."""
    inside = subsets.astype(np.float64)
    votes = inside @ one_hot
    score = np.where(votes > 0, inside @ (one_hot * weight[:, None]), -np.inf)
    best = score.max(axis=1, keepdims=True, initial=-np.inf)
    slack = TIED * np.abs(weight).sum()
    winners = (score >= best - slack) & (votes > 0)
    mean = inside @ (one_hot * worth[:, None]) / np.maximum(votes, 1.0)
    silent = inside @ worth / inside.sum(axis=1)
    number = winners.sum(axis=1)
    return np.where(number > 0, (winners * mean).sum(axis=1) / np.maximum(number, 1), silent)


def sampled_majority(
    votes: Ints, total: Floats, silent: int, silent_total: float, ns: Ints, rng: np.random.Generator
) -> DrawCurve:
    """Majority over subsets drawn at random, from counts; arguments as `votes.majority_means`; (1, M).

    The variance is the jackknife's with an answer's draws alike, and the simulation's; n < N (at N: of n = N alone).
    """
    members = np.append(votes, silent) if silent else votes
    mean = np.append(total / votes, silent_total / silent) if silent else total / votes
    size, answers = int(members.sum()), votes.size
    value, variance, simulation = (np.zeros((1, ns.size)) for _ in range(3))
    for at, n in enumerate(ns.tolist()):
        drawn = rng.multivariate_hypergeometric(members, n, size=DRAWN, method="marginals").astype(np.float64)
        top = drawn[:, :answers].max(axis=1, keepdims=True, initial=0.0)
        winners = (drawn[:, :answers] == top) & (top > 0)
        number = winners.sum(axis=1)
        quiet = mean[-1]  # only where nobody votes
        outcome = np.where(number > 0, (winners * mean[:answers]).sum(axis=1) / np.maximum(number, 1), quiet)
        value[0, at] = outcome.mean()
        simulation[0, at] = outcome.std(ddof=1) / np.sqrt(DRAWN) if n < size else 0.0
        if n < size:
            variance[0, at] = _jackknife(drawn, members.astype(np.float64), outcome, n, size, False)
    return DrawCurve(value, variance + simulation**2, simulation)


def _jackknife(inside: Floats, members: Floats, outcome: Floats, n: int, size: int, whole: bool) -> float:
    """(N−1)/N Σ_j (n/(N−n))² (mean over subsets with j − U)²; inside (S, K): how many of the members (K,) of a kind."""

    def parts(rows: slice) -> Floats:
        centre = outcome[rows] - outcome[rows].mean()
        return np.asarray((inside[rows] * centre[:, None]).mean(axis=0) * (size / n) / members)

    if whole:
        square = parts(slice(None)) ** 2
    else:
        half = len(outcome) // 2
        square = parts(slice(None, half)) * parts(slice(half, None))
    total = float(np.sum(members * square))
    return max(0.0, (size - 1) / size * (n / (size - n)) ** 2 * total)
