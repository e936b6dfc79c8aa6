"""What can be wrong with a pool: a table of findings, each with its test and a cure.

The tests are in ratio.py (M32), tokens.py (M34) and self_checks.py; evidence.py runs them, causes.py says what they
point to. Here each entry of FINDINGS is a finding: its test returns the evidence, numbers by name, when the finding is
made. A new finding is a test and an entry. Severity: "error" voids every guarantee and forbids a plan; "warning" limits
what can be said. All tests together alarm on a clean pool with probability below 5 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory.samples.pool_limits import khat_limit
from gsi_theory.types import Record
from llm_check.logs.pools.balance import FREEDOM
from llm_check.logs.pools.causes import accused, causes, duplicated, says_balance
from llm_check.logs.pools.evidence import LOG_E, Evidence
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.tokens import TokenCheck

__all__ = ["FINDINGS", "Finding", "FindingRule"]

FEW_REPEATS = 20  # draws of a step that was drawn before
LEAST_SHARE = 0.1  # effective drafts over drafts
UNSEEN = 0.5  # base draws with a ratio beyond that of every draft of their position
REWARD_NOISE = 0.02  # of the spread of all rewards: batching in half precision stays below it


@dataclass(frozen=True)
class Finding:
    """id of DESIGN's list, severity ("error" | "warning"), evidence (numbers by name) and one line of advice."""

    id: str
    severity: str
    evidence: Record
    advice: str


@dataclass(frozen=True)
class FindingRule:
    """One entry: `evidence(e)` returns the numbers when the finding is made, else None."""

    id: str
    severity: str
    advice: str
    evidence: Callable[[Evidence], Record | None]


def _numbers(check: TokenCheck | None) -> Record:
    return {} if check is None else {"level": check.level, "draws": check.events}


def _by_balance(e: Evidence, source: str, cause: str) -> Record:
    """Numbers of the balance of the sources where it accuses this one and its counts do not decide."""
    if e.balance is None or not says_balance(e, source):
        return {}
    says = accused(e)
    numbers: Record = {"balance_chi2": e.balance.chi2}
    if np.isfinite(says.margin):
        numbers["nats_over_the_other_cause"] = says.margin if says.cause == cause else -says.margin
    both = "both" if len(says.sources) == 2 else source
    if cause == "temperature" and both in e.balance.temperatures:
        numbers["temperature_about"] = e.balance.temperatures[both]
    if len(causes(e, source)) > 1:
        numbers["undecided"] = "temperature_mismatch or truncated_sampling: token log-probabilities would tell"
    return numbers


def _of_cause(e: Evidence, cause: str, by_counts: Callable[[TokenCheck, bool], Record]) -> Record | None:
    """Evidence by source of a cause, of copies none: of the balance where it decides, else by_counts(check, whether a
    temperature is a cause too)."""
    evidence: Record = {}
    for source in SOURCES:
        if cause not in causes(e, source) or duplicated(e):
            continue
        check, balanced = e.draws[source], _by_balance(e, source, cause)
        counts = by_counts(check, "temperature" in causes(e, source)) if check is not None and not balanced else {}
        evidence[source] = _numbers(check) | balanced | counts
    return evidence or None


def _temperature(e: Evidence) -> Record | None:
    def counts(check: TokenCheck, tempered: bool) -> Record:
        return {
            "temperature": check.temperature,
            "interval_95": list(check.interval or ()),
            "log_e_value": check.log_e_temperature,
        }

    return _of_cause(e, "temperature", counts)


def _recorded(e: Evidence) -> Record | None:
    name = "sampling_temperature"
    if not e.whole.has(name):
        return None
    recorded = float(e.whole.floats(name)[0])  # one a pool
    return None if recorded == 1.0 else {name: recorded}


def _truncated(e: Evidence) -> Record | None:
    def counts(check: TokenCheck, tempered: bool) -> Record:
        return {
            "new_expected": check.new_expected_tempered if tempered else check.new_expected,
            "new_drawn": check.new_seen,
            "kept_mass": check.kept_mass,
            "log_e_value": check.log_e_fewer_tempered if tempered else check.log_e_fewer,
            "temperature_interval_95": list(check.interval or ()),
        }

    return _of_cause(e, "truncated", counts)


def _exchanged(e: Evidence) -> Record | None:
    if not e.exchanged:
        return None
    return {s: {"log_e_value": e.log_e[s], "log_e_value_exchanged": e.log_e_exchanged[s]} for s in e.drawn}


