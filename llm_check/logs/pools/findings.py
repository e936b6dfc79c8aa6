"""What can be wrong with a log: the table of findings, each with its test, its cure and its paragraph.

The tests are in ratio.py (M32, M45), tokens.py (M34), self_checks.py and log_prob_checks.py; evidence.py runs them,
causes.py says what they point to. Here each entry of FINDINGS is a finding: its test returns the evidence, numbers by
name, when the finding is made. A new finding is a file in `llm_check.logs.faults` and an entry. Severity: "error" voids
every guarantee and forbids a plan; "warning" limits what can be said. All tests together alarm on a clean log with
probability below 5 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

from gsi_theory.samples.pool_limits import khat_limit
from gsi_theory.types import Floats, Record
from llm_check.logs.faults.copied_sources import COPIED
from llm_check.logs.faults.declared_sampling import RECORDED_TEMPERATURE, TEMPERED_LAW, TRUNCATION
from llm_check.logs.faults.failed_rewards import FAILED_REWARDS
from llm_check.logs.faults.impossible_mass import MASS
from llm_check.logs.faults.log_prob_length import LENGTH_BLIND
from llm_check.logs.faults.logit_rewards import LOGIT_REWARDS
from llm_check.logs.faults.one_model_log import ONE_MODEL
from llm_check.logs.faults.prompts_missing import LEFT_OUT
from llm_check.logs.faults.sentinel_log_probs import SENTINELS
from llm_check.logs.faults.shared_rows import SHARED_ROWS
from llm_check.logs.faults.short_solutions import SHORT_FAVORED
from llm_check.logs.faults.sorted_draws import SORTED
from llm_check.logs.faults.step_end import END
from llm_check.logs.faults.stopped_draws import STOPPED
from llm_check.logs.pools.balance import FREEDOM
from llm_check.logs.pools.causes import accused, causes, duplicated, says_balance
from llm_check.logs.pools.evidence import LEVEL, LOG_E, Evidence
from llm_check.logs.pools.finding import Explanation, Finding, FindingRule, LogRule
from llm_check.logs.pools.log_view import LogView
from llm_check.logs.pools.position_arrays import pair_codes
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.self_checks import Repeats, check_cuts, check_repeats, check_rewards
from llm_check.logs.pools.tokens import TokenCheck

__all__ = ["FINDINGS", "Finding", "FindingRule", "LogRule"]

FEW_REPEATS = 20  # draws of a step that was drawn before
LEAST_SHARE = 0.1  # effective drafts over drafts
EXPONENTS = (0.15, 0.97)  # of a power of the ratios with mean 1: what a temperature leaves
UNSEEN = 0.5  # base draws with a ratio beyond that of every draft of their position
REWARD_NOISE = 0.02  # of the spread of all rewards: batching in half precision stays below it


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
        if {"temperature", "truncated"} <= causes(e, source):
            more = "more draws" if check is not None and check.level == "token" else "token log-probabilities"
            evidence[source]["undecided"] = f"temperature_mismatch or truncated_sampling: {more} would tell"
    return evidence or None


def _temperature(e: Evidence) -> Record | None:
    def counts(check: TokenCheck, tempered: bool) -> Record:
        return {
            "temperature": check.temperature,
            "interval_95": list(check.interval or ()),
            "log_e_value": check.log_e_temperature,
        }

    return _of_cause(e, "temperature", counts) or _ratio_temperature(e)


def _refuted(e: Evidence) -> tuple[str, ...]:
    """Sources whose ratios are too large on average, at any number of draws (M45)."""
    # an e-value exceeds 1/LEVEL with probability at most LEVEL, however few rows and heavy tails
    return tuple(source for source in e.drawn if e.log_e[source] > LOG_E)


def _ratio_temperature(e: Evidence) -> Record | None:
    """Where nothing but the ratios of one source speaks: they are too large on average, yet below 1 in the logarithm,
    and a power of them has mean 1. Of log-probabilities divided by T that is T; of tempered models it is near T."""
    if e.ratio.positions > 0 or not _refuted(e) or _explained(e):
        return None
    evidence: Record = {}
    for source in _refuted(e):
        ratio = e.arrays.log_ratio[e.arrays.is_base == (source == "base")] * (-1.0 if source == "base" else 1.0)
        power = _mean_one_power(ratio[np.isfinite(ratio)])
        if power is not None:
            evidence[source] = {"log_e_value": e.log_e[source], "power_of_mean_one": power}
            evidence[source]["undecided"] = "drawn at another temperature than scored at, or divided by one"
    return evidence or None


def _mean_one_power(ratio: Floats) -> float | None:
    """s in EXPONENTS with mean e^{s·ratio} = 1; None for none."""

    def log_mean(s: float) -> float:
        return float(logsumexp(s * ratio)) - float(np.log(ratio.size))

    low, high = EXPONENTS
    return float(brentq(log_mean, low, high)) if log_mean(low) < 0.0 < log_mean(high) else None


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
    found: Record = {s: {"log_e_value": e.log_e[s], "log_e_value_exchanged": e.log_e_exchanged[s]} for s in e.drawn}
    if len(e.drawn) == 1:
        found["undecided"] = "draws much colder than scored look the same where the base is the sharper model"
    return found


def _explained(e: Evidence) -> bool:
    """Whether another finding already says why the ratios do not balance."""
    if e.no_log_probs:
        return True
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
        if not constant and not e.no_log_probs:
            evidence[f"{cross.model}_log_prob_by_source"] = {
                "steps_compared": cross.compared,
                "median_difference": cross.shift,
                "scatter": cross.within,
            }
    mean, error = (1.0, 0.0) if e.ratio.mean is None or e.ratio.mean_se is None else (e.ratio.mean, e.ratio.mean_se)
    above = mean - 1.0 > max(5.0 * error, 1e-6)  # rounding is no other law
    alone = e.ratio.positions == 0 and mean + 5.0 * error < 0.5
    never, cold = bool(_refuted(e)), _ratio_temperature(e) is not None
    if (e.bridge_broken or never or (not e.few and (above or alone))) and not cold and not _explained(e):
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
    evidence: Record = {
        model: {"rows_less_likely_than_any_of_their_length": rows} for model, rows in e.numbers.overlong.items()
    }
    if e.numbers.sentinels:  # they are far too unlikely too
        evidence = {}
    for blind in e.numbers.blind:
        if not blind.mean and not e.numbers.sentinels:
            evidence.setdefault(blind.model, {})["growth_exponent_with_length"] = blind.slope
    if e.no_log_probs and not e.uncovered:
        return evidence or None
    for cover in e.uncovered:
        evidence[cover.model] = evidence.get(cover.model, {}) | {
            "rows_of_other_length": cover.other_length,
            "rows_with_other_sum": cover.other_sum,
            "rows_with_mean_for_sum": cover.is_mean,
            "median_gap_nats": cover.gap,
        }
    for source in SOURCES:
        check = e.draws[source]
        if check is not None and "shift" in causes(e, source) and not duplicated(e):
            evidence.setdefault(source, {})["kept_mass"] = check.kept_mass
    for model in e.scattered if not e.numbers.equal else ():
        evidence.setdefault(model, {})["equal_steps_with_unequal_numbers"] = e.unequal[model]
    for cross, constant in e.crossed:
        if constant:
            evidence.setdefault(cross.model, {})["shift_between_sources_nats"] = cross.shift
    contexts = any("context" in causes(e, source) for source in SOURCES)
    if not evidence and e.shifted and not contexts and not any(not constant for _, constant in e.crossed):
        evidence["ratio"] = {"median_shift_nats": float(np.median(e.ratio.shifts)), "misfit": e.ratio.shift_misfit}
    return evidence or None


def _duplicates(e: Evidence) -> Record | None:
    return _repeated(e.repeats) if duplicated(e) else None


def _repeated(r: Repeats) -> Record:
    return {
        "candidates_apart": r.lag,
        "equal": r.matches,
        "compared": r.compared,
        "expected": r.expected,
        "impossible_pairs": r.impossible,
        "equal_by": r.what,
    }


def _duplicates_of_one(view: LogView) -> Record | None:
    """Equal rows at one distance, where no log-probability tells how often a draw comes again. Short texts are answers,
    not draws, and equal draws of another reward are no copies."""
    arrays = view.arrays
    code, what, telling = view.drawn
    if view.counted or telling.mean() < 0.5 or arrays.order.size < 2:
        return None
    if arrays.has("reward"):
        code = pair_codes(code, (arrays.floats("reward") + 0.0).view(np.int64))
    repeats = check_repeats(arrays, pair_codes(arrays.position, code), what, LEVEL, one_model=True)
    return _repeated(repeats) if repeats.lag and view.sorted_by is None else None


def _rewards(view: LogView) -> Record | None:
    if not view.arrays.has("reward"):
        return None
    r, rows = check_rewards(view.arrays), view.arrays.order.size
    few = r.apart and r.outside <= 0.1 * rows
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


def _equal(view: LogView) -> Record | None:
    reward = view.values("reward")
    if reward is None or reward.min() != reward.max():
        return None
    return {"rows": view.arrays.order.size, "value": float(reward[0])}


def _reward_noise(view: LogView) -> Record | None:
    """Equal steps of a position with unequal rewards: their pooled standard deviation, beside that of all rewards."""
    arrays = view.arrays
    # else equal steps may be those of equal reward
    if view.counted or not (arrays.has("token_ids") or arrays.has("text")) or not arrays.has("reward"):
        return None
    if view.models == 1 and view.drawn[2].mean() < 0.5:  # texts that are answers, of draws that differ
        return None
    code, what = arrays.same_steps
    reward = arrays.floats("reward")
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


def _cut(view: LogView) -> Record | None:
    arrays = view.arrays
    if not any(arrays.has(name) for name in ("finish_reason", "token_ids", "text", "logp_draft")):
        return None
    cuts = check_cuts(arrays)
    return None if cuts.share <= 0.01 else {"share": cuts.share, "known_by": cuts.known_by, "longest": cuts.longest}


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


FINDINGS: tuple[FindingRule | LogRule, ...] = (
    ONE_MODEL,
    FindingRule(
        "duplicates",
        "error",
        "rows were written more than once under new candidate numbers: drop them, or number seeds apart",
        Explanation(
            "A resumed job wrote its candidates again, or several requests shared one seed: the copies count as draws "
            "and errors come out too small.",
            "candidates 0-7: a b c d e f g h      candidates 8-15: a b c d e f g h",
            "vLLM: seed of a request (with n > 1 children use seed + index: space seeds by n); SGLang: random_seed, "
            "sampling_seed; transformers: set_seed before each call repeats the draws.",
        ),
        _duplicates,
        _duplicates_of_one,
    ),
    SHARED_ROWS,
    COPIED,
    SENTINELS,
    LENGTH_BLIND,
    MASS,
    END,
    FindingRule(
        "exchanged_columns",
        "error",
        "logp_draft holds the base's numbers and logp_base the draft's: exchange the two columns, and their tokens'",
        Explanation(
            "The two scorings were joined the wrong way round. As logged both mean ratios are far above 1; exchanged "
            "neither is.",
            "mean of base/draft over drafts 658, exchanged 0.4",
            "the script that joins: in vLLM, SGLang and transformers the engine that generated a row gives its own "
            "model's column, the scoring call (prompt_logprobs, input_token_logprobs, a forward pass) the other.",
        ),
        _exchanged,
    ),
    FindingRule(
        "temperature_mismatch",
        "error",
        "score at the temperature the candidates were sampled at, or sample at 1: both models alike",
        Explanation(
            "Draws were made at one temperature and their log-probabilities are of another, or were divided by one.",
            "drawn at 0.7, scored at 1: steps that the log calls likely come more often than it says",
            "vLLM: raw log-probs by default, logprobs_mode=processed_logprobs for those drawn from; SGLang: output "
            "log-probs at the temperature, input ones at 1; transformers: output_logits raw, output_scores processed.",
        ),
        _temperature,
    ),
    RECORDED_TEMPERATURE,
    TEMPERED_LAW,
    TRUNCATION,
    FindingRule(
        "truncated_sampling",
        "error",
        "sample without top-p, top-k and min-p: tokens that are never drawn cannot be weighted back",
        Explanation(
            "Unlikely tokens are missing among the draws: the sampler cut the law's tail, and no weight brings back "
            "what is never drawn.",
            "new tokens expected 40, drawn 3",
            "vLLM, SGLang: top_p=1, top_k=-1, min_p=0 (generation_config.json of a model may set them: vLLM "
            "--generation-config vllm); transformers: top_k=0 (its default is 50), top_p=1.0.",
        ),
        _truncated,
    ),
    FindingRule(
        "whole_response",
        "error",
        "log-probabilities cover other tokens than the step: sum over the step's own tokens, without "
        "prompt or earlier steps",
        Explanation(
            "The scorer summed over the prompt, over earlier steps, or over a whole response where the row is a step.",
            "10 tokens, logp -273      47 tokens, logp -283      (250 nats of prompt in each)",
            "vLLM: prompt_logprobs cover the whole prompt: sum the last ones only; SGLang: logprob_start_len; "
            "transformers: slice logits at the prompt's length, labels of -100 before it.",
        ),
        _whole,
    ),
    FindingRule(
        "context_mismatch",
        "error",
        "the numbers are of another law than the one sampled: give both models the same token ids with "
        "the whole prefix; log token_ids and token log-probabilities to tell a temperature from a prompt",
        Explanation(
            "Another prompt, chat template or beginning-of-sequence token for one model than for the other, text that "
            "was tokenized again, or draws of other models altogether: the ratios do not have mean 1.",
            "mean ratio 0.0000 or 15 where a right log has 1; the two sources out of balance",
            "vLLM, SGLang: send token ids, not text (prompt: list[int], input_ids); add_special_tokens and "
            "add_generation_prompt alike on both; transformers: apply_chat_template(tokenize=True) once, for both.",
        ),
        _context,
    ),
    STOPPED,
    SORTED,
    LogRule(
        "reward_range",
        "error",
        "rewards out of range: map failures of the reward model into its range, or leave the rows out",
        Explanation(
            "A few rewards lie outside [0, 1] or far from all others: an error code, or a row of another model.",
            "0.3 0.8 -1.0 0.5 0.6      999.0",
            "the client of the reward model; vLLM pooling: activation on gives [0, 1]; SGLang: /classify raw values; "
            "transformers: sigmoid of the logit.",
        ),
        _rewards,
    ),
    FAILED_REWARDS,
    LogRule(
        "equal_rewards",
        "warning",
        "all rewards are equal: nothing to choose between; take harder or easier prompts, more candidates, or "
        "another reward",
        Explanation(
            "Every draw has the same reward: no success yet, successes only, a reward column filled in, or a reward "
            "model that answers a constant (a wrong step token, an empty last step).",
            "0.0 0.0 0.0 0.0 0.0, at every prompt",
            "process reward models: the step token of Qwen2.5-Math-PRM is <extra_0>, of Skywork a newline; vLLM: "
            "pooling_task token_classify; SGLang: --is-embedding; transformers: the label index read off.",
        ),
        _equal,
    ),
    LOGIT_REWARDS,
    SHORT_FAVORED,
    LogRule(
        "reward_noise",
        "warning",
        "equal steps have unequal rewards: give the reward model the same text and no dropout, or the mean of several "
        "scores; selection and gate follow this noise",
        Explanation(
            "One and the same step got several rewards: dropout, a sampled judge, batching in half precision, or a "
            "reward of the whole solution beside a row that is a step.",
            "'x = 3' 0.41      'x = 3' 0.78",
            "vLLM, SGLang judges: temperature 0 and a seed; transformers: model.eval().",
        ),
        _reward_noise,
    ),
    LEFT_OUT,
    LogRule(
        "truncated_steps",
        "warning",
        "steps were cut at the cap on length: raise it; the reward model does not know cut steps",
        Explanation(
            "Draws ended at max_tokens, in the middle of a sentence: their rewards and answers are of fragments.",
            "finish_reason length, or many different steps of exactly 512 tokens",
            "vLLM: max_tokens; SGLang: max_new_tokens; transformers: max_new_tokens.",
        ),
        _cut,
    ),
    FindingRule(
        "heavy_tail",
        "warning",
        "few drafts carry most of the weight: the distance to the tilted policy cannot be told; draw "
        "more drafts, or take a draft closer to the base",
        Explanation(
            "The two models differ so much over a step of this length that a handful of drafts has nearly all of the "
            "weight; what the base prefers may never have been drawn.",
            "weights 0.001 0.002 0.0 0.96 0.001",
            "shorter steps (stop strings, max_tokens in vLLM and SGLang, max_new_tokens in transformers), a stronger "
            "or distilled draft; gsi doctor --lengths says how long steps may be.",
        ),
        _tail,
        of_law=True,
    ),
    FindingRule(
        "log_prob_noise",
        "warning",
        "equal rows have unequal log-probabilities, or they were stored in half precision: compute the "
        "log-softmax and the sums in float32 or better",
        Explanation(
            "The same tokens after the same prefix got several log-probabilities: half precision, other batch sizes, "
            "or another kernel for scoring than for drawing. Over 100 tokens it is most of a nat.",
            "-12.31 and -12.44 for one and the same step",
            "vLLM: dtype float32, or VLLM_BATCH_INVARIANT=1; SGLang: --enable-deterministic-inference; transformers: "
            "log_softmax(logits.float()).",
        ),
        _noise,
        of_law=True,
    ),
)
