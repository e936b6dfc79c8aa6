"""What `doctor` looks at: every self-check of a pool, run once, and what the checks of one source point to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from llm_check.logs.diagnosis.balance import UNBALANCED, Balance, check_balance
from llm_check.logs.diagnosis.prefix_counts import step_draws, token_draws
from llm_check.logs.diagnosis.ratio import RatioCheck, check_ratio
from llm_check.logs.diagnosis.rows import (
    Coverage,
    CrossCheck,
    Cuts,
    Repeats,
    Rewards,
    check_cuts,
    check_lengths,
    check_repeats,
    check_rewards,
    cross_check,
    logged_grid,
    spread_by_reward,
)
from llm_check.logs.diagnosis.tokens import TokenCheck, check_draws
from llm_check.logs.pools.pool import SOURCES, Pool
from llm_check.logs.pools.position_arrays import PositionArrays, position_arrays, same_text_codes, some_positions
from llm_check.logs.pools.tails import pareto_khat

__all__ = ["FEW_ROWS", "LEVEL", "LOG_E", "Evidence", "examine"]

# A clean pool fails one of about ten tests with probability at most ten times this (e-values: at most 1/e each).
LEVEL = 1e-3
LOG_E = -float(np.log(LEVEL))
# Beyond this many rows positions are sampled evenly: the tests have all the power they need, and memory is bounded.
MOST_ROWS = 200_000
# log-probabilities of equal rows agree to about 1e-5 in float32; this much is noise of half precision or of batching
NOISE = 1e-3
SMALLEST_TEMPERATURE_GAP = 0.02
TEMPERATURES = (0.2, 5.0)
CLEAR_GAIN = 4.0  # nats of likelihood: 2.8 standard errors
FEW_ROWS = 40
OUTSIDE = 1000.0  # times as many repeats as foreseen: no temperature and no truncation in use does that
CLEAR_MARGIN = 5.0  # nats between two causes, of a balance that knows the length of steps but not their tokens


@dataclass(frozen=True)
class Evidence:
    """Self-checks of a pool: ratios, draws of each source against their log-probabilities, rows, and the tail of
    the draft's ratios e^ℓ: k̂ and the share that the largest 1 % carry (None with fewer than 100 drafts). later: whole
    steps after the first of a prompt, in which a whole response shows. arrays: the positions looked at; whole: all."""

    arrays: PositionArrays
    whole: PositionArrays
    ratio: RatioCheck
    balance: Balance | None
    draws: dict[str, TokenCheck | None]
    later: dict[str, TokenCheck | None]
    lengths: list[Coverage]
    cross: list[CrossCheck]
    spread: dict[str, float]
    grid: dict[str, str | None]
    repeats: Repeats
    rewards: Rewards
    cuts: Cuts
    tail: tuple[float, float, int] | None

    @cached_property
    def duplicated(self) -> bool:
        """Whether rows were written twice."""
        tempered = any("temperature" in self.causes(source) for source in SOURCES)
        # Wrong log-probabilities too make repeats look impossible; but they unbalance the ratios, which copies do not.
        shifted = any("shift" in self.causes(source) for source in SOURCES)
        scored_well = not self.uncovered and not self.crossed and abs(self.ratio.z) < 6.0 and not shifted
        return self.repeats.lag > 0 or (self.repeats.impossible > 0 and scored_well and not tempered)

    @cached_property
    def noisy(self) -> dict[str, float]:
        """Models whose log-probabilities of equal rows differ, with the standard deviation, nats."""
        return {model: value for model, value in self.spread.items() if value > NOISE}

    def causes(self, source: str) -> frozenset[str]:
        """What the draws of a source point to: "temperature", "truncated", "shift" or "context"; empty for nothing.

        From the tokens at shared prefixes where they are logged: they see a temperature well, a truncation less well
        than the balance of the sources does. With whole steps only, the balance speaks too: over the repeats where it
        is clear, and where it is not, repeats decide if most draws are repeats, else both causes stand.
        """
        counted = self._counted(source)
        if not self.by_balance(source):
            return frozenset("context" if found == "more" else found for found in counted)
        check, (_, cause, margin) = self.draws[source], self.blamed
        if check is not None and check.level == "token":
            return frozenset({"truncated"})
        if "more" in counted:  # than reported: no truncation
            return frozenset({"temperature" if cause == "temperature" else "context"})
        if margin >= CLEAR_MARGIN:
            return frozenset({cause})
        mostly = check is not None and check.events > check.new_seen
        return counted if counted and mostly else frozenset({"temperature", "truncated"})

    def by_balance(self, source: str) -> bool:
        """Whether the balance accuses a source and has a say beside its counts: where these are of whole steps, or see
        nothing; never where they see what no temperature and no truncation does."""
        check, counted = self.draws[source], self._counted(source)
        tokens = check is not None and check.level == "token"
        return source in self.blamed[0] and not counted & {"shift", "context"} and not (tokens and counted)

    @cached_property
    def blamed(self) -> tuple[tuple[str, ...], str, float]:
        """Sources, cause and margin of the balance (M32); no source where it holds or another fault may break it.

        Where repeats accuse a source, only the cause is left to say.
        """
        if self.balance is None or self.uncovered or self.crossed or self._far_shifted:
            return (), "", 0.0
        cold = {
            source: check.temperature_gain
            for source, check in self.draws.items()
            if check is not None and check.temperature is not None and check.temperature < 1.0
        }
        found = self.balance.verdict([source for source in SOURCES if self._counted(source)], cold)
        return found if found is not None else ((), "", 0.0)

    def _counted(self, source: str) -> frozenset[str]:
        """What the counts of repeated draws point to (M34); "more": more new draws than reported, without a T̂."""
        check = self.draws[source]
        if check is None or check.temperature is None or source in {cover.model for cover in self.uncovered}:
            return frozenset()
        found = set()
        tempered = check.log_e_temperature > LOG_E and abs(check.temperature - 1.0) > SMALLEST_TEMPERATURE_GAP
        tempered = self._tempered(check, tempered)
        low, high = check.interval or TEMPERATURES
        extreme = tempered and (high < TEMPERATURES[0] or low > TEMPERATURES[1])
        # A step's law at T is not a power of the step's law: with whole steps a part of the gain is left unexplained.
        allowed = (1.0 if check.level == "step" else 0.3) * check.temperature_gain
        if extreme or (check.misfit_left > LOG_E and check.misfit_left > allowed):
            return frozenset({"context"})
        if tempered:
            found.add("temperature")
        if (check.log_e_fewer_tempered if tempered else check.log_e_fewer) > LOG_E:
            if check.level == "token":
                found.add("truncated")
            elif self._outside(check) or self._outside(self.later[source]):
                found.add("shift")
            elif not self._far_shifted:
                found.add("truncated")
        if check.log_e_more > LOG_E and not tempered and source not in self.noisy:
            found.add("more")
        return frozenset(found)

    def _outside(self, check: TokenCheck | None) -> bool:
        """Whether a log of whole steps covers more than the step: what is drawn again and again has next to no reported
        mass, and a constant for each position explains it, by the ratios or by the proportions among repeats."""
        if check is None:
            return False
        low, high = check.interval or TEMPERATURES
        in_proportion = high - low < 0.5 and low < 1.05 and high > 0.95 and check.misfit_left < LOG_E
        if self._far_shifted:
            scarce = check.kept_mass < 0.2 or check.excess > OUTSIDE
            return scarce and (self.ratio.shift_misfit < 3.0 or in_proportion)
        return check.excess > OUTSIDE and in_proportion

    @cached_property
    def _far_shifted(self) -> bool:
        """Whether the log-ratio is off by more than a nat at most positions."""
        return self.ratio.shifts.size > 0 and float(np.median(np.abs(self.ratio.shifts))) > 1.0

    def _tempered(self, check: TokenCheck, alone: bool) -> bool:
        """Whether a temperature is to blame: by its own evidence, or because fewer new draws than reported go with a
        T̂ clearly below 1 that accounts for them. With whole steps, never where the log-ratio is off by a nat."""
        if check.level == "step" and self._far_shifted:
            return False
        below = check.temperature is not None and check.temperature < 1.0 and check.temperature_gain > CLEAR_GAIN
        if check.log_e_fewer < LOG_E or check.log_e_fewer_tempered > LOG_E:
            return alone
        return alone or below or self._as_the_other(check)

    def _as_the_other(self, check: TokenCheck) -> bool:
        """Whether the other source has a wrong temperature by its own evidence that this one's interval contains."""
        for other in self.draws.values():
            if (
                other is not None
                and other is not check
                and other.temperature is not None
                and check.interval is not None
            ):
                low, high = check.interval
                return other.log_e_temperature > LOG_E and low <= other.temperature <= high
        return False

    @cached_property
    def uncovered(self) -> list[Coverage]:
        """Models whose log-probabilities cover other tokens than the step's in more than 1 % of the rows."""
        return [c for c in self.lengths if max(c.other_length, c.other_sum) > 0.01]

    @cached_property
    def crossed(self) -> list[tuple[CrossCheck, bool]]:
        """Models that give the same step other log-probabilities in draft rows than in base rows; whether the
        difference is a constant of the position."""
        found = []
        for check in self.cross:
            size = max(abs(check.shift), check.within)
            if check.compared >= 5 and size > 0.1 + 5.0 * check.spread:
                found.append((check, check.positions >= 5 and check.within < 0.1 * abs(check.shift)))
        return found

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
        return self.bridge_broken and self._far_shifted and self.ratio.shift_misfit < 3.0


