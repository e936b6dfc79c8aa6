"""How far a scheme's law is from the tilted policy π, from a pool: the instance bound (M11) with its gate, KL and TV.

Expectations under π are taken over the **base** candidates, with weights v ∝ e^{βr}: they show the parts of π that the
draft never draws, where the log-weight ℓ + βr is large; drafts would miss exactly those. With w = e^{βr + ℓ}/Z,
w_B = e^{βr}/Z, Z the mean of e^{βr} over base candidates, and q = P(fallback):

    softmax   P_n/π ≥ n/(n - 1 + w)                        (M10)
    race      P_n/π ≥ 1 - (1 - 1/max(w, 1))^n              A(v) ≥ (1 - v)_+ in (M4)
    gate      G/π ≥ [draft part where accepted] + q [base part at w_B, n_B]

so KL(π‖G) ≤ -E_π log of the right side; with the score gate (M9) the race's integral ends at min(1/w, 1/M), that is
max(w, M/Z, 1) for max(w, 1). The plug-in values put the pool's own laws in place of the bounds. These, and q, are of
all candidates: a row of either source with ratio ρ stands for draft mass 1/(N + N_B ρ) (the balance heuristic), so that
a fallback that no draft of the pool took, but base candidates say is possible, is not called impossible.
Shapes: P positions, N drafts, N_B base draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from gsi_theory.arrays.logscale import normalize
from gsi_theory.errors import InputError
from gsi_theory.laws.selection_law import score_gated_law, selection_law
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Floats
from llm_check.logs.planner.scheme_grid import Grid, Option
from llm_check.logs.planner.values import Sets

__all__ = ["UNBOUNDED", "Distances", "Tilt", "distances", "tilt_of"]

# They aim at no π_β: at the draft's own tilt, at the best reward, or at no β at all.
UNBOUNDED = ("soft_bon_draft", "best_of_n_draft", "best_of_n_base", "rsd")
_FAR = 700.0  # log-weight of a candidate that the draft cannot draw
_SPECK = -80.0  # least log-mass of a candidate: nothing beside 1/N, far above where logs of laws lose accuracy


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


def _bound(log_w: Floats, n: int, rule: str, log_cut: Floats | float = -np.inf) -> Floats:
    """log of the lower bound of P_n/π at weights w, gated at log M."""
    bound = rule_named(rule).ratio_bound
    if bound is None:
        raise InputError(f"rule {rule!r} has no bound of its law against the tilted policy")
    return bound(log_w, n, log_cut)


@dataclass(frozen=True)
class _Pooled:
    """Candidates of both sources as draws of one policy: log_mass and log_weight (P, K), the `at` last of them those
    whose laws are asked for."""

    log_mass: Floats
    log_weight: Floats
    at: int

    def law(self, ns: Sequence[int], rule: str) -> Floats:
        """Log of the law (P, M, K)."""
        log_prob = selection_law(self.log_mass[:, None, :], self.log_weight[:, None, :], np.array(ns), rule).log_prob
        return np.asarray(log_prob)

    def scored(self, n: int, rule: str, log_cut: float) -> tuple[Floats, Floats]:
        """(log of the accepted part (P, K), log P(reject) (P, 1)) under the score gate."""
        law = score_gated_law(self.log_mass, self.log_weight, n, log_cut, rule)
        return np.asarray(law.log_accepted), np.asarray(law.log_reject)[:, None]

    def ratio(self, log_part: Floats) -> Floats:
        """A law or its part, relative to the mass, at the candidates asked for."""
        return np.asarray((log_part - np.broadcast_to(self._mass(log_part), log_part.shape))[..., -self.at :])

    def _mass(self, log_part: Floats) -> Floats:
        return self.log_mass if log_part.ndim == 2 else self.log_mass[:, None, :]


def _drafts(sets: Sets, base_ratio: Floats, beta: float) -> _Pooled:
    """Both sources as draws of the draft; a base candidate out of its reach has hardly any mass."""
    ratio = np.concatenate([sets.log_ratio, base_ratio], axis=1)
    count, base_count = sets.log_ratio.shape[1], base_ratio.shape[1]
    log_mass = normalize(-np.logaddexp(np.log(count), np.log(base_count) + ratio))
    weight = beta * np.concatenate([sets.reward, sets.base_reward], axis=1) + ratio
    return _Pooled(np.maximum(log_mass, _SPECK), np.where(ratio == np.inf, _FAR, weight), base_count)


def _rejected(log_law: Floats, kept: NDArray[np.bool_]) -> Floats:
    """log P(reject) (P, 1): the mass of a law (P, K) where not kept."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.sum(np.where(kept, 0.0, np.exp(log_law)), axis=1, keepdims=True)))


