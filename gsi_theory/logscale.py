"""Arithmetic on the log scale: the one place where logs are summed, subtracted and left.

Arrays are float64; a log of zero is -inf and is legal everywhere; no function here emits a warning or a NaN for legal
input.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["Array", "decayed_log_cumsum", "excess", "log1mexp", "log_sum", "normalize"]

Array = NDArray[np.float64]


def log_sum(log_terms: Array, axis: int = -1) -> Array:
    """log Σ exp(log_terms) along `axis`; -inf for an empty or all-zero sum."""
    if log_terms.shape[axis] == 0:
        return np.full(np.delete(log_terms.shape, axis), -np.inf)
    top = np.max(log_terms, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.squeeze(shift, axis=axis) + np.log(np.sum(np.exp(log_terms - shift), axis=axis))


@njit(cache=True)
def decayed_log_cumsum(log_terms: Array, decay: Array) -> Array:
    """c_i = log(e^{c_{i-1} - decay_i} + e^{log_terms_i}), shape (K,); decay ≥ 0, decay_0 is not used.

    A running sum of products that keeps its own scale: c stays of the size of the terms however long the decay, so
    exponents of 1e6 nats cost no digits. Compiled, because each entry needs the one before.
    """
    out = np.empty_like(log_terms)
    c = -np.inf
    for i in range(log_terms.size):
        a = c - decay[i] if i else -np.inf
        b = log_terms[i]
        if a == -np.inf:
            c = b
        elif b == -np.inf:
            c = a
        elif a > b:
            c = a + np.log1p(np.exp(b - a))
        else:
            c = b + np.log1p(np.exp(a - b))
        out[i] = c
    return out


def log1mexp(log_p: Array) -> Array:
    """log(1 - exp(log_p)) for log_p ≤ 0, accurate at both ends (Mächler 2012)."""
    with np.errstate(divide="ignore"):
        return np.where(log_p > -np.log(2.0), np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p)))


def normalize(log_terms: Array) -> Array:
    """log_terms shifted so that they sum to one."""
    return log_terms - log_sum(log_terms)


def excess(t: Array) -> Array:
    """expm1(t) - t ≥ 0 without cancellation; +inf at t = ±inf.

    Below |t| = 0.05 the Taylor series to t¹⁰ is exact to rounding (the next term is under 1e-19 of the first).
    """
    small = np.abs(t) < 0.05
    s = np.where(small, t, 0.0)
    series = np.ones_like(s)
    for k in range(10, 2, -1):
        series = 1.0 + s / k * series
    series *= 0.5 * s * s
    with np.errstate(over="ignore", invalid="ignore"):
        large = np.where(t == np.inf, np.inf, np.expm1(t) - t)
    return np.where(small, series, large)
