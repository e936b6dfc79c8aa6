"""`plan`: from one pool to a rule, gate, n, β and threshold with value, cost and guarantee, or why it cannot tell.

The answer is tested, not only estimated: an option is recommended when a bound on how much better any other within the
budget may be, at 95 % for all together (choice.py), stays within the tolerance; otherwise the reason says what the
pool lacks. Values are unbiased where the pool's size allows (M31), and the recommended one's is cross-fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.intervals import Interval
from llm_check.doctor.doctor import Diagnosis, doctor
from llm_check.planner.choice import Choice, Goal, best_of, cheapest_of
from llm_check.planner.choose import standing
from llm_check.planner.cost import Cost, Sizes, step_cost
from llm_check.planner.grid import BETAS, NS, RULES, make_grid
from llm_check.planner.latency import Calibration, Device, Trio, gsi_seconds, soft_bon_seconds
from llm_check.planner.pareto import pareto_front
from llm_check.planner.table import PlanTable, plan_table
from llm_check.planner.tail import tail_limits, tail_speaks
from llm_check.planner.turning import Turn, turns
from llm_check.pools.pool import Pool, reward_range
from llm_check.pools.position_arrays import Block, PositionArrays, blocks, position_arrays

__all__ = ["COSTS", "Plan", "Setup", "choose_option", "limits", "make_plan", "option_costs"]

Floats = NDArray[np.float64]
COSTS = ("flops", "tokens", "seconds")
FEW = 0.2  # share of positions with small sets that are worth leaving out
KL_ERRORS = 1.645  # standard errors that a bound of KL(π‖law) stays below --max-kl, 95 % one-sided
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Setup:
    """What a step costs: sizes of the models, unit of cost (COSTS); device, shapes, calibration and tokens of context
    for "seconds"; tokens of a step where the pool logs none."""

    sizes: Sizes = field(default_factory=lambda: Sizes(1.54e9, 7.62e9, 7.08e9))
    unit: str = "flops"
    device: Device | None = None
    trio: Trio | None = None
    calibration: Calibration = field(default_factory=Calibration)
    context: float = 500.0
    step_tokens: float = 100.0


@dataclass(frozen=True)
class Plan:
    """table: values, rejection and distances of every option; recommendation: number of an option, or None, and reason.

    worth: value of the recommended with its interval, cross-fitted; shortfall: how much better another may be (95 %).
    values, errors, costs (S,): of every option, costs in `unit`; kl_bound, kl_bound_se, kl, tv (S,): means over sampled
    positions, no NaN. front: numbers of the Pareto front; baseline: the option compared with, if any. limits: what the
    pool cannot tell; improve: what would help; turns: over-optimization.
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
    cost: Cost
    seconds: Floats | None
    unit: str
    kl_bound: Floats
    kl_bound_se: Floats
    kl: Floats
    tv: Floats
    front: NDArray[np.int64]
    baseline: int | None
    limits: tuple[str, ...]
    improve: tuple[str, ...]
    guarantee: str
    turns: tuple[Turn, ...]
    assumptions: tuple[str, ...]


def _columns(pool: Pool, wanted: str) -> list[str]:
    names = ["reward", *(n for n in ("gold_reward", "correct") if n in pool.table.column_names)]
    names = [n for n in names if pool.table[n].null_count == 0]
    if wanted not in names:
        raise InputError(f"value {wanted!r}: of this pool {', '.join(names)} can be maximized (columns without nulls)")
    return names


def _bounds(pool: Pool, name: str) -> tuple[float, float]:
    """Bounds of a value: stated by the pool, 0 and 1 of correctness, else the least and largest that it shows."""
    column = pool.table[name].to_numpy().astype(np.float64)
    low, high = {"reward": reward_range(pool.metadata), "correct": (0.0, 1.0)}.get(name, (-np.inf, np.inf))
    return (low if np.isfinite(low) else float(column.min())), (high if np.isfinite(high) else float(column.max()))


def option_costs(table: PlanTable, setup: Setup) -> tuple[Cost, Floats | None]:
    """Cost of every option, and its seconds when a device is given."""
    options = table.options
    base = np.array([o.method == "base" for o in options])
    n, n_base = np.array([o.n for o in options]), np.array([o.n_base for o in options])
    alone = np.array([not b and o.n == 1 and o.threshold is None for b, o in zip(base, options, strict=True)])
    # tokens of a fallback step, where fallbacks happen
    falls = np.where(table.reject > 0, table.reject_tokens / np.maximum(table.reject, 1e-300), table.base_tokens)
    cost = step_cost(np.where(base, 0, n), n_base, table.reject, table.draft_tokens, falls, setup.sizes, alone)
    if setup.device is None or setup.trio is None:
        return cost, None
    more = setup.context, 1.0, setup.calibration
    own = gsi_seconds(setup.trio, setup.device, n, n_base, table.reject, table.draft_tokens, falls, *more, alone)
    soft = soft_bon_seconds(setup.trio, setup.device, n_base, table.base_tokens, *more)
    return cost, np.where(base, soft, own)


