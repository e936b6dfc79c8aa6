"""`plan`: from one pool to a rule, gate, n, β and threshold with value, cost and guarantee, or why it cannot tell.

The answer is tested, not only estimated: the cheapest option is recommended for which a bound on how much better any
other within the budget may be, at 95 % for all together (goal.py), stays within the tolerance; where there is none,
the reason says what the pool lacks. Values are unbiased where the pool's size allows (M31), and the recommended
one's is cross-fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.rules.softmax import SOFTMAX
from gsi_theory.runs.costs import StepCost
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.terminal import formatted
from gsi_theory.samples.decides import Decides
from gsi_theory.samples.intervals import Interval
from gsi_theory.types import Floats, Ints, Record
from llm_check.logs.planner.best_option import mean_error, pareto_front
from llm_check.logs.planner.decode_command import decode_command
from llm_check.logs.planner.goal import Choice, Goal, Question, best_of, cheapest_of
from llm_check.logs.planner.notes import guarantee, limits, notes
from llm_check.logs.planner.option_means import TwoIntervals, option_decides, option_intervals
from llm_check.logs.planner.option_table import PlanTable, plan_table
from llm_check.logs.planner.overuse import Turn, turns
from llm_check.logs.planner.scheme_grid import BETAS, NS, RULES, Option, distinct_options, enough, make_grid
from llm_check.logs.planner.setup import COSTS, Setup, option_costs, recorded_sizes
from llm_check.logs.planner.step_lengths import StepLength, step_lengths, step_tokens
from llm_check.logs.planner.tail import RewardRange, tail_speaks
from llm_check.logs.pools.diagnosis import Diagnosis, diagnose
from llm_check.logs.pools.log_files import LogSource
from llm_check.logs.pools.pool import SOURCES, Pool, as_pool, reward_range
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock
from llm_check.logs.pools.supports import CURES, effective_drafts, unsupported

__all__ = ["COSTS", "PLAN_ROWS", "Plan", "Setup", "choose_option", "limits", "option_costs", "plan"]

PLAN_ROWS = 1 << 21  # rows that are planned from; of a pool that has more, prompts evenly spread
OPTION_FIELDS = ("method", "rule", "gate", "n", "n_base", "beta", "threshold")
KL_ERRORS = 1.645  # standard errors that a bound of KL(π‖law) stays below --max-kl, 95 % one-sided
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """table: values, rejection and distances of every option; recommendation: number of an option, or None, and reason.

    worth: value of the recommended with its interval, cross-fitted; shortfall: how much better another may be (95 %).
    values, errors, costs (S,): of every option, costs in `unit`; kl_bound, kl_bound_se, kl, tv (S,): means over sampled
    positions, no NaN. front: numbers of the options that no other beats in value at no more cost, and of the
    recommended; baseline: the option compared with, if any. rewards: the range of the reward, and whether it is
    stated or what the pool shows. limits: what the pool cannot tell; improve: what would help; turns:
    over-optimization; seed: of the bootstrap; left_out: rows that reading left out. intervals: of the recommended, over
    prompts and for these prompts; decides: whether reward or ratio decides under the option `decided` (M46); command:
    what plays the recommended; tokens: of a step, None as drawn; lengths: of this pool and those compared with it.
    """

    table: PlanTable
    diagnosis: Diagnosis
    recommendation: int | None
    reason: str
    worth: Interval | None
    shortfall: float
    values: Floats
    errors: Floats
    costs: Floats
    cost: StepCost
    seconds: Floats | None
    unit: str
    kl_bound: Floats
    kl_bound_se: Floats
    kl: Floats
    tv: Floats
    front: Ints
    baseline: int | None
    rewards: RewardRange
    limits: tuple[str, ...]
    improve: tuple[str, ...]
    guarantee: str
    turns: tuple[Turn, ...]
    assumptions: tuple[str, ...]
    seed: int
    left_out: Record
    intervals: TwoIntervals | None
    decides: Decides | None
    decided: Option | None
    command: str | None
    tokens: int | None
    lengths: tuple[StepLength, ...]

    def option(self, s: int) -> Record:
        """One option as `gsi plan --json` shows it."""
        option, cost = self.table.options[s], self.cost
        scheme = {name: getattr(option, name) for name in OPTION_FIELDS}
        record: Record = scheme | {
            "value": self.values[s],
            "value_se": self.errors[s],
            "cost": self.costs[s],
            "p_accept": 1.0 - self.table.reject[s],
            "kl_bound": self.kl_bound[s],
            "kl_bound_se": self.kl_bound_se[s],
            "kl": self.kl[s],
            "tv": self.tv[s],
            "on_front": bool((self.front == s).any()),
            "tokens_through": {name: getattr(cost, name)[s] for name in ("drafted", "decoded", "scored", "judged")},
            "flops": {model: getattr(cost, f"flops_{model}")[s] for model in ("draft", "base", "reward")},
            "seconds": None if self.seconds is None else self.seconds[s],
        }
        return record | {f"mean_{name}": self.table.values[k, s].mean() for k, name in enumerate(self.table.names)}

    def _recommended(self) -> Record | None:
        if self.recommendation is None or self.worth is None or self.intervals is None:
            return None
        over, these = self.intervals.over_prompts, self.intervals.these_prompts
        return self.option(self.recommendation) | {
            "value": self.worth.value,
            "value_se": self.worth.stderr,
            "low": None if over is None else over.low,
            "high": None if over is None else over.high,
            "trusted": None if over is None else over.trusted,
            "low_these": these.low,
            "high_these": these.high,
            "value_on_all": self.values[self.recommendation],
            "shortfall_95": self.shortfall,
            "guarantee": self.guarantee,
            "tokens": self.tokens,
            "command": self.command,
        }

    def _decides(self) -> Record | None:
        if self.decides is None or self.decided is None:
            return None
        found, gate = self.decides, self.decides.gain_gate
        gains = {"reward": found.gain_reward, "ratio": found.gain_ratio} | ({} if gate is None else {"gate": gate})
        record: Record = {f"gain_{name}": None for name in ("reward", "ratio", "gate")}
        for name, gain in gains.items():
            over, these = gain.over_prompts, gain.these_prompts
            record |= {
                f"gain_{name}": gain.value,
                f"gain_{name}_se": gain.stderr,
                f"gain_{name}_low": None if over is None else over.low,
                f"gain_{name}_high": None if over is None else over.high,
                f"gain_{name}_low_these": these.low,
                f"gain_{name}_high_these": these.high,
            }
        shares = ("ratio_share", "by_reward", "by_ratio")
        for name in shares:
            record |= {name: getattr(found, name), f"{name}_se": getattr(found, f"{name}_se")}
        option = {name: getattr(self.decided, name) for name in OPTION_FIELDS}
        return record | {"values": list(found.values), "prompts": found.prompts, "option": option}

    def record(self) -> Record:
        """The object of `gsi plan --json`."""
        fields = {
            "recommendation": self._recommended(),
            "reason": self.reason,
            "cost_unit": self.unit,
            "limits": list(self.limits),
            "improve": list(self.improve),
            "assumptions": list(self.assumptions),
            "over_optimization": [turn.record() for turn in self.turns],
            "front": [int(s) for s in self.front],
            "chosen": self.recommendation,
            "baseline": None if self.baseline is None else int(self.baseline),
            "reward_range": vars(self.rewards),
            "seed": self.seed,
            "valid": self.diagnosis.valid,
            "findings": [vars(finding) for finding in self.diagnosis.findings],
            "left_out": self.left_out,
            "decides": self._decides(),
            "lengths": [vars(length) for length in self.lengths],
            "options": [self.option(s) for s in range(len(self.table.options))],
        }
        record: Record = plain(with_schema("plan", fields))
        return record


def _columns(pool: Pool, wanted: str) -> list[str]:
    names = ["reward", *(n for n in ("gold_reward", "correct") if n in pool.table.column_names)]
    names = [n for n in names if pool.table[n].null_count == 0]
    if wanted not in names:
        raise InputError(f"value {wanted!r}: of this pool {', '.join(names)} can be maximized (columns without nulls)")
    return names


def _ends(pool: Pool, name: str) -> tuple[float, float]:
    """The least and the largest value of a column."""
    column = pool.arrays.floats(name)
    return float(column.min()), float(column.max())


def _reward_range(pool: Pool, stated: tuple[float, float] | None) -> RewardRange:
    """The range of the reward: as asked, as the pool's provenance states it, or else what the pool shows."""
    least, most = _ends(pool, "reward")
    if stated is not None:
        low, high = stated
        if not (np.isfinite([low, high]).all() and low < high):
            raise InputError(f"reward range {low:g} {high:g}: give two finite numbers, the smaller first")
        if least < low or most > high:
            outside = least if least < low else most
            raise InputError(f"reward range {low:g} {high:g}: the pool holds a reward of {outside:g}, give its range")
        return RewardRange(low, high, True)
    low, high = reward_range(pool.metadata)
    stated_low = min(low, least) if np.isfinite(low) else least
    stated_high = max(high, most) if np.isfinite(high) else most
    return RewardRange(stated_low, stated_high, bool(np.isfinite(high)))


