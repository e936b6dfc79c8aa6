"""What the doctor looks at: every self-check of a pool, run once, and the facts that they settle alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from gsi_theory.samples.ratio_evidence import log_e_ratio
from llm_check.logs.pools.balance import UNBALANCED, Balance, check_balance
from llm_check.logs.pools.log_prob_checks import LogNumbers, check_numbers, first_copies
from llm_check.logs.pools.log_view import LogView, view_of_pool
from llm_check.logs.pools.pool import SOURCES, Pool
from llm_check.logs.pools.position_arrays import PositionArrays, some_positions
from llm_check.logs.pools.prefix_counts import step_draws, token_draws
from llm_check.logs.pools.ratio import RatioCheck, check_ratio, length_left
from llm_check.logs.pools.self_checks import (
    CrossCheck,
    Repeats,
    StepCover,
    check_lengths,
    check_repeats,
    cross_check,
    logged_grid,
    spread_by_reward,
    unequal_repeats,
)
from llm_check.logs.pools.tails import fitted_khat
from llm_check.logs.pools.tokens import TokenCheck, check_draws

__all__ = ["FEW_ROWS", "LEVEL", "LOG_E", "MOST_ROWS", "Evidence", "RatioTail", "examine", "ratio_evidence"]

# A clean pool fails one of about ten tests with probability at most ten times this (e-values: at most 1/e each).
LEVEL = 1e-3
LOG_E = -float(np.log(LEVEL))
# Beyond this many rows positions are sampled evenly: the tests have all the power they need, and memory is bounded.
MOST_ROWS = 200_000
# log-probabilities of equal rows agree to about 1e-5 in float32; this much is noise of half precision or of batching
NOISE = 1e-3
# Scatter between sources that half precision explains, nats times the root of a step's tokens: a token is off by 0.05
# (standard deviation), so equal steps scored beside others differ by 0.056 on average (mean of |.|), less than twice
HALF = 0.1
FEW_ROWS = 40
FEWEST = 8  # drafts of which something can be said of their weights
MOST_RATIOS = 2_000_000
LARGEST = 1e6  # nats, of a ratio that is refuted in any case


@dataclass(frozen=True)
class Evidence:
    """Self-checks of a pool: ratios, draws of each source against their log-probabilities, rows, and the tail of
    the draft's ratios. later: whole steps after the first of a prompt, in which a whole response shows. log_e: of each
    source, evidence that its ratios are too large on average (M45), nats; log_e_exchanged: the same with the models'
    columns exchanged. numbers: whether they are log-probabilities at all. unequal: share of repeated steps whose
    log-probabilities are half a nat apart or more, by model. arrays: the positions looked at; whole: all; view: of all
    rows, for the checks that need no log-probabilities."""

    arrays: PositionArrays
    whole: PositionArrays
    ratio: RatioCheck
    balance: Balance | None
    draws: dict[str, TokenCheck | None]
    later: dict[str, TokenCheck | None]
    lengths: list[StepCover]
    cross: list[CrossCheck]
    spread: dict[str, float]
    grid: dict[str, str | None]
    repeats: Repeats
    tail: RatioTail | None
    log_e: dict[str, float]
    log_e_exchanged: dict[str, float]
    unequal: dict[str, float]
    view: LogView
    numbers: LogNumbers

    @cached_property
    def noisy(self) -> dict[str, float]:
        """Models whose log-probabilities of equal rows differ, with the standard deviation, nats."""
        return {model: value for model, value in self.spread.items() if value > NOISE}

    @cached_property
    def far_shifted(self) -> bool:
        """Whether the log-ratio is off by more than a nat at most positions."""
        return self.ratio.shifts.size > 0 and float(np.median(np.abs(self.ratio.shifts))) > 1.0

    @cached_property
    def uncovered(self) -> list[StepCover]:
        """Models whose log-probabilities cover other tokens than the step's in more than 1 % of the rows."""
        end = None if self.numbers.one_sided_end is None else self.numbers.one_sided_end.model
        padded = {s.model for s in self.numbers.sentinels}
        off = [c for c in self.lengths if max(c.other_length, c.other_sum) > 0.01]
        return [c for c in off if c.model != end and c.model not in padded]

    @property
    def no_log_probs(self) -> bool:
        """Whether the logged numbers are no log-probabilities of the rows' steps, so that no law can be asked for."""
        return self.numbers.wrong

    @cached_property
    def exchanged(self) -> bool:
        """Whether the draft's log-probabilities stand in the base's column and the base's in the draft's: as logged the
        ratios of every source are refuted, exchanged none is, nor are the draws. With one source alone the mean
        log-ratio, minus a divergence under a right log, must be clearly above 0, and exchanged ratios not too small."""
        if self.no_log_probs or min(self.log_e[s] for s in self.drawn) < LOG_E:
            return False
        if max(self.log_e_exchanged[s] for s in self.drawn) > 0.5 * LOG_E:
            return False
        if len(self.drawn) == 1:
            ratio = self.arrays.log_ratio * (-1.0 if self.drawn == ("base",) else 1.0)
            ratio = ratio[np.isfinite(ratio)]
            root = np.sqrt(ratio.size)
            back = np.exp(np.minimum(-ratio, 300.0))
            too_small = back.mean() + 4.0 * back.std() / root < 0.8
            if ratio.size < FEWEST or ratio.mean() < 3.0 * ratio.std() / root or too_small:
                return False
        checks = [exchanged_draws(self.arrays, source) for source in self.drawn]
        worst = [max(c.log_e_temperature, c.log_e_misfit, c.log_e_fewer) for c in checks if c is not None]
        return max(worst, default=0.0) < 0.5 * LOG_E

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """Sources that drew something."""
        return tuple(s for s in SOURCES if (self.arrays.set_is_base == (s == "base")).any())

    @cached_property
    def scattered(self) -> list[str]:
        """Models that give equal steps unequal log-probabilities, by nats and more often than not: numbers of more
        tokens than the step's."""
        return [model for model, share in self.unequal.items() if share > 0.5]

    @cached_property
    def crossed(self) -> list[tuple[CrossCheck, bool]]:
        """Models that give the same step other log-probabilities in draft rows than in base rows; whether the
        difference is a constant of the position."""
        differing = []
        for check in self.cross:
            size = max(abs(check.shift), check.within - HALF * float(np.sqrt(check.length)))
            if check.compared >= 5 and size > 0.1 + 5.0 * check.spread:
                differing.append((check, check.positions >= 5 and check.within < 0.1 * abs(check.shift)))
        return differing

    @property
    def unbalanced(self) -> bool:
        """Whether the rows' sources are not balanced as the log-ratios foresee (M32), whatever the cause."""
        return self.balance is not None and self.balance.level < UNBALANCED

    @cached_property
    def bridge_broken(self) -> bool:
        """Whether the bounded identity of M32 fails, at LEVEL."""
        return abs(self.ratio.z) > 4.5 and not self.few

    @property
    def few(self) -> bool:
        """Whether there are too few rows for the normal law of a mean ratio."""
        return self.arrays.order.size < FEW_ROWS

    @cached_property
    def shifted(self) -> bool:
        """Whether the bridge fails and a constant per position of more than a nat explains it."""
        constant = self.bridge_broken and self.far_shifted and self.ratio.shift_misfit < 3.0
        return constant and abs(length_left(self.arrays, self.ratio.shifts)) < 4.0


