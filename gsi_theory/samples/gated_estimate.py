"""Unbiased curves of the gated method (M6, M9) from a pool of drafts and an independent pool of base draws (M31).

With f on both pools, A the accepted part E[f(winner); accepted], p the chance of acceptance and B the mean of the
fallback, the gated mean is A + (1 − p) B. A and p are averages over all n-subsets of the drafts (f·1{kept} and 1{kept}
are values like any other; M9 ends the race's integral at the gate), B is one over all n_base-subsets of the base draws.
The pools are independent, so the estimate is unbiased: E[(1 − p̂) B̂] = (1 − p) B.

Its error is the jackknife over both pools: Σ_j (dA_j − B̂ dp_j)² + (1 − p̂)² Var B̂. (That exceeds an unbiased estimate
by Var p̂ · Var B̂ on average, of second order.) One candidate shows no spread: with a pool of one on either side the
error is +inf.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.namespace import as_numbers, numbers_or_indicators
from gsi_theory.errors import InputError
from gsi_theory.estimate import (
    Estimate,
    SubsetPool,
    checked_pool,
    curves,
    deviations,
    leave_one_out,
    subset_mean,
)
from gsi_theory.types import Floats

__all__ = ["GatedEstimate", "gated_error", "gated_mean", "score_gated_mean"]


@dataclass(frozen=True)
class GatedEstimate:
    """Estimates of a gated method: shapes (M,), or (U, M) for several thresholds; fallback (M,).

    value: E f of what is returned; accepted: E[f; accepted]; p_accept; fallback: E f of the base's winner.
    """

    value: Estimate
    accepted: Estimate
    p_accept: Estimate
    fallback: Estimate


def gated_mean(
    values: ArrayLike,
    log_weight: ArrayLike,
    kept: ArrayLike,
    base_values: ArrayLike,
    base_log_weight: ArrayLike,
    ns: ArrayLike,
    n_base: int | None = None,
    rule: str = "softmax",
) -> GatedEstimate:
    """The gate on the tilted reward (M6): a winner of `kept` is returned, else a fallback from the base.

    values, log_weight (N,) of the drafts (βr̃); kept (N,), or (U, N) for several thresholds: r̃ ≥ u; base_values,
    base_log_weight (N_B,) of the base draws (βr); ns up to N; the fallback takes n_base draws (None: n), up to N_B.
    Raises InputError as `subset_mean`, and when shapes differ.
    """
    f, masks = numbers_or_indicators(values, "values"), np.asarray(kept)
    if masks.dtype != np.bool_ or masks.shape[-1:] != f.shape or masks.ndim > 2:
        raise InputError(f"kept of shape {masks.shape}, {masks.dtype}: give booleans (N,) or (U, N) with N = {f.size}")
    rows = np.atleast_2d(masks)
    found = leave_one_out(np.concatenate([f * rows, rows.astype(np.float64)]), log_weight, ns, rule)
    half = rows.shape[0]
    parts = (found.value[:half], found.value[half:], found.deviation[:half], found.deviation[half:])
    return _combined(*parts, _fallback(base_values, base_log_weight, ns, n_base, rule), masks.ndim == 1)


def score_gated_mean(
    values: ArrayLike,
    log_weight: ArrayLike,
    log_cut: ArrayLike,
    base_values: ArrayLike,
    base_log_weight: ArrayLike,
    ns: ArrayLike,
    n_base: int | None = None,
) -> GatedEstimate:
    """The gate on the race's winning score (M9): returned when max w/U ≥ e^{log_cut}, log_cut = β u, or (U,) of them.

    Otherwise, errors included, as `gated_mean`.
    """
    cuts = as_numbers(log_cut, "log_cut")
    if cuts.ndim > 1 or np.isnan(cuts).any():
        raise InputError(f"log_cut {log_cut!r}: give one number in nats (β u), or a list of them")
    f = numbers_or_indicators(values, "values")
    pools = [checked_pool(np.stack([f, np.ones_like(f)]), log_weight, ns, "race", c) for c in np.atleast_1d(cuts)]
    value = np.stack([_gated_curve(pool) for pool in pools], axis=1)
    spread = np.stack([deviations(pool) for pool in pools], axis=1)
    fallback = _fallback(base_values, base_log_weight, ns, n_base, "race")
    return _combined(value[0], value[1], spread[0], spread[1], fallback, cuts.ndim == 0)


def _gated_curve(pool: SubsetPool) -> Floats:
    return np.zeros((2, pool.ns.size)) if pool.log_cut == np.inf else curves(pool)


def _fallback(values: ArrayLike, log_weight: ArrayLike, ns: ArrayLike, n_base: int | None, rule: str) -> Estimate:
    """The base's winner for every n, each with its own number of draws or all with n_base."""
    draws = np.atleast_1d(as_numbers(ns, "ns")) if n_base is None else np.atleast_1d(as_numbers(n_base, "n_base"))
    found = subset_mean(values, log_weight, draws, rule)
    count = np.atleast_1d(np.asarray(ns)).size
    return Estimate(*(np.broadcast_to(part, (count,)).copy() for part in (found.value, found.stderr)))


def gated_error(d_accepted: Floats, d_chance: Floats, rest: Floats, fallback: Estimate) -> Floats:
    """√(Σ_j (dA_j − B̂ dp_j)² + (1 − p̂)² Var B̂) (..., M) from deviations (..., M, N), rest = 1 − p̂ and B̂ (..., M).

    +inf where a deviation or the fallback's error is: a pool of one candidate.
    """
    alone = np.isinf(d_accepted).any(axis=-1) | np.isinf(d_chance).any(axis=-1) | np.isinf(fallback.stderr)
    accepted, chance = (np.where(alone[..., None], 0.0, part) for part in (d_accepted, d_chance))
    of_drafts = np.sum((accepted - fallback.value[..., None] * chance) ** 2, axis=-1)
    of_base = (rest * np.where(alone, 0.0, fallback.stderr)) ** 2
    return np.where(alone, np.inf, np.sqrt(of_drafts + of_base))


def _combined(
    accepted: Floats, chance: Floats, d_accepted: Floats, d_chance: Floats, fallback: Estimate, single: bool
) -> GatedEstimate:
    """accepted, chance (U, M), their deviations (U, M, N), fallback (M,)."""
    rest = 1.0 - chance
    value = Estimate(accepted + rest * fallback.value, gated_error(d_accepted, d_chance, rest, fallback))
    taken = Estimate(accepted, np.sqrt(np.sum(d_accepted**2, axis=-1)))
    passed = Estimate(chance, np.sqrt(np.sum(d_chance**2, axis=-1)))
    if single:
        value, taken, passed = (Estimate(part.value[0], part.stderr[0]) for part in (value, taken, passed))
    return GatedEstimate(value, taken, passed, fallback)
