"""What a prompt's N draws say, as rows of numbers for linear bounds beyond N (M49), also of prompts with more draws.

A prompt of N draws speaks of M ≤ N by the mean over all its M-subsets, so prompts of different N share a row's shape.
Rows have S = min(M, CELLS) + 1 cells for counts, min(M − 1, CELLS) + 1 for ranks; the last cell takes all that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import gammaln

from gsi_theory.samples.beyond_bounds import CELLS
from gsi_theory.types import Floats, Ints

__all__ = ["count_rows", "rank_rows", "reward_rows", "share_sizes", "thinned"]

_SIZES = 4  # a programme for each


def share_sizes(draws: Ints) -> Ints:
    """For each prompt (P,) the size it is bounded at: its own N, or of many different ones the largest kept ≤ N."""
    sizes = np.unique(draws)
    if sizes.size > _SIZES:
        sizes = np.unique(np.quantile(np.sort(draws), np.linspace(0.0, 1.0, _SIZES), method="lower"))
    return sizes[np.searchsorted(sizes, draws, side="right") - 1]


def _log_choose(n: Floats | float, k: Floats) -> Floats:
    inside = (k >= 0) & (k <= n)
    safe = np.where(inside, k, 0.0)
    log = gammaln(np.asarray(n) + 1.0) - gammaln(safe + 1.0) - gammaln(np.asarray(n) - safe + 1.0)
    return np.where(inside, log, -np.inf)


def thinned(draws: int, right: Floats, size: int, cells: int) -> Floats:
    """Law (len(right), cells) of how many of a random `size`-subset are right, where `right` of `draws` are."""
    c = np.arange(cells - 1.0)
    log = _log_choose(right[:, None], c) + _log_choose(draws - right[:, None], size - c)
    law = np.exp(log - _log_choose(float(draws), np.array(float(size))))
    return np.hstack([law, np.maximum(1.0 - law.sum(axis=1, keepdims=True), 0.0)])


@lru_cache(maxsize=8)
def _every(draws: int, size: int, cells: int) -> Floats:
    """`thinned` of 0, ..., draws: prompts of one size share it."""
    return thinned(draws, np.arange(draws + 1.0), size, cells)


def count_rows(draws: Ints, right: Ints, size: int) -> Floats:
    """(P, S): the law of the number right among `size` of each prompt's draws."""
    rows = np.empty((draws.size, min(size, CELLS) + 1))
    for count in np.unique(draws).tolist():
        which = draws == count
        rows[which] = thinned(count, right[which].astype(np.float64), size, rows.shape[1])
    return rows


def reward_rows(values: Sequence[Floats], size: int) -> Floats:
    """(P, S): the share of [0, 1] that exactly c of `size` rewards exceed; values ascending, within [0, 1]."""
    cells = min(size, CELLS) + 1
    rows = np.empty((len(values), cells))
    for i, ordered in enumerate(values):
        # c draws exceed what lies between the (N − c)th and the next; below the least all do
        gaps = np.diff(np.concatenate([[0.0], ordered, [1.0]]))[::-1]
        rows[i] = gaps @ _every(ordered.size, size, cells)
    return rows


def rank_rows(values: Sequence[Floats], size: int) -> Floats:
    """(P, S): value of the draw that c of `size` others exceed, the last cell a sum; values by ascending reward."""
    cells = min(size - 1, CELLS) + 1
    rows = np.empty((len(values), cells))
    for i, ordered in enumerate(values):
        # each draw is in the subset with chance size/N, and then c of those above it with it
        rows[i] = (size / ordered.size) * ordered[::-1] @ _every(ordered.size - 1, size - 1, cells)
    return rows
