"""The record that a claim's two sides fill, and the arithmetic that several topics share.

A claim's `sides` takes `Facts` and returns `Sides`. To write one:

- everything has the batch's shape (...); use `facts.xp` and the cached properties of `Facts`;
- it sees only rows where the claim's assumptions hold, the others are left out before;
- lhs and rhs carry gradients in torch (put a finite stand-in under `where` before log, division or exp can be
  infinite: a gradient of zero times infinity is NaN); error, trivial and scale are `detached`.

Factors in `error`. An operation rounds its result by ε/2 of it (ε = EPS = 2^-52); log, exp, log1p, expm1, square root
of NumPy and torch by about 2 ε at most. So an expression of k operations and j functions on terms of size s is off by
(k/2 + 2j) ε s, and the factor is the next power of two: 8 ε s up to k = 8, j = 2; 16 ε s up to k = 16, j = 4; 32 and 64
for a difference of two or four of these. A sum of K terms adds K ε (`Facts.rounding`). The log of a quotient of laws
is off by 2 `weight_error`; a square of it, or its product with a law, by 4; sums of two or four of these by 8 or 16.
Whether that is enough is tried on hostile instances in balls, in tests/gsi_theory/certified/test_certify.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

__all__ = [
    "LARGEST_LOG",
    "Sides",
    "chi2_error",
    "drawn_apart",
    "excess_share",
    "law_change",
    "least",
    "log_of_positive",
    "mean_change",
    "pinsker",
]

LARGEST_LOG = 690.0  # e^690 is finite and so is its product with a mass


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


def excess_share(f: Facts, log_mass: Array, n: Array) -> Array:
    """E_π[(w - 1)_+/(n - 1 + w)] (...) of the proposal log_mass (..., K), what (M10) leaves of TV(P_n, π)."""
    xp = f.xp
    both = f.held & xp.isfinite(log_mass)
    log_w = xp.where(both, f.log_pi, 0.0) - xp.where(both, log_mass, 0.0)
    grown = xp.expm1(xp.clip(log_w, 0.0, LARGEST_LOG))
    share = xp.where(f.held, xp.where(both, grown / (n[..., None] + grown), 1.0), 0.0)
    return xp.vecdot(f.pi, share, axis=-1)


def mean_change(f: Facts, log_q: Array) -> Array:
    """E_q r - E_π r (...) for log-probabilities q (..., K)."""
    xp = f.xp
    return xp.vecdot(xp.exp(log_q) - f.pi, f.centered, axis=-1)


def law_change(f: Facts, log_q: Array) -> Array:
    """q - π (..., K) where π > 0, without cancellation where they are close and without overflow where they are not."""
    xp = f.xp
    t = xp.where(f.held, log_q, 0.0) - xp.where(f.held, f.log_pi, 0.0)
    near = t < 30.0
    return xp.where(near, f.pi * xp.expm1(xp.where(near, t, 0.0)), xp.exp(xp.where(near, -1.0, log_q)) - f.pi)


def pinsker(f: Facts, chi2: Array, n: Array) -> Array:
    """√(½ log(1 + χ²/n)) (...), without a gradient where χ² = 0; at most 1e150 where χ² is infinite."""
    xp = f.xp
    some = chi2 > 0
    inside = 0.5 * xp.log1p(xp.where(chi2 < 1e300, xp.where(some, chi2, 1.0), 1e300) / n)
    return xp.where(some, xp.sqrt(inside), 0.0)


def drawn_apart(f: Facts, log_q: Array) -> tuple[Array, Array]:
    """(where log_q and the draft both have mass (..., K), log_q - log π_S there)."""
    xp = f.xp
    both = f.covered & xp.isfinite(log_q)
    return both, xp.where(both, log_q, 0.0) - xp.where(both, f.log_draft, 0.0)