def _explained(e: Evidence) -> bool:
    """Whether another finding already says why the ratios do not balance."""
    blamed = frozenset().union(*(causes(e, source) for source in SOURCES))
    shifts = e.ratio.shifts
    small = shifts.size == 0 or float(np.median(np.abs(shifts))) < 1.0
    return (
        duplicated(e) or e.exchanged or _whole(e) is not None or (bool(blamed & {"temperature", "truncated"}) and small)
    )


def _context(e: Evidence) -> Record | None:
    evidence: Record = {}
    for source in SOURCES:
        check = e.draws[source]
        if check is not None and "context" in causes(e, source) and not duplicated(e):
            evidence[source] = _numbers(check) | {"log_e_value": max(check.log_e_misfit, check.log_e_more)}
    for cross, constant in e.crossed:
        if not constant:
            evidence[f"{cross.model}_log_prob_by_source"] = {
                "steps_compared": cross.compared,
                "median_difference": cross.shift,
                "scatter": cross.within,
            }
    mean, error = (1.0, 0.0) if e.ratio.mean is None or e.ratio.mean_se is None else (e.ratio.mean, e.ratio.mean_se)
    above = mean - 1.0 > max(5.0 * error, 1e-6)  # rounding is no other law
    alone = e.ratio.positions == 0 and mean + 5.0 * error < 0.5
    # an e-value exceeds 1/LEVEL with probability at most LEVEL, however few rows and heavy tails
    never = max(e.log_e.values()) > LOG_E
    if (e.bridge_broken or never or (not e.few and (above or alone))) and not _explained(e):
        evidence["ratio"] = {"mean": e.ratio.mean, "mean_se": e.ratio.mean_se, "bridge_z": e.ratio.z}
        if e.ratio.inverse_mean is not None:
            evidence["ratio"]["inverse_mean"] = e.ratio.inverse_mean
        if never:
            evidence["ratio"]["log_e_value"] = max(e.log_e.values())
        if e.ratio.shifts.size:
            evidence["ratio"]["median_log_ratio_of_normalizers"] = float(np.median(e.ratio.shifts))
    if e.unbalanced and not e.noisy and not _explained(e):
        evidence["balance"] = {"chi2": e.balance.chi2 if e.balance else 0.0, "degrees_of_freedom": FREEDOM}
    return evidence or None


def _whole(e: Evidence) -> Record | None:
    evidence: Record = {}
    for cover in e.uncovered:
        evidence[cover.model] = {
            "rows_of_other_length": cover.other_length,
            "rows_with_other_sum": cover.other_sum,
            "rows_with_mean_for_sum": cover.is_mean,
            "median_gap_nats": cover.gap,
        }
    for source in SOURCES:
        check = e.draws[source]
        if check is not None and "shift" in causes(e, source) and not duplicated(e):
            evidence.setdefault(source, {})["kept_mass"] = check.kept_mass
    for model in e.scattered:
        evidence.setdefault(model, {})["equal_steps_with_unequal_numbers"] = e.unequal[model]
    for cross, constant in e.crossed:
        if constant:
            evidence.setdefault(cross.model, {})["shift_between_sources_nats"] = cross.shift
    contexts = any("context" in causes(e, source) for source in SOURCES)
    if not evidence and e.shifted and not contexts and not any(not constant for _, constant in e.crossed):
        evidence["ratio"] = {"median_shift_nats": float(np.median(e.ratio.shifts)), "misfit": e.ratio.shift_misfit}
    return evidence or None


def _duplicates(e: Evidence) -> Record | None:
    if not duplicated(e):
        return None
    r = e.repeats
    return {
        "candidates_apart": r.lag,
        "equal": r.matches,
        "compared": r.compared,
        "expected": r.expected,
        "impossible_pairs": r.impossible,
        "equal_by": r.what,
    }


def _rewards(e: Evidence) -> Record | None:
    r, rows = e.rewards, e.whole.order.size
    few = 0 < r.outside <= 0.1 * rows
    if not (few or r.far or r.sentinel):
        return None
    return {
        "low": r.low,
        "high": r.high,
        "rows_outside_0_1": r.outside,
        "rows_far_out": r.far,
        "row": r.first,
        "value": r.value,
    }


def _equal(e: Evidence) -> Record | None:
    return {"rows": e.whole.order.size, "value": e.rewards.low} if e.rewards.low == e.rewards.high else None


def _reward_noise(e: Evidence) -> Record | None:
    """Equal steps of a position with unequal rewards: their pooled standard deviation, beside that of all rewards."""
    code, what = e.arrays.same_steps
    if what not in ("token_ids", "text"):  # else equal steps are those of equal reward
        return None
    reward = e.arrays.floats("reward")
    size = np.bincount(code)
    repeats = int(code.size - np.count_nonzero(size))
    spread = float(reward.std())
    if repeats < FEW_REPEATS or spread == 0.0:
        return None
    apart = reward - (np.bincount(code, reward) / np.maximum(size, 1))[code]
    noise = float(np.sqrt(np.sum(apart**2) / repeats))
    if noise <= REWARD_NOISE * spread:
        return None
    return {"sd_of_equal_steps": noise, "sd_of_rewards": spread, "repeats": repeats, "equal_by": what}


