"""Sides of the claims on best-of-n (M16) and best-of-Poisson (M23). See sides.py.

Best-of-n ranks by the weights of the draft candidates, β r̃; F and F_- are the draft's masses up to and below a level.
"""

from __future__ import annotations

import functools

import numpy as np

from gsi_theory.arrays.namespace import detached, host, table
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.claims.sides_selection import drift_kl
from gsi_theory.laws.selection_law import EPS
from gsi_theory.types import Array

__all__ = ["bon_kl", "bon_win_rate", "poisson_gap", "poisson_gap_value"]


def _formula(f: Facts) -> Array:
    """log n - (n-1)/n (...)."""
    return f.xp.log(f.n) - (f.n - 1.0) / f.n


def bon_kl(f: Facts, form: str) -> Sides:
    """(M16): KL(P_n^max‖π_S) ≤ log n - (n-1)/n; "equality": the other half of the often quoted equality."""
    value, error = drift_kl(f, "max")
    formula, error = _formula(f), error + 16.0 * EPS * (1.0 + detached(f.xp.log(f.n)))
    trivial = detached(f.xp.log(f.n))
    return Sides(value, formula, error, trivial) if form == "bound" else Sides(formula, value, error)


def bon_win_rate(f: Facts, ties: float) -> Sides:
    """(M16): P(w(Y) > w(Y')) + ties·P(w(Y) = w(Y')) ≤ n/(n+1), Y ~ P_n^max, Y' ~ π_S; trivial: 1."""
    xp, law = f.xp, f.draft_law("max")
    weight = f.beta[..., None] * f.reward + f.log_ratio
    one, other = weight[..., :, None], weight[..., None, :]
    wins = xp.astype(one > other, xp.float64) + ties * xp.astype(one == other, xp.float64)
    beaten = xp.squeeze(xp.matmul(wins, xp.exp(f.log_draft)[..., None]), axis=-1)
    rate = xp.vecdot(xp.exp(law.log_prob), beaten, axis=-1)
    return Sides(rate, f.n / (f.n + 1.0), 2.0 * law.error + (2.0 * f.outcomes + 16.0) * EPS, 1.0)


@functools.cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes on [-1, 1] and their weights."""
    return np.polynomial.legendre.leggauss(400)


def poisson_gap_value(m: np.ndarray) -> np.ndarray:
    """KL between best-of-(1 + Poisson(m)) on a reward uniform on [0, 1] and the exponential tilt of the same mean.

    m (...) ≥ 0, any shape; nats; absolute error below 1e-11. With density p(x) = (1 + m x) e^{m(x-1)} and the tilt
    λ e^{λx}/(e^λ - 1): E_p log(1 + mx) + m (E_p x - 1) - λ E_p x + log((e^λ - 1)/λ), in the variable s = 1 - x.
    """
    m = np.asarray(m, dtype=np.float64)
    flat = m.reshape(-1, 1)
    # Beyond s = 45/m the density is below e^{-45} of its largest value.
    reach = np.minimum(1.0, 45.0 / np.maximum(flat, 1e-300))
    nodes, weights = _nodes()
    s = 0.5 * reach * (nodes + 1.0)
    p = 0.5 * reach * weights * (1.0 + flat * (1.0 - s)) * np.exp(-flat * s)
    lost = np.sum(p * s, axis=1)
    tilt = _tilt_of(lost)
    log_p = np.log1p(flat * (1.0 - s)) - flat * s
    # log of the tilt's density at 1 - s is log λ - λ s - log(1 - e^{-λ})
    some = tilt > 1e-8
    safe = np.where(some, tilt, 1.0)
    log_top = np.where(some, np.log(safe) - np.log(-np.expm1(-safe)), tilt / 2.0)
    gap = np.sum(p * (log_p - log_top[:, None] + tilt[:, None] * s), axis=1)
    return np.maximum(gap, 0.0).reshape(m.shape)


def _tilt_of(lost: np.ndarray) -> np.ndarray:
    """λ ≥ 0 with mean 1 - x equal to `lost` under the density ∝ e^{λx} on [0, 1]: 1/λ - 1/(e^λ - 1), by bisection."""
    low, high = np.zeros_like(lost), 2.0 / lost
    for _ in range(80):
        middle = 0.5 * (low + high)
        small = middle < 1e-3
        safe = np.where(small, 1.0, middle)
        with np.errstate(over="ignore"):
            mean = np.where(small, 0.5 - middle / 12.0 + middle**3 / 720.0, 1.0 / safe - 1.0 / np.expm1(safe))
        low, high = np.where(mean > lost, middle, low), np.where(mean > lost, high, middle)
    return 0.5 * (low + high)


def poisson_gap(f: Facts) -> Sides:
    """(M23): the KL gap of best-of-Poisson to the tilt of equal mean is below 8e-4; n - 1 is the Poisson mean.

    The reward is the calibrated one, uniform on [0, 1]: the claim depends on n alone.
    """
    value = poisson_gap_value(host(f.n) - 1.0)
    return Sides(table(value, f.n), 8e-4 + 0.0 * f.beta, 1e-11 + 0.0 * f.weight_error)
