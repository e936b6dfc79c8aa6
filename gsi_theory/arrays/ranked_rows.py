"""Many candidates in descending order of weight: a plain sort of integers, which processors do several at a time.

The bits of a float64, the sign's part turned around, are ordered as the numbers are. With the index in the lowest bits
of each key one sort of the keys brings the order along. Weights that agree in all bits but those come out in the order
of their indices, and are put right by a walk of insertions; where these would be many, `np.argsort` does it.

>>> order, weight, mass = ranked(np.array([0.5, -1.0, 2.0, 0.5]), np.array([0.1, 0.2, 0.3, 0.4]))
>>> weight.tolist(), mass[:1].tolist(), sorted(order.tolist())
([2.0, 0.5, 0.5, -1.0], [0.3], [0, 1, 2, 3])
"""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Floats, Ints

__all__ = ["ranked"]

MOVES = 4  # insertions a candidate, on average, beyond which another sort is cheaper


def ranked(log_weight: Floats, mass: Floats) -> tuple[Ints, Floats, Floats]:
    """(order, log_weight[order], mass[order]) (K,), weights descending, without NaN; equal ones in any order."""
    from gsi_theory.arrays.kernels import gather_pairs, sort_keys, sort_nearly

    low = (1 << int(log_weight.size - 1).bit_length()) - 1
    keys = sort_keys(log_weight.view(np.int64), low)
    keys.sort()
    keys &= low
    weight, ordered = gather_pairs(log_weight, mass, keys)
    if sort_nearly(keys, weight, ordered, MOVES * keys.size):
        return keys, weight, ordered
    order = np.argsort(-log_weight)
    return order, log_weight[order], mass[order]
