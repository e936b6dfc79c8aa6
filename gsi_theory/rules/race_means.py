"""Means over winners of the race for many n and score gates at once, from one sort of a pool (M4, M9, M30).

For N candidates of equal mass with weights w in descending order, A(v) = Σ_{w v ≤ 1} (1 - v w)/N is linear between the
1/w_j, so ∫_0^{1/w_j} A^{n-1} dv is a running sum of (A_a^n - A_b^n)/(n S), S the slope there, and

    P_n(j) = (n/N) w_j ∫_0^{1/w_j} A^{n-1} dv,      accepted at score M: the integral up to min(1/w_j, 1/M)

`selection_law` and `score_gated_race` give these laws candidate by candidate, for any masses, with error bounds; this
is for pools so large that only the means are wanted, and is accurate to about 1e-12 of max |f|.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["WIDEST", "race_means"]

# Spread of log-weights beyond which a weight relative to the largest would leave float64.
WIDEST = 600.0


def race_means(values: Floats, log_weight: Floats, ns: NDArray[np.int64], log_cuts: Floats) -> Floats:
    """(1 + U, F, P, M): accepted parts of means over winners among n with replacement; the first has no gate.

    values (F, P, N); log_weight (P, N) in nats, finite, spread at most WIDEST; ns (M,) ≥ 1; log_cuts (U,): the score
    must reach e^cut, in units of the weights as given. Raises InputError for log-weights out of that range.
    """
    spread = np.ptp(log_weight, axis=1)
    if not np.isfinite(log_weight).all() or (spread > WIDEST).any():
        raise InputError(f"log-weights that are infinite or spread over more than {WIDEST:g} nats: use selection_law")
    order = np.argsort(-log_weight, axis=1, kind="stable")
    weight = np.take_along_axis(log_weight, order, axis=1)
    sorted_values = np.ascontiguousarray(np.take_along_axis(values, order[None], axis=2).transpose(1, 2, 0))
    cuts = np.exp(np.clip(weight[:, :1] - log_cuts[None, :], -WIDEST, WIDEST))
    scaled = np.exp(weight - weight[:, :1])
    with np.errstate(divide="ignore"):  # log 0 is meant; compiled loops do not say it
        found: Floats = _means(sorted_values, scaled, np.asarray(ns, dtype=np.float64), cuts)
    return found.transpose(1, 3, 0, 2)


@njit(cache=True)
def _means(values: Floats, weight: Floats, ns: Floats, ends: Floats) -> Floats:
    """(P, 1 + U, M, F) from values (P, N, F), weights (P, N) descending from 1, ends (P, U) = 1/M."""
    positions, size, features = values.shape
    gates = ends.shape[1]
    out = np.zeros((positions, 1 + gates, ns.size, features))
    slope = np.empty(size + 1)
    part = np.empty(1 + gates)
    for p in range(positions):
        slope[size] = 0.0
        for j in range(size - 1, -1, -1):
            slope[j] = slope[j + 1] + weight[p, j] / size
        for m in range(ns.size):
            n = ns[m]
            total, start = 0.0, 0.0
            part[:] = -1.0
            for j in range(size):
                end = 1.0 / weight[p, j]
                height = max((size - j) / size - start * slope[j], 0.0)
                for u in range(gates):
                    if part[1 + u] < 0.0 and ends[p, u] <= end:
                        part[1 + u] = total + _piece(height, slope[j], ends[p, u] - start, n)
                total += _piece(height, slope[j], end - start, n)
                start = end
                share = n / size * weight[p, j]
                for f in range(features):
                    out[p, 0, m, f] += share * total * values[p, j, f]
                for u in range(gates):
                    reached = total if part[1 + u] < 0.0 else part[1 + u]
                    for f in range(features):
                        out[p, 1 + u, m, f] += share * reached * values[p, j, f]
    return out


@njit(cache=True)
def _piece(height: float, slope: float, length: float, n: float) -> float:
    """∫_0^length (height - slope t)^{n-1} dt, the base never below zero."""
    if height <= 0.0 or length <= 0.0:
        return 0.0
    fall = slope * length / height
    if fall < 1e-12:
        return float(length * height ** (n - 1.0))
    return float(height**n * -np.expm1(n * np.log1p(-min(fall, 1.0))) / (n * slope))