@dataclass(frozen=True)
class RatioTail:
    """Who carries the weight, of the drafts' e^ℓ over all positions, mean 1 each: khat, None where not fitted, and to
    how many ratios it was (drafts); top: share of the largest 1 % (one draft at least); ess: effective drafts; beyond:
    share of the base draws whose ratio exceeds that of every draft of their position, the base's mass that no draft
    has shown, None without positions of both sources and FEWEST drafts."""

    khat: float | None
    drafts: int
    top: float
    ess: float
    beyond: float | None


def _tail(arrays: PositionArrays, most: int = 100_000) -> RatioTail | None:
    ratio = arrays.log_ratio[~arrays.is_base]
    ratio = np.sort(ratio[np.isfinite(ratio)])
    if ratio.size < FEWEST:
        return None
    weight = np.exp(ratio - ratio[-1])
    top = float(weight[-max(1, ratio.size // 100) :].sum() / weight.sum())
    ess = float(weight.sum() ** 2 / np.sum(weight**2))
    fitted = ratio[:: max(1, ratio.size // most)]
    with np.errstate(all="ignore"):  # equal weights in the tail
        khat = fitted_khat(fitted)
    above = [
        np.mean(arrays.log_ratio[b.base] > arrays.log_ratio[b.draft].max(axis=1, keepdims=True), axis=1)
        for b in arrays.blocks
        if b.draft.shape[1] >= FEWEST
    ]
    return RatioTail(khat, fitted.size, top, ess, float(np.concatenate(above).mean()) if above else None)


def ratio_evidence(arrays: PositionArrays, source: str, exchanged: bool = False) -> float:
    """log e (M45) against the ratios of a source's draws, of π_B/π_S for drafts and the inverse for base draws, nats:
    the mean of that of whole steps and, where both models' tokens are logged, that of tokens given their prefixes.
    Copies count once. exchanged: as if each model's numbers were the other's. At most MOST_RATIOS, the first, a number
    fixed beforehand.
    """
    base = source == "base"
    sign = -1.0 if base != exchanged else 1.0
    chosen = (arrays.is_base == base) & first_copies(arrays)
    values = [sign * arrays.log_ratio[chosen]]
    lists = [arrays.lists(f"token_logp_{model}") for model in SOURCES]
    draft, other = lists
    if draft is not None and other is not None and np.array_equal(draft.lengths, other.lengths):
        rows = np.repeat(chosen, draft.lengths)
        with np.errstate(invalid="ignore"):  # tokens that neither can draw
            values.append(sign * (other.values - draft.values)[rows])
    logs = [log_e_ratio(v[~np.isnan(v)][:MOST_RATIOS].clip(max=LARGEST)) for v in values]
    return float(logsumexp(logs) - np.log(len(logs)))


def exchanged_draws(arrays: PositionArrays, source: str) -> TokenCheck | None:
    """A source's draws against the other model's log-probabilities."""
    other = SOURCES[1 - SOURCES.index(source)]
    tokens = token_draws(arrays, source, other)
    return check_draws(tokens if tokens is not None else step_draws(arrays, source, other))


def examine(pool: Pool, most_rows: int | None = None) -> Evidence:
    """Run every self-check once; on pools of more than most_rows rows (None: MOST_ROWS), on evenly spread positions."""
    arrays = some_positions(pool.arrays, MOST_ROWS if most_rows is None else most_rows)
    code, what = arrays.same_steps
    lengths, cross = check_lengths(arrays), cross_check(arrays, code)
    other_length = {cover.model: cover.other_length for cover in lengths}
    noise = {check.model: check.spread for check in cross}
    draws: dict[str, TokenCheck | None] = {}
    later: dict[str, TokenCheck | None] = {}
    spread: dict[str, float] = {}
    after = np.array([step > 0 for _, step in arrays.names])
    # equal values tell nothing when they themselves were what made two rows the same step
    told = what in ("token_ids", "text")
    for source in SOURCES:
        tokens = token_draws(arrays, source, source)
        broken = other_length.get(source, 0.0) > 0.01
        events = tokens if tokens is not None and not broken else step_draws(arrays, source, source)
        draws[source], later[source] = check_draws(events), None
        if events.level == "step" and after.any() and not after.all():
            later[source] = check_draws(events.at(after[events.node]))
        rows = noise[source] if told else spread_by_reward(arrays, source)
        between = next(check.within for check in cross if check.model == source) if told else 0.0
        spread[source] = max(rows, between, tokens.spread if tokens is not None else 0.0)
    view = view_of_pool(pool)
    numbers = check_numbers(arrays, code, what, spread, view.sorted_by is not None)
    return Evidence(
        arrays=arrays,
        whole=pool.arrays,
        ratio=check_ratio(arrays),
        balance=check_balance(arrays),
        draws=draws,
        later=later,
        lengths=lengths,
        cross=cross if told else [],
        spread=spread,
        grid={model: logged_grid(arrays, model) for model in SOURCES},
        repeats=check_repeats(arrays, code, what, LEVEL),
        tail=_tail(arrays),
        log_e={source: ratio_evidence(arrays, source) for source in SOURCES},
        log_e_exchanged={source: ratio_evidence(arrays, source, exchanged=True) for source in SOURCES},
        unequal={model: unequal_repeats(arrays, code, model) for model in SOURCES} if told else {},
        view=view if numbers.placeholder is None else replace(view, models=1),
        numbers=numbers,
    )
