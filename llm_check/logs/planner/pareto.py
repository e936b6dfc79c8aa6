"""The options that no other beats in value at no more cost, and the order in which they are preferred."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["by_cost", "pareto_front"]

_EQUAL = 1e-9  # of the largest: numbers that differ by less are ties, decided by rounding alone


def _ranks(numbers: ArrayLike) -> NDArray[np.int64]:
    """Ranks from 0, ascending, equal where numbers are."""
    found = np.asarray(numbers, dtype=np.float64)
    order = np.argsort(found, kind="stable")
    ranked, step = found[order], _EQUAL * np.abs(found[np.isfinite(found)]).max(initial=0.0)
    ranks = np.empty(found.size, dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(ranked[1:] > ranked[:-1] + step)])
    return ranks


def by_cost(value: ArrayLike, cost: ArrayLike, tie: ArrayLike) -> NDArray[np.int64]:
    """Numbers (S,) of the options by ascending cost, of equal cost by descending value, then by ascending tie."""
    return np.lexsort([np.asarray(tie, dtype=np.float64), -_ranks(value), _ranks(cost)]).astype(np.int64)


def pareto_front(value: ArrayLike, cost: ArrayLike, tie: ArrayLike = 0.0) -> NDArray[np.int64]:
    """Numbers of the options on the front, by ascending cost: each has more value than every option of no more cost.

    value and cost (S,); of equal pairs the one of least `tie`, and of these the first, is kept.
    """
    worth = _ranks(value)
    order = by_cost(value, cost, np.broadcast_to(tie, worth.shape))
    best = np.maximum.accumulate(worth[order])
    first = np.concatenate([[True], worth[order][1:] > best[:-1]])
    return order[first]
