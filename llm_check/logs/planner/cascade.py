"""`plan` on a log of two models without log-probabilities: how many drafts, and below which reward to ask the base.

Of n drafts the one of largest reward M is returned if M ≥ u, else n_base base draws are made and theirs of largest
reward is (ties shared). From N drafts and N_B base draws of a prompt its value is exact and unbiased:

    E f = Σ_{v ≥ u} P(M = v) f̄(v) + P(M < u) E f(best of n_base),

P(M ≤ v) = C(N_v, n)/C(N, n) with N_v the drafts of reward v or less (M31), f̄(v) their mean at v, and the two sources
are independent. u is fixed beforehand: where it is read off the same log, it is a quantile of all its draft rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from gsi_theory.errors import InputError
from gsi_theory.runs.costs import Sizes
from gsi_theory.samples.subset_shares import share_rows
from gsi_theory.types import Floats, Ints
from llm_check.logs.curves.draw_source import log_notes
from llm_check.logs.log import Log
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawOption, DrawPlan, choose, refuse_goal, value_bounds
from llm_check.logs.planner.goal import Goal
from llm_check.logs.pools.row_checks import floats
from llm_check.logs.pools.schema import SOURCES

__all__ = ["CASCADE_UNITS", "cascade_values", "plan_cascade"]

CASCADE_UNITS = ("draws", "tokens", "flops")
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)  # of the draft rewards: thresholds by default
_MOST_BASE = 16  # n_base by default


@dataclass(frozen=True)
class _Draws:
    """Rewards and values of one position, draft and base."""

    reward: tuple[Floats, Floats]
    value: tuple[Floats, Floats]


def _levels(reward: Floats, value: Floats, ns: Ints) -> tuple[Floats, Floats, Floats]:
    """(levels (L,) ascending, P(best = level) (L, M), mean value of a level (L,)) of n of the draws."""
    levels, at = np.unique(reward, return_inverse=True)
    members = np.bincount(at)
    share = share_rows(np.cumsum(members).astype(np.float64), reward.size, ns)
    return levels, np.diff(share, axis=0, prepend=0.0), np.bincount(at, value) / members


def cascade_values(
    draft: tuple[Floats, Floats], base: tuple[Floats, Floats], ns: Ints, n_bases: Ints, thresholds: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """From (reward, value) of draft and base draws: (value (M, B, U) of every cascade, P(defer) (M, U), value of n
    drafts alone (M,), of n_base base draws alone (B,)). ns (M,) up to N, n_bases (B,) up to N_B, thresholds (U,)."""
    levels, share, mean = _levels(*draft, ns)
    _, base_share, base_mean = _levels(*base, n_bases)
    kept = (levels >= thresholds[:, None]).astype(np.float64)  # (U, L)
    accepted, defer = kept * mean @ share, (1.0 - kept) @ share  # (U, M)
    fallback = base_mean @ base_share
    value = accepted.T[:, None, :] + defer.T[:, None, :] * fallback[:, None]
    return value, defer.T, mean @ share, fallback


def plan_cascade(
    log: Log,
    goal: Goal | None = None,
    unit: str = "draws",
    ns: Sequence[int] | None = None,
    thresholds: Sequence[float] | None = None,
    sizes: Sizes | None = None,
    tokens: float | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> DrawPlan:
    """(n, n_base, u) for the goal's budget, n drafts or n_base base draws alone among the options; no answer is worse
    than one draft.

    unit: of costs, CASCADE_UNITS ("flops": two a token and parameter of `sizes`, the reward model reading all); ns:
    of drafts and of base draws. min_gain is over one base draw, within of the best of the goal's baseline_n.
    Raises InputError for a goal in nats, prompts without both sources, a value that the log lacks, costs unknown.
    """
    goal = goal or Goal(tolerance=TOLERANCE)
    refuse_goal(goal, "a log of two models without log-probabilities")
    about = log_notes(log)
    bounds = value_bounds(about, goal.value, stated_range)
    names, positions, ungraded = _positions(log, goal.value)
    if not positions:
        raise InputError(
            f"no prompt has rows of both {' and '.join(SOURCES)} with {goal.value}: a cascade draws from both"
        )
    draws = np.array([[part.size for part in p.reward] for p in positions])
    top, top_base = np.sort(draws, axis=0)[(len(positions) - 1) // 2].tolist()
    n_draft, n_base = _numbers(ns, top), _numbers(ns, min(top_base, _MOST_BASE) if ns is None else top_base)
    same = (draws[:, 0] >= n_draft[-1]) & (draws[:, 1] >= n_base[-1])
    if not same.any():
        raise InputError(f"no prompt has {n_draft[-1]} drafts and {n_base[-1]} base draws: give smaller n")
    compared = [p for p, yes in zip(positions, same.tolist(), strict=True) if yes]
    cuts = np.quantile(np.concatenate([p.reward[0] for p in positions]), _QUANTILES)
    cuts = np.unique(cuts if thresholds is None else np.asarray(thresholds, dtype=np.float64))
    table = [
        cascade_values((p.reward[0], p.value[0]), (p.reward[1], p.value[1]), np.array(n_draft), np.array(n_base), cuts)
        for p in compared
    ]
    unit_of = np.unique([name for name, yes in zip(names, same.tolist(), strict=True) if yes], return_inverse=True)[1]
    price = _prices(log, unit, tokens, sizes)
    options, values, costs = _options(table, n_draft, n_base, cuts, price, bool(log.facts.get("reward_is_grade")))
    values = _by_prompt(values, unit_of)
    baseline = next(s for s, o in enumerate(options) if o.method == "best_of_n_draft" and o.n == 1)
    alone = [
        s for s, o in enumerate(options) if o.n == 0 and (o.n_base or 0) <= (goal.baseline_n if goal.within else 1)
    ]
    reference = max(alone, key=lambda s: options[s].n_base or 0)
    choice, allowed = choose(options, values, costs, goal, bounds, about, baseline, reference, "one draft", seed)
    limits = [f"{ungraded} positions without {goal.value} of every draw, or of one source, are left out"] * bool(
        ungraded
    )
    if not same.all():
        limits.append(
            f"compared are {int(same.sum())} of {same.size} positions, with {n_draft[-1]} drafts and {n_base[-1]} base "
            "draws or more"
        )
    speaking = np.array([int(np.sum((draws[:, 0] >= o.n) & (draws[:, 1] >= (o.n_base or 0)))) for o in options])
    return DrawPlan(
        "cascade", options, values, costs, unit, speaking, values.mean(axis=1), allowed, choice, baseline, goal.value,
        bounds, goal, tuple(limits), _assumptions(log, thresholds is None, unit), about, seed,
    )  # fmt: skip


def _positions(log: Log, value: str) -> tuple[list[str], list[_Draws], int]:
    """(prompt, draws) of every position with both sources and all values; how many have not."""
    table = log.table
    keys = [(name, "ascending") for name in ("prompt_id", "step", "source", "candidate")]
    table = table.take(pc.sort_indices(table.select([name for name, _ in keys]), sort_keys=keys))
    names = np.asarray(table["prompt_id"].to_numpy(zero_copy_only=False), dtype=object)
    steps, base = np.asarray(table["step"].to_numpy()), np.asarray(pc.equal(table["source"], SOURCES[1]).to_numpy())
    reward = floats(table, "reward")
    worth = np.asarray(table[value].cast("float64").to_numpy(), dtype=np.float64)
    starts = np.flatnonzero(np.append(True, (names[1:] != names[:-1]) | (steps[1:] != steps[:-1])))
    found, prompts, missing = [], [], 0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(names)], strict=True):
        parts = [start + np.flatnonzero(base[start:end] == side) for side in (False, True)]
        if not all(part.size and np.isfinite(worth[part]).all() for part in parts):
            missing += 1
            continue
        found.append(_Draws((reward[parts[0]], reward[parts[1]]), (worth[parts[0]], worth[parts[1]])))
        prompts.append(names[start])
    return prompts, found, missing


def _by_prompt(values: Floats, unit: Ints) -> Floats:
    """(S, P) means over the positions of each prompt, from (S, positions)."""
    count = np.bincount(unit)
    return np.array([np.bincount(unit, row) / count for row in values])


def _numbers(ns: Sequence[int] | None, top: int) -> list[int]:
    if ns is None:
        return sorted({*(1 << k for k in range(int(top).bit_length())), int(top)})
    if not ns or any(n != int(n) or n < 1 for n in ns):
        raise InputError(f"n = {list(ns)!r}: give whole numbers, 1 or more")
    return sorted({1, *(int(n) for n in ns if n <= top)})


def _options(
    table: Sequence[tuple[Floats, Floats, Floats, Floats]],
    ns: Sequence[int],
    n_bases: Sequence[int],
    cuts: Floats,
    price: tuple[float, float],
    grade: bool,
) -> tuple[tuple[DrawOption, ...], Floats, Floats]:
    """(options, values (S, positions), costs (S,)): drafts alone, base draws alone, cascades that sometimes defer."""
    value, defer, alone, base = (np.stack([row[k] for row in table], axis=-1) for k in range(4))
    options, rows, costs = [], [], []
    for m, n in enumerate(ns):
        options.append(DrawOption("best_of_n_draft", n, needs_key=grade and n > 1))
        rows.append(alone[m])
        costs.append(n * price[0])
    for b, count in enumerate(n_bases):
        options.append(DrawOption("best_of_n_base", 0, n_base=count, needs_key=grade and count > 1))
        rows.append(base[b])
        costs.append(count * price[1])
    for m, n in enumerate(ns):
        for u, cut in enumerate(cuts.tolist()):
            chance = float(defer[m, u].mean())
            if not 0.0 < chance < 1.0:
                continue  # drafts alone, or drafts for nothing
            for b, count in enumerate(n_bases):
                options.append(DrawOption("cascade", n, None, cut, count, needs_key=grade))
                rows.append(value[m, b, u])
                costs.append(n * price[0] + chance * count * price[1])
    return tuple(options), np.array(rows), np.array(costs)


def _prices(log: Log, unit: str, tokens: float | None, sizes: Sizes | None) -> tuple[float, float]:
    """Cost of a draft and of a base draw."""
    if unit not in CASCADE_UNITS:
        raise InputError(f"cost {unit!r} on a log without log-probabilities: give one of {', '.join(CASCADE_UNITS)}")
    if unit == "draws":
        return 1.0, 1.0
    table, means = log.table, []
    for source in SOURCES:
        rows = table.filter(pc.equal(table["source"], source))
        if "n_tokens" in table.column_names and rows.num_rows and rows["n_tokens"].null_count == 0:
            means.append(float(rows["n_tokens"].to_numpy().mean()))
        elif tokens is not None:
            means.append(tokens)
        else:
            raise InputError(f"cost in {unit}: no n_tokens of every draw of the {source}, give the tokens of a draw")
    if unit == "tokens":
        return means[0], means[1]
    if sizes is None:
        raise InputError("cost in flops: give the models' sizes (--models)")
    return 2.0 * means[0] * (sizes.draft + sizes.reward), 2.0 * means[1] * (sizes.base + sizes.reward)


def _assumptions(log: Log, read_off: bool, unit: str) -> tuple[str, ...]:
    lines = []
    if log.facts.get("iid") is None:
        lines.append("nobody said how the draws were made: supposed are independent draws of one law a prompt")
    lines.append("prompts are supposed to be drawn like those to come; values are exact means over subsets of draws")
    lines.append("where the reward of the best draft is below the threshold, the best base draw is returned instead")
    if read_off:
        lines.append("thresholds are quantiles of this log's draft rewards (--threshold states others)")
    if unit == "draws":
        lines.append("a draft costs as much as a base draw: --cost tokens or flops tells them apart")
    return tuple(lines)