def _bounds(pool: Pool, name: str, rewards: RewardRange) -> tuple[float, float]:
    """Bounds of a value: the range of the reward, 0 and 1 of correctness, else the least and largest that it shows."""
    if name == "reward":
        return rewards.low, rewards.high
    if name == "correct":
        return 0.0, 1.0
    return _ends(pool, name)


def _reference(table: PlanTable, n: int, means: Floats) -> int:
    """Soft best-of-n on the base with the β of the largest value; n the largest of the grid up to the one asked."""
    soft = [
        s
        for s, o in enumerate(table.options)
        # of one draw the rule does not matter
        if o.method == "soft_bon_base" or (o.method == "base" and (o.rule == SOFTMAX.name or n == 1))
    ]
    members = [s for s in soft if table.options[s].n <= n]
    if not members:
        lacks = f"--n a number of {n} or less" if soft else "--rule softmax"
        raise InputError(f"no soft best-of-n on the base with n ≤ {n} among the options: let the grid hold {lacks}")
    largest = max(table.options[s].n for s in members)
    return max((s for s in members if table.options[s].n == largest), key=lambda s: float(means[s]))


def choose_option(
    table: PlanTable,
    values: Floats,
    costs: Floats,
    kl_bound: Floats,
    goal: Goal,
    bounds: tuple[float, float],
    seed: int = 0,
    borne: NDArray[np.bool_] | None = None,
) -> tuple[Choice, int | None]:
    """The goal's choice, and the option it was compared with; best-of-n on the base, without drafts, is a choice too.

    kl_bound: with its error added; bounds: of the value; seed: of the bootstrap; borne (S,): options that may be
    chosen (default: all); the others are compared with all the same.
    """
    means = values.mean(axis=1)
    allowed = costs <= goal.max_cost
    if not allowed.any():
        cheapest = float(costs.min())
        return Choice(None, f"nothing costs {goal.max_cost:.4g} or less: the cheapest is {cheapest:.4g}"), None
    if np.isfinite(goal.max_kl):
        speaking = np.array([tail_speaks(table.tails[o.beta]) for o in table.options])
        allowed &= speaking & (kl_bound <= goal.max_kl)
        if not allowed.any():
            reason = f"cannot tell that any option is within {goal.max_kl:g} nats of the tilted policy"
            return Choice(None, reason, ("smaller β, larger n, or a gate that rejects less",)), None
    question = Question(table, allowed, costs, kl_bound, bounds, seed, borne)
    if goal.within is not None:
        reference = _reference(table, goal.baseline_n, means)
        what = f"within {formatted(goal.within, 'g')} of {table.options[reference].text()}"
        return cheapest_of(values, reference, -goal.within, what, question), reference
    if goal.min_gain is not None:
        reference = _reference(table, 1, means)
        what = f"better than one base draw by {formatted(goal.min_gain, 'g')}"
        return cheapest_of(values, reference, goal.min_gain, what, question), reference
    return best_of(values, goal, question), None


