"""Arithmetic on the log scale: the one place where logs are summed, subtracted and left.

Arrays are float64, NumPy or torch, with any leading axes; a log of zero is -inf and is legal everywhere; no function
here emits a warning or a NaN for legal input.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import COMPILED, is_numpy
from gsi_theory.types import Array

__all__ = ["Array", "decayed_log_cumsum", "excess", "log1mexp", "log_sum", "normalize"]


def log_sum(log_terms: Array, axis: int = -1) -> Array:
    """log Σ exp(log_terms) along `axis`; -inf for an empty or all-zero sum."""
    xp = array_api_compat.array_namespace(log_terms)
    if log_terms.shape[axis] == 0:
        shape = list(log_terms.shape)
        del shape[axis]
        return xp.full(tuple(shape), -xp.inf, dtype=xp.float64, device=array_api_compat.device(log_terms))
    top = xp.max(log_terms, axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return xp.squeeze(shift, axis=axis) + xp.log(xp.sum(xp.exp(log_terms - shift), axis=axis))


def decayed_log_cumsum(log_terms: Array, decay: Array) -> Array:
    """c_i = log(e^{c_{i-1} - decay_i} + e^{log_terms_i}) along the last axis; decay ≥ 0 of the same shape.

    decay_0 is not used; +inf starts the sum anew. A running sum of products that keeps its own scale: c stays of the
    size of the terms however long the decay, so exponents of 1e6 nats cost no digits.
    """
    if COMPILED and is_numpy(log_terms):
        from gsi_theory.arrays.kernels import decayed_scan

        flat = np.ascontiguousarray(log_terms).reshape(-1, log_terms.shape[-1])
        fall = np.ascontiguousarray(np.broadcast_to(decay, log_terms.shape)).reshape(flat.shape)
        return decayed_scan(flat, fall).reshape(log_terms.shape)
    # Doubling: after each round entry i holds the sum over the last 2·step entries, so log2 K rounds are enough.
    xp = array_api_compat.array_namespace(log_terms)
    value, fall, step = log_terms, xp.broadcast_to(decay, log_terms.shape), 1
    while step < log_terms.shape[-1]:
        earlier = value[..., :-step] - fall[..., step:]
        later = value[..., step:]
        none = (later == -xp.inf) & (earlier == -xp.inf)
        both = xp.logaddexp(xp.where(none, 0.0, later), xp.where(none, 0.0, earlier))
        value = xp.concat([value[..., :step], xp.where(none, -xp.inf, both)], axis=-1)
        fall = xp.concat([fall[..., :step], fall[..., step:] + fall[..., :-step]], axis=-1)
        step *= 2
    return value


def log1mexp(log_p: Array) -> Array:
    """log(1 - exp(log_p)) for log_p ≤ 0, accurate at both ends (Mächler 2012)."""
    xp = array_api_compat.array_namespace(log_p)
    half = -float(np.log(2.0))
    near = log_p > half
    with np.errstate(divide="ignore"):
        some = near & (log_p < 0.0)
        close = xp.where(log_p < 0.0, xp.log(-xp.expm1(xp.where(some, log_p, half))), -xp.inf)
        return xp.where(near, close, xp.log1p(-xp.exp(xp.where(near, half, log_p))))


def normalize(log_terms: Array) -> Array:
    """log_terms shifted so that they sum to one along the last axis."""
    xp = array_api_compat.array_namespace(log_terms)
    top = xp.max(log_terms, axis=-1, keepdims=True)
    near = log_terms - xp.where(xp.isfinite(top), top, 0.0)  # terms of 1e9 nats would round the sum to 1e-7
    return near - xp.expand_dims(log_sum(near), axis=-1)


def excess(t: Array) -> Array:
    """expm1(t) - t ≥ 0 without cancellation; +inf at t = ±inf.

    Below |t| = 0.05 the Taylor series to t¹⁰ is exact to rounding (the next term is under 1e-19 of the first).
    """
    xp = array_api_compat.array_namespace(t)
    small = xp.abs(t) < 0.05
    s = xp.where(small, t, 0.0)
    series = xp.ones_like(s)
    for k in range(10, 2, -1):
        series = 1.0 + s / k * series
    series = series * 0.5 * s * s
    endless = xp.isinf(t)
    with np.errstate(over="ignore"):
        rest = xp.where(small | endless, 0.0, t)
        large = xp.where(endless, xp.inf, xp.expm1(rest) - rest)
    return xp.where(small, series, large)
