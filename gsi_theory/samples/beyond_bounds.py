"""Bounds of a best-of-n mean for more draws than a log has, valid for every population of prompts (M49).

A prompt has N draws. What is known of it is one row z (S,) of numbers, and a bound is linear in it, X = z·h:

    pass@n, reward    z_c: how much of the value's range [0, 1] is exceeded by exactly c of the N draws (right or wrong:
                      z is 1 at the number of right ones). Where Σ_c h_c Bin(N, p)(c) ≥ 1 − (1−p)^n for all p in [0, 1],
                      E X ≥ E max of n draws; with ≤ a lower bound.
    accuracy          z_c: value of the draw that exactly c others exceed. With the value's mean a at the mass p above
                      it, E max-reward value = ∫ n(1−p)^{n−1} a(p) dp, 0 ≤ a ≤ 1, so with
                      D(p) = n(1−p)^{n−1} − N Σ_c h_c Bin(N−1, p)(c), E X + ∫ D₊ is a bound from above, E X − ∫ D₋ from
                      below.

Cells c ≥ S − 1 are one: they decide nothing at n ≥ N. h is a linear programme over a grid of p that weighs the gap
under a design, a law that mixes binomials, against the noise that h brings (mean absolute deviation, range). Then the
inequality is proved between the grid's points by second differences, and h moved by what it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.special import gammaln, xlog1py, xlogy

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["CELLS", "LinearBound", "binomials", "count_bound", "rank_bound"]

CELLS = 40  # beyond this many successes p > 10/N is certain, and 1 − (1−p)^n is one to e^{−10} at every n ≥ N
LARGEST = 1000.0  # of a weight: where more would do, noise has long decided
_TIGHT = 1e-5  # what the proof between grid points may add to a bound
_ROUNDING = 1e-9  # of the weights' size: binomials of N ≤ 10⁶ are exact to 1e-10
_DEVIATION, _SPAN = 4.0, 4.0  # a betting bound at 97.5 % is about 3.2 sd/√P away; sd ≈ 1.25 mean deviations


@dataclass(frozen=True)
class LinearBound:
    """weights (S,) of a row z; offset added to z·weights; low and high: what z·weights lies between."""

    weights: Floats
    offset: float
    low: float
    high: float


def count_bound(size: int, n: int, upper: bool, rows: Floats, mass: Floats, prompts: float) -> LinearBound:
    """h for pass@n and the best of n rewards, from N = size draws; rows (D, S) of the design, S = min(N, CELLS) + 1,
    mass (D,) their weights, prompts: how many will be bounded (inf: no noise counts).

    Raises InputError for sizes or n below 1.
    """
    _positive(size, n)
    side, cells, p = (1.0 if upper else -1.0), min(size, CELLS) + 1, _grid(size, n)
    law, goal = binomials(size, p, cells), -np.expm1(xlog1py(float(n), -p))
    h = _solved(side, rows, mass, prompts, side * law, side * goal, np.ones(cells), slack=None)
    h = h - side * _lowest(side * h, size, n, side)
    return LinearBound(h, 0.0, float(h.min()), float(h.max()))


def rank_bound(size: int, n: int, upper: bool, rows: Floats, mass: Floats, prompts: float) -> LinearBound:
    """h for the mean value in [0, 1] of the draw with the largest reward; arguments and errors as `count_bound`,
    S = min(N − 1, CELLS) + 1, the last cell the sum over all ranks that it stands for."""
    _positive(size, n)
    side, cells, p = (1.0 if upper else -1.0), min(size - 1, CELLS) + 1, _grid(size, n)
    law, goal = size * binomials(size - 1, p, cells), n * np.exp(xlog1py(n - 1.0, -p))
    many = np.append(np.ones(cells - 1), size - cells + 1.0)
    width = 0.5 * (np.diff(p, prepend=p[0]) + np.diff(p, append=p[-1]))
    h = _solved(side, rows, mass, prompts, side * law, side * goal, many, slack=width)
    missing = _uncovered(side * h, size, n, side)
    return LinearBound(h, side * missing, float(many @ np.minimum(h, 0.0)), float(many @ np.maximum(h, 0.0)))


def _positive(size: int, n: int) -> None:
    if size < 1 or n < 1:
        raise InputError(f"N = {size}, n = {n}: give whole numbers of draws, 1 or more")


def _grid(size: int, n: int) -> Floats:
    """Points of [0, 1] as dense as binomials of N and powers of n bend."""
    arc = np.sin(np.linspace(0.0, 0.5 * np.pi, 200)) ** 2
    return np.unique(np.concatenate([arc, np.geomspace(1e-3 / max(n, size), 1.0, 150)]))


def _log_binomials(size: int, p: Floats, c: Floats) -> Floats:
    choose = gammaln(size + 1.0) - gammaln(c + 1.0) - gammaln(size - c + 1.0)
    return np.asarray(choose + xlogy(c, p) + xlog1py(size - c, -p))


def binomials(size: int, p: Floats, cells: int) -> Floats:
    """Bin(N, p)(c) (len(p), cells), the last cell all that is left."""
    law = np.exp(_log_binomials(size, p[:, None], np.arange(cells - 1.0)))
    return np.hstack([law, np.maximum(1.0 - law.sum(axis=1, keepdims=True), 0.0)])


def _solved(
    side: float,
    rows: Floats,
    mass: Floats,
    prompts: float,
    law: Floats,
    goal: Floats,
    many: Floats,
    slack: Floats | None,
) -> Floats:
    """h that minimizes the expected limit under the design; law·h ≥ goal, or missing it at the price `slack`.

    Variables: h, center t, deviations e of the rows, largest and least h (or, of a sum over ranks, their sizes |h|),
    misses.
    """
    share, cells, count = mass / mass.sum(), law.shape[1], rows.shape[0]
    deviation = 0.0 if np.isinf(prompts) else _DEVIATION / np.sqrt(prompts)
    span = 1e-9 if np.isinf(prompts) else _SPAN / prompts
    if slack is None:  # largest and least h
        over, under, price = np.tile([-1.0, 0.0], (cells, 1)), np.tile([0.0, 1.0], (cells, 1)), span * np.array([1, -1])
        misses: Floats = np.zeros(0)
    else:
        over, under, price, misses = -np.eye(cells), -np.eye(cells), span * many, slack
    sizes, missed = price.size, misses.size
    one, no_rows, no_cells = np.ones((count, 1)), np.zeros((count, sizes + missed)), np.zeros((cells, 1 + count))
    gaps = [np.zeros((goal.size, 1 + count + sizes)), -np.eye(goal.size)[:, :missed]]
    rest = np.zeros((cells, missed))
    constraints = np.vstack(
        [
            np.hstack([-law, *gaps]),
            np.hstack([rows, -one, -np.eye(count), no_rows]),
            np.hstack([-rows, one, -np.eye(count), no_rows]),
            np.hstack([np.eye(cells), no_cells, over, rest]),
            np.hstack([-np.eye(cells), no_cells, under, rest]),
        ]
    )
    limits = np.concatenate([-goal, np.zeros(2 * count + 2 * cells)])
    costs = np.concatenate([side * (share @ rows), [0.0], deviation * share, price, misses])
    free, positive = (-LARGEST, LARGEST), (0.0, None)
    bounds = [free] * (cells + 1) + [positive] * count + [free] * sizes + [positive] * missed
    solution = linprog(costs, A_ub=constraints, b_ub=limits, bounds=bounds, method="highs")
    if solution.x is None:  # no such case is known; one and zero are bounds whatever happens
        return np.full(cells, 1.0 if side > 0 else 0.0) if slack is None else np.zeros(cells)
    return np.asarray(solution.x[:cells], dtype=np.float64)


def _curvature(h: Floats, size: int, a: Floats, b: Floats) -> Floats:
    """An upper bound on [a, b] of the second derivative of Σ_c h_c Bin(N, p)(c), the last h that of all cells after.

    It is N(N−1) Σ_k (h_{k+2} − 2h_{k+1} + h_k) Bin(N−2, p)(k), and Bin(N−2, ·)(k) has one peak, at k/(N−2).
    """
    if size < 2:
        return np.zeros(a.size)
    bend = np.diff(np.append(h, [h[-1], h[-1]]), 2)[: size - 1]
    k = np.arange(float(bend.size))
    peak = k / max(size - 2, 1)
    most = np.exp(_log_binomials(size - 2, np.clip(peak, a[:, None], b[:, None]), k))
    ends = np.exp(_log_binomials(size - 2, np.stack([a, b])[:, :, None], k))
    least = ends.min(axis=0)
    return np.asarray(size * (size - 1.0) * (most @ np.maximum(bend, 0.0) + least @ np.minimum(bend, 0.0)))


def _power_bend(n: int, p: Floats) -> Floats:
    """Second derivative of (1−p)^n, falling in p."""
    return np.asarray(n * (n - 1.0) * np.exp(xlog1py(max(n - 2.0, 0.0), -p)))


def _lowest(h: Floats, size: int, n: int, side: float) -> float:
    """A lower bound, on all of [0, 1], of Σ h_c Bin(N, p)(c) − side (1 − (1−p)^n), `_TIGHT` below the least at most."""

    def gap(p: Floats) -> Floats:
        return np.asarray(binomials(size, p, h.size) @ h + side * np.expm1(xlog1py(float(n), -p)))

    grid = _grid(size, n)
    a, b, found, seen = grid[:-1], grid[1:], np.inf, float(gap(grid).min())
    while a.size:
        ends = np.minimum(gap(a), gap(b))
        seen = min(seen, float(ends.min()))
        bend = _curvature(h, size, a, b) + side * _power_bend(n, a if side > 0 else b)
        bound = ends - 0.125 * (b - a) ** 2 * np.maximum(bend, 0.0)
        open_ = bound < seen - _TIGHT
        found = min(found, float(bound[~open_].min(initial=np.inf)))
        a, b = a[open_], b[open_]
        middle = 0.5 * (a + b)
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
    return found - _ROUNDING * (1.0 + float(np.abs(h).max()))


def _uncovered(h: Floats, size: int, n: int, side: float) -> float:
    """An upper bound of ∫ (side n(1−p)^{n−1} − N Σ h_c Bin(N−1, p)(c))₊ dp, by chords and second differences."""
    grid = np.sort(np.concatenate([_grid(size, n), 0.5 * (_grid(size, n)[1:] + _grid(size, n)[:-1])]))
    total = 0.0
    a, b = grid[:-1], grid[1:]
    for last in (False, False, False, True):
        left, right = (
            np.maximum(side * n * np.exp(xlog1py(n - 1.0, -p)) - size * binomials(size - 1, p, h.size) @ h, 0.0)
            for p in (a, b)
        )
        fall = size * _curvature(h, size - 1, a, b) - side * n * _power_bend(n - 1, b if side > 0 else a)
        wide = b - a
        above = 0.125 * wide**3 * np.maximum(fall, 0.0)
        fine = (above < 0.1 * _TIGHT * wide) | last
        total += float(np.sum((0.5 * wide * (left + right) + above)[fine]))
        a, b = a[~fine], b[~fine]
        parts = np.linspace(0.0, 1.0, 9)
        edges = a[:, None] + (b - a)[:, None] * parts
        a, b = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    return total + _ROUNDING * (1.0 + size * float(np.abs(h).max()))
