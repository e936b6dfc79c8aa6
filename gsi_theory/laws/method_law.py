"""The exact law and the expected costs of a method's record: a selection, a gate, a fallback.

Symbols. n = scheme.n, n_B = scheme.base_draws, u = scheme.threshold (reward units), β = scheme.beta. The race family
measures scores w/T in units of e^{βr + ℓ}, so a score threshold u means M = e^{βu}. Fields of a record and what they
mean stand in gsi_theory.methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import plain_number
from gsi_theory.errors import InputError, require_name
from gsi_theory.instance import Candidates, Instance, Scheme, beta_times
from gsi_theory.laws.clipping import clip_log_ratio, early_exit_calls, first_passage
from gsi_theory.laws.drafters import balance_log_weight, fixed_allocation_law, random_allocation_law
from gsi_theory.laws.draws import MOST, Draws
from gsi_theory.laws.gate import GsiLaw, fallback_law, gated_selection, gsi_law
from gsi_theory.laws.rsd import Omega, StepAcceptance, best_step, mean_step, rsd_law, smoothed_step, step
from gsi_theory.laws.selection_law import EPS, Law, score_gated_race, selection_law
from gsi_theory.laws.speculative import SpeculativeLaw, speculative_law
from gsi_theory.laws.target_law import scheme_aim
from gsi_theory.laws.weights import Weights, form_weights, rounded
from gsi_theory.rules.rule import Rule
from gsi_theory.targets.target import Aim
from gsi_theory.targets.target_table import require_plain
from gsi_theory.types import Floats

if TYPE_CHECKING:
    from gsi_theory.methods import Method

__all__ = ["MethodLaw", "default_clip", "default_log_score", "method_law", "several_drafters"]

CLIPPED = {"clipped": "one", "clipped_both": "two"}


@dataclass(frozen=True)
class MethodLaw:
    """log_prob (K,); error: bound on the TV error of its numbers; p_accept (None where nothing is gated).

    Expected numbers a round: completions sampled from the drafts and from the base; drafts scored by the base
    (`base_scored`, one forward pass each) and completions scored by a draft model that did not draw them
    (`draft_scored`); reward calls.
    """

    log_prob: Floats
    error: float
    p_accept: float | None = None
    draft_samples: float = 0.0
    base_samples: float = 0.0
    base_scored: float = 0.0
    draft_scored: float = 0.0
    reward_calls: float = 0.0


def _rounding(log_prob: Floats) -> float:
    """TV error of a law made of a few sums of K positive terms: one unit a pairwise level, and exp of rounded logs."""
    visible = log_prob[np.isfinite(log_prob)]
    units = np.log2(log_prob.size + 1.0) + 16.0 + 2.0 * np.abs(visible)
    return EPS * float(np.exp(visible) @ units)


def default_clip(scheme: Scheme) -> float:
    """log n nats: a ratio above n has probability at most 1/n under the draft (Markov)."""
    return float(np.log(scheme.n))


def default_log_score(scheme: Scheme, candidates: Candidates) -> float:
    """log M of the score gate: β·u, or without a threshold M = n normalized weights (about 1/e of rounds rejected).

    Raises InputError for a target that is not plain.
    """
    require_plain(scheme.target, "a score gate on candidates")
    return _log_score(scheme, candidates.log_mass, beta_times(candidates.reward, scheme.beta) + candidates.log_ratio)


def _log_score(scheme: Scheme, log_mass: Floats, log_weight: Floats, aim: Aim | None = None) -> float:
    if scheme.threshold is None:
        return float(np.log(scheme.n) + log_sum(log_mass + np.where(np.isfinite(log_mass), log_weight, -np.inf)))
    if not np.isfinite(scheme.threshold):
        return scheme.threshold
    return scheme.beta * scheme.threshold if aim is None else aim.beta * scheme.threshold - aim.shift


def _weights(weight: str, candidates: Candidates, scheme: Scheme, clip: float, aim: Aim | None = None) -> Weights:
    """The log-weights of a record's `weight`; -inf where there is no mass, so that uncovered outcomes never appear."""
    mass, reward, ratio = candidates.log_mass, candidates.reward, candidates.log_ratio
    if weight in CLIPPED:
        ratio = clip_log_ratio(ratio, clip, CLIPPED[weight])
    reads = weight in ("ratio", *CLIPPED)
    if reads:
        beta_times(reward, scheme.beta)
    # "best" is by the reward itself, also at β = 0
    beta = {"none": 0.0, "best": 1.0}.get(weight, scheme.beta)
    aim = None if weight in ("none", "best") else aim
    made = form_weights(mass, reward, ratio if reads else None, beta, scheme.rule, aim)
    return replace(made, log_weight=np.where(np.isfinite(mass), made.log_weight, -np.inf))


