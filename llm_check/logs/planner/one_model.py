"""`plan` on a log of one model: which selector, β and n for a budget, never worse than one draw (M47)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.types import Floats
from llm_check.logs.curves.log_curves import BETAS
from llm_check.logs.curves.prompt_curves import CurveKey, CurvePlan, prompt_curves, prompt_sizes
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.log import Log, draw_counts
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawOption, DrawPlan, choose, refuse_goal, value_bounds
from llm_check.logs.planner.goal import Goal

__all__ = ["plan_one_model"]

UNITS = ("draws", "tokens")
_ONE_DRAW = "one draw"


def plan_one_model(
    log: Log,
    goal: Goal | None = None,
    unit: str = "draws",
    betas: Sequence[float] | None = None,
    ns: Sequence[int] | None = None,
    tokens: float | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> DrawPlan:
    """Options selector × β × n on the log's draws, exact (M31, M47), and the one for the goal's budget.

    unit: of costs, "draws" or "tokens" (the log's mean, or `tokens` where it has none); ns: default powers of two up
    to the draws that half of the prompts have, that number and what the budget buys. Compared are the prompts with
    draws for every n.
    Raises InputError for a goal that needs two models, a value that the log lacks, n beyond most prompts' draws.
    """
    goal = goal or Goal(tolerance=TOLERANCE)
    refuse_goal(goal, "a log of one model")
    bounds = value_bounds(log, goal.value, stated_range)
    sizes = np.sort(prompt_sizes(log.table))
    top = int(sizes[(sizes.size - 1) // 2])  # half of the prompts have as many
    price = _price(log, unit, tokens)
    kept, limits = _kept(ns, top, int(sizes[-1]), goal.max_cost / price)
    columns = [n for n in log.table.column_names if log.table[n].null_count < log.table.num_rows]
    plan = CurvePlan(_keys(columns, goal.value, sorted(set(betas or BETAS))), tuple(kept), seed, errors=False)
    curves = prompt_curves(log.table, plan)
    one = next(c for c, key in enumerate(plan.keys) if key.selector in ("best_of_n", "pass_at_k"))
    same = (curves.draws >= kept[-1]) & np.isfinite(curves.value[:, one]).all(axis=1)
    if not same.any():
        raise InputError(f"no prompt has {kept[-1]} draws with {goal.value} of each: give smaller n, or grade them")
    options, rows, own, speaking = [], [], [], []
    grade = bool(log.facts.get("reward_is_grade"))
    for c, key in enumerate(plan.keys):
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
    values: Floats = np.array(rows)
    costs = price * np.array([float(o.n) for o in options])
    baseline = next(s for s, o in enumerate(options) if o.n == 1)
    choice, allowed = choose(options, values, costs, goal, bounds, log.facts, baseline, baseline, _ONE_DRAW, seed)
    if int(same.sum()) < len(curves.prompts):
        limits.append(
            f"compared are the {int(same.sum())} of {len(curves.prompts)} prompts with {kept[-1]} draws or more, all "
            f"with {goal.value}; at smaller n more of them speak"
        )
    return DrawPlan(
        "one_model", tuple(options), values, costs, unit, np.array(speaking), np.array(own), allowed, choice, baseline,
        goal.value, bounds, goal, tuple(limits), _assumptions(log, grade), log.facts, len(log.left_out), seed,
    )  # fmt: skip


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


def _price(log: Log, unit: str, tokens: float | None) -> float:
    """Cost of a draw."""
    if unit not in UNITS:
        raise InputError(f"cost {unit!r} on a log of one model: give one of {', '.join(UNITS)}")
    if unit == "draws":
        return 1.0
    if "n_tokens" in log.table.column_names and not log.table["n_tokens"].null_count:
        return float(np.average(log.table["n_tokens"].to_numpy(), weights=draw_counts(log.table)))
    if tokens is None:
        raise InputError("cost in tokens, which this log does not have of every draw: give the tokens of a draw")
    return tokens


def _assumptions(log: Log, grade: bool) -> tuple[str, ...]:
    lines = []
    if log.facts.get("iid") is None:
        lines.append("nobody said how the draws were made: supposed are independent draws of one law a prompt")
    lines.append("prompts are supposed to be drawn like those to come; values are exact means over subsets of draws")
    if grade:
        lines.append("the reward is a grade: what chooses by it needs the answer key, and is not recommended")
    if "correct" in log.values:
        lines.append("pass@k needs the answer key: a limit, no way to answer")
    return tuple(lines)
