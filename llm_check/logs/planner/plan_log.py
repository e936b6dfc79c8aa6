"""`llm_check.plan`: a plan from any log, by what the file holds: two models with log-probabilities (`recommendation`),
two without (`cascade`), one (`one_model`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.logs.log import Log, log_of_file
from llm_check.logs.planner.cascade import CASCADE_UNITS, plan_cascade
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawPlan
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import UNITS, plan_one_model
from llm_check.logs.planner.recommendation import Plan, Progress
from llm_check.logs.planner.recommendation import plan as plan_pool
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.setup import Setup
from llm_check.logs.pools.pool import Pool, pool_of_file
from llm_check.logs.pools.pool_files import is_cascade, is_one_model, read_table
from llm_check.logs.pools.schema import ONE

__all__ = ["plan", "plan_draws", "read_any"]


def read_any(path: str | os.PathLike[str], strict: bool = False) -> Pool | Log:
    """The pool of a file of two models with log-probabilities, else its log; errors as `llm_check.read_pool`."""
    path = Path(path)
    file = read_table(path, strict, either=True, cascade=True)
    names = file.table.column_names
    sources = file.table["source"].unique().to_pylist() if "source" in names else None
    only = sources[0] if sources is not None and len(sources) == 1 else sources
    log = is_one_model(names, only) or is_cascade(names, sources) or ONE in (sources or ())
    return log_of_file(path, file, strict) if log else pool_of_file(path, file, strict)


def plan_draws(
    log: Log,
    goal: Goal | None = None,
    unit: str | None = None,
    setup: Setup | None = None,
    betas: Sequence[float] | None = None,
    ns: Sequence[int] | None = None,
    thresholds: Sequence[float] | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
    step_tokens: float | None = None,
) -> DrawPlan:
    """The plan of a log without log-probabilities, of one model or of two; unit: of costs, draws by default. Where the
    log has no reward and no value was stated (goal None), correct is maximized.

    Raises InputError for a unit that such a log has not, and as `plan_one_model`, `plan_cascade`.
    """
    goal = goal or _default_goal(log)
    unit = "draws" if unit is None else unit
    if not log.cascade:
        if thresholds is not None:
            raise InputError("thresholds on a log of one model: there is no base to defer to, leave them out")
        if unit not in UNITS:
            raise InputError(f"cost {unit!r} on a log of one model: give one of {', '.join(UNITS)}")
        return plan_one_model(log, goal, unit, betas, ns, step_tokens, stated_range, seed)
    if unit not in CASCADE_UNITS:
        raise InputError(f"cost {unit!r} on a log without log-probabilities: give one of {', '.join(CASCADE_UNITS)}")
    sizes = None if setup is None else setup.sizes
    return plan_cascade(log, goal, unit, ns, thresholds, sizes, step_tokens, stated_range, seed)


def _default_goal(log: Log) -> Goal:
    return Goal(tolerance=TOLERANCE, value="reward" if "reward" in log.values else "correct")


def plan(
    pool: Pool | Log | str | os.PathLike[str],
    goal: Goal | None = None,
    setup: Setup | None = None,
    betas: Sequence[float] | None = None,
    ns: Sequence[int] | None = None,
    rules: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    progress: Progress | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
    strict: bool = False,
    also: Sequence[tuple[str, Pool]] = (),
    asked: Option | None = None,
    name: str = "this pool",
    unit: str | None = None,
) -> Plan | DrawPlan:
    """Compare what can be done with a log, or its file, and recommend one for `goal` if the log can tell.

    A pool of two models with log-probabilities: rules, gates, n, n_base, β, u (`recommendation.plan`, which says what
    the arguments mean). A log of one model: selector, β, n. Of two without log-probabilities: n, n_base, threshold of
    the reward. Of the latter two `unit` is that of costs: draws, tokens (or flops, by `setup`'s models, for two); no
    answer is worse than one draw. `record()` is what `gsi plan --json` answers.
    Raises InputError for arguments that the kind of log has no use for, and as the functions of each kind.
    """
    content = read_any(pool, strict) if isinstance(pool, str | os.PathLike) else pool
    if isinstance(content, Log) and content.models == 2 and not content.cascade:
        content = replace(content.pool(), left_out=content.left_out)
    if isinstance(content, Log):
        for what, stated in (("rules", rules), ("also", also or None), ("asked", asked)):
            if stated is not None:
                raise InputError(f"{what} on a log without log-probabilities: leave it out")
        tokens = None if setup is None else setup.step_tokens
        return plan_draws(content, goal, unit, setup, betas, ns, thresholds, stated_range, seed, tokens)
    chosen: dict[str, Json] = {"betas": betas, "ns": ns, "rules": rules}
    grid = {key: value for key, value in chosen.items() if value is not None}
    return plan_pool(
        content, goal, setup, thresholds=thresholds, progress=progress, stated_range=stated_range, seed=seed,
        strict=strict, also=also, asked=asked, name=name, **grid,
    )  # fmt: skip
