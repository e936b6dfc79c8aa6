"""The law of Guided Speculative Inference: selection among drafts, the gate, and the fallback to the base (M6, M9).

G = Q(·, accepted) + Q(rejected)·B, where Q is the law of the winner among n drafts weighted β r̃ and B that of the
winner among n_base base draws weighted β r. The gate compares float64 numbers: a candidate whose tilted reward equals
the threshold is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.errors import InputError
from gsi_theory.instance import Candidates, Instance, Scheme, log_weight, tilted_reward
from gsi_theory.law import EPS, Law, score_gated_race, selection_law
from gsi_theory.logscale import Array, log_sum

__all__ = ["GsiLaw", "fallback_law", "gsi_law", "gsi_laws"]


@dataclass(frozen=True)
class GsiLaw:
    """The law of gsi_law's outcome.

    log_prob: (K,) for an instance; for a (draft, base) pair of candidate sets the concatenation, draft part first,
    (N + N_B,). p_accept: exact probability of acceptance. accepted_log_mass: log Q(y, accepted) on the draft
    candidates. fallback_log_prob: log B on the base candidates. error: bound on the TV error of log_prob.
    log_error: bound on the error of each log-probability above log(1e-300), nats. log_p_reject: log(1 - p_accept),
    accurate where p_accept is 1 to rounding.
    """

    log_prob: Array
    p_accept: float
    accepted_log_mass: Array
    fallback_log_prob: Array
    error: float
    log_error: float
    log_p_reject: float

    def expectation(self, draft_values: ArrayLike, base_values: ArrayLike | None = None) -> float:
        """E f under the law; f on the draft candidates, and on the base candidates (default: the same values)."""
        draft = np.asarray(draft_values, dtype=np.float64)
        base = draft if base_values is None else np.asarray(base_values, dtype=np.float64)
        if draft.shape != self.accepted_log_mass.shape or base.shape != self.fallback_log_prob.shape:
            raise InputError(
                f"values of shapes {draft.shape} and {base.shape}: give {self.accepted_log_mass.shape} for the draft "
                f"candidates and {self.fallback_log_prob.shape} for the base candidates"
            )
        accepted = float(np.exp(self.accepted_log_mass) @ draft)
        return accepted + float(np.exp(self.log_p_reject) * (np.exp(self.fallback_log_prob) @ base))


def _weight_rounding(weight: Array, log_mass: Array) -> float:
    """Rounding in β r + ℓ moves every log-weight by ≤ 2 units of its size, so every log-probability by twice that."""
    used = weight[np.isfinite(weight) & np.isfinite(log_mass)]
    return 4.0 * EPS * float(np.max(np.abs(used), initial=0.0))


def fallback_law(base: Candidates, scheme: Scheme) -> Law:
    """Law B of the winner among n_base base draws weighted β r (soft best-of-n on the base for rule softmax)."""
    weight = scheme.beta * base.reward
    law = selection_law(base.log_mass, weight, scheme.base_draws, scheme.rule)
    extra = _weight_rounding(weight, base.log_mass)
    return Law(law.log_prob, law.error + extra, law.log_error + extra)


def gsi_law(source: Instance | tuple[Candidates, Candidates], scheme: Scheme) -> GsiLaw:
    """Exact law of GSI under `scheme` (M6; M9 with gate "score"; the ungated Q with threshold None).

    `source` is an instance, or a pair (draft candidates, base candidates): that is how a pool is predicted (M30).
    Raises InputError when a draft candidate of positive mass has log-ratio +inf.
    """
    return gsi_laws(source, [scheme])[0]


def gsi_laws(source: Instance | tuple[Candidates, Candidates], schemes: Sequence[Scheme]) -> list[GsiLaw]:
    """`gsi_law` for many schemes; those that differ only in gate and threshold share their selection laws."""
    paired = not isinstance(source, Instance)
    if isinstance(source, Instance):
        draft, base = source.draft_candidates(), source.base_candidates()
    else:
        draft, base = source
    impossible = np.flatnonzero((draft.log_ratio == np.inf) & np.isfinite(draft.log_mass))
    if impossible.size:
        raise InputError(
            f"log_ratio[{impossible[0]}] = inf on a draft candidate of positive mass: what the draft can draw it "
            "cannot give probability zero; check logp_draft"
        )
    drafts: dict[tuple[float, int, str], Law] = {}
    fallbacks: dict[tuple[float, int, str], Law] = {}
    laws = []
    for scheme in schemes:
        key, fallback_key = (scheme.beta, scheme.n, scheme.rule), (scheme.beta, scheme.base_draws, scheme.rule)
        if key not in drafts:
            weight = log_weight(draft, scheme.beta)
            law = selection_law(draft.log_mass, weight, scheme.n, scheme.rule)
            extra = _weight_rounding(weight, draft.log_mass)
            drafts[key] = Law(law.log_prob, law.error + extra, law.log_error + extra)
        if fallback_key not in fallbacks:
            fallbacks[fallback_key] = fallback_law(base, scheme)
        laws.append(_gated(draft, scheme, drafts[key], fallbacks[fallback_key], paired))
    return laws


def _gated(draft: Candidates, scheme: Scheme, ungated: Law, fallback: Law, paired: bool) -> GsiLaw:
    if scheme.gate == "score" and scheme.threshold is not None:
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        accepted, log_reject = score_gated_race(draft.log_mass, log_weight(draft, scheme.beta), scheme.n, cut)
    else:
        cut = -np.inf if scheme.threshold is None else scheme.threshold
        kept = tilted_reward(draft, scheme.beta) >= cut
        accepted = np.where(kept, ungated.log_prob, -np.inf)
        log_reject = float(log_sum(np.where(kept, -np.inf, ungated.log_prob)))
    log_reject = min(log_reject, 0.0)
    p_accept = float(np.exp(log_sum(accepted))) if log_reject > -np.log(2.0) else -float(np.expm1(log_reject))
    rest = log_reject + fallback.log_prob
    log_prob = np.concatenate([accepted, rest]) if paired else np.logaddexp(accepted, rest)
    reject = float(np.exp(log_reject))
    return GsiLaw(
        log_prob=log_prob,
        p_accept=min(p_accept, 1.0),
        accepted_log_mass=accepted,
        fallback_log_prob=fallback.log_prob,
        error=2.0 * ungated.error + reject * fallback.error + EPS,
        log_error=2.0 * ungated.log_error + fallback.log_error,
        log_p_reject=log_reject,
    )
