"""The best any selection rule can do, as a linear program.  Imports no project code.

Contract: `target` and `proposal` (K,) are distributions (Fractions or floats), n candidates are drawn
independently from `proposal`.  A rule maps the drawn multiset to a distribution over the items it contains;
letting it see the order would not help, since averaging over orders keeps the law.  Meant for K <= 4, n <= 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from scipy.optimize import linprog  # type: ignore[import-untyped, unused-ignore]

from .enumeration import draws

__all__ = ["best_tv_lp"]


def best_tv_lp(target: Sequence[Fraction | float], proposal: Sequence[Fraction | float], n: int) -> float:
    """Smallest total variation between `target` and the law of a rule returning one of n draws, to 1e-9.

    Variables: x[m, y] >= 0, the probability of drawing multiset m and returning y, for y in m; d[y] >= 0, the
    part of target(y) that the law misses.  Minimize sum d subject to sum_y x[m, y] = P(m) and
    d[y] + sum_m x[m, y] >= target(y).  Raises ValueError when the solver reports no optimum.
    """
    size = len(target)
    multisets = list(draws([Fraction(p) for p in proposal], n))
    pairs = [(m, y) for m, (counts, _) in enumerate(multisets) for y in range(size) if counts[y]]
    columns = len(pairs) + size
    keep = [[0.0] * columns for _ in multisets]
    cover = [[0.0] * columns for _ in range(size)]
    for column, (m, y) in enumerate(pairs):
        keep[m][column] = 1.0
        cover[y][column] = -1.0
    for y in range(size):
        cover[y][len(pairs) + y] = -1.0
    solved = linprog(
        [0.0] * len(pairs) + [1.0] * size,
        A_ub=cover,
        b_ub=[-float(t) for t in target],
        A_eq=keep,
        b_eq=[float(probability) for _, probability in multisets],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if not solved.success:
        raise ValueError(f"linear program for K={size}, n={n} was not solved: {solved.message}")
    return float(solved.fun)
