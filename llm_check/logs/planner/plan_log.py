"""`llm_check.plan`: a plan from any log, by what the file holds: two models with log-probabilities (`recommendation`),
two without (`cascade`), one (`one_model`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gsi_theory.errors import InputError
from gsi_theory.runs.workers import Pool as Workers
from gsi_theory.types import Json
from llm_check.logs.log import Log, read_either
from llm_check.logs.planner.cascade import CASCADE_UNITS, plan_cascade
from llm_check.logs.planner.draw_plan import TOLERANCE, DrawPlan
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.one_model import UNITS, plan_one_model
from llm_check.logs.planner.recommendation import PLAN_ROWS, Plan, Progress
from llm_check.logs.planner.recommendation import plan as plan_pool
from llm_check.logs.planner.scheme_grid import Option
from llm_check.logs.planner.setup import Setup
from llm_check.logs.pools.log_files import LogSource
from llm_check.logs.pools.pool import Pool

__all__ = ["plan", "plan_draws"]


def plan_draws(
    log: Log | LogSource,
    goal: Goal | None = None,
    unit: str | None = None,
    setup: Setup | None = None,
    betas: Sequence[float] | None = None,
    ns: Sequence[int] | None = None,
    thresholds: Sequence[float] | None = None,
    stated_range: tuple[float, float] | None = None,
    seed: int = 0,
    step_tokens: float | None = None,
    strict: bool = False,
    progress: Progress | None = None,
    workers: Workers | None = None,
    missing: str | None = None,
    source: str | None = None,
) -> DrawPlan:
    """The plan of a log without log-probabilities, of one model or of two, or of files of one model; unit: of costs,
    draws by default. Where the log has no reward and no value was stated (goal None), correct is maximized.

    Raises InputError for a unit that such a log has not, and as `plan_one_model`, `plan_cascade`.
    """
    unit = "draws" if unit is None else unit
    if not isinstance(log, Log) or not log.cascade:
        if unit not in UNITS:
            raise InputError(f"cost {unit!r} on a log of one model: give one of {', '.join(UNITS)}")
        return plan_one_model(
            log, goal, unit, betas, ns, step_tokens, stated_range, seed, strict, progress, workers, missing, source,
            thresholds,
        )  # fmt: skip
    if unit not in CASCADE_UNITS:
        raise InputError(f"cost {unit!r} on a log without log-probabilities: give one of {', '.join(CASCADE_UNITS)}")
    sizes = None if setup is None else setup.sizes
    return plan_cascade(
        log, goal or _default_goal(log.values), unit, ns, thresholds, sizes, step_tokens, stated_range, seed
    )


def _default_goal(values: Sequence[str]) -> Goal:
    return Goal(tolerance=TOLERANCE, value="reward" if "reward" in values else "correct")


def plan(
    pool: Pool | Log | LogSource,
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
    workers: Workers | None = None,
    missing: str | None = None,
) -> Plan | DrawPlan:
    """Compare what can be done with a log, or its files, and recommend one for `goal` if the log can tell.

    A pool of two models with log-probabilities: rules, gates, n, n_base, β, u (`recommendation.plan`, which says what
    the arguments mean). A log of one model: selector, β, n, or a reward to stop at (thresholds). Of two without
    log-probabilities: n, n_base, threshold of the reward. Of the latter two `unit` is that of costs: draws, tokens (or
    flops, by `setup`'s models, for two); no answer is worse than one draw. workers: who reads a long log of one model;
    missing: what is done about rewards that are null, of MISSING. `record()` is what `gsi plan --json` answers.
    Raises InputError for arguments that the kind of log has no use for, and as the functions of each kind.
    """
    content = pool if isinstance(pool, Pool | Log) else read_either(pool, strict, PLAN_ROWS, missing)
    if isinstance(content, Log) and content.models == 2 and not content.cascade:
        content = replace(content.pool(), left_out=content.left_out)
    if isinstance(content, Log):
        for what, stated in (("rules", rules), ("also", also or None), ("asked", asked)):
            if stated is not None:
                raise InputError(f"{what} on a log without log-probabilities: leave it out")
        tokens = None if setup is None else setup.step_tokens
        long = content.whole is not None and content.models == 1  # of which `content` may be a part
        log = pool if long and not isinstance(pool, Pool) else content
        return plan_draws(
            log,
            goal,
            unit,
            setup,
            betas,
            ns,
            thresholds,
            stated_range,
            seed,
            tokens,
            strict,
            progress,
            workers,
            missing,
        )
    chosen: dict[str, Json] = {"betas": betas, "ns": ns, "rules": rules}
    grid = {key: value for key, value in chosen.items() if value is not None}
    return plan_pool(
        content, goal, setup, thresholds=thresholds, progress=progress, stated_range=stated_range, seed=seed,
        strict=strict, also=also, asked=asked, name=name, **grid,
    )  # fmt: skip
