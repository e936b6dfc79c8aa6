"""Sides of the claims on the softmax rule: M10, M11, GSI Theorem 1 (M12) and soft best-of-n (M13). See sides.py."""

from __future__ import annotations

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import as_arrays, detached
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, chi2_error, least, log_of_positive
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array, Namespace

__all__ = ["asked_drafts", "kl_chi2", "kl_mean", "pointwise", "soft_bon", "theorem_one"]


def _log_growth(f: Facts) -> Array:
    """log(1 + (w - 1)/n) (..., K) where π > 0, else 0; at n = 1 it is log w itself, which the sum would cancel."""
    xp, n = f.xp, f.n[..., None]
    log_w = xp.where(f.held, f.log_w, 0.0)
    single, large = n == 1, log_w >= 700.0
    near = xp.log1p(xp.expm1(xp.where(single | large, 0.0, log_w)) / n)
    return xp.where(single, log_w, xp.where(large, log_w - xp.log(n), near))


def _from_draft(f: Facts) -> Array:
    """KL(π‖π_S), what one draw gives."""
    return f.once("KL of one draw", lambda: detached(divergence.kl(f.log_pi, f.log_draft)))


def pointwise(f: Facts) -> Sides:
    """(M10) as max over y of log(π/P_n) - log(1 + (w - 1)/n) ≤ 0: both sides are logs."""
    xp, law = f.xp, f.draft_law("softmax")
    apart = xp.where(f.held, f.log_pi, 0.0) - xp.where(f.held, law.log_prob, 0.0)
    gap = xp.max(xp.where(f.held, apart - _log_growth(f), -np.inf), axis=-1)
    size = xp.max(xp.where(f.held, xp.abs(detached(f.log_w)), 0.0), axis=-1)
    error = law.log_error + 4.0 * f.weight_error + 8.0 * EPS * (1.0 + size)
    return Sides(gap, 0.0, error + f.blind(law.log_prob))


def kl_mean(f: Facts) -> Sides:
    """(M11), first form: KL(π‖P_n) ≤ E_π log(1 + (w - 1)/n)."""
    xp, (value, error) = f.xp, f.kl("softmax")
    terms = _log_growth(f)
    pi, w = detached(f.pi), detached(f.w)
    moved = xp.sum(pi * xp.clip(w / f.n[..., None], None, 1.0), axis=-1)
    rounding = 4.0 * f.weight_error * moved + 16.0 * EPS * xp.sum(pi * xp.abs(detached(terms)), axis=-1)
    return Sides(value, xp.sum(f.pi * terms, axis=-1), error + detached(rounding), _from_draft(f))


def kl_chi2(f: Facts) -> Sides:
    """(M11), last form: KL(π‖P_n) ≤ log(1 + χ²(π‖π_S)/n); trivial: KL(π‖π_S), what one draw gives."""
    value, error = f.kl("softmax")
    rounding = least(chi2_error(f, f.log_draft) / detached(f.n), 8.0 * f.weight_error + 16.0 * EPS)
    return Sides(value, f.xp.log1p(f.chi2 / f.n), error + rounding, _from_draft(f))


def _log_asked(f: Facts, reading: str) -> Array:
    """log of what n·(e^ε - 1) must reach (...) under a reading of GSI Theorem 1 (M12)."""
    xp, reward = f.xp, f.reward
    size = xp.max(reward, axis=-1) - xp.min(reward, axis=-1) if reading == "osc" else xp.max(xp.abs(reward), axis=-1)
    exponent, log_cover = 2.0 * f.beta * size, xp.log1p(f.chi2_pair)
    if reading == "a":
        # a factor of zero asks nothing, also of a coverage beyond float64
        asks = exponent > 0
        return xp.where(asks, log_cover + _log_expm1(xp, xp.where(asks, exponent, 1.0)), -np.inf)
    return _log_expm1(xp, log_cover + exponent)


def _log_expm1(xp: Namespace, x: Array) -> Array:
    """log(e^x - 1) for x ≥ 0; -inf at 0."""
    some = x > 0
    x = xp.where(some, x, 1.0)
    return xp.where(some, x + xp.log(-xp.expm1(-x)), -np.inf)


def asked_drafts(f: Facts, reading: str, epsilon: float) -> Array:
    """log of the n that a reading of GSI Theorem 1 (M12) asks for KL(π‖Q) ≤ ε; "instance" asks it by (M11)."""
    top = log_of_positive(as_arrays(chi2=f.chi2)[1][0]) if reading == "instance" else _log_asked(f, reading)
    return f.xp.clip(top - float(np.log(np.expm1(epsilon))), 0.0, None)


def theorem_one(f: Facts, reading: str) -> Sides:
    """(M12) at the smallest ε that n allows: KL(π‖Q) ≤ log(1 + asked/n)."""
    xp, (value, error) = f.xp, f.kl("softmax")
    top = _log_asked(f, reading)
    rhs = xp.logaddexp(xp.zeros_like(top), top - xp.log(f.n))
    finite, size = xp.isfinite(top), xp.abs(detached(top))
    error = error + 16.0 * EPS * (1.0 + detached(rhs)) * xp.where(finite, 1.0 + size, 1.0)
    return Sides(value, rhs, error, _from_draft(f))


def soft_bon(f: Facts, form: str) -> Sides:
    """(M13): soft best-of-n on the base; CV² = χ²(π‖π_B), and its Kantorovich bound sinh²(β osc(r)/2)."""
    xp, n = f.xp, f.n_base
    value, error = f.once("KL of the base law", lambda: f.kl_to(f.base_law()))
    trivial = f.once("KL of one base draw", lambda: detached(divergence.kl(f.log_pi, f.log_base)))
    if form == "cv":
        chi2 = divergence.chi2(f.log_pi, f.log_base)
        return Sides(value, xp.log1p(chi2 / n), error + chi2_error(f, f.log_base) / detached(n), trivial)
    based = xp.isfinite(f.log_base)
    high = xp.max(xp.where(based, f.reward, -np.inf), axis=-1)
    low = xp.min(xp.where(based, f.reward, np.inf), axis=-1)
    half = f.beta * (high - low) / 2.0
    some, small = half > 0, half < 20.0
    near = xp.log(xp.sinh(xp.where(some & small, half, 1.0)))
    far = xp.where(small, 20.0, half)
    log_sinh2 = 2.0 * xp.where(small, near, far - float(np.log(2.0)) + xp.log1p(-xp.exp(-2.0 * far)))
    rhs = xp.where(some, xp.logaddexp(xp.zeros_like(half), log_sinh2 - xp.log(n)), 0.0)
    return Sides(value, rhs, error + xp.where(some, 16.0 * EPS * (1.0 + detached(half)), 0.0), trivial)
