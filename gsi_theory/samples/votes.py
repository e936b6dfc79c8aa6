"""Votes among answers over all n-subsets of a prompt's draws (M47): majority, and majority weighted by reward.

Majority, exactly and for all n at once. The winner of a subset is a uniform one of the answers with the most votes;
with counts c_a of the answers in the pool and v_a the mean value of the draws that give a, the mean over n-subsets is

    [xⁿ] Σ_m ∫₀¹ Σ_a v_a C(c_a, m) x^m Π_{b ≠ a} (Σ_{j<m} C(c_b, j) x^j + z C(c_b, m) x^m) dz / C(N, n)

times (1 + x)^(silent) for draws without an answer, which do not vote; where all are silent a uniform one is taken. The
integrand is a polynomial in z: Gauss and Legendre's rule is exact, its terms are positive. Where that takes too long
(large n of large pools), and for weights, subsets are drawn at random, and the error of that is part of the variance.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gsi_theory.samples.draw_curve import DrawCurve, closed_at_all, shorter
from gsi_theory.samples.subset_shares import subset_share
from gsi_theory.samples.vote_samples import sampled_majority
from gsi_theory.types import Floats, Ints

__all__ = ["majority", "majority_means"]

SILENT = -1  # the code of a draw without an answer
_PLAIN = 1000  # draws up to which C(N, n) is a float
_REACH = 700  # n up to which C(N, n) (n/N)^n is, for any N
_WORK = 1e7  # multiplications of a prompt, all of its jackknife together
_ENOUGH = 1 << 30
FINE = 8  # rules of every number of nodes up to this, then of its multiples


def majority(answer: Ints, values: Floats, counts: Ints, ns: Ints, rng: np.random.Generator) -> DrawCurve:
    """Majority vote, ties shared: answer (R,) codes (−1: none), values (R,), counts (R,), ns (M,) in 1..N; (1, M).

    Exact to 1e-12 up to the n that 10⁷ multiplications reach; beyond it by subsets drawn with rng.
    """
    size = int(counts.sum())
    votes, total, silent, silent_total = _tally(answer, values, counts)
    without = _left_out(answer, values, counts)
    asked = shorter(ns, size)
    exact = _exact_up_to(votes, asked, len(without) + 1)
    known = asked <= exact
    value, jackknife = np.full(asked.size, np.nan), np.full(asked.size, np.nan)
    if known.any():
        inside = asked[known]
        value[known] = majority_means(votes, total, silent, silent_total, inside)
        jackknife[known] = 0.0
        few = np.minimum(inside, size - 1)
        for number, row in without if size > 1 else ():
            parts = majority_means(*row, few)
            centre = value[known] if (few == inside).all() else majority_means(votes, total, silent, silent_total, few)
            jackknife[known] += number * (parts - centre) ** 2
        jackknife[known] *= (size - 1) / size
    simulation = np.zeros(ns.size)
    beyond = ~known[:-1]
    if beyond.any():
        drawn = sampled_majority(votes, total, silent, silent_total, np.unique(np.append(ns[beyond], size - 1)), rng)
        at = np.searchsorted(np.unique(np.append(ns[beyond], size - 1)), np.append(ns[beyond], size - 1))
        where = np.append(np.flatnonzero(beyond), ns.size)
        value[where], jackknife[where] = drawn.value[0, at], drawn.variance[0, at]
        simulation[beyond] = drawn.simulation[0, at[:-1]]
    mean, variance = closed_at_all(ns, size, value[None], jackknife[None])
    return DrawCurve(mean, variance, simulation[None])


def _tally(answer: Ints, values: Floats, counts: Ints) -> tuple[Ints, Floats, int, float]:
    """(votes (A,), sum of values (A,)) of each answer, and the same of silent draws."""
    voting = answer != SILENT
    _, code = np.unique(answer[voting], return_inverse=True)
    votes = np.bincount(code, weights=counts[voting]).astype(np.int64)
    total = np.bincount(code, weights=counts[voting] * values[voting]).astype(np.float64)
    return votes, total, int(counts[~voting].sum()), float(np.sum(counts[~voting] * values[~voting]))


def _left_out(answer: Ints, values: Floats, counts: Ints) -> list[tuple[int, tuple[Ints, Floats, int, float]]]:
    """(how many draws, the tally without one of them) of every kind of draw: votes, sum and own value alike."""
    votes, total, silent, silent_total = _tally(answer, values, counts)
    voting = answer != SILENT
    _, code = np.unique(answer[voting], return_inverse=True)
    kinds: dict[tuple[float, ...], list[int]] = {}
    for a, value, number in zip(code.tolist(), values[voting].tolist(), counts[voting].tolist(), strict=True):
        entry = kinds.setdefault((float(votes[a]), float(total[a]), value), [a, 0])
        entry[1] += number
    out: list[tuple[int, tuple[Ints, Floats, int, float]]] = []
    for (_, _, value), (a, number) in kinds.items():
        fewer, rest = votes.copy(), total.copy()
        fewer[a] -= 1
        rest[a] -= value
        left = fewer > 0
        out.append((number, (fewer[left], rest[left], silent, silent_total)))
    for value in np.unique(values[~voting]).tolist():
        number = int(counts[~voting][values[~voting] == value].sum())
        out.append((number, (votes, total, silent - 1, silent_total - value)))
    return out


def _exact_up_to(votes: Ints, ns: Ints, passes: int) -> int:
    """The largest n whose exact means take no more than the work allowed."""
    size = int(votes.sum())
    most = int(min(ns.max(), _ENOUGH if size <= _PLAIN else _REACH))
    ordered = np.sort(votes)
    while most > 1:
        m = np.arange(1, min(most, int(ordered[-1]) if ordered.size else 0) + 1)
        rivals = ordered.size - np.searchsorted(ordered, m)
        nodes = np.minimum(rivals, most // m) // 2 + 1
        if passes * float(np.sum(rivals * nodes * (m + 1.0))) * (most + 1) <= _WORK:
            break
        most = most * 3 // 4
    return most


@lru_cache(maxsize=16)
def _rules(most: int) -> tuple[Floats, Floats]:
    """Gauss and Legendre's rules on (0, 1): nodes and weights (Q, ·), 1..FINE of them, then multiples of FINE."""
    counts = [*range(1, FINE + 1), *range(2 * FINE, most + FINE, FINE)]
    nodes, weights = np.zeros((len(counts), counts[-1])), np.zeros((len(counts), counts[-1]))
    for row, count in enumerate(counts):
        x, w = np.polynomial.legendre.leggauss(count)
        nodes[row, :count], weights[row, :count] = 0.5 * (x + 1.0), 0.5 * w
    return nodes, weights