def plan(
    pool: Pool | LogSource,
    goal: Goal | None = None,
    setup: Setup | None = None,
    betas: Sequence[float] = BETAS,
    ns: Sequence[int] = NS,
    rules: Sequence[str] = RULES,
    thresholds: Sequence[float] | None = None,
    progress: Progress | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
    strict: bool = False,
    also: Sequence[tuple[str, Pool]] = (),
    asked: Option | None = None,
    name: str = "this pool",
) -> Plan:
    """Compare rules, gates, n, n_base, β and u on a pool, or its files; recommend one for `goal` if the pool can tell.

    Of files of more than PLAN_ROWS rows all are checked, and evenly spread prompts of so many rows planned from.

    goal: what counts (default: the cheapest option than which none is better by more than 3 % of the range); setup:
    what a step costs (default: flops of the models that the pool's provenance counts, else of those of `gsi plan`);
    betas: per unit of reward; thresholds: u in reward units (default: from the pool). Options of equal law and cost are
    listed once. progress(done, total) counts positions; stated_range: the least and largest reward there is (default:
    as the pool's provenance states it, else the pool's own); seed: of the bootstrap that compares options; strict: stop
    at a bad row. also: (name, pool) of the same problems at other step lengths, of which coverage is compared, `name`
    being this pool's; asked: the option that who decides is told of (default: the recommended if it selects by reward
    and ratio, else the largest estimate of those that do). `record()` is what `gsi plan --json` answers.
    Raises InputError for a file that is no pool, when no position has candidates of both sources, for a value column
    that the pool lacks, rewards outside stated_range, or a grid that the pool is too small for.
    """
    data = as_pool(pool, strict, PLAN_ROWS)
    recorded = recorded_sizes(data.metadata)
    goal, setup = goal or Goal(), setup or (Setup() if recorded is None else Setup(recorded, recorded=True))
    names = _columns(data, goal.value)
    known = _reward_range(data, stated_range)
    arrays = data.arrays
    parts, few = enough(arrays.blocks)
    if not parts:
        drafts, base = (len(data.positions(source)) for source in SOURCES)
        raise InputError(
            f"no position has both draft and base candidates (of {len(arrays.names)}, {drafts} have drafts, {base} "
            "base candidates): a plan needs both, for the fallback; draw those that lack, or plan for one model alone "
            "(--source)"
        )
    if setup.unit == "seconds" and (setup.device is None or setup.trio is None):
        raise InputError("cost in seconds: name a device (--device h100)")
    grid = make_grid(arrays, parts, betas, ns, rules, thresholds)
    diagnosis = diagnose(data)
    options = distinct_options(grid, arrays, parts)
    table = plan_table(arrays, parts, grid, names, setup.step_tokens, progress, options, known)
    cost, seconds = option_costs(table, setup)
    costs = seconds if setup.unit == "seconds" and seconds is not None else getattr(cost, setup.unit)
    values, bounds = table.values[names.index(goal.value)], _bounds(data, goal.value, known)
    means, errors = mean_error(values)
    kl_bound, kl_bound_se = _mean_error(table.distance.kl_bound)
    kl_high = kl_bound + KL_ERRORS * kl_bound_se
    choice, baseline = Choice(None, ""), None
    wrong = [finding.id for finding in diagnosis.findings if finding.severity == "error"]
    if wrong:
        reason = f"the pool is not valid: {', '.join(wrong)} (gsi doctor): weights and thresholds mean nothing"
        choice = Choice(None, reason, tuple(f.advice for f in diagnosis.findings if f.id in wrong))
    else:
        choice, baseline = choose_option(table, values, costs, kl_high, goal, bounds, seed)
    ess = effective_drafts(data)
    if choice.chosen is not None and (fault := _fault(ess, table.options[choice.chosen])):
        faults = {(o.beta, o.n): _fault(ess, o) for o in table.options if o.weighs_ratio}
        borne = np.array([not (o.weighs_ratio and faults[o.beta, o.n]) for o in table.options])
        other, _ = choose_option(table, values, costs, kl_high, goal, bounds, seed, borne)
        if other.chosen is None:
            unborne = table.options[choice.chosen].text()
            advice = f"{', '.join(CURES[:-1])}, or {CURES[-1]}"
            other = Choice(None, f"the pool does not bear {unborne}: {fault}", (advice,))
        choice = other
    gold = [k for k, column in enumerate(names) if column != "reward"]
    over_optimized = [t for k in gold for t in turns(table.options, table.values[0], table.values[k])]
    left = len(arrays.names) - table.positions - few
    front = pareto_front(means, costs, kl_high)
    if choice.chosen is not None and choice.chosen not in front:
        front = np.array(sorted((*front.tolist(), choice.chosen), key=lambda s: (costs[s], means[s])))
        choice = replace(choice, reason=f"{choice.reason}; of those that look better at no more cost it cannot be said")
    best = None if choice.chosen is None else table.options[choice.chosen]
    decided = asked or _deciding(table.options, choice.chosen, np.where(costs <= goal.max_cost, means, -np.inf))
    lengths = step_lengths(data, name, also, max(grid.betas) if best is None else best.beta, grid.ns) if also else []
    return Plan(
        table=table,
        diagnosis=diagnosis,
        recommendation=choice.chosen,
        reason=choice.reason,
        worth=choice.worth,
        shortfall=choice.shortfall,
        values=means,
        errors=errors,
        costs=costs,
        cost=cost,
        seconds=seconds,
        unit=setup.unit,
        kl_bound=kl_bound,
        kl_bound_se=kl_bound_se,
        kl=_mean_error(table.distance.kl)[0],
        tv=_mean_error(table.distance.tv)[0],
        front=front,
        baseline=baseline,
        rewards=known,
        limits=tuple(limits(parts, table, ns)),
        improve=choice.improve,
        guarantee=guarantee(table, choice.chosen, kl_bound, kl_bound_se),
        turns=tuple(over_optimized),
        assumptions=tuple(notes(table, setup, arrays.tokens is None, left, len(grid.options()), few, data.read)),
        seed=seed,
        left_out=diagnosis.left_out,
        intervals=_intervals(arrays, parts, best, goal.value, bounds, choice.worth, table.fixed),
        decides=None if decided is None or wrong else option_decides(arrays, parts, decided, goal.value, bounds),
        decided=decided,
        command=None if best is None else decode_command(best, data.metadata),
        tokens=step_tokens(data),
        lengths=tuple(lengths),
    )


