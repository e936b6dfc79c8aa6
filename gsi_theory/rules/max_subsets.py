"""Unbiased best-of-n curves (M31): hypergeometric sums over ranks, ties of the largest weight shared.

Ranks m = 1..N ascend with the log-weight; p_m(n) = C(m−1, n−1)/C(N, n) is the chance that m is the largest of n drawn.
Within a level of equal weights the winner is exchangeable, so f is replaced by its mean over the level.
"""

from __future__ import annotations

import numpy as np

from gsi_theory.rules.subset_sums import largest_rank
from gsi_theory.types import Floats, Ints

__all__ = ["max_curve", "max_parts"]


def _levels(log_weight: Floats) -> tuple[Floats, Floats]:
    """(first, size) of the level of equal weights of each rank; log_weight (N,) ascending."""
    new = np.r_[True, log_weight[1:] != log_weight[:-1]]
    starts = np.flatnonzero(new)
    level = np.cumsum(new) - 1
    return starts[level], np.diff(np.r_[starts, log_weight.size])[level]


def _level_means(values: Floats, first: Floats, size: Floats) -> Floats:
    total = np.add.reduceat(values, np.unique(first), axis=1)
    return total[:, np.unique(first, return_inverse=True)[1]] / size


def max_curve(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M) from values (V, N), log_weight (N,) ascending."""
    first, size = _levels(log_weight)
    return _level_means(values, first, size) @ largest_rank(log_weight.size, ns)


def max_parts(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """Mean of the kernel over the n-subsets that hold candidate i (V, M, N); n < N.

    With i in a level of c candidates up to rank m, the other n − 1 are all at most of that level with probability
    Q = C(m−1, n−1)/C(N−1, n−1), and i then wins with probability a = (N/n) P(level)/c, another of the level otherwise.
    """
    total = log_weight.size
    first, size = _levels(log_weight)
    end, count = (first + size).astype(np.int64), size[:, None]
    mean = _level_means(values, first, size)
    shares, others = largest_rank(total, ns), largest_rank(total - 1, ns - 1)
    upto = np.vstack([np.where(ns == 1, 1.0, 0.0), np.where(ns == 1, 1.0, np.cumsum(others, axis=0))])
    gains = mean[:, 1:, None] * others  # a rank r above the level is rank r − 1 among the others
    above = np.zeros((values.shape[0], total, ns.size))
    above[:, :-1] = np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]
    won = np.vstack([np.zeros((1, ns.size)), np.cumsum(shares, axis=0)])
    own = np.where(count == 1, upto[end - 1], (won[end] - won[first]) * (total / ns) / count)
    rest = (count[None] * mean[..., None] - values[..., None]) / np.maximum(count - 1, 1)
    parts = above[:, end - 1] + values[..., None] * own + rest * (upto[end - 1] - own)
    return np.swapaxes(parts, 1, 2)