def _measure(log_v: Floats, log_g: Floats) -> tuple[Floats, Floats]:
    """(KL(π‖G), TV) by position from log G/π on the base candidates."""
    v = np.exp(log_v)
    kl = np.sum(v * -np.maximum(log_g, -1e300), axis=1)
    tv = np.sum(v * np.maximum(-np.expm1(np.minimum(log_g, 0.0)), 0.0), axis=1)
    return np.where(np.any((log_g == -np.inf) & (v > 0), axis=1), np.inf, kl), tv


def distances(sets: Sets, base_ratio: Floats, grid: Grid, options: Sequence[Option]) -> Distances:
    """Distances of every option to π at the positions of `sets`; of the methods UNBOUNDED the largest there are."""
    shape = len(options), sets.reward.shape[0]
    kl_bound, kl, tv = (np.full(shape, worst) for worst in (np.inf, np.inf, 1.0))
    ess = np.empty((len(grid.betas), shape[1]))
    counts = sorted({b for n in grid.ns for b in grid.base_counts(n)})
    for b, beta in enumerate(grid.betas):
        tilt = tilt_of(sets, base_ratio, beta)
        ess[b] = tilt.ess
        at = beta * sets.base_reward + base_ratio
        reached = np.isfinite(at)
        drafts = _drafts(sets, base_ratio, beta)
        base = _Pooled(
            np.full(sets.base_reward.shape, -np.log(base_ratio.shape[1])), beta * sets.base_reward, base_ratio.shape[1]
        )
        for rule in grid.rules:
            scored: dict[tuple[int, float], tuple[Floats, Floats]] = {}
            laws = drafts.law(grid.ns, rule)
            ratios = np.where(reached[:, None, :], drafts.ratio(laws) - tilt.log_w[:, None, :], -np.inf)
            falls = base.ratio(base.law(counts, rule)) - tilt.log_w_base[:, None, :]
            for s, option in enumerate(options):
                if (option.rule, option.beta) != (rule, beta) or option.method in UNBOUNDED:
                    continue
                fall_bound = _bound(tilt.log_w_base, option.n_base, rule)
                fall = falls[:, counts.index(option.n_base)]
                if option.on_base:
                    bound, exact = fall_bound, fall
                else:
                    m = grid.ns.index(option.n)
                    bound, exact = _bound(tilt.log_w, option.n, rule), ratios[:, m]
                    log_q: Floats = np.full((bound.shape[0], 1), -np.inf)
                    if option.gate == "tilted_reward" and option.threshold is not None:
                        every = drafts.log_weight >= beta * option.threshold
                        kept = every[:, -drafts.at :]
                        log_q = _rejected(laws[:, m], every)
                        bound, exact = np.where(kept, bound, -np.inf), np.where(kept, exact, -np.inf)
                    elif option.gate == "score" and option.threshold is not None:
                        cut = beta * option.threshold
                        bound = _bound(tilt.log_w, option.n, rule, cut - tilt.log_z[:, None])
                        if (option.n, cut) not in scored:
                            scored[option.n, cut] = drafts.scored(option.n, rule, cut)
                        accepted, log_q = scored[option.n, cut]
                        exact = np.where(reached, drafts.ratio(accepted) - tilt.log_w, -np.inf)
                    bound, exact = np.logaddexp(bound, log_q + fall_bound), np.logaddexp(exact, log_q + fall)
                kl_bound[s] = _measure(tilt.log_v, bound)[0]
                kl[s], tv[s] = _measure(tilt.log_v, exact)
    return Distances(kl_bound, kl, tv, ess)
