"""Tournaments of N candidates of which each is correct with probability p, exactly: knockout and league (M25).

Symbols. A comparison of a correct with an incorrect candidate is right with probability `right`; equals win with ½.
Knockout: brackets of ⌈N/2⌉ and ⌊N/2⌋ candidates play on, a pair meets K times, the majority wins and a tie is a coin.
League: every candidate is compared with K opponents drawn uniformly (with repetition) from the other N - 1, and the
largest share of wins is chosen; a tie for the first place between correct and incorrect counts as failure.
Source: Chen et al., arXiv 2411.19477.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["knockout_bound", "knockout_fail", "league_bound", "league_fail", "lost_majority"]


def _checked(
    p: object, right: object, candidates: object, comparisons: object
) -> tuple[Floats, Floats, Floats, Floats]:
    arrays = [np.asarray(v, dtype=np.float64) for v in (p, right, candidates, comparisons)]
    chance, count = (0.0, 1.0), (1.0, 2.0**53)
    ranges = {"p": chance, "right": chance, "candidates": count, "comparisons": count}
    for values, (name, (low, high)) in zip(arrays, ranges.items(), strict=True):
        bad = np.argwhere(~((values >= low) & (values <= high)) | ((low == 1.0) & (values != np.round(values))))
        if len(bad):
            raise InputError(
                f"{name}{bad[0].tolist()} = {values[tuple(bad[0])]!r}: give "
                + ("whole numbers from 1 to 2^53" if low else "probabilities in [0, 1]")
            )
    one, two, three, four = np.broadcast_arrays(*arrays)
    return one, two, three, four


def lost_majority(right: Floats, comparisons: Floats) -> Floats:
    """P(the correct one loses the majority of K comparisons), a tie counting half; K real arrays of whole numbers."""
    k = np.floor(comparisons / 2.0)
    even = comparisons == 2.0 * k
    # P(X ≤ j) = I_{1-right}(K - j, j + 1) for X ~ Bin(K, right).
    upto = betainc(comparisons - k, k + 1.0, 1.0 - right)
    below = np.where(k > 0, betainc(comparisons - k + 1.0, np.where(k > 0, k, 1.0), 1.0 - right), 0.0)
    return np.asarray(np.where(even, 0.5 * (upto + below), upto))


def knockout_fail(p: object, right: object, candidates: object, comparisons: object) -> Floats:
    """P(the winner is incorrect) of the knockout; arrays or numbers that broadcast. Relative accuracy about 1e-12.

    Bracket sizes on one level differ by at most one, so ⌊log₂ N⌋ steps of a recursion on two of them are enough.
    """
    correct, right_, n, k = _checked(p, right, candidates, comparisons)
    q = 1.0 - correct
    lost = lost_majority(right_, k)

    def meet(a: Floats, b: Floats) -> Floats:
        """P(fail) of two brackets with P(fail) a and b: both incorrect, or one and it wins."""
        return a * b + (a * (1.0 - b) + b * (1.0 - a)) * lost

    depth = np.floor(np.log2(n)).astype(np.int64)
    count = n.astype(np.int64)
    small, large = q.copy(), meet(q, q)  # brackets of size s and s + 1, s = 1 to begin with
    for level in range(int(depth.max(initial=0)) - 1, -1, -1):
        odd = (count >> np.minimum(level, 62)) & 1
        even_pair = meet(small, small), meet(large, small)
        odd_pair = even_pair[1], meet(large, large)
        live = level < depth
        joined = [np.where(odd, o, e) for o, e in zip(odd_pair, even_pair, strict=True)]
        small, large = np.where(live, joined[0], small), np.where(live, joined[1], large)
    return np.asarray(small)


def knockout_bound(p: object, right: object, candidates: object, comparisons: object) -> Floats:
    """(1-p)^N + ⌈log₂N⌉ e^{-2K(right-½)²} (M25)."""
    correct, right_, n, k = _checked(p, right, candidates, comparisons)
    q = 1.0 - correct
    with np.errstate(under="ignore"):
        rounds = np.ceil(np.log2(n))
        return np.asarray(q**n + rounds * np.exp(-2.0 * k * (right_ - 0.5) ** 2))


def league_fail(p: float, right: float, candidates: int, comparisons: int) -> float:
    """P(the winner of the league is incorrect, or tied with one that is), by summing over the number of correct ones.

    Given c of them the shares of wins are independent binomials. O(N K); absolute accuracy about 1e-12.
    """
    from scipy.stats import binom  # slow to import

    arrays = _checked(p, right, candidates, comparisons)
    p, right = float(arrays[0]), float(arrays[1])
    n, k = int(arrays[2]), int(arrays[3])
    if n == 1:
        return 1.0 - p
    c = np.arange(1, n)
    mean = ((c - 1) * 0.5 + (n - c) * right) / (n - 1), (c * (1.0 - right) + (n - c - 1) * 0.5) / (n - 1)
    score = np.arange(k + 1)[:, None]
    upto, other = (binom.cdf(score, k, m) for m in mean)
    first = upto**c
    # The best correct score is exactly s, and every incorrect one is below it.
    best = np.diff(first, axis=0, prepend=0.0)
    below = np.vstack([np.zeros(n - 1), other[:-1]]) ** (n - c)
    won = np.sum(best * below, axis=0)
    weight = binom.pmf(c, n, p)
    return float((1.0 - p) ** n + np.sum(weight * (1.0 - np.minimum(won, 1.0))))


def league_bound(p: float, right: float, candidates: int, comparisons: int) -> float:
    """(1-p)^N + 2N e^{-KΔ²/8} + 2N e^{-(N-1)Δ²/8}, Δ = right - ½ (M25): the gap between the mean shares of wins."""
    arrays = _checked(p, right, candidates, comparisons)
    p, right, n, k = (float(v) for v in arrays)
    gap = max(right - 0.5, 0.0)
    with np.errstate(under="ignore"):
        tails = np.exp(-k * gap**2 / 8.0) + np.exp(-(n - 1.0) * gap**2 / 8.0)
    return float((1.0 - p) ** n + 2.0 * n * tails)
