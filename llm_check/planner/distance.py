"""How far a scheme's law is from the tilted policy π, from a pool: the instance bound (M11) with its gate, KL and TV.

Expectations under π are taken over the **base** candidates, with weights v ∝ e^{βr}: they show the parts of π that the
draft never draws, where the log-weight ℓ + βr is large; drafts would miss exactly those. With w = e^{βr + ℓ}/Z,
w_B = e^{βr}/Z, Z the mean of e^{βr} over base candidates, and q = P(fallback):

    softmax   P_n/π ≥ n/(n - 1 + w)                        (M10)
    race      P_n/π ≥ 1 - (1 - 1/max(w, 1))^n              A(v) ≥ (1 - v)_+ in (M4)
    gate      G/π ≥ [draft part where accepted] + q [base part at w_B, n_B]

so KL(π‖G) ≤ -E_π log of the right side; with the score gate (M9) the race's integral ends at min(1/w, 1/M), that is
max(w, M/Z, 1) for max(w, 1). The plug-in values put the pool's own laws in place of the bounds: P_n/μ at a weight that
the drafts do not have is that of a candidate of negligible mass added to them. Shapes: P positions, N_B base draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from gsi_theory.law import score_gated_race, selection_law
from llm_check.planner.grid import Grid, Option
from llm_check.planner.values import Sets

__all__ = ["Distances", "Tilt", "distances", "tilt_of"]

Floats = NDArray[np.float64]
_SPECK = -80.0  # log-mass of added candidates: nothing beside 1/N, far above where logs of laws lose accuracy


@dataclass(frozen=True)
class Tilt:
    """π at one β over the base candidates: log_v (P, N_B), log w and log w_B (P, N_B), ess (P,) of v, log_z (P,)."""

    log_v: Floats
    log_w: Floats
    log_w_base: Floats
    ess: Floats
    log_z: Floats


@dataclass(frozen=True)
class Distances:
    """By option and position (S, P): kl_bound, kl and tv to π; ess (B, P) by β of the grid."""

    kl_bound: Floats
    kl: Floats
    tv: Floats
    ess: Floats


def tilt_of(sets: Sets, base_ratio: Floats, beta: float) -> Tilt:
    """The tilted policy over the base candidates; base_ratio (P, N_B) is their raw log-ratio."""
    raised = beta * sets.base_reward
    total = logsumexp(raised, axis=1, keepdims=True)
    log_v, log_z = raised - total, total - np.log(raised.shape[1])
    ess = np.exp(-logsumexp(2.0 * log_v, axis=1))
    return Tilt(log_v, raised + base_ratio - log_z, raised - log_z, ess, log_z[:, 0])


def _bound(log_w: Floats, n: int, rule: str, log_floor: Floats | float = -np.inf) -> Floats:
    """log of the lower bound of P_n/π at weights w."""
    if rule == "softmax":
        return np.asarray(np.log(n) - np.logaddexp(np.log(n - 1) if n > 1 else -np.inf, log_w))
    largest = np.maximum(np.maximum(log_w, log_floor), 0.0)
    with np.errstate(divide="ignore"):
        miss = np.log1p(-np.exp(-largest))
        return np.asarray(np.log(-np.expm1(n * miss)))


def _ratio(own: Floats, at: Floats, ns: Sequence[int], rule: str) -> Floats:
    """log P_n/μ (P, M, K) at log-weights `at` (P, K), μ the candidates of log-weights `own` (P, N) in equal parts."""
    weight = np.concatenate([own, at], axis=1)[:, None, :]
    mass = np.full_like(weight, _SPECK)
    mass[..., : own.shape[1]] = -np.log(own.shape[1])
    law = selection_law(mass, weight, np.array(ns), rule)
    return np.asarray(law.log_prob[..., own.shape[1] :] - _SPECK)


def _scored(own: Floats, at: Floats, n: int, log_cut: float) -> Floats:
    """log of accepted part/μ (P, K) under the score gate, as `_ratio`."""
    weight = np.concatenate([own, at], axis=1)
    mass = np.full_like(weight, _SPECK)
    mass[:, : own.shape[1]] = -np.log(own.shape[1])
    accepted, _ = score_gated_race(mass, weight, n, log_cut)
    return np.asarray(accepted[:, own.shape[1] :] - _SPECK)


def _measure(log_v: Floats, log_g: Floats) -> tuple[Floats, Floats]:
    """(KL(π‖G), TV) by position from log G/π on the base candidates."""
    v = np.exp(log_v)
    kl = np.sum(v * -np.maximum(log_g, -1e300), axis=1)
    tv = np.sum(v * np.maximum(-np.expm1(np.minimum(log_g, 0.0)), 0.0), axis=1)
    return np.where(np.any((log_g == -np.inf) & (v > 0), axis=1), np.inf, kl), tv


def distances(sets: Sets, base_ratio: Floats, grid: Grid, options: Sequence[Option], reject: Floats) -> Distances:
    """Distances of every option to π at the positions of `sets`; reject (S, P) as values.py gives it."""
    shape = len(options), sets.reward.shape[0]
    kl_bound, kl, tv = (np.empty(shape) for _ in range(3))
    ess = np.empty((len(grid.betas), shape[1]))
    counts = sorted({b for n in grid.ns for b in grid.base_counts(n)})
    for b, beta in enumerate(grid.betas):
        tilt = tilt_of(sets, base_ratio, beta)
        ess[b] = tilt.ess
        own = beta * sets.reward + sets.log_ratio
        at = beta * sets.base_reward + base_ratio
        reached = np.where(np.isfinite(at), at, 700.0)
        scored: dict[tuple[int, float], Floats] = {}
        for rule in grid.rules:
            ratios = _ratio(own, reached, grid.ns, rule) - tilt.log_w[:, None, :]
            ratios = np.where(np.isfinite(at)[:, None, :], ratios, -np.inf)
            falls = _ratio(beta * sets.base_reward, beta * sets.base_reward, counts, rule) - tilt.log_w_base[:, None, :]
            for s, option in enumerate(options):
                if (option.rule, option.beta) != (rule, beta):
                    continue
                fall_bound = _bound(tilt.log_w_base, option.n_base, rule)
                fall = falls[:, counts.index(option.n_base)]
                with np.errstate(divide="ignore"):
                    log_q = np.log(reject[s])[:, None]
                if option.method == "base":
                    bound, exact = fall_bound, fall
                else:
                    m = grid.ns.index(option.n)
                    bound, exact = _bound(tilt.log_w, option.n, rule), ratios[:, m]
                    if option.gate == "tilted_reward" and option.threshold is not None:
                        kept = at >= beta * option.threshold
                        bound, exact = np.where(kept, bound, -np.inf), np.where(kept, exact, -np.inf)
                    elif option.gate == "score" and option.threshold is not None:
                        cut = beta * option.threshold
                        bound = _bound(tilt.log_w, option.n, rule, cut - tilt.log_z[:, None])
                        if (option.n, cut) not in scored:
                            scored[option.n, cut] = _scored(own, reached, option.n, cut)
                        exact = scored[option.n, cut] - tilt.log_w
                        exact = np.where(np.isfinite(at), exact, -np.inf)
                    bound, exact = np.logaddexp(bound, log_q + fall_bound), np.logaddexp(exact, log_q + fall)
                kl_bound[s] = _measure(tilt.log_v, bound)[0]
                kl[s], tv[s] = _measure(tilt.log_v, exact)
    return Distances(kl_bound, kl, tv, ess)
