"""The options that no other beats in value at no more cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["pareto_front"]


def pareto_front(value: ArrayLike, cost: ArrayLike) -> NDArray[np.int64]:
    """Numbers of the options on the front, by ascending cost: each has more value than every option of no more cost.

    value and cost (S,); of equal pairs the first is kept.
    """
    worth, price = np.asarray(value, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    order = np.lexsort([np.arange(worth.size), -worth, price])
    best = np.maximum.accumulate(worth[order])
    first = np.concatenate([[True], worth[order][1:] > best[:-1]])
    return order[first].astype(np.int64)