def _fault(ess: float, option: Option) -> str:
    """Why the pool's weights do not bear an option that selects by them; "" where they do, or it does not."""
    return unsupported(ess, option.n) if option.weighs_ratio else ""


def _deciding(options: Sequence[Option], chosen: int | None, means: Floats) -> Option | None:
    """What who decides is told of: the recommended if it selects by reward and ratio, else the one that does so with
    the largest mean (S,)."""
    if chosen is not None and options[chosen].weighs_ratio and options[chosen].n > 1:
        return options[chosen]
    members = [s for s, o in enumerate(options) if o.weighs_ratio and o.n > 1 and means[s] > -np.inf]
    return options[max(members, key=lambda s: float(means[s]))] if members else None


def _intervals(
    arrays: PositionArrays,
    parts: Sequence[PositionBlock],
    option: Option | None,
    name: str,
    bounds: tuple[float, float],
    worth: Interval | None,
    fixed: bool,
) -> TwoIntervals | None:
    """Of the recommended, around its cross-fitted value: that of `worth`, and the other one moved there."""
    if option is None or worth is None:
        return None
    both = option_intervals(arrays, parts, option, name, bounds)

    def moved(one: Interval) -> Interval:
        shift = worth.value - one.value
        return replace(one, value=worth.value, low=one.low + shift, high=one.high + shift)

    if fixed:
        return TwoIntervals(None if both.over_prompts is None else moved(both.over_prompts), worth)
    return TwoIntervals(worth, moved(both.these_prompts))


def _mean_error(values: Floats) -> tuple[Floats, Floats]:
    """(mean, standard error) over positions (S, P) of a distance, 0 or more: a negative mean is noise. Infinite where
    one position is."""
    infinite = np.isinf(values).any(axis=1)
    safe = np.where(np.isfinite(values), values, 0.0)
    count = values.shape[1]
    error = safe.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[0], np.inf)
    return np.where(infinite, np.inf, np.maximum(safe.mean(axis=1), 0.0)), np.where(infinite, np.inf, error)