def method_law(
    method: Method,
    instance: Instance,
    scheme: Scheme,
    further: tuple[ArrayLike, Sequence[int]] | None = None,
    *,
    clip: float | None = None,
    draws: Draws | None = None,
    omega: Omega | StepAcceptance | None = None,
) -> MethodLaw:
    """The law of `method` under `scheme`, as far as the record leaves it open; `further` as in `Method.law`.

    clip (nats), draws and omega replace the method's own. Raises InputError where further drafters are missing.
    """
    used = method.applied(scheme)
    if method.mixed:
        return _mixed(method, instance, used, further)
    if method.single:
        return _single(method, instance, used, _acceptance(method, instance, scheme) if omega is None else omega)
    drafted = method.proposal == "draft"
    candidates = instance.draft_candidates() if drafted else instance.base_candidates()
    limit, aim = default_clip(used) if clip is None else clip, scheme_aim(instance, used)
    number = method.draws(used.n) if draws is None else draws
    made = _weights(method.weight, candidates, used, limit, aim)
    mass, weight = candidates.log_mass, made.log_weight
    law = rounded(selection_law(mass, weight, number, used.rule), made)
    drawn = scored = number.mean if isinstance(number, Draws) else float(number)
    cut = _log_score(used, mass, weight, aim) if method.gate == "score" else -np.inf
    gated: GsiLaw | None = None
    if method.search == "early_exit":
        top = used.beta * float(np.max(instance.reward)) if aim is None else float(np.max(aim.log_tilt))
        scored = early_exit_calls(mass, weight, used.n, top + limit, cut)
    if method.search == "first_passage":
        passed = first_passage(mass, weight, used.n, cut)
        # P(reject) = (1 - a)^n moves by at most n·a·(1 - a)^{n-1} ≤ 1 times the relative error of a.
        error = 4.0 * EPS * float(np.max(made.size)) + _rounding(passed.accepted_log_mass)
        drawn = scored = passed.calls
        gated = _replaced(
            instance, used, passed.accepted_log_mass, passed.log_p_reject, error + _aim_error(law, aim), aim
        )
    elif method.gate == "score":
        gated = _replaced(
            instance, used, *score_gated_race(mass, weight, used.n, cut), law.error + _aim_error(law, aim), aim
        )
    elif method.gated(used):
        gated = gated_selection(
            candidates, used, law, made, fallback_law(instance.base_candidates(), used, aim), aim=aim
        )
    extra = 0.0 if gated is None else float(np.exp(gated.log_p_reject)) * used.base_draws
    reads = method.reads(used)
    return MethodLaw(
        law.log_prob if gated is None else gated.log_prob,
        law.error if gated is None else gated.error,
        None if gated is None else gated.p_accept,
        draft_samples=drawn if drafted else 0.0,
        base_samples=extra if drafted else drawn,
        base_scored=scored if reads.ratio else 0.0,
        reward_calls=(scored if reads.reward else 0.0) + extra,
    )


def _aim_error(law: Law, aim: Aim | None) -> float:
    """What the rounding of a target's log-weights and of its M may add to a law gated by score."""
    return 0.0 if aim is None else float(law.error) + EPS * aim.offset


def _replaced(
    instance: Instance, scheme: Scheme, accepted: Floats, log_reject: float, error: float, aim: Aim | None = None
) -> GsiLaw:
    """The law of an accepted mass, its selection off by `error`, with what is rejected replaced by the fallback."""
    fallback = fallback_law(instance.base_candidates(), scheme, aim)
    log_prob, reject = np.logaddexp(accepted, log_reject + fallback.log_prob), float(np.exp(log_reject))
    total = 2.0 * error + reject * fallback.error + _rounding(log_prob)
    p_accept = float(plain_number(-np.expm1(log_reject)))
    return GsiLaw(log_prob, p_accept, accepted, fallback.log_prob, total, np.inf, log_reject)


def _acceptance(method: Method, instance: Instance, scheme: Scheme) -> StepAcceptance | None:
    """ω of a gate that judges one draft; None where the ratio of the policies does. InputError for other gates."""
    match method.gate:
        case "budget":
            guided = gsi_law(instance, scheme)
            best = best_step(instance, guided.p_accept)
            # the law moves by at most as much as the budget
            return replace(best, doubt=best.doubt + guided.error)
        case "sigmoid":
            return smoothed_step(instance, scheme.threshold, scheme.beta)
        case "reward" if scheme.threshold is not None:
            return StepAcceptance(step(scheme.threshold)(instance.reward))
        case "reward":
            return mean_step(instance)
        case "ratio":
            return None
    raise InputError(f"method {method.id!r}: gate {method.gate!r} has no exact law")


