"""The law of Guided Speculative Inference: selection among drafts, the gate, and the fallback to the base (M6, M9).

G = Q(·, accepted) + Q(rejected)·B, where Q is the law of the winner among n drafts weighted β r̃ and B that of the
winner among n_base base draws weighted β r. The gate compares float64 numbers: a candidate whose tilted reward equals
the threshold is accepted; where rounding alone decides (weights.py), the error says so.

`gsi_law` takes one instance or pair of candidate sets; `gated_law` is the same on arrays (NumPy or
torch) with leading batch axes, and gradients flow through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import as_arrays, detached, plain_number
from gsi_theory.errors import InputError
from gsi_theory.instance import (
    Candidates,
    Instance,
    Scheme,
    beta_times,
    log_weight,
    tilted_reward,
    tilted_rewards,
)
from gsi_theory.laws.selection_law import EPS, Law, ScoredLaw, score_gated_law, selection_law
from gsi_theory.laws.target_law import scheme_aim
from gsi_theory.laws.weights import Weights, form_weights, gate_doubt, rounded
from gsi_theory.rules.rule import Rule
from gsi_theory.targets.target import Aim, Target
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Array, Namespace

__all__ = ["GsiLaw", "fallback_law", "gated_law", "gated_selection", "gsi_law", "gsi_laws"]


@dataclass(frozen=True)
class GsiLaw:
    """The law of gsi_law's outcome; with a batch every field has its leading axes (...), else p_accept etc. are floats.

    log_prob: (K,) for an instance; for a (draft, base) pair of candidate sets the concatenation, draft part first,
    (N + N_B,). p_accept: exact probability of acceptance. accepted_log_mass: log Q(y, accepted) on the draft
    candidates. fallback_log_prob: log B on the base candidates. error: bound on the TV error of log_prob.
    log_error: bound on the error of each log-probability above log(1e-300), nats. log_p_reject: log(1 - p_accept),
    accurate where p_accept is 1 to rounding.
    """

    log_prob: Array
    p_accept: Array
    accepted_log_mass: Array
    fallback_log_prob: Array
    error: Array
    log_error: Array
    log_p_reject: Array

    def expectation(self, draft_values: Array, base_values: Array | None = None) -> Array:
        """E f under the law; f on the draft candidates, and on the base candidates (default: the same values)."""
        base_values = draft_values if base_values is None else base_values
        xp, (accepted, fallback, log_reject, draft, base) = as_arrays(
            accepted=self.accepted_log_mass,
            fallback=self.fallback_log_prob,
            log_p_reject=self.log_p_reject,
            draft_values=draft_values,
            base_values=base_values,
        )
        if draft.shape[-1:] != accepted.shape[-1:] or base.shape[-1:] != fallback.shape[-1:]:
            raise InputError(
                f"values of shapes {tuple(draft.shape)} and {tuple(base.shape)}: give {tuple(accepted.shape)} for the "
                f"draft candidates and {tuple(fallback.shape)} for the base candidates"
            )
        taken = xp.vecdot(xp.exp(accepted), draft, axis=-1)
        rest = xp.exp(log_reject) * xp.vecdot(xp.exp(fallback), base, axis=-1)
        return plain_number(taken + rest)


def fallback_law(base: Candidates, scheme: Scheme, aim: Aim | None = None) -> Law:
    """Law B of the winner among n_base base draws weighted β r (soft best-of-n on the base for rule softmax).

    aim: of the scheme's target, where that is not plain. Raises InputError where it is missing.
    """
    if aim is None:
        require_plain(scheme.target, "a law of base candidates")
    made = form_weights(base.log_mass, base.reward, None, scheme.beta, scheme.rule, aim)
    return rounded(selection_law(base.log_mass, made.log_weight, scheme.base_draws, scheme.rule), made)


def gsi_law(source: Instance | tuple[Candidates, Candidates], scheme: Scheme) -> GsiLaw:
    """Exact law of GSI under `scheme` (M6; M9 with gate "score"; the ungated Q with threshold None).

    `source` is an instance, or a pair (draft candidates, base candidates): that is how a pool is predicted (M30).
    Raises InputError when a draft candidate of positive mass has log-ratio +inf, and for a pair of candidate sets under
    a target that needs the whole law of the base.
    """
    return gsi_laws(source, [scheme])[0]


def gsi_laws(source: Instance | tuple[Candidates, Candidates], schemes: Sequence[Scheme]) -> list[GsiLaw]:
    """`gsi_law` for many schemes; those that differ only in gate and threshold share their selection laws.

    Raises InputError as `gsi_law`.
    """
    paired = not isinstance(source, Instance)
    if isinstance(source, Instance):
        draft, base = source.draft_candidates(), source.base_candidates()
    elif isinstance(source, tuple | list) and [type(part) for part in source] == [Candidates, Candidates]:
        draft, base = source
    else:
        raise InputError(f"{type(source).__name__} as source: give an Instance, or (draft Candidates, base Candidates)")
    for scheme in schemes:
        if not isinstance(scheme, Scheme):
            raise InputError(f"{type(scheme).__name__} as scheme: give a Scheme(beta, n, ...)")
    impossible = np.flatnonzero((draft.log_ratio == np.inf) & np.isfinite(draft.log_mass))
    if impossible.size:
        raise InputError(
            f"log_ratio[{impossible[0]}] = inf on a draft candidate of positive mass: what the draft can draw it "
            "cannot give probability zero; check logp_draft"
        )
    aims: dict[tuple[float, str | Target], Aim | None] = {}
    drafts: dict[tuple[float, str | Target, int, str | Rule], tuple[Law, Weights]] = {}
    fallbacks: dict[tuple[float, str | Target, int, str | Rule], Law] = {}
    laws = []
    for scheme in schemes:
        target = scheme.beta, scheme.target
        key, fallback_key = (*target, scheme.n, scheme.rule), (*target, scheme.base_draws, scheme.rule)
        if target not in aims:
            aims[target] = scheme_aim(source, scheme) if isinstance(source, Instance) else None
        aim = aims[target]
        if key not in drafts:
            for candidates in (draft, base):
                beta_times(candidates.reward, scheme.beta)
            made = form_weights(draft.log_mass, draft.reward, draft.log_ratio, scheme.beta, scheme.rule, aim)
            law = selection_law(draft.log_mass, made.log_weight, scheme.n, scheme.rule)
            drafts[key] = rounded(law, made), made
        if fallback_key not in fallbacks:
            fallbacks[fallback_key] = fallback_law(base, scheme, aim)
        laws.append(gated_selection(draft, scheme, *drafts[key], fallbacks[fallback_key], paired, aim))
    return laws


def gated_selection(
    draft: Candidates,
    scheme: Scheme,
    ungated: Law,
    made: Weights,
    fallback: Law,
    paired: bool = False,
    aim: Aim | None = None,
) -> GsiLaw:
    """G from the law Q of a selection among drafts by the weights `made`, under the scheme's gate and threshold.

    aim: of a target that is not plain; its own reward and β are then in r̃ and in the score's M = e^{β'u}.
    """
    if aim is not None:
        return _gated_aim(draft, scheme, ungated, made, fallback, aim)
    if scheme.gate == "score" and scheme.threshold is not None:
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        weight = log_weight(draft, scheme.beta)
        scored = score_gated_law(draft.log_mass, weight, scheme.n, float(cut), scheme.rule)
        return gated_law(ungated, fallback, scored=scored, paired=paired)
    cut, tilted = -np.inf if scheme.threshold is None else scheme.threshold, tilted_reward(draft, scheme.beta)
    doubt = gate_doubt(tilted, draft.reward, draft.log_ratio, made.size, scheme.beta, cut)
    return gated_law(ungated, fallback, kept=tilted >= cut, doubt=doubt, paired=paired)


def _gated_aim(draft: Candidates, scheme: Scheme, ungated: Law, made: Weights, fallback: Law, aim: Aim) -> GsiLaw:
    """`gated_selection` by the reward r' and the β' of a target."""
    cut = -np.inf if scheme.threshold is None else scheme.threshold
    if scheme.gate == "score" and scheme.threshold is not None:
        score = aim.beta * cut - aim.shift if np.isfinite(cut) else cut
        scored = score_gated_law(draft.log_mass, made.log_weight, scheme.n, float(score), scheme.rule)
        moved = Law(ungated.log_prob, ungated.error + EPS * (aim.offset + abs(aim.beta * cut)), ungated.log_error)
        return gated_law(moved if np.isfinite(cut) else ungated, fallback, scored=scored)
    finite = np.where(np.isfinite(aim.reward), aim.reward, 0.0)
    tilted = np.where(np.isfinite(aim.reward), tilted_rewards(finite, draft.log_ratio, aim.beta), -np.inf)
    size = made.size + aim.offset
    doubt = gate_doubt(tilted, finite, draft.log_ratio, size, aim.beta, cut)
    if aim.offset > 0 and np.isfinite(cut):  # r' is rounded, so that rounding may decide where ℓ = 0, and equality too
        seen = np.isfinite(aim.reward) & np.isfinite(draft.log_ratio)
        gap = np.abs(aim.beta * (finite - cut) + np.where(seen, draft.log_ratio, np.inf))
        doubt = doubt | (gap <= EPS * (size + abs(aim.beta * cut) + 8.0))
    return gated_law(ungated, fallback, kept=tilted >= cut, doubt=doubt)


def gated_law(
    ungated: Law,
    fallback: Law,
    *,
    kept: Array = None,
    doubt: Array = None,
    scored: ScoredLaw | tuple[Array, Array] | None = None,
    paired: bool = False,
) -> GsiLaw:
    """G from the draft law Q and the base law B (..., K): (M6) with `kept` (..., K) = {r̃ ≥ u}, or (M9) with `scored`.

    doubt (..., K): where rounding decides `kept` (`gate_doubt`). `scored` is what `score_gated_law` returns. paired: Q
    and B live on different candidates and are concatenated.
    """
    xp = array_api_compat.array_namespace(ungated.log_prob)
    error, log_error = 2.0 * ungated.error, 2.0 * ungated.log_error
    if doubt is not None and bool(xp.any(doubt)):
        turned = xp.sum(xp.where(doubt, xp.exp(detached(ungated.log_prob)), 0.0), axis=-1)
        error, log_error = error + turned, log_error + plain_number(xp.where(turned > 0, np.inf, 0.0))
    if scored is not None:
        parts = (scored.log_accepted, scored.log_reject) if isinstance(scored, ScoredLaw) else scored
        _, (accepted, log_reject) = as_arrays(accepted=parts[0], log_reject=parts[1])
    else:
        accepted = xp.where(kept, ungated.log_prob, -np.inf)
        log_reject = _log_total(xp, xp.where(kept, -np.inf, ungated.log_prob))
    log_reject = xp.where(log_reject > 0.0, 0.0, log_reject)
    likely = log_reject > -float(np.log(2.0))
    p_accept = xp.where(likely, xp.exp(_log_total(xp, accepted)), -xp.expm1(xp.where(likely, 0.0, log_reject)))
    rest = log_reject[..., None] + fallback.log_prob
    reject = xp.exp(detached(log_reject))
    return GsiLaw(
        log_prob=xp.concat([accepted, rest], axis=-1) if paired else _either(xp, accepted, rest),
        p_accept=plain_number(xp.clip(p_accept, None, 1.0)),
        accepted_log_mass=accepted,
        fallback_log_prob=fallback.log_prob,
        error=plain_number(xp.clip(error + reject * fallback.error + EPS, None, 1.0)),
        log_error=log_error + fallback.log_error,
        log_p_reject=plain_number(log_reject),
    )


def _log_total(xp: Namespace, log_terms: Array) -> Array:
    """log_sum whose gradient is zero, not NaN, where every term is -inf."""
    none = xp.all(log_terms == -np.inf, axis=-1)
    return xp.where(none, -np.inf, log_sum(xp.where(none[..., None], 0.0, log_terms)))


def _either(xp: Namespace, one: Array, other: Array) -> Array:
    """logaddexp whose gradient is zero, not NaN, where both are -inf."""
    none = (one == -np.inf) & (other == -np.inf)
    return xp.where(none, -np.inf, xp.logaddexp(xp.where(none, 0.0, one), xp.where(none, 0.0, other)))
