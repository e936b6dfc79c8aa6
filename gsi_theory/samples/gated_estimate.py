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
    checked_pool,
    curves,
    deviations,
    leave_one_out,
    subset_mean,
)
from gsi_theory.types import Flags, Floats

__all__ = ["GatedEstimate", "gated_error", "gated_mean", "gated_rows", "gated_value", "score_gated_mean"]


@dataclass(frozen=True)
class GatedEstimate:
    """Estimates of a gated method: shapes (M,); several values add an axis V before M, several thresholds U before it.

    value: E f of what is returned; accepted: E[f; accepted]; p_accept, without V; fallback, without U: E f of the
    base's winner.
    """

    value: Estimate
    accepted: Estimate
    p_accept: Estimate
    fallback: Estimate


def gated_rows(values: Floats, kept: Flags) -> Floats:
    """f·1{kept} of every value and, last, 1{kept} (U, V + 1, ..., N): their means are A and p of every threshold.

    values (V, ..., N), kept (U, ..., N).
    """
    return np.concatenate([values, np.ones((1, *values.shape[1:]))]) * kept[:, None]


def gated_value(parts: Floats, fallback: Floats) -> tuple[Floats, Floats]:
    """(A + (1 − p) B (..., V, M), 1 − p (..., 1, M)) from A and, last, p: parts (..., V + 1, M); fallback B (V, M)."""
    rest = np.clip(1.0 - parts[..., -1:, :], 0.0, 1.0)
    return parts[..., :-1, :] + rest * fallback, rest


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

    values (N,) or (V, N), log_weight (N,) of the drafts (βr̃); kept (N,), or (U, N) for several thresholds: r̃ ≥ u;
    base_values (N_B,) or (V, N_B), base_log_weight (N_B,) of the base draws (βr); ns up to N; the fallback takes n_base
    draws (None: n), up to N_B. Raises InputError as `subset_mean`, and when shapes differ.
    """
    f, masks = numbers_or_indicators(values, "values"), np.asarray(kept)
    if masks.dtype != np.bool_ or masks.ndim not in (1, 2) or masks.shape[-1:] != f.shape[-1:]:
        size = f.shape[-1] if f.ndim else 1
        raise InputError(f"kept of shape {masks.shape}, {masks.dtype}: give booleans (N,) or (U, N) with N = {size}")
    rows = gated_rows(np.atleast_2d(f), np.atleast_2d(masks))
    found = leave_one_out(rows.reshape(-1, rows.shape[-1]), log_weight, ns, rule)
    mean, deviation = (part.reshape(*rows.shape[:2], *part.shape[1:]) for part in (found.value, found.deviation))
    fallback = _fallback(base_values, base_log_weight, ns, n_base, rule)
    return _combined(mean, deviation, fallback, f.ndim == 1, masks.ndim == 1)


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
    rows = np.concatenate([np.atleast_2d(f), np.ones((1, *f.shape[-1:]))])
    pools = [checked_pool(rows, log_weight, ns, "race", cut) for cut in np.atleast_1d(cuts)]
    # nothing reaches +inf, where the quadrature has no range
    mean = np.stack([curves(p) if p.log_cut < np.inf else np.zeros((len(rows), p.ns.size)) for p in pools])
    deviation = np.stack([deviations(pool) for pool in pools])
    fallback = _fallback(base_values, base_log_weight, ns, n_base, "race")
    return _combined(mean, deviation, fallback, f.ndim == 1, cuts.ndim == 0)


def _fallback(values: ArrayLike, log_weight: ArrayLike, ns: ArrayLike, n_base: int | None, rule: str) -> Estimate:
    """The base's winner for every n, each with its own number of draws or all with n_base: (V, M)."""
    draws = np.atleast_1d(as_numbers(ns, "ns")) if n_base is None else np.atleast_1d(as_numbers(n_base, "n_base"))
    found = subset_mean(np.atleast_2d(numbers_or_indicators(values, "values")), log_weight, draws, rule)
    count = np.atleast_1d(np.asarray(ns)).size
    return Estimate(*(np.broadcast_to(part, (len(part), count)).copy() for part in (found.value, found.stderr)))


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
    mean: Floats, deviation: Floats, fallback: Estimate, one_value: bool, one_threshold: bool
) -> GatedEstimate:
    """mean (U, V + 1, M) of A and, last, p; their deviations (U, V + 1, M, N); fallback (V, M)."""
    if len(fallback.value) not in (1, mean.shape[1] - 1):
        values = mean.shape[1] - 1
        raise InputError(f"base_values of {len(fallback.value)} values, values of {values}: give the same of both")
    value, rest = gated_value(mean, fallback.value)
    error = gated_error(deviation[:, :-1], deviation[:, -1:], rest, fallback)
    spread = np.sqrt(np.sum(deviation**2, axis=-1))
    axes = (0,) * one_threshold + (1,) * one_value

    def estimate(numbers: Floats, errors: Floats) -> Estimate:
        return Estimate(np.squeeze(numbers, axes), np.squeeze(errors, axes))

    row = 0 if one_threshold else slice(None)
    return GatedEstimate(
        estimate(value, error),
        estimate(mean[:, :-1], spread[:, :-1]),
        Estimate(mean[row, -1], spread[row, -1]),
        Estimate(fallback.value[0], fallback.stderr[0]) if one_value else fallback,
    )
