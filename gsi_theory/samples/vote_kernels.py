"""The loops of votes over all subsets (M47), compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from gsi_theory.types import Floats, Ints

__all__ = ["vote_sums"]


@njit(cache=True)
def _binomials(count: int, scale: float, out: Floats) -> None:
    """C(count, j) scale^j for j = 0..len(out) − 1."""
    out[0] = 1.0
    for j in range(1, out.size):
        out[j] = out[j - 1] * max(count - j + 1, 0) * scale / j


@njit(cache=True)
def vote_sums(
    votes: Ints, values: Floats, silent: int, scale: float, most: int, nodes: Floats, weights: Floats, fine: int
) -> Floats:
    """[xⁿ] of the sum in `votes.py`, x in units of 1/scale, for n = 0..most.

    votes (A,) ascending and values (A,); nodes, weights (Q, ·): Gauss and Legendre's rules on (0, 1) of 1..fine nodes,
    then of multiples of `fine`.
    """
    out, start = np.zeros(most + 1), np.empty(most + 1)
    e, d = np.empty(most + 1), np.empty(most + 1)
    first, below = 0, silent
    for m in range(1, min(most, votes[-1] if votes.size else 0) + 1):
        while votes[first] < m:
            below += votes[first]
            first += 1
        rivals = votes.size - first
        rows = np.empty((rivals, m + 1))
        for b in range(rivals):
            _binomials(votes[first + b], scale, rows[b])
        _binomials(below, scale, start)
        count = min(rivals, most // m) // 2 + 1
        row = count - 1 if count <= fine else fine - 1 + (count - 1) // fine
        for q in range(count if count <= fine else (count - 1) // fine * fine + fine):
            z = nodes[row, q]
            e[:], d[:] = start, 0.0
            degree = min(below, most)
            for b in range(rivals):
                top, value = rows[b, m], values[first + b]
                degree = min(degree + m, most)
                for k in range(degree, -1, -1):
                    plain, chosen = 0.0, 0.0
                    for j in range(min(m, k + 1)):
                        plain += rows[b, j] * e[k - j]
                        chosen += rows[b, j] * d[k - j]
                    if k >= m:
                        plain += z * top * e[k - m]
                        chosen += top * (z * d[k - m] + value * e[k - m])
                    e[k], d[k] = plain, chosen
            for k in range(degree + 1):
                out[k] += weights[row, q] * d[k]
    return out
