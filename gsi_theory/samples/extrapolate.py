"""A mean over winners beyond a log's draws, by how the value depends on the reward's rank: an estimate (M49).

With a(p) the mean value of a draw that a share p of all draws exceed, best-of-n is E a(p), p ~ Beta(1, n), and the draw
that c of N exceed is E a(p), p ~ Beta(c + 1, N − c). Where a is a sum of few functions, so are both, and the weights of
least squares that carry the ones to the other make an unbiased estimate from every prompt; draws further from the best
count less, for the sum holds near p = 0 at most. Two families, which differ in how a goes on beyond the best draws
seen, each give an interval over prompts: the answer is what both span.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import betaln, digamma

from gsi_theory.errors import InputError
from gsi_theory.samples.intervals import population_mean
from gsi_theory.types import Floats

__all__ = ["FAMILIES", "LEAST_SIZE", "extrapolated"]

# exponents of p; "log" is log p, whose best-of-n grows with log n
FAMILIES: tuple[tuple[float | str, ...], ...] = ((0.0, "log", 1.0), (0.0, 0.5, 1.0, 2.0))
LEAST_SIZE = 4  # draws, one for each function


def _moments(family: tuple[float | str, ...], above: Floats, size: int) -> Floats:
    """E of every function for p ~ Beta(c + 1, N − c), (functions, len(above))."""
    rows = []
    for power in family:
        if isinstance(power, str):
            rows.append(digamma(above + 1.0) - digamma(size + 1.0))
        else:
            rows.append(np.exp(betaln(above + 1.0 + power, size - above) - betaln(above + 1.0, size - above)))
    return np.array(rows)


def _weights(family: tuple[float | str, ...], size: int, cells: int, n: int) -> Floats:
    """Weights (S,) of a row of ranks, the last the sum over all that follow, that are right for the family at n."""
    above = np.arange(float(cells - 1))
    first = _moments(family, above, size)
    whole = np.array([-1.0 if isinstance(power, str) else 1.0 / (1.0 + power) for power in family])  # ∫ over [0, 1]
    moments = np.hstack([first, (size * whole - first.sum(axis=1))[:, None]])
    far = (np.arange(float(size)) + 1.0) ** 2  # as if the error of the c-th grew like c
    spread = np.append(far[: cells - 1], far[cells - 1 :].sum())
    goal = _moments(family, np.zeros(1), n)[:, 0]
    scaled = moments / spread
    return np.asarray(scaled.T @ np.linalg.solve(scaled @ moments.T, goal))


def extrapolated(rows: Mapping[int, Floats], n: int, level: float = 0.9) -> tuple[float, float, float]:
    """(estimate, low, high) of best-of-n, from rows (P, S) of ranks (`beyond_rows.rank_rows`) by size N.

    Sizes below LEAST_SIZE raise InputError, as do fewer than two prompts.
    """
    if min(rows) < LEAST_SIZE:
        raise InputError(f"{min(rows)} draws a prompt: {LEAST_SIZE} or more are needed to go beyond them")
    found = [
        population_mean(
            np.concatenate([table @ _weights(family, size, table.shape[1], n) for size, table in rows.items()]), level
        )
        for family in FAMILIES
    ]
    value = float(np.mean([one.value for one in found]))
    return value, float(min(one.low for one in found)), float(max(one.high for one in found))
