"""Every method of draft-guided sampling as one entry of a table, each with its exact law and expected cost.

A method maps (Instance, Scheme) to a `MethodLaw`. The functions behind the entries take their own parameters
explicitly; a parameter left None gets the default that the entry's `parameters` states, derived from the scheme. To add
a method, write such a function and append a `Method` to `_TABLE`; everything else iterates over METHODS.

Symbols. n = scheme.n, n_B = scheme.base_draws, u = scheme.threshold (reward units), β = scheme.beta. The race family
measures scores w/T in units of e^{βr + ℓ}, so a score threshold u means M = e^{βu}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import plain_number
from gsi_theory.errors import InputError, Named
from gsi_theory.instance import Candidates, Instance, Scheme, log_weight
from gsi_theory.laws.clipping import clip_log_ratio, early_exit_calls, first_passage
from gsi_theory.laws.drafters import balance_log_weight, fixed_allocation_law, random_allocation_law
from gsi_theory.laws.draws import MOST, Draws
from gsi_theory.laws.gate import fallback_law, gsi_law
from gsi_theory.laws.rsd import (
    Omega,
    StepRule,
    best_step,
    mean_excess,
    mean_step,
    rsd_law,
    sigmoid,
    sigmoid_doubt,
    step,
)
from gsi_theory.laws.selection_law import score_gated_race, selection_law
from gsi_theory.laws.speculative import speculative_law
from gsi_theory.laws.weights import form_weights, rounded
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Floats

__all__ = [
    "METHODS",
    "Method",
    "MethodLaw",
    "best_of_poisson",
    "default_clip",
    "default_log_score",
    "expgsi",
    "first_passage_gsi",
    "gsi",
    "poisson_gsi",
    "pooled",
    "rsd",
    "rsd_budget",
    "rsd_sigmoid",
    "score_gate",
    "selected",
    "several_drafters",
    "speculative",
]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class MethodLaw:
    """log_prob (K,); error: bound on the TV error of its numbers; p_accept (None where nothing is gated).

    Expected numbers a round: completions sampled from draft and base; draft completions scored by the base
    (`base_scored`, one forward pass each) and base completions scored by the draft; reward calls.
    """

    log_prob: Floats
    error: float
    p_accept: float | None = None
    draft_samples: float = 0.0
    base_samples: float = 0.0
    base_scored: float = 0.0
    draft_scored: float = 0.0
    reward_calls: float = 0.0


@dataclass(frozen=True)
class Method:
    """id; label; formula (M number); source; parameters: their defaults in words; law(instance, scheme).

    threshold: what Scheme.threshold is compared with ("tilted_reward", "reward", "score"; None: it is not used).
    proposal: "draft" or "base" if the outcome is always one of n iid draws from it, so that (M19) limits it.
    """

    id: str
    label: str
    formula: str
    source: str
    parameters: str
    law: Callable[[Instance, Scheme], MethodLaw]
    threshold: str | None = None
    proposal: str | None = None


def _rounding(log_prob: Floats) -> float:
    """TV error of a law made of a few sums of K positive terms: one unit a pairwise level, and exp of rounded logs."""
    visible = log_prob[np.isfinite(log_prob)]
    units = np.log2(log_prob.size + 1.0) + 16.0 + 2.0 * np.abs(visible)
    return EPS * float(np.exp(visible) @ units)


def _weight_rounding(size: Floats, log_mass: Floats) -> float:
    """Rounding moves a log-weight by EPS·size (weights.py) and every log-probability by twice that."""
    used = size[np.isfinite(size) & np.isfinite(log_mass)]
    return 2.0 * EPS * float(np.max(used, initial=0.0))


def _draft_rounding(draft: Candidates, beta: float) -> float:
    return _weight_rounding(
        form_weights(draft.log_mass, draft.reward, draft.log_ratio, beta, "softmax").size, draft.log_mass
    )


def default_clip(scheme: Scheme) -> float:
    """log n nats: a ratio above n has probability at most 1/n under the draft (Markov)."""
    return float(np.log(scheme.n))


def default_log_score(scheme: Scheme, candidates: Candidates) -> float:
    """log M of the score gate: β·u, or without a threshold M = n normalized weights (about 1/e of rounds rejected)."""
    if scheme.threshold is None:
        mean = log_sum(candidates.log_mass + _held_weight(candidates, scheme.beta))
        return float(np.log(scheme.n) + mean)
    return scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold


def _held_weight(candidates: Candidates, beta: float) -> Floats:
    """Log-weights with -inf where there is no mass, so that uncovered outcomes never appear."""
    return np.where(np.isfinite(candidates.log_mass), log_weight(candidates, beta), -np.inf)


def gsi(instance: Instance, scheme: Scheme) -> MethodLaw:
    """GSI as the scheme says (M6; M9 with gate "score"); without a threshold the draft winner is always kept."""
    law = gsi_law(instance, scheme)
    rejected = float(np.exp(law.log_p_reject)) * scheme.base_draws
    return MethodLaw(
        law.log_prob, law.error, None if scheme.threshold is None else law.p_accept, float(scheme.n), rejected,
        float(scheme.n), reward_calls=scheme.n + rejected,
    )  # fmt: skip


def selected(
    instance: Instance,
    scheme: Scheme,
    proposal: str,
    weight: str,
    rule: str | Rule | None = None,
    draws: Draws | None = None,
) -> MethodLaw:
    """One selection among n (or `draws`) candidates from the "draft" or "base" (M3-M5).

    weight "reward": β r (r itself for rule max); "tilted": β r̃, that is β r + ℓ, for draft candidates.
    """
    candidates = instance.draft_candidates() if proposal == "draft" else instance.base_candidates()
    rule = scheme.rule if rule is None else rule
    mass, reward = candidates.log_mass, candidates.reward
    if weight == "tilted":
        made = form_weights(mass, reward, candidates.log_ratio, scheme.beta, rule)
    else:
        # rules by order are by the reward itself, also at β = 0
        made = form_weights(mass, reward, None, 1.0 if rule_named(rule).order_only else scheme.beta, rule)
    values = np.where(np.isfinite(mass), made.log_weight, -np.inf)
    law = rounded(selection_law(mass, values, scheme.n if draws is None else draws, rule), made)
    error = law.error
    count = float(scheme.n) if draws is None else draws.mean
    if proposal == "draft":
        scored = count if weight == "tilted" else 0.0
        return MethodLaw(law.log_prob, error, draft_samples=count, base_scored=scored, reward_calls=count)
    return MethodLaw(law.log_prob, error, base_samples=count, reward_calls=count)


def poisson_gsi(instance: Instance, scheme: Scheme, mean: float | None = None) -> MethodLaw:
    """GSI without a gate on a Poisson(mean) number of drafts, given at least one, softmax rule (M24); mean = n."""
    draws = Draws(fixed=0, poisson=scheme.n if mean is None else mean)
    return selected(instance, scheme, "draft", "tilted", "softmax", draws)


def best_of_poisson(instance: Instance, scheme: Scheme, mean: float | None = None) -> MethodLaw:
    """Best of 1 + Poisson(mean) base draws (M23); mean = n - 1, so that n are drawn in expectation."""
    draws = Draws(fixed=1, poisson=scheme.n - 1 if mean is None else mean)
    return selected(instance, scheme, "base", "reward", "max", draws)


def several_drafters(
    instance: Instance,
    scheme: Scheme,
    log_drafters: ArrayLike,
    counts: Sequence[int],
    rule: str = "softmax",
    allocation: str = "fixed",
) -> MethodLaw:
    """n_j draws from each drafter, balance weights π/p_mix (M20); allocation "fixed", or "random" (iid from p_mix).

    log_drafters (J, K) in nats, counts (J,). Raises InputError for an unknown allocation or counts that do not fit.
    """
    if allocation not in ("fixed", "random"):
        raise InputError(f"allocation {allocation!r}: give one of fixed, random")
    weight = balance_log_weight(instance.log_base + scheme.beta * instance.reward, log_drafters, counts)
    choose = fixed_allocation_law if allocation == "fixed" else random_allocation_law
    law, total = choose(log_drafters, weight, counts, rule), float(sum(counts))
    raised, tilted = scheme.beta * instance.reward, instance.log_base + scheme.beta * instance.reward
    with np.errstate(invalid="ignore"):
        size = np.abs(instance.log_base) + np.abs(raised) + np.abs(tilted - weight)
    error = law.error + _weight_rounding(size, law.log_prob)
    return MethodLaw(law.log_prob, error, None, total, 0.0, total, 0.0, total)


def pooled(instance: Instance, scheme: Scheme, rule: str = "softmax", allocation: str = "fixed") -> MethodLaw:
    """Pooled hybrid without fallback: n draft and n_B base candidates in one selection, weights π/p_mix (M20).

    Raises InputError for more than 2^53 of them together.
    """
    counts = (scheme.n, scheme.base_draws)
    if sum(counts) > MOST:
        raise InputError(f"n + n_base = {scheme.n} + {scheme.base_draws}: a pool holds at most 2^53 draws; give fewer")
    law = several_drafters(
        instance, scheme, np.stack([instance.log_draft, instance.log_base]), counts, rule, allocation
    )
    own, other = float(scheme.n), float(scheme.base_draws)
    # A candidate's weight needs both models, and each has scored what it sampled.
    return replace(law, draft_samples=own, base_samples=other, base_scored=own, draft_scored=other)


def rsd(instance: Instance, scheme: Scheme, omega: Omega | StepRule | None = None) -> MethodLaw:
    """Reward-guided speculative decoding with acceptance ω (M21); ω = step at u, without a threshold at E_{π_B} r."""
    if omega is None:
        omega = mean_step(instance) if scheme.threshold is None else step(scheme.threshold)
    omega, doubt = (omega.omega, omega.doubt) if isinstance(omega, StepRule) else (omega, 0.0)
    law = rsd_law(instance, omega)
    # accepting a set or not moves the law by at most its draft mass
    error = min(_rounding(law.log_prob) + doubt, 1.0)
    rejected = float(np.exp(law.log_p_reject))
    return MethodLaw(law.log_prob, error, law.p_accept, 1.0, rejected, reward_calls=1.0)


def rsd_sigmoid(instance: Instance, scheme: Scheme) -> MethodLaw:
    """RSD with ω = 1/(1 + e^{-β (r - u)}) (M21); without a threshold about E_{π_B} r."""
    reward, cut = instance.reward, scheme.threshold
    if cut is None:
        gap, slack = mean_excess(instance.log_base, reward)
        law = rsd(instance, scheme, sigmoid(0.0, scheme.beta)(gap))
    else:
        law = rsd(instance, scheme, sigmoid(cut, scheme.beta))
        if np.isinf(cut):
            return law
        with np.errstate(over="ignore"):
            gap, slack = reward - cut, EPS * (np.abs(reward) + abs(cut))
    doubt = sigmoid_doubt(instance.log_draft, gap, slack, scheme.beta)
    return replace(law, error=min(law.error + doubt, 1.0))


def rsd_budget(instance: Instance, scheme: Scheme, budget: float | None = None, bound: str = "at_least") -> MethodLaw:
    """RSD with the ω of largest E r under an acceptance budget (M21); default: it accepts at least as often as GSI."""
    if budget is not None:
        return rsd(instance, scheme, best_step(instance, budget, bound))
    gated = gsi_law(instance, scheme)
    law = rsd(instance, scheme, best_step(instance, gated.p_accept, bound))
    # the law moves by at most as much as the budget
    return replace(law, error=min(law.error + gated.error, 1.0))


def speculative(instance: Instance, scheme: Scheme) -> MethodLaw:
    """Speculative sampling (M22): the law is π_B; a rejection costs one draw from the residual, a base sample."""
    law = speculative_law(instance)
    rejected = float(np.exp(law.log_p_reject))
    return MethodLaw(law.log_prob, _rounding(law.log_prob), law.p_accept, 1.0, rejected, base_scored=1.0)


def _gated_by_score(
    instance: Instance, scheme: Scheme, accepted: Floats, log_reject: float, error: float
) -> tuple[Floats, float, float, float]:
    """(log_prob, error, p_accept, expected base samples) of an accepted mass with the fallback by the race rule."""
    fallback = fallback_law(instance.base_candidates(), replace(scheme, rule="race", gate="score"))
    reject = float(np.exp(log_reject))
    log_prob = np.logaddexp(accepted, log_reject + fallback.log_prob)
    total = 2.0 * error + reject * fallback.error + _rounding(log_prob)
    return log_prob, total, float(plain_number(-np.expm1(log_reject))), reject * scheme.base_draws


def expgsi(
    instance: Instance,
    scheme: Scheme,
    clip: float | None = None,
    sides: str = "one",
    gated: bool = False,
    early_exit: bool = False,
) -> MethodLaw:
    """Race rule on drafts weighted β r + clipped ℓ, our reading of ExpGSI; clip = log n nats (`default_clip`).

    gated: the score gate (M9) at `default_log_score` with the race on the base as fallback. early_exit: lossless, with
    the bound C' = e^{β max r + clip}; it changes what is scored, not the law.
    """
    draft, limit = instance.draft_candidates(), default_clip(scheme) if clip is None else clip
    clipped = Candidates(draft.log_mass, draft.reward, clip_log_ratio(draft.log_ratio, limit, sides))
    weight, n = _held_weight(clipped, scheme.beta), scheme.n
    cut = default_log_score(scheme, clipped) if gated else -np.inf
    law = selection_law(draft.log_mass, weight, n, "race")
    error = law.error + _draft_rounding(draft, scheme.beta)
    log_prob, p_accept, base_samples = law.log_prob, None, 0.0
    if gated:
        accepted, log_reject = score_gated_race(draft.log_mass, weight, n, cut)
        log_prob, error, p_accept, base_samples = _gated_by_score(instance, scheme, accepted, log_reject, error)
    scored = float(n)
    if early_exit:
        bound = scheme.beta * float(np.max(instance.reward)) + limit
        scored = early_exit_calls(draft.log_mass, weight, n, bound, cut)
    return MethodLaw(log_prob, error, p_accept, float(n), base_samples, scored, reward_calls=scored + base_samples)


def score_gate(instance: Instance, scheme: Scheme) -> MethodLaw:
    """GSI by the race rule with the gate on the winning score (M9) at `default_log_score`."""
    return expgsi(instance, scheme, clip=np.inf, gated=True)


def first_passage_gsi(instance: Instance, scheme: Scheme) -> MethodLaw:
    """Draft and score one by one, keep the first score ≥ M (`default_log_score`), else the race on the base."""
    draft = instance.draft_candidates()
    weight = _held_weight(draft, scheme.beta)
    passed = first_passage(draft.log_mass, weight, scheme.n, default_log_score(scheme, draft))
    # P(reject) = (1 - a)^n moves by at most n·a·(1 - a)^{n-1} ≤ 1 times the relative error of a.
    error = 2.0 * _draft_rounding(draft, scheme.beta) + _rounding(passed.accepted_log_mass)
    log_prob, error, p_accept, base_samples = _gated_by_score(
        instance, scheme, passed.accepted_log_mass, passed.log_p_reject, error
    )
    calls = passed.calls
    return MethodLaw(log_prob, error, p_accept, calls, base_samples, calls, reward_calls=calls + base_samples)


def _alone(instance: Instance, scheme: Scheme, proposal: str) -> MethodLaw:
    return replace(selected(instance, replace(scheme, n=1), proposal, "reward", "softmax"), reward_calls=0.0)


_GSI, _EXP, _NONE = "GSI, arXiv 2506.04118", "ExpBoN, arXiv 2609.21899 (our reading)", "none"
_M_DEFAULT = "M = e^{βu}; u None: M = n normalized weights"
_CLIP = "clip = log n nats"
_SBON = "Verdun et al., arXiv 2505.03156"

_TABLE = (
    Method("draft", "draft alone", "M21", "–", _NONE, lambda i, s: _alone(i, s, "draft")),
    Method("base", "base alone", "M22", "–", _NONE, lambda i, s: _alone(i, s, "base")),
    Method("soft_bon_draft", "soft best-of-n, draft", "M3", _SBON, _NONE,
           lambda i, s: selected(i, s, "draft", "reward", "softmax"), proposal="draft"),
    Method("soft_bon_base", "soft best-of-n, base", "M3, M13", _SBON, _NONE,
           lambda i, s: selected(i, s, "base", "reward", "softmax"), proposal="base"),
    Method("best_of_n_draft", "best-of-n, draft", "M5", "Beirami et al., arXiv 2401.01879", _NONE,
           lambda i, s: selected(i, s, "draft", "reward", "max"), proposal="draft"),
    Method("best_of_n_base", "best-of-n, base", "M5", "Beirami et al., arXiv 2401.01879", _NONE,
           lambda i, s: selected(i, s, "base", "reward", "max"), proposal="base"),
    Method("best_of_poisson", "best-of-Poisson, base", "M23", "arXiv 2506.19248", "1 + Poisson(n - 1) draws",
           best_of_poisson),
    Method("gsi_ungated", "GSI without gate", "M3", _GSI, "no fallback: the draft winner is kept",
           lambda i, s: gsi(i, replace(s, threshold=None, rule="softmax", gate="tilted_reward")), proposal="draft"),
    Method("gsi_ungated_race", "GSI without gate, race rule", "M4", "Uniform Race", "no fallback",
           lambda i, s: gsi(i, replace(s, threshold=None, rule="race", gate="tilted_reward")), proposal="draft"),
    Method("gsi_poisson", "GSI without gate, Poisson n", "M24", _GSI, "Poisson(n) drafts, at least one", poisson_gsi),
    Method("gsi", "GSI", "M6", _GSI, "threshold u of the scheme (None: no gate); any n_base",
           lambda i, s: gsi(i, replace(s, rule="softmax", gate="tilted_reward")), "tilted_reward"),
    Method("gsi_race", "GSI, race rule", "M4, M6", _GSI, "as GSI, rule race",
           lambda i, s: gsi(i, replace(s, rule="race", gate="tilted_reward")), "tilted_reward"),
    Method("gsi_one_base", "GSI, one base draw", "M6", _GSI, "n_base = 1",
           lambda i, s: gsi(i, replace(s, rule="softmax", gate="tilted_reward", n_base=1)), "tilted_reward"),
    Method("gsi_score_gate", "GSI, score gate", "M9", "Uniform Race", _M_DEFAULT, score_gate, "score"),
    Method("first_passage", "first passage", "M9", _EXP, _M_DEFAULT, first_passage_gsi, "score"),
    Method("expgsi", "ExpGSI", "M4", _EXP, _CLIP, expgsi, proposal="draft"),
    Method("expgsi_two_sided", "ExpGSI, two-sided clip", "M4", _EXP, _CLIP,
           lambda i, s: expgsi(i, s, sides="two"), proposal="draft"),
    Method("expgsi_early_exit", "ExpGSI, early exit", "M4", _EXP, f"{_CLIP}; C' = e^(β max r + clip)",
           lambda i, s: expgsi(i, s, early_exit=True), proposal="draft"),
    Method("expgsi_score_gate", "ExpGSI, score gate, early exit", "M9", _EXP, f"{_CLIP}; {_M_DEFAULT}",
           lambda i, s: expgsi(i, s, gated=True, early_exit=True), "score"),
    Method("pooled", "pooled draft and base", "M20", "balance heuristic", "n draft and n_base base draws", pooled),
    Method("pooled_race", "pooled, race rule", "M20", "balance heuristic", "n draft and n_base base draws",
           lambda i, s: pooled(i, s, "race")),
    Method("pooled_random", "pooled, random allocation", "M20", "balance heuristic", "n + n_base draws from p_mix",
           lambda i, s: pooled(i, s, allocation="random")),
    Method("rsd", "RSD, step", "M21", "Liao et al., arXiv 2501.19324", "ω = 1 for r ≥ u; u None: E r under the base",
           rsd, "reward"),
    Method("rsd_sigmoid", "RSD, sigmoid", "M21", "Liao et al., arXiv 2501.19324", "center as RSD, slope β",
           rsd_sigmoid, "reward"),
    Method("rsd_budget", "RSD, best step", "M21", "Liao et al., arXiv 2501.19324",
           "accepts at least as often as GSI under the scheme", rsd_budget, "tilted_reward"),
    Method("speculative", "speculative sampling", "M22", "Leviathan et al. 2023, arXiv 2211.17192", _NONE, speculative),
)  # fmt: skip

METHODS: dict[str, Method] = Named("method", {method.id: method for method in _TABLE})
