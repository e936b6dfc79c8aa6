"""Divergences between two laws on the same finite set.

Arguments are log-probabilities (..., K) in reading order: kl(p, q) is KL(p‖q); NumPy or torch, leading axes are
a batch. Results are in nats (kl, renyi), in [0, 1] (tv) or plain numbers; +inf where the support fails; a float for
one pair of NumPy laws, an array (...) otherwise. The forms below are sums of non-negative terms, so nearly equal laws
keep their relative accuracy: the absolute error is of the order of the log-probabilities' own error times the result's
square root, plus a few units of rounding.
"""

from __future__ import annotations

import numpy as np

from gsi_theory.arrays.logscale import excess, log_sum
from gsi_theory.arrays.namespace import as_arrays, as_number, highest, host, plain_number
from gsi_theory.errors import InputError
from gsi_theory.types import Array, Namespace

__all__ = ["chi2", "hockey_stick", "kl", "log_pair", "renyi", "tv"]

LARGEST_ORDER = 1e100  # of a Rényi divergence but inf: times log-probabilities it is a float


def log_pair(log_p: Array, log_q: Array) -> tuple[Array, Array, Array]:
    """(namespace, p, q) as float64 log-probabilities; InputError on shapes that do not fit, NaN or a value above 0."""
    xp, (p, q) = as_arrays(log_p=log_p, log_q=log_q)
    try:
        np.broadcast_shapes(p.shape, q.shape)
        fits = p.ndim > 0 and q.ndim > 0 and p.shape[-1] == q.shape[-1] > 0
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"log-probabilities of shapes {tuple(p.shape)} and {tuple(q.shape)}: give two laws of one length (..., K)"
        )
    for name, values in (("first", p), ("second", q)):
        if highest(values) <= 1e-9:
            continue
        bad = np.argwhere(~(host(values) <= 1e-9))[0]
        where = int(bad[0]) if len(bad) == 1 else tuple(map(int, bad))
        raise InputError(
            f"log-probability {host(values)[tuple(bad)]} at index {where} of the {name} law: give values ≤ 0 (or -inf)"
        )
    return xp, p, q


def _log_quotient(xp: Namespace, p: Array, q: Array) -> Array:
    """log q - log p where both are positive, else 0 (the caller treats zeros apart)."""
    both = xp.isfinite(p) & xp.isfinite(q)
    return xp.where(both, q, 0.0) - xp.where(both, p, 0.0)


def _outside(xp: Namespace, p: Array, q: Array) -> Array:
    """Whether p has mass where q has none."""
    return xp.any(xp.isfinite(p) & ~xp.isfinite(q), axis=-1)


def kl(log_p: Array, log_q: Array) -> Array:
    """KL(p‖q) in nats, as Σ p·(q/p - 1 - log(q/p)) + q(p = 0): every term is ≥ 0. +inf if p has mass outside q."""
    xp, p, q = log_pair(log_p, log_q)
    t = _log_quotient(xp, p, q)
    # Where q/p is large, p·(q/p - 1 - t) would overflow in q/p alone: write it as q - p(1 + t).
    large = t > 30.0
    with np.errstate(under="ignore"):
        terms = xp.where(large, xp.exp(q) - xp.exp(p) * (1.0 + t), xp.exp(p) * excess(xp.where(large, 0.0, t)))
        total = xp.sum(xp.where(xp.isfinite(p), terms, xp.exp(q)), axis=-1)
    return plain_number(xp.where(_outside(xp, p, q), xp.inf, total))


def tv(log_p: Array, log_q: Array) -> Array:
    """Total variation ½ Σ|p - q|, in [0, 1]; |p - q| is taken as max·(1 - e^{-|log quotient|})."""
    xp, p, q = log_pair(log_p, log_q)
    alone = ~(xp.isfinite(p) & xp.isfinite(q))
    with np.errstate(under="ignore"):
        larger = xp.exp(xp.maximum(p, q))
        terms = xp.where(alone, larger, larger * -xp.expm1(-xp.abs(_log_quotient(xp, p, q))))
    return plain_number(xp.clip(0.5 * xp.sum(terms, axis=-1), None, 1.0))


def chi2(log_p: Array, log_q: Array) -> Array:
    """χ²(p‖q) = Σ (p - q)²/q; +inf if p has mass outside q, or if it exceeds the largest float64."""
    xp, p, q = log_pair(log_p, log_q)
    t = -_log_quotient(xp, p, q)
    large = t > 300.0
    with np.errstate(over="ignore", under="ignore"):
        near = xp.expm1(xp.where(large, 0.0, t))
        # q·(p/q - 1)²: where p/q overflows when squared, 1 is nothing beside it.
        terms = xp.where(large, xp.exp(xp.where(large, q + 2.0 * t, 0.0)), xp.exp(q) * near * near)
        total = xp.sum(xp.where(xp.isfinite(p), terms, xp.exp(q)), axis=-1)
    return plain_number(xp.where(_outside(xp, p, q), xp.inf, total))


def renyi(log_p: Array, log_q: Array, order: float) -> Array:
    """Rényi divergence D_α(p‖q) in nats, α = order ≥ 0; α = 1 is kl, α = inf is the log of the largest quotient.

    log_p, log_q (..., K). Raises InputError for an order that is negative or NaN.
    """
    cure = f"give a number from 0 to {LARGEST_ORDER:g}, or inf"
    order = as_number(order, "order of a Rényi divergence", cure)
    if not (0 <= order <= LARGEST_ORDER or order == np.inf):
        raise InputError(f"order {order} of a Rényi divergence: {cure}")
    if order == 1:
        return kl(log_p, log_q)
    xp, p, q = log_pair(log_p, log_q)
    both = xp.isfinite(p) & xp.isfinite(q)
    if np.isinf(order):
        value = xp.max(xp.where(both, -_log_quotient(xp, p, q), -xp.inf), axis=-1)
    else:
        terms = order * xp.where(both, p, 0.0) + (1.0 - order) * xp.where(both, q, 0.0)
        value = log_sum(xp.where(both, terms, -xp.inf)) / (order - 1.0)
    lost = _outside(xp, p, q) if order > 1 else ~xp.any(both, axis=-1)
    return plain_number(xp.where(lost, xp.inf, value))


def hockey_stick(log_p: Array, log_q: Array, gamma: float) -> Array:
    """E_γ(p‖q) = Σ (p - γ q)_+ for γ ≥ 0; γ = 1 is total variation.

    log_p, log_q (..., K). Raises InputError for a γ that is negative or NaN.
    """
    xp, p, q = log_pair(log_p, log_q)
    cure = "give a finite number ≥ 0"
    gamma = as_number(gamma, "gamma of a hockey-stick divergence", cure)
    if not 0 <= gamma < np.inf:
        raise InputError(f"gamma {gamma} of a hockey-stick divergence: {cure}")
    with np.errstate(under="ignore"):
        return plain_number(xp.sum(xp.clip(xp.exp(p) - gamma * xp.exp(q), 0.0, None), axis=-1))
