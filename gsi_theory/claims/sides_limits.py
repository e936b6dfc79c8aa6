"""Sides of the claims that are limits: rates of the softmax rule (M18) and the gate's limit (M7). See sides.py.

A limit is taken by Richardson extrapolation of the exact law over three values of n; its error is ten times the last
correction plus the numerical error of the terms. Gradients are those of the extrapolated value at these n.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.namespace import detached
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides, log_of_positive
from gsi_theory.laws.gate import GsiLaw
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.types import Array

__all__ = ["gate_limit", "gate_vanishes", "linear_rate", "rate"]

# 10⁴ e^20 drafts are 5e12; beyond, the next terms no longer fit the exact range of n.
LARGEST_LOG_SCALE = 20.0
LARGEST_LOG_W = 300.0  # its square is finite; such weights are far beyond the largest scale

Term = Callable[[int], tuple[Array, Array]]


def _starts(f: Facts, log_scale: Array) -> Array:
    """The least of the three n (...): 10⁴ above the scale of the corrections."""
    xp = f.xp
    return xp.round(1e4 * xp.exp(xp.clip(detached(log_scale), 0.0, LARGEST_LOG_SCALE)))


def _limit(f: Facts, log_scale: Array, term: Term, smooth: bool) -> tuple[Array, Array]:
    """Limit of term(n) = L + a/n + b/n² + … from n, 2n, 4n, with its error; 0 and +inf where nothing can be said:
    where n would have to be too large, or a term is infinite (KL(G_n‖π) when u = -inf accepts a weight of zero).

    The corrections are of the order e^log_scale / n. A total variation is only piecewise smooth in 1/n, and a gate can
    put the kink anywhere: then (`smooth` False) the whole distance from the last term counts as error.
    """
    xp = f.xp
    values, errors = zip(*(term(k) for k in (1, 2, 4)), strict=True)
    known = detached(log_scale) <= LARGEST_LOG_SCALE
    for value in values:
        known = known & xp.isfinite(value)
    first, second, third = (xp.where(known, value, 0.0) for value in values)
    two = 2.0 * third - second
    three = (8.0 * third - 6.0 * second + first) / 3.0
    error = 10.0 * abs(detached(three - two)) + 5.0 * sum(errors)
    error = error if smooth else error + 2.0 * abs(detached(three - third))
    return three, xp.where(known, error, np.inf)


def _largest_reward(f: Facts) -> Array:
    return f.xp.max(f.xp.abs(detached(f.reward)), axis=-1)


def _rate_law(f: Facts, k: int) -> Law:
    return f.draft_law("softmax", k * _starts(f, f.log_coverage))


def _gate_law(f: Facts, k: int) -> GsiLaw:
    return f.gated_law(k * _starts(f, _gate_scale(f)))


def _gate_scale(f: Facts) -> Array:
    """log of the larger coverage constant of π, under the draft and under the base (...)."""
    xp = f.xp
    against = xp.where(f.held, detached(f.log_pi), 0.0) - xp.where(f.held, detached(f.log_base), 0.0)
    base_coverage = xp.max(xp.where(f.held, against, -np.inf), axis=-1)
    coverage = detached(f.log_coverage)
    return xp.where(coverage > base_coverage, coverage, base_coverage)


def rate(f: Facts, kind: str) -> Sides:
    """(M18): the limits of n² KL, n TV and n·(reward gap) of the softmax rule."""
    xp, pi = f.xp, f.pi
    start = _starts(f, f.log_coverage)

    def term(k: int) -> tuple[Array, Array]:
        n = k * start
        law = f.shared(("rate", k), lambda all_rows: _rate_law(all_rows, k))
        if kind == "kl":
            value, error = f.kl_to(law)
            return n * n * value, n * n * error
        if kind == "tv":
            return n * divergence.tv(f.log_pi, law.log_prob), n * (law.error + 2.0 * f.weight_error)
        t = xp.where(f.held, law.log_prob, 0.0) - xp.where(f.held, f.log_pi, 0.0)
        # P - π, without cancellation where they are close and without overflow where they are not.
        near = t < 30.0
        gap = xp.where(near, pi * xp.expm1(xp.where(near, t, 0.0)), xp.exp(xp.where(near, -1.0, law.log_prob)) - pi)
        change = xp.vecdot(gap, f.reward, axis=-1)
        return -n * change, n * 2.0 * _largest_reward(f) * (law.error + 2.0 * f.weight_error)

    limit, error = _limit(f, f.log_coverage, term, smooth=kind != "tv")
    w = xp.where(f.held, xp.exp(xp.clip(xp.where(f.held, f.log_w, 0.0), None, LARGEST_LOG_W)), 0.0)
    mean = xp.vecdot(pi, w, axis=-1)
    off = w - mean[..., None]
    if kind == "kl":
        constant = 0.5 * xp.vecdot(pi, off * off, axis=-1)
    elif kind == "tv":
        constant = 0.5 * xp.vecdot(pi, xp.abs(off), axis=-1)
    else:
        constant = xp.vecdot(pi, off * f.reward, axis=-1)
    error = error + 64.0 * EPS * abs(detached(constant)) + 8.0 * f.weight_error * detached(mean)
    if kind == "tv":
        # An outcome with w close to 1 + χ² changes the sign of P - π only at some later n: no more than this.
        law = f.shared(("rate", 4), lambda all_rows: _rate_law(all_rows, 4))
        t = xp.clip(xp.where(f.held, law.log_prob - xp.where(f.held, f.log_pi, 0.0), 0.0), None, 30.0)
        first_order = (4.0 * start)[..., None] * xp.expm1(t) + off
        error = error + 0.5 * detached(xp.vecdot(pi, xp.abs(first_order), axis=-1))
    return Sides(limit, constant, error, scale=0.0)


def _gate_constant(f: Facts, kind: str) -> Array:
    """The closed form of (M7) (...), a = π(A), b = 1 - a."""
    xp = f.xp
    a = xp.sum(xp.where(f.accepted, f.pi, 0.0), axis=-1)
    b = xp.sum(xp.where(f.accepted, 0.0, f.pi), axis=-1)
    log_b = xp.where(b > 0, log_of_positive(b), 0.0)
    if kind == "tv":
        return a * b
    if kind == "kl_forward":
        return -a * xp.log1p(b) - b * log_b
    if kind == "kl_reverse":
        return a * (1.0 + b) * xp.log1p(b) + b * b * log_b
    return xp.sum(f.pi * (xp.where(f.accepted, 1.0, 0.0) - a[..., None]) * f.reward, axis=-1)


def gate_limit(f: Facts, kind: str) -> Sides:
    """(M7): what the gated law tends to as n = n_base → ∞; a = π(A), which has no gradient through the gate's edge."""
    xp = f.xp

    def term(k: int) -> tuple[Array, Array]:
        law = f.shared(("gate", k), lambda all_rows: _gate_law(all_rows, k))
        if kind == "kl_forward":
            return f.kl_to(law)
        if kind == "kl_reverse":
            value = divergence.kl(law.log_prob, f.log_pi)
            return value, law.log_error * (1.0 + 2.0 * abs(detached(value)))
        error = law.error + 2.0 * f.weight_error
        if kind == "tv":
            return divergence.tv(law.log_prob, f.log_pi), error
        change = xp.vecdot(xp.exp(law.log_prob) - f.pi, f.reward, axis=-1)
        return change, 2.0 * error * _largest_reward(f)

    limit, error = _limit(f, _gate_scale(f), term, smooth=False)
    scale = _largest_reward(f) if kind == "reward" else 1.0
    # a and b sum to one only up to the rounding of π
    moved = 4.0 * f.weight_error * (detached(f.osc) + scale if kind == "reward" else 1.0)
    return Sides(limit, _gate_constant(f, kind), error + moved + 64.0 * EPS, scale=1e-2 * scale)


def gate_vanishes(f: Facts, kind: str = "tv") -> Sides:
    """The readings that (M7) refutes: TV(G_n, π), KL(π‖G_n) or the change of the mean reward tends to 0."""
    limit = gate_limit(f, kind)
    return Sides(limit.lhs, 0.0, limit.error, scale=limit.scale)


def linear_rate(f: Facts) -> Sides:
    """The reading that (M18) refutes, lim n KL(π‖P_n) = χ²(π‖μ): the limit is 0.

    n KL falls as 1/n, so the value at the largest n, with all of it counted as error, encloses the limit.
    """
    n = 4.0 * _starts(f, f.log_coverage)
    law = f.shared(("rate", 4), lambda all_rows: _rate_law(all_rows, 4))
    value, error = f.kl_to(law)
    known = detached(f.log_coverage) <= LARGEST_LOG_SCALE
    last = n * detached(value)
    error = 2.0 * last + n * error + 16.0 * f.weight_error * detached(1.0 + f.chi2)
    return Sides(0.0 * value, f.chi2, f.xp.where(known, error, np.inf), scale=0.0)