def _cut(e: Evidence) -> Record | None:
    if e.cuts.share <= 0.01:
        return None
    return {"share": e.cuts.share, "known_by": e.cuts.known_by, "longest": e.cuts.longest}


def _tail(e: Evidence) -> Record | None:
    """Whether the drafts' weights sit with few of them: by the tail's shape, by their effective number, or by base
    draws beyond every draft. Among few distinct steps k̂ is large without a tail: weight must sit with few draws too."""
    if e.tail is None:
        return None
    t = e.tail
    heavy = t.khat is not None and t.khat > khat_limit(t.drafts) and t.top >= 0.2
    if not (heavy or t.ess < LEAST_SHARE * t.drafts or (t.beyond is not None and t.beyond > UNSEEN)):
        return None
    fit: Record = {"not_fitted_of": t.drafts} if t.khat is None else {"khat": t.khat, "limit": khat_limit(t.drafts)}
    numbers = {"effective_drafts": t.ess, "drafts": t.drafts, "share_of_largest_1_percent": t.top}
    return fit | numbers | ({} if t.beyond is None else {"base_draws_beyond_all_drafts": t.beyond})


def _noise(e: Evidence) -> Record | None:
    evidence: Record = {
        model: {"sd_nats_per_logged_number": value, "sd_tilted_reward_at_beta_20": value / 20.0}
        for model, value in e.noisy.items()
        if model not in {*e.scattered, *(check.model for check, _ in e.crossed)}
    }
    for model, grid in e.grid.items():
        if grid is not None:
            evidence.setdefault(model, {})["stored_as"] = grid
    return evidence or None


FINDINGS: tuple[FindingRule, ...] = (
    FindingRule(
        "duplicates",
        "error",
        "rows were written more than once under new candidate numbers: drop them, or number seeds apart",
        _duplicates,
    ),
    FindingRule(
        "exchanged_columns",
        "error",
        "logp_draft holds the base's numbers and logp_base the draft's: exchange the two columns, and their tokens'",
        _exchanged,
    ),
    FindingRule(
        "temperature_mismatch",
        "error",
        "score at the temperature the candidates were sampled at, or sample at 1: both models alike",
        _temperature,
    ),
    FindingRule(
        "recorded_temperature",
        "warning",
        "everything said of this pool is of the models at that temperature, and holds only if both models' "
        "log-probabilities are log_softmax(logits/temperature): many engines log those at 1",
        _recorded,
    ),
    FindingRule(
        "truncated_sampling",
        "error",
        "sample without top-p, top-k and min-p: tokens that are never drawn cannot be weighted back",
        _truncated,
    ),
    FindingRule(
        "whole_response",
        "error",
        "log-probabilities cover other tokens than the step: sum over the step's own tokens, without "
        "prompt or earlier steps",
        _whole,
    ),
    FindingRule(
        "context_mismatch",
        "error",
        "the numbers are of another law than the one sampled: give both models the same token ids with "
        "the whole prefix; log token_ids and token log-probabilities to tell a temperature from a prompt",
        _context,
    ),
    FindingRule(
        "reward_range",
        "error",
        "rewards out of range: map failures of the reward model into its range, or leave the rows out",
        _rewards,
    ),
    FindingRule(
        "equal_rewards",
        "warning",
        "all rewards are equal: nothing to choose between; take harder or easier prompts, more candidates, or "
        "another reward",
        _equal,
    ),
    FindingRule(
        "reward_noise",
        "warning",
        "equal steps have unequal rewards: give the reward model the same text and no dropout, or the mean of several "
        "scores; selection and gate follow this noise",
        _reward_noise,
    ),
    FindingRule(
        "truncated_steps",
        "warning",
        "steps were cut at the cap on length: raise it; the reward model does not know cut steps",
        _cut,
    ),
    FindingRule(
        "heavy_tail",
        "warning",
        "few drafts carry most of the weight: the distance to the tilted policy cannot be told; draw "
        "more drafts, or take a draft closer to the base",
        _tail,
    ),
    FindingRule(
        "log_prob_noise",
        "warning",
        "equal rows have unequal log-probabilities, or they were stored in half precision: compute the "
        "log-softmax and the sums in float32 or better",
        _noise,
    ),
)
