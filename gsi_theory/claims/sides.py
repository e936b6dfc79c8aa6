"""The record that every claim fills, and the arithmetic its two sides share.

A side function takes `Facts` and returns `Sides`; the functions live by topic in sides_softmax.py (M10-M13),
sides_race.py (M17, M19) and sides_limits.py (M7, M18), and the table in claims.py names them. To write one:

- everything has the batch's shape (...); use `facts.xp` and the cached properties of `Facts`;
- it sees only rows where the claim's assumptions hold, the others are left out before;
- lhs and rhs carry gradients in torch (put a finite stand-in under `where` before log, division or exp can be
  infinite: a gradient of zero times infinity is NaN); error, trivial and scale are `detached`.
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

__all__ = ["Sides", "chi2_error", "least", "log_of_positive"]


@dataclass(frozen=True)
class Sides:
    """lhs, rhs; error bound of their difference; trivial bound on lhs; scale of which a limit must resolve 1 %.

    Arrays (...), or numbers that hold for every row.
    """

    lhs: Array
    rhs: Array
    error: Array
    trivial: Array = float("inf")
    scale: Array = 1e-3


def log_of_positive(x: Array) -> Array:
    """log x, -inf without a gradient where x ≤ 0."""
    xp = array_api_compat.array_namespace(x)
    return xp.where(x > 0, xp.log(xp.where(x > 0, x, 1.0)), -np.inf)


def least(a: Array, b: Array) -> Array:
    """The smaller of two arrays, or of an array and a number."""
    xp = array_api_compat.array_namespace(a)
    return xp.where(a <= b, a, b)


def chi2_error(f: Facts, log_q: Array) -> Array:
    """Error (...) of χ²(π‖q): every log-quotient is off by ≤ 2 weight errors, which enters as 2 (w - 1) w q."""
    xp, log_pi, log_q = f.xp, detached(f.log_pi), detached(log_q)
    inside = f.held & xp.isfinite(log_q)
    log_p, log_w = xp.where(inside, log_pi, 0.0), xp.where(inside, log_pi - xp.where(inside, log_q, 0.0), 0.0)
    large = log_w > 700.0
    with np.errstate(over="ignore", under="ignore"):
        near = xp.abs(xp.expm1(xp.where(large, 0.0, log_w))) * xp.exp(log_p)
        terms = xp.where(large, xp.exp(xp.where(large, log_w + log_p, 0.0)), near)
        return 4.0 * f.weight_error * xp.sum(terms, axis=-1) + 16.0 * EPS