def _tail(arrays: PositionArrays, most: int = 100_000) -> tuple[float, float, int] | None:
    """(k̂, share of the total that the largest 1 % carry, ratios that k̂ was fitted to) of the drafts' e^ℓ over all
    positions, mean 1 each."""
    ratio: NDArray[np.float64] = arrays.log_ratio[~arrays.is_base]
    ratio = np.sort(ratio[np.isfinite(ratio)])
    if ratio.size < 100:
        return None
    weight = np.exp(ratio - ratio[-1])
    top = float(weight[-max(1, ratio.size // 100) :].sum() / weight.sum())
    ratio = ratio[:: max(1, ratio.size // most)]
    with np.errstate(all="ignore"):  # equal weights in the tail
        khat = float(pareto_khat(ratio))
    return khat, top, ratio.size


def examine(pool: Pool) -> Evidence:
    """Run every self-check once; on pools of more than MOST_ROWS rows, on evenly spread positions."""
    whole = position_arrays(pool)
    arrays = some_positions(whole, MOST_ROWS)
    code, what = same_text_codes(arrays)
    lengths = check_lengths(arrays)
    found: dict[str, TokenCheck | None] = {}
    later: dict[str, TokenCheck | None] = {}
    spread: dict[str, float] = {}
    after = np.array([step > 0 for _, step in arrays.names])
    crossed = cross_check(arrays, code)
    by_model = {check.model: check for check in crossed}
    for source in SOURCES:
        tokens = token_draws(arrays, source, source)
        known = {c.model: c for c in lengths}
        broken = source in known and known[source].other_length > 0.01
        draws = tokens if tokens is not None and not broken else step_draws(arrays, source, source)
        found[source], later[source] = check_draws(draws), None
        if draws.level == "step" and after.any() and not after.all():
            later[source] = check_draws(draws.at(after[draws.node]))
        # equal values tell nothing when they themselves were what made two rows the same step
        known_by = by_model[source].spread if what in ("token_ids", "text") else spread_by_reward(arrays, source)
        spread[source] = max(known_by, tokens.spread if tokens is not None else 0.0)
    return Evidence(
        arrays=arrays,
        whole=whole,
        ratio=check_ratio(arrays),
        balance=check_balance(arrays),
        draws=found,
        later=later,
        lengths=lengths,
        cross=crossed if what in ("token_ids", "text") else [],
        spread=spread,
        grid={model: logged_grid(arrays, model) for model in SOURCES},
        repeats=check_repeats(arrays, code, what, LEVEL),
        rewards=check_rewards(whole),
        cuts=check_cuts(whole),
        tail=_tail(arrays),
    )
