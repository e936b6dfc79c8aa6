"""`plan` on a log of one model: which selector, β and n for a budget, never worse than one draw (M47).

Beside selectors of n draws there are rules that stop at the first reward ≥ θ, after n draws at most, and then return
the best (M38). θ is the same for every prompt, and where it is not stated a quantile of all the log's rewards. All
values are of the same prompts and all bounds hold together, so a θ that looks good by chance does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.runs.workers import Pool as Workers
from gsi_theory.types import Flags, Floats
from llm_check.logs.curves.draw_source import DrawSource, LogNotes, draw_source
from llm_check.logs.curves.log_curves import BETAS
from llm_check.logs.curves.prompt_curves import DRAWS, STOPPING, CurveKey, CurvePlan, PromptCurves, tilted_draws
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.log import Log
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawOption, DrawPlan, choose, refuse_goal, value_bounds
from llm_check.logs.planner.goal import Goal
from llm_check.logs.pools.log_files import LogSource

__all__ = ["plan_one_model"]

UNITS = ("draws", "tokens")
_ONE_DRAW = "one draw"
_PASSING = (0.5, 0.25, 0.1)  # shares of draws that reach the thresholds by default
_LEAST_CAP = 4  # draws at most: fewer leave little to stop


def plan_one_model(
    log: Log | LogSource,
    goal: Goal | None = None,
    unit: str = "draws",
    betas: Sequence[float] | None = None,
    ns: Sequence[int] | None = None,
    tokens: float | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: Workers | None = None,
    missing: str | None = None,
    source: str | None = None,
    thresholds: Sequence[float] | None = None,
) -> DrawPlan:
    """Options selector × β × n on the log's draws, exact (M31, M47), and the one for the goal's budget.

    unit: of costs, "draws" or "tokens" (the log's mean, or `tokens` where it has none); ns: default powers of two up
    to the draws that half of the prompts have, that number and what the budget buys. Compared are the prompts with
    draws for every n. thresholds: rewards to stop at, default three quantiles of the log's. strict, progress, workers,
    missing, source: as `llm_check.curve`. Raises InputError for a goal that needs two models, a value that the log
    lacks, n beyond all prompts, thresholds without rewards.
    """
    with draw_source(log, source, strict, workers, missing) as draws:
        goal = goal or Goal(tolerance=TOLERANCE, value="reward" if "reward" in draws.about.ranges else "correct")
        refuse_goal(goal, "a log of one model")
        return _planned(draws, goal, unit, betas, ns, tokens, stated_range, seed, progress, thresholds)


def _planned(
    draws: DrawSource,
    goal: Goal,
    unit: str,
    betas: Sequence[float] | None,
    ns: Sequence[int] | None,
    tokens: float | None,
    stated_range: tuple[float, float] | None,
    seed: int,
    progress: Callable[[int, int], None] | None,
    thresholds: Sequence[float] | None,
) -> DrawPlan:
    about = draws.about
    bounds = value_bounds(about, goal.value, stated_range)
    sizes = np.sort(about.sizes)
    top = int(sizes[(sizes.size - 1) // 2])  # half of the prompts have as many
    price = _price(about, unit, tokens)
    kept, limits = _kept(ns, top, int(sizes[-1]), goal.max_cost / price)
    columns = about.columns
    tilted = tilted_draws(about.sizes.size)
    fixed, cuts = _keys(columns, goal.value, sorted(set(betas or BETAS))), _cuts(about, thresholds)
    stopped = tuple(CurveKey(STOPPING, None, value, cut) for cut in cuts for value in (goal.value, DRAWS))
    plan = CurvePlan((*fixed, *stopped), tuple(kept), seed, tilted, errors=False)
    curves = draws.mapped(plan, progress)
    one = next(c for c, key in enumerate(plan.keys) if key.selector in ("best_of_n", "pass_at_k"))
    same = (curves.draws >= kept[-1]) & np.isfinite(curves.value[:, one]).all(axis=1)
    if not same.any():
        raise InputError(f"no prompt has {kept[-1]} draws with {goal.value} of each: give smaller n, or grade them")
    options, rows, own, speaking = [], [], [], []
    grade = bool(about.facts.get("reward_is_grade"))
    for c, key in enumerate(fixed):
        selector = SELECTORS[key.selector]
        for m, n in enumerate(kept):
            column = curves.value[:, c, m]
            if not np.isfinite(column[same]).all() or (n == 1) != (c == one and m == 0):
                continue  # of one draw every selector is alike
            needs_key = n > 1 and (selector.needs_key or (grade and "reward" in selector.needs))
            name = _deployable_name(columns) if n == 1 else key.selector
            options.append(DrawOption(name, n, key.beta if n > 1 else None, needs_key=needs_key))
            rows.append(column[same])
            there = np.isfinite(column)
            own.append(float(column[there].mean()))
            speaking.append(int(there.sum()))
    costs_of = [price * float(o.n) for o in options]
    for option, column, cost in _stopping(curves, kept, same, len(fixed), price, unit, grade):
        options.append(option)
        rows.append(column[same])
        costs_of.append(cost)
        there = np.isfinite(column)
        own.append(float(column[there].mean()))
        speaking.append(int(there.sum()))
    values: Floats = np.array(rows)
    costs = np.array(costs_of)
    baseline = next(s for s, o in enumerate(options) if o.n == 1)
    choice, allowed = choose(options, values, costs, goal, bounds, about, baseline, baseline, _ONE_DRAW, seed)
    if int(same.sum()) < len(curves.prompts):
        limits.append(
            f"compared are the {int(same.sum())} of {len(curves.prompts)} prompts with {kept[-1]} draws or more, all "
            f"with {goal.value}; at smaller n more of them speak"
        )
    return DrawPlan(
        "one_model", tuple(options), values, costs, unit, np.array(speaking), np.array(own), allowed, choice, baseline,
        goal.value, bounds, goal, tuple(limits), _assumptions(about, grade, bool(stopped), thresholds is None), about,
        seed,
    )  # fmt: skip


def _cuts(about: LogNotes, thresholds: Sequence[float] | None) -> list[float]:
    """Rewards to stop at, ascending."""
    if thresholds is None:
        quantiles = {about.reward_above(share) for share in _PASSING} if "reward" in about.columns else set()
        return sorted(cut for cut in quantiles if cut is not None)
    if "reward" not in about.columns:
        raise InputError(f"thresholds {list(thresholds)} on a log without rewards: there is nothing to stop at")
    if not np.isfinite(thresholds).all():
        raise InputError(f"thresholds {list(thresholds)}: give finite rewards")
    return sorted({float(cut) for cut in thresholds})


def _stopping(
    curves: PromptCurves, kept: Sequence[int], same: Flags, start: int, price: float, unit: str, grade: bool
) -> Iterator[tuple[DrawOption, Floats, float]]:
    """(option, values of all prompts, cost) of every threshold and most draws that sometimes stop and sometimes do not.

    The tokens of a stopped run are, prompt by prompt, those of a draw times the mean number of draws (Wald).
    """
    tokens = curves.tokens[same]
    by_tokens = unit == "tokens" and bool(np.isfinite(tokens).all()) and tokens.sum() > 0
    for c in range(start, len(curves.plan.keys), 2):
        for m, most in enumerate(kept):
            column, number = curves.value[:, c, m], curves.value[:, c + 1, m]
            if most < _LEAST_CAP or not np.isfinite(column[same]).all():
                continue
            mean = float(number[same].mean())
            if not 1.0 < mean < most:
                continue  # one draw, or all of them
            cost = price * (float(tokens @ number[same] / tokens.sum()) if by_tokens else mean)
            threshold = curves.plan.keys[c].threshold
            yield DrawOption(STOPPING, most, None, threshold, None, grade, mean), column, cost


def _deployable_name(columns: Sequence[str]) -> str:
    return "best_of_n" if "reward" in columns or "answer" not in columns else "majority"


def _keys(columns: Sequence[str], value: str, betas: Sequence[float]) -> tuple[CurveKey, ...]:
    """Curves of every selector that the columns allow; one of them gives one draw."""
    keys = []
    for name, entry in SELECTORS.items():
        if set(entry.needs) <= set(columns) and value in entry.values:
            keys += [CurveKey(name, beta, value) for beta in (betas if entry.tilts else (None,))]
    if not any(key.selector in ("best_of_n", "pass_at_k") for key in keys):
        raise InputError(f"value {value!r} of a log with {', '.join(columns)}: no selector can choose by these")
    return tuple(keys)


def _kept(ns: Sequence[int] | None, top: int, largest: int, budget: float) -> tuple[list[int], list[str]]:
    """n to compare, 1 among them, ascending up to `top`; and what was left out."""
    if ns is None:
        powers = [1 << k for k in range(top.bit_length())]
        ends = [top, *([int(min(budget, top))] if np.isfinite(budget) else [])]
        return sorted({n for n in (*powers, *ends) if n >= 1}), []
    if not ns or any(n != int(n) or n < 1 for n in ns):
        raise InputError(f"n = {list(ns)!r}: give whole numbers, 1 or more")
    if min(ns) > top:
        raise InputError(f"n from {min(ns)}: half of the prompts have {top} draws or fewer, the most is {largest}")
    beyond = sorted({int(n) for n in ns if n > top})
    some = [f"n = {', '.join(map(str, beyond))}: fewer than half of the prompts have so many draws"] if beyond else []
    return sorted({1, *(int(n) for n in ns if n <= top)}), some


def _price(about: LogNotes, unit: str, tokens: float | None) -> float:
    """Cost of a draw."""
    if unit not in UNITS:
        raise InputError(f"cost {unit!r} on a log of one model: give one of {', '.join(UNITS)}")
    if unit == "draws":
        return 1.0
    if about.tokens is not None:
        return about.tokens
    if tokens is None:
        raise InputError("cost in tokens, which this log does not have of every draw: give the tokens of a draw")
    return tokens


def _assumptions(about: LogNotes, grade: bool, stops: bool, read_off: bool) -> tuple[str, ...]:
    lines = []
    if about.facts.get("iid") is None:
        lines.append("nobody said how the draws were made: supposed are independent draws of one law a prompt")
    lines.append("prompts are supposed to be drawn like those to come; values are exact means over subsets of draws")
    if grade:
        lines.append("the reward is a grade: what chooses by it needs the answer key, and is not recommended")
    if "correct" in about.columns:
        lines.append("pass@k needs the answer key: a limit, no way to answer")
    if stops:
        lines.append("stopping draws one after the other and reads each reward: fewer draws, not less time")
    if stops and read_off:
        lines.append("rewards to stop at are quantiles of this log's (--threshold states others)")
    return tuple(lines)