def limits(arrays: PositionArrays, parts: Sequence[Block], table: PlanTable, asked: Sequence[int]) -> list[str]:
    """What the pool cannot tell, one line for every β of one cause; and which few positions hold n down."""
    found = tail_limits(table.tails.values())
    sizes = np.concatenate([np.full(b.positions.size, min(b.draft.shape[1], b.base.shape[1])) for b in parts])
    places, smallest = np.concatenate([b.positions for b in parts]), int(sizes.min())
    beyond = [n for n in asked if n > smallest // 2]
    if not beyond:
        return found
    found.append(f"left out n of {', '.join(map(str, beyond))}: the smallest set has {smallest} candidates, draw 2 n")
    few = np.flatnonzero(sizes < np.median(sizes) / 2.0)
    if 0 < few.size <= FEW * sizes.size:
        named = ", ".join(f"{p!r} step {step}" for p, step in (arrays.names[i] for i in places[few[:3]].tolist()))
        more = f" and {few.size - 3} more" if few.size > 3 else ""
        rest = int(sizes[sizes >= np.median(sizes) / 2.0].min())
        found.append(
            f"few candidates at {named}{more} hold n down: without {'it' if few.size == 1 else 'them'} n up to "
            f"{rest // 2} can be compared"
        )
    return found


def _reference(table: PlanTable, n: int, means: Floats) -> int:
    """Soft best-of-n on the base with the β of the largest value; n the largest of the grid up to the one asked."""
    soft = [s for s, o in enumerate(table.options) if o.method == "base" and o.rule == "softmax"]
    members = [s for s in soft if table.options[s].n <= n]
    if not members:
        lacks = f"--n a number of {n} or less" if soft else "--rule softmax"
        raise InputError(f"no soft best-of-n on the base with n ≤ {n} among the options: let the grid hold {lacks}")
    largest = max(table.options[s].n for s in members)
    return max((s for s in members if table.options[s].n == largest), key=lambda s: float(means[s]))


def choose_option(
    table: PlanTable, values: Floats, costs: Floats, kl_bound: Floats, goal: Goal, bounds: tuple[float, float]
) -> tuple[Choice, int | None]:
    """The goal's choice, and the option it was compared with; best-of-n on the base, without drafts, is a choice too.

    kl_bound: with its error added; bounds: of the value.
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
    if goal.within is not None:
        reference = _reference(table, goal.baseline_n, means)
        what = f"within {goal.within:g} of {table.options[reference].text()}"
        return cheapest_of(values, allowed, reference, -goal.within, costs, what, table, bounds), reference
    if goal.min_gain is not None:
        reference = _reference(table, 1, means)
        what = f"better than one base draw by {goal.min_gain:g}"
        return cheapest_of(values, allowed, reference, goal.min_gain, costs, what, table, bounds), reference
    return best_of(values, allowed, table, goal, bounds), None


def _guarantee(plan_table: PlanTable, chosen: int | None, kl_bound: Floats, error: Floats) -> str:
    """What holds for the chosen option, in one line."""
    if chosen is None:
        return ""
    option = plan_table.options[chosen]
    tail = plan_table.tails[option.beta]
    if not tail_speaks(tail):
        return f"none: the base candidates do not show enough of the tilted policy at β = {option.beta:g}"
    gate = "" if option.threshold is None else ", with the gate's part (it does not vanish as n grows, M7)"
    if not np.isfinite(kl_bound[chosen]):
        return "none: the base draws steps that the draft cannot, and no fallback was seen: KL(π‖law) may be infinite"
    missed = f"{tail.base} base candidates miss at most {tail.unseen:.2%} of π up to reward {tail.highest:.3g} (95 %)"
    spread = f"± {error[chosen]:.2g} nats" if np.isfinite(error[chosen]) else "nats (one position: no error)"
    bound = f"KL(π‖law) ≤ {kl_bound[chosen]:.4g} {spread} a step on average"
    return f"{bound}: (M11) on this pool{gate}; {missed}"


def make_plan(
    pool: Pool,
    goal: Goal | None = None,
    setup: Setup | None = None,
    betas: Sequence[float] = BETAS,
    ns: Sequence[int] = NS,
    rules: Sequence[str] = RULES,
    thresholds: Sequence[float] | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Evaluate every option on the pool and answer the goal.

    Raises InputError when no position has candidates of both sources, for a value column that the pool lacks, or for
    a grid that the pool is too small for.
    """
    goal, setup = goal or Goal(), setup or Setup()
    names = _columns(pool, goal.value)
    arrays = position_arrays(pool)
    parts = blocks(arrays)
    if not parts:
        raise InputError("no position has both draft and base candidates: a plan needs both, for the fallback")
    if setup.unit == "seconds" and (setup.device is None or setup.trio is None):
        raise InputError("cost in seconds: name a device (--device h100)")
    diagnosis = doctor(pool)
    grid = make_grid(arrays, parts, betas, ns, rules, thresholds)
    table = plan_table(arrays, parts, grid, names, setup.step_tokens, progress)
    cost, seconds = option_costs(table, setup)
    costs = seconds if setup.unit == "seconds" and seconds is not None else getattr(cost, setup.unit)
    values = table.values[names.index(goal.value)]
    place = standing(values, np.zeros(values.shape[1]))
    kl_bound, kl_bound_se = _mean_error(table.distance.kl_bound)
    choice, baseline = Choice(None, ""), None
    errors = [finding.id for finding in diagnosis.findings if finding.severity == "error"]
    if errors:
        reason = f"the pool is not valid: {', '.join(errors)} (gsi doctor): weights and thresholds mean nothing"
        choice = Choice(None, reason, tuple(f.advice for f in diagnosis.findings if f.id in errors))
    else:
        kl_high = kl_bound + KL_ERRORS * kl_bound_se
        choice, baseline = choose_option(table, values, costs, kl_high, goal, _bounds(pool, goal.value))
    gold = [k for k, name in enumerate(names) if name != "reward"]
    turned = [t for k in gold for t in turns(table.options, table.values[0], table.values[k])]
    left = len(arrays.names) - table.positions
    return Plan(
        table=table, diagnosis=diagnosis, recommendation=choice.chosen, reason=choice.reason, worth=choice.worth,
        shortfall=choice.shortfall, values=place.gap, errors=place.error, costs=costs,
        cost=cost, seconds=seconds, unit=setup.unit, kl_bound=kl_bound, kl_bound_se=kl_bound_se,
        kl=_mean_error(table.distance.kl)[0], tv=_mean_error(table.distance.tv)[0],
        front=pareto_front(place.gap, costs), baseline=baseline,
        limits=tuple(limits(arrays, parts, table, ns)), improve=choice.improve,
        guarantee=_guarantee(table, choice.chosen, kl_bound, kl_bound_se), turns=tuple(turned),
        assumptions=tuple(_assumptions(table, setup, arrays.tokens() is None, left)),
    )  # fmt: skip


def _mean_error(values: Floats) -> tuple[Floats, Floats]:
    """(mean, standard error) over positions (S, P) of a distance, 0 or more: a negative mean is noise. Infinite where
    one position is."""
    infinite = np.isinf(values).any(axis=1)
    safe = np.where(np.isfinite(values), values, 0.0)
    count = values.shape[1]
    error = safe.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[0], np.inf)
    return np.where(infinite, np.inf, np.maximum(safe.mean(axis=1), 0.0)), np.where(infinite, np.inf, error)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _assumptions(table: PlanTable, setup: Setup, no_tokens: bool, left: int) -> list[str]:
    found = [f"values are means over {_count(table.positions, 'position')}; independent units: {table.units}"]
    if table.estimator == "plug-in":
        found.append("values by the plug-in law (M30) less its bias by half pools: the pool is too large for (M31)")
    if table.sampled < table.positions:
        found.append(f"distances to the tilted policy from {_count(table.sampled, 'position')}, evenly spread")
    if no_tokens:
        found.append(f"the pool logs no tokens: every step taken as {setup.step_tokens:g} tokens")
    if left:
        found.append(f"without candidates of both sources and not used: {_count(left, 'position')}")
    sizes = "/".join(f"{v / 1e9:.3g}B" for v in vars(setup.sizes).values())
    found.append(f"parameters of draft/base/reward model: {sizes}")
    if setup.device is not None:
        scaled = (
            ""
            if setup.calibration == Calibration()
            else f", scaled by {setup.calibration.draft:.2g} (draft) and {setup.calibration.base:.2g} (base)"
        )
        found.append(f"seconds by the roofline of llm_check.planner.latency, context {setup.context:g} tokens{scaled}")
    return found
