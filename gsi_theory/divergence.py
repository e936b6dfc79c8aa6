"""Divergences between two laws on the same finite set.

Arguments are log-probabilities of shape (K,) in reading order: kl(p, q) is KL(p‖q). Results are in nats (kl, renyi),
in [0, 1] (tv) or plain numbers; +inf where the support fails. The forms below are sums of non-negative terms, so nearly
equal laws keep their relative accuracy: the absolute error is of the order of the log-probabilities' own error times
the result's square root, plus a few units of rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError
from gsi_theory.logscale import Array, excess, log_sum

__all__ = ["chi2", "hockey_stick", "kl", "renyi", "tv"]


def _pair(log_p: ArrayLike, log_q: ArrayLike) -> tuple[Array, Array]:
    p, q = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape:
        raise InputError(f"log-probabilities of shapes {p.shape} and {q.shape}: give two vectors of one length (K,)")
    for name, values in (("first", p), ("second", q)):
        bad = np.flatnonzero(np.isnan(values) | (values > 1e-9))
        if bad.size:
            raise InputError(
                f"log-probability {values[bad[0]]} at index {bad[0]} of the {name} law: give values ≤ 0 (or -inf)"
            )
    return p, q


def _log_quotient(p: Array, q: Array) -> Array:
    """log q - log p where both are positive, else 0 (the caller treats zeros apart)."""
    both = np.isfinite(p) & np.isfinite(q)
    return np.where(both, np.where(both, q, 0.0) - np.where(both, p, 0.0), 0.0)


def kl(log_p: ArrayLike, log_q: ArrayLike) -> float:
    """KL(p‖q) in nats, as Σ p·(q/p - 1 - log(q/p)) + q(p = 0): every term is ≥ 0. +inf if p has mass outside q."""
    p, q = _pair(log_p, log_q)
    if np.any(np.isfinite(p) & ~np.isfinite(q)):
        return float("inf")
    t = _log_quotient(p, q)
    # Where q/p is large, p·(q/p - 1 - t) would overflow in q/p alone: write it as q - p(1 + t).
    large = t > 30.0
    terms = np.where(large, np.exp(q) - np.exp(p) * (1.0 + t), np.exp(p) * excess(np.minimum(t, 30.0)))
    terms = np.where(np.isfinite(p), terms, np.exp(q))
    return float(np.sum(terms))


def tv(log_p: ArrayLike, log_q: ArrayLike) -> float:
    """Total variation ½ Σ|p - q|, in [0, 1]; |p - q| is taken as max·(1 - e^{-|log quotient|})."""
    p, q = _pair(log_p, log_q)
    t = _log_quotient(p, q)
    alone = ~(np.isfinite(p) & np.isfinite(q))
    terms = np.where(alone, np.exp(np.maximum(p, q)), np.exp(np.maximum(p, q)) * -np.expm1(-np.abs(t)))
    return float(min(1.0, 0.5 * np.sum(terms)))


def chi2(log_p: ArrayLike, log_q: ArrayLike) -> float:
    """χ²(p‖q) = Σ (p - q)²/q; +inf if p has mass outside q, or if it exceeds the largest float64."""
    p, q = _pair(log_p, log_q)
    if np.any(np.isfinite(p) & ~np.isfinite(q)):
        return float("inf")
    t = -_log_quotient(p, q)
    with np.errstate(over="ignore", divide="ignore"):
        terms = np.exp(q + 2.0 * np.log(np.abs(np.expm1(np.minimum(t, 700.0)))))
        terms = np.where(t > 700.0, np.exp(q + 2.0 * t), terms)
    return float(np.sum(np.where(np.isfinite(p), terms, np.exp(q))))


def renyi(log_p: ArrayLike, log_q: ArrayLike, order: float) -> float:
    """Rényi divergence D_α(p‖q) in nats, α = order ≥ 0; α = 1 is kl, α = inf is the log of the largest quotient."""
    p, q = _pair(log_p, log_q)
    if not order >= 0:
        raise InputError(f"order {order} of a Rényi divergence: give a number ≥ 0 (inf allowed)")
    if order == 1:
        return kl(p, q)
    inside = np.isfinite(p)
    if order > 1 and np.any(inside & ~np.isfinite(q)):
        return float("inf")
    if np.isinf(order):
        return float(np.max(p[inside] - q[inside]))
    both = inside & np.isfinite(q)
    if not both.any():
        return float("inf")
    return float(log_sum(order * p[both] + (1.0 - order) * q[both]) / (order - 1.0))


def hockey_stick(log_p: ArrayLike, log_q: ArrayLike, gamma: float) -> float:
    """E_γ(p‖q) = Σ (p - γ q)_+ for γ ≥ 0; γ = 1 is total variation."""
    p, q = _pair(log_p, log_q)
    if not 0 <= gamma < np.inf:
        raise InputError(f"gamma {gamma} of a hockey-stick divergence: give a finite number ≥ 0")
    return float(np.sum(np.maximum(np.exp(p) - gamma * np.exp(q), 0.0)))
