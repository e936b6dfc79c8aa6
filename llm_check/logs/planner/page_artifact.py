"""What the page of a pool shows, as artifact `pool_page`: the plan, a finer grid to explore, and coverage by step.

The explorer's grid has more thresholds than the plan's and no other fallback counts than n. It is evaluated at every
position, or at EXPLORED of them, evenly spread, where the pool has more. Coverage is that of at most COVERED positions
a step: quartiles between positions, and what holds for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Record
from llm_check.logs.planner.best_option import mean_error
from llm_check.logs.planner.option_table import PlanTable, plan_table
from llm_check.logs.planner.recommendation import Plan, Setup, option_costs
from llm_check.logs.planner.scheme_grid import BETAS, NS, RULES, Option, make_grid
from llm_check.logs.planner.tail import tail_shown, tail_speaks
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock
from llm_check.logs.pools.tails import PositionCoverage, position_coverage

__all__ = ["NAME", "write_pool_page"]

Progress = Callable[[int, int], None]
NAME = "pool_page"
EXPLORED, COVERED = 150, 40
SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
SCORES = (1.1, 1.5, 2.5, 4.0, 7.0, 12.0)
QUARTILES = (0.25, 0.5, 0.75)


def _spread(parts: Sequence[PositionBlock], most: int) -> list[PositionBlock]:
    """At most about `most` positions of the blocks, evenly spread."""
    stride = max(1, -(-sum(b.positions.size for b in parts) // most))
    kept, begun = [], 0
    for block in parts:
        rows = np.arange((-begun) % stride, block.positions.size, stride)
        begun += block.positions.size
        if rows.size:
            kept.append(block.at(rows))
    return kept


def _columns(table: PlanTable, setup: Setup) -> Record:
    """Options, their values with standard errors by value column, acceptance, cost and distance."""
    cost, seconds = option_costs(table, setup)
    costs = seconds if setup.unit == "seconds" and seconds is not None else getattr(cost, setup.unit)
    fields = ("method", "rule", "gate", "n", "n_base", "beta", "threshold")
    columns: Record = {name: [getattr(option, name) for option in table.options] for name in fields}
    for name, values in zip(table.names, table.values, strict=True):
        mean, error = mean_error(values)
        columns |= {name: mean, f"{name}_se": error}
    bound = np.maximum(table.distance.kl_bound.mean(axis=1), 0.0)  # inf where there is none
    return columns | {"p_accept": 1.0 - table.reject, "cost": costs, "kl_bound": bound}


def _quartiles(values: Sequence[float], name: str) -> Record:
    """First quartile, median and third quartile; infinite values sort last (or first)."""
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    at = [ranked[min(ranked.size - 1, int(q * ranked.size))] for q in QUARTILES]
    return {f"{name}_{label}": float(v) for label, v in zip(("q1", "median", "q3"), at, strict=True)}


def _coverage_row(step: int, beta: float, found: Sequence[PositionCoverage]) -> Record:
    """One row of the table of coverage: the positions of a step at one β."""
    pair = [c.base_chi2 for c in found if c.base_chi2 is not None]
    return (
        {"step": step, "beta": beta, "positions": len(found), "drafts": int(np.median([c.ratio.size for c in found]))}
        | _quartiles([p[0] for p in pair] or [c.ratio.chi2 for c in found], "chi2_pair")
        | {"chi2_pair_low": float(np.median([p[1] for p in pair] or [c.ratio.chi2_low for c in found]))}
        | _quartiles([c.tilted.chi2 for c in found], "chi2_tilt")
        | _quartiles([c.tilted.ess / c.tilted.size for c in found], "ess_share")
        | _quartiles([c.tilted_khat for c in found], "khat")
        | {"log_largest": float(np.median([c.ratio.log_largest for c in found]))}
        | {"renyi2_pair": float(np.median([c.ratio.renyi2 for c in found]))}
        | {"tail_seen": float(np.mean([c.tail.speaks for c in found]))}
    )


def _coverage(pool: Pool, betas: Sequence[float]) -> dict[str, list[object]]:
    """Coverage by step and β, from at most COVERED positions a step."""
    by_step: dict[int, list[str]] = {}
    for prompt_id, step in pool.positions("draft"):
        by_step.setdefault(step, []).append(prompt_id)
    rows = []
    for step, prompts in sorted(by_step.items()):
        chosen = prompts[:: max(1, -(-len(prompts) // COVERED))]
        for beta in betas:
            rows.append(_coverage_row(step, beta, [position_coverage(pool, p, step, beta) for p in chosen]))
    return {name: [row[name] for row in rows] for name in rows[0]}


def _explored(
    arrays: PositionArrays,
    plan: Plan,
    setup: Setup,
    asked: tuple[Sequence[float], Sequence[int], Sequence[str], Sequence[float] | None],
    progress: Progress | None,
) -> tuple[Record, int]:
    """(columns of the explorer's grid, positions used); asked: β, n, rules and thresholds."""
    parts = _spread(arrays.blocks, EXPLORED)
    grid = replace(make_grid(arrays, parts, *asked, SHARES, SCORES), n_bases=())
    shown = [o for o in grid.options() if o.weighs_ratio or o.method == "draft"]
    shown += [
        Option("softmax", "none", n, n, beta, None, f"soft_bon_{source}")
        for source in ("draft", "base")
        for beta in grid.betas
        for n in grid.ns
    ]
    table = plan_table(arrays, parts, grid, plan.table.names, setup.step_tokens, progress, shown)
    return _columns(table, setup), table.positions


def write_pool_page(
    out: Path,
    pool: Pool,
    name: str,
    plan: Plan,
    record: Record,
    setup: Setup | None = None,
    betas: Sequence[float] = BETAS,
    ns: Sequence[int] = NS,
    rules: Sequence[str] = RULES,
    thresholds: Sequence[float] | None = None,
    command: str = "",
    seed: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the artifact to `out`. name: the pool's, for people; plan of the same pool, setup and grid, and its record
    as `gsi plan --json` shows it; command and seed for provenance; progress(done, total) counts positions of the
    explorer's grid."""
    setup = setup or Setup()
    explorer, positions = _explored(pool.arrays, plan, setup, (betas, ns, rules, thresholds), progress)
    options = _columns(plan.table, setup) | {"on_front": np.isin(np.arange(len(plan.table.options)), plan.front)}
    findings = record["findings"]
    tails = plan.table.tails.values()
    told = (
        *("recommendation", "reason", "cost_unit", "limits", "improve", "assumptions", "over_optimization", "valid"),
        *("reward_range", "decides"),
    )
    summary = {key: record[key] for key in told} | {
        "left_out": {key: record["left_out"][key] for key in ("rows", "prompts")},
        "pool": name,
        "rows": pool.table.num_rows,
        "positions": plan.table.positions,
        "prompts": len({prompt_id for prompt_id, _ in pool.arrays.names}),
        "drafts": plan.table.drafts,
        "explored": positions,
        "chosen": plan.recommendation,
        "value_names": list(plan.table.names),
        "units": plan.table.units,
        "estimator": plan.table.estimator,
        "ratio_mean": plan.diagnosis.ratio_mean,
        "ratio_mean_se": plan.diagnosis.ratio_mean_se,
        "untested": list(plan.diagnosis.untested),
    }
    tables = {
        "options": options,
        "explorer": explorer,
        "coverage": _coverage(pool, betas),
        "findings": {key: [f[key] for f in findings] for key in ("id", "severity", "evidence", "advice")},
        "tails": {key: [getattr(t, key) for t in tails] for key in ("beta", "khat", "unseen", "ess")}
        | {"seen": [tail_shown(t) for t in tails], "speaks": [bool(tail_speaks(t)) for t in tails]},
    }
    return write_artifact(out, NAME, provenance(command, seed), summary, tables)
