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
_STEPS = 1 << 21  # of walks through orders of the draws
MOST = 1 << 16  # draws that are taken one by one
TIED = 1e-12  # of the sum of all weights: sums of decimals that differ by less are equal


def weighted_majority(
    answer: Ints, reward: Floats, values: Floats, counts: Ints, ns: Ints, rng: np.random.Generator
) -> DrawCurve:
    """The answer whose draws have the largest sum of rewards, ties shared; answer (−1: none), reward, values, counts
    (R,), ns (M,) in 1..N; (1, M). The value of an answer is the mean of the draws of the subset that give it.

    Over all n-subsets where there are at most 1,024; else over the first n draws of as many random orders as 2²¹ steps
    allow, 128 to 1,024, the same orders for every n. NaN beyond 2¹⁶ draws, which are taken one by one.
    """
    size = int(counts.sum())
    if size > MOST:
        silent = np.full((1, ns.size), np.nan)
        return DrawCurve(silent, silent.copy(), np.zeros((1, ns.size)))
    each = np.repeat(np.arange(counts.size), counts)
    code, weight, worth = answer[each], reward[each], values[each]
    asked = shorter(ns, size)
    value, jackknife, simulation = (np.zeros((1, asked.size)) for _ in range(3))
    few = np.array([math.comb(size, n) <= ENUMERATED for n in asked.tolist()])
    for at in np.flatnonzero(few).tolist():
        subsets = _subsets(size, int(asked[at]))
        outcome = _weighted(subsets, code, weight, worth)
        value[0, at] = outcome.mean()
        if asked[at] < size:
            jackknife[0, at] = _jackknife(subsets.astype(np.float64), np.ones(size), outcome, int(asked[at]), size)
    if not few.all():
        drawn = _walked(code, weight, worth, np.unique(asked[~few]), rng)
        at = np.searchsorted(np.unique(asked[~few]), asked[~few])
        value[0, ~few], jackknife[0, ~few], simulation[0, ~few] = (part[at] for part in drawn)
    value, variance = closed_at_all(ns, size, value, jackknife)
    simulation = simulation[:, :-1]
    return DrawCurve(value, variance + simulation**2, simulation)


def _walked(
    code: Ints, weight: Floats, worth: Floats, ns: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """(value, jackknife, simulation) (M,) over random orders; ns ascending, below N."""
    from gsi_theory.samples.vote_kernels import walk_outcomes, walk_parts  # slow to import

    size = code.size
    number = 2 * int(np.clip(_STEPS // size, 128, DRAWN) // 2)
    orders = rng.permuted(np.tile(np.arange(size), (number, 1)), axis=1)
    answers, slack = int(code.max(initial=-1)) + 1, TIED * float(np.abs(weight).sum())
    outcome = walk_outcomes(orders, code, weight, worth, ns, answers, slack)
    halves = []
    for rows in (slice(None, number // 2), slice(number // 2, None)):
        centred = outcome[rows] - outcome[rows].mean(axis=0)
        halves.append(walk_parts(orders[rows], centred, ns) / (number // 2) * (size / ns)[:, None])
    square = np.einsum("mi,mi->m", *halves)
    jackknife = np.maximum(0.0, (size - 1) / size * (ns / (size - ns)) ** 2 * square)
    return outcome.mean(axis=0), jackknife, outcome.std(axis=0, ddof=1) / np.sqrt(number)


def _subsets(size: int, n: int) -> Flags:
    """All subsets (S, N)."""
    chosen = np.array(list(itertools.combinations(range(size), n)), dtype=np.int64)
    subsets = np.zeros((len(chosen), size), dtype=np.bool_)
    np.put_along_axis(subsets, chosen, True, axis=1)
    return subsets


def _weighted(subsets: Flags, code: Ints, weight: Floats, worth: Floats) -> Floats:
    """Value of the winner of each subset (S,)."""
    one_hot = (code[:, None] == np.arange(int(code.max(initial=-1)) + 1)).astype(np.float64)
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
            variance[0, at] = _jackknife(drawn, members.astype(np.float64), outcome, n, size, whole=False)
    return DrawCurve(value, variance + simulation**2, simulation)


def _jackknife(inside: Floats, members: Floats, outcome: Floats, n: int, size: int, whole: bool = True) -> float:
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