@lru_cache(maxsize=64)
def _binomials(count: int, scale: float, most: int) -> Floats:
    """C(count, j) scale^j for j = 0..most."""
    j = np.arange(most)
    return np.concatenate([np.ones(1), np.cumprod(np.maximum(count - j, 0) * scale / (j + 1.0))])


def majority_means(votes: Ints, total: Floats, silent: int, silent_total: float, ns: Ints) -> Floats:
    """Mean value of the majority's answer over all n-subsets (M,), ns in 1..N.

    votes (A,) ≥ 1 and total (A,), the sum of values, of each answer; silent draws and their sum beside.
    """
    from gsi_theory.samples.vote_kernels import vote_sums  # slow to import

    size, most = int(votes.sum()) + silent, int(ns.max())
    scale = 1.0 if size <= _PLAIN else most / size
    order = np.argsort(votes, kind="stable")
    votes, mean = votes[order], (total / np.maximum(votes, 1))[order]
    nodes, weights = _rules(FINE * (min(votes.size, most) // 2 // FINE + 1))
    out = vote_sums(votes, mean, silent, scale, most, nodes, weights, FINE)
    value = out[ns] / _binomials(size, scale, most)[ns]
    if silent:
        value = value + subset_share(silent, size, ns) * (silent_total / silent)
    return value
