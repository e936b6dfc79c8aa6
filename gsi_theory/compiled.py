"""The loops that array operations do slowly, compiled for NumPy arrays. Each has an array version beside its caller."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["cell_moments", "cell_values", "decayed_scan", "race_fall"]

Array = NDArray[np.float64]


@njit(cache=True)
def decayed_scan(log_terms: Array, decay: Array) -> Array:
    """`logscale.decayed_log_cumsum` on rows (B, K)."""
    out = np.empty_like(log_terms)
    for b in range(log_terms.shape[0]):
        c = -np.inf
        for i in range(log_terms.shape[1]):
            earlier = c - decay[b, i] if i else -np.inf
            term = log_terms[b, i]
            if earlier == -np.inf:
                c = term
            elif term == -np.inf:
                c = earlier
            elif earlier > term:
                c = earlier + np.log1p(np.exp(term - earlier))
            else:
                c = term + np.log1p(np.exp(earlier - term))
            out[b, i] = c
    return out


@njit(cache=True)
def cell_moments(mass: Array, log_weight: Array, width: float, first: NDArray[np.int64], cells: int) -> Array:
    """Σ μ T_i(s) per cell, i < 6: mass, log_weight (B, K); cell = first_b - floor(lw/width); out (B, cells, 6)."""
    out = np.zeros((mass.shape[0], cells, 6))
    inverse = 1.0 / width
    for b in range(mass.shape[0]):
        for i in range(mass.shape[1]):
            m = mass[b, i]
            at = np.floor(log_weight[b, i] * inverse)
            s = (log_weight[b, i] - at * width) * (2.0 * inverse) - 1.0
            cell = first[b] - np.int64(at)
            t2 = 2.0 * s * s - 1.0
            t3 = 2.0 * s * t2 - s
            out[b, cell, 0] += m
            out[b, cell, 1] += m * s
            out[b, cell, 2] += m * t2
            out[b, cell, 3] += m * t3
            out[b, cell, 4] += m * (2.0 * t2 * t2 - 1.0)
            out[b, cell, 5] += m * (2.0 * t2 * t3 - s)
    return out


@njit(cache=True)
def cell_values(log_weight: Array, width: float, first: NDArray[np.int64], coefficient: Array) -> Array:
    """The polynomials of `coefficient` (B, M, cells, 6) at (B, K) log-weights: (B, M, K).

    The logarithm is left to NumPy, which takes several at a time.
    """
    rows, counts = coefficient.shape[:2]
    value = np.empty((rows, counts, log_weight.shape[1]))
    inverse = 1.0 / width
    for b in range(rows):
        for k in range(counts):
            for i in range(log_weight.shape[1]):
                at = np.floor(log_weight[b, i] * inverse)
                s = (log_weight[b, i] - at * width) * (2.0 * inverse) - 1.0
                c = coefficient[b, k, first[b] - np.int64(at)]
                t2 = 2.0 * s * s - 1.0
                t3 = 2.0 * s * t2 - s
                low = c[0] + c[1] * s + c[2] * t2
                high = c[3] * t3 + c[4] * (2.0 * t2 * t2 - 1.0) + c[5] * (2.0 * t2 * t3 - s)
                value[b, k, i] = low + high
    return value


@njit(cache=True)
def race_fall(mass: Array, scale: Array, fall: Array, zero_mass: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`race_rule._sum_fall` on rows (B, K): scale = w_k / w_0 descending, fall = expm1(-gap), written over by drop."""
    held, share = np.empty_like(mass), np.empty_like(mass)
    a, deficit = np.empty_like(mass), np.empty_like(mass)
    last = mass.shape[1] - 1
    for b in range(mass.shape[0]):
        total, above = 0.0, zero_mass[b]
        for i in range(last, -1, -1):
            total += mass[b, i] * scale[b, i]
            ratio = total / scale[b, i]
            held[b, i] = total
            deficit[b, i] = ratio
            a[b, i] = above
            drop = -ratio * fall[b, i]
            fall[b, i] = drop
            above += drop
            share[b, i] = min(drop / max(above, 2.3e-308), 1.0)
        heavier = 0.0
        for i in range(last + 1):
            deficit[b, i] = min(heavier + deficit[b, i], 1.0)
            heavier += mass[b, i]
        fall[b, 0] = deficit[b, 0]
        share[b, 0] = deficit[b, 0]
    return held, fall, share, a, deficit