def _single(method: Method, instance: Instance, scheme: Scheme, omega: Omega | StepAcceptance | None) -> MethodLaw:
    """One draft that a gate accepts with probability ω, or min(1, π_B/π_S) (M21, M22), and the fallback."""
    values, doubt = (omega.omega, omega.doubt) if isinstance(omega, StepAcceptance) else (omega, 0.0)
    law = speculative_law(instance) if values is None else rsd_law(instance, values)
    reject, extra, judged, off = float(np.exp(law.log_p_reject)), 1, 0, 0.0
    rest = law.residual_log_prob if isinstance(law, SpeculativeLaw) else instance.log_base
    if method.fallback != "residual":
        rest = instance.log_base
    if method.fallback == "select":
        aim = scheme_aim(instance, scheme)
        fallback, extra = fallback_law(instance.base_candidates(), scheme, aim), scheme.base_draws
        rest, off, judged = fallback.log_prob, fallback.error, extra
    log_prob = np.logaddexp(law.accepted_log_mass, law.log_p_reject + rest)
    # accepting a set or not moves the law by at most its draft mass
    error, reads = min(reject * off + _rounding(log_prob) + doubt, 1.0), method.reads(scheme)
    asked = reads.reward + reject * judged
    return MethodLaw(log_prob, error, law.p_accept, 1.0, reject * extra, float(reads.ratio), reward_calls=asked)


def several_drafters(
    instance: Instance,
    scheme: Scheme,
    log_drafters: ArrayLike,
    counts: Sequence[int],
    rule: str | Rule = "softmax",
    allocation: str = "fixed",
) -> MethodLaw:
    """n_j draws from each drafter, balance weights π/p_mix (M20); allocation "fixed", or "random" (iid from p_mix).

    log_drafters (J, K) in nats, counts (J,). Raises InputError for an unknown allocation or counts that do not fit.
    """
    require_name(allocation, "allocation", ("fixed", "random"))
    aim = scheme_aim(instance, scheme)
    raised = scheme.beta * instance.reward if aim is None else aim.log_tilt
    tilted = instance.log_base + raised
    weight = balance_log_weight(tilted, log_drafters, counts)
    choose = fixed_allocation_law if allocation == "fixed" else random_allocation_law
    law, total = choose(log_drafters, weight, counts, rule), float(sum(counts))
    with np.errstate(invalid="ignore"):
        size = np.abs(instance.log_base) + np.abs(raised) + np.abs(tilted - weight)
        size = size if aim is None else size + aim.size
    size = size[np.isfinite(size) & np.isfinite(law.log_prob)]
    error = law.error + 2.0 * EPS * float(np.max(size, initial=0.0))
    if aim is not None and aim.vague is not None:
        error = min(1.0, error + float(np.sum(np.exp(law.log_prob)[aim.vague])))
    others = float(np.count_nonzero(counts)) - 1.0
    return MethodLaw(law.log_prob, error, None, total, 0.0, total, total * others, total)


def _mixed(
    method: Method, instance: Instance, scheme: Scheme, further: tuple[ArrayLike, Sequence[int]] | None
) -> MethodLaw:
    """n draws of the draft in one selection with those of the base, or of the further drafters, by weights π/p_mix.

    Raises InputError without further drafters, and for more than 2^53 draws together.
    """
    kind, _, random = method.proposal.partition("_")
    own, other, allocation = float(scheme.n), float(scheme.base_draws), random or "fixed"
    if kind == "drafters":
        if further is None:
            raise InputError(f"method {method.id!r} needs further drafters: give further=(log-probabilities, counts)")
        rows = np.vstack([instance.log_draft, *np.atleast_2d(further[0])])
        return several_drafters(instance, scheme, rows, (scheme.n, *further[1]), scheme.rule, allocation)
    counts = (scheme.n, scheme.base_draws)
    if sum(counts) > MOST:
        raise InputError(f"n + n_base = {scheme.n} + {scheme.base_draws}: a pool holds at most 2^53 draws; give fewer")
    rows = np.stack([instance.log_draft, instance.log_base])
    law = several_drafters(instance, scheme, rows, counts, scheme.rule, allocation)
    # A candidate's weight needs both models, and each has scored what it sampled.
    return replace(law, draft_samples=own, base_samples=other, base_scored=own, draft_scored=other)
