"""The loops of votes over all subsets (M47), compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from gsi_theory.types import Floats, Ints

__all__ = ["vote_sums", "walk_outcomes", "walk_parts"]


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


@njit(cache=True)
def walk_outcomes(
    orders: Ints, code: Ints, weight: Floats, worth: Floats, ns: Ints, answers: int, slack: float
) -> Floats:
    """Value of the weighted vote's winner among the first n draws of orders (S, N), at each n of ns ascending (S, M)."""
    out = np.zeros((orders.shape[0], ns.size))
    votes, score, total = np.zeros(answers), np.zeros(answers), np.zeros(answers)
    for s in range(orders.shape[0]):
        votes[:], score[:], total[:] = 0.0, 0.0, 0.0
        everything, at = 0.0, 0
        for k in range(ns[-1]):
            i = orders[s, k]
            a = code[i]
            everything += worth[i]
            if a >= 0:
                votes[a] += 1.0
                score[a] += weight[i]
                total[a] += worth[i]
            while at < ns.size and ns[at] == k + 1:
                best = -np.inf
                for b in range(answers):
                    if votes[b] > 0:
                        best = max(best, score[b])
                winners, value = 0, 0.0
                for b in range(answers):
                    if votes[b] > 0 and score[b] >= best - slack:
                        winners += 1
                        value += total[b] / votes[b]
                out[s, at] = value / winners if winners else everything / (k + 1)
                at += 1
    return out


@njit(cache=True)
def walk_parts(orders: Ints, centred: Floats, ns: Ints) -> Floats:
    """(M, N): sums of centred (S, M) over the orders whose first n draws hold each draw."""
    out = np.zeros((ns.size, orders.shape[1]))
    for s in range(orders.shape[0]):
        for m in range(ns.size):
            for k in range(ns[m]):
                out[m, orders[s, k]] += centred[s, m]
    return out
