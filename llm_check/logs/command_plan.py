"""`gsi plan POOL`: rule, gate, n, β and threshold for a goal, their cost and guarantee, or why the pool cannot tell.

Of a log of one model: selector, β and n, or a reward to stop at; of two models without log-probabilities: n, n_base
and threshold.

The page (`--page`) is drawn by `figures`, called by name, so that no folder imports another against the arrows.
"""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

from gsi_theory.errors import InputError
from gsi_theory.runs.costs import DEVICES, OVERHEADS, SHAPES
from gsi_theory.runs.options import (
    OUTPUT,
    RUN,
    ClusterOption,
    MissingOption,
    PoolArgument,
    WorkersOption,
    listed,
    workers_of,
)
from gsi_theory.runs.output import require_writable
from gsi_theory.runs.progress import progress_bar
from gsi_theory.types import Json, Record
from llm_check.logs.plan_words import print_plan
from llm_check.logs.planner.scheme_grid import BETAS, DEFAULT_MODELS, NS, RULES, TOLERANCE

if TYPE_CHECKING:
    from llm_check.logs.log import Log
    from llm_check.logs.planner.recommendation import Plan
    from llm_check.logs.planner.setup import Setup
    from llm_check.logs.pools.pool import Pool

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_OPTIONS, _COST = "Options to compare", "Cost of a step"


def _called(context: typer.Context, pool: str) -> str:
    """The command as it was called, without the folders of this machine."""
    options = [
        f"--{p.name.replace('_', '-')} {shlex.quote(str(context.params[p.name]))}"
        for p in context.command.params
        if p.name not in (None, "pool", "page", "as_json") and context.params.get(p.name) not in (p.default, ())
    ]
    return " ".join(["gsi plan", shlex.quote(Path(pool).name), *options, "--page FOLDER"])


def _stated(context: typer.Context) -> set[str]:
    """Names of the options that the user gave."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def _refuse_stated(log: str, stated: set[str]) -> None:
    """InputError for options that only a pool of two models with log-probabilities has a use for."""
    for name in ("rule", "decides", "also", "device", "timings", "engine", "costs", "page"):
        if name in stated:
            cure = "gsi curve --page draws it" if name == "page" else "leave it out"
            raise InputError(f"--{name} of {log}, a log without log-probabilities: {cure}")


def _option(metavar: str, text: str, panel: str | None = None, names: Iterable[str] = ()) -> OptionInfo:
    """An option of --help's `panel`; names: what a shell completes it with."""
    known = list(names)
    complete = (lambda: known) if known else None
    option: Json = typer.Option(metavar=metavar, help=text, rich_help_panel=panel, autocompletion=complete)
    return option


_RANGE = "Least and largest reward there is: the guarantee is up to HIGH, without it up to the largest drawn."


@app.command()
def command(
    run: typer.Context,
    pool: PoolArgument,
    min_gain: Annotated[
        float | None, _option("NUMBER", "The cheapest that is better than one base draw by this much.")
    ] = None,
    within: Annotated[
        float | None, _option("NUMBER", "The cheapest within this much of soft best-of-n on the base.")
    ] = None,
    baseline_n: Annotated[int, typer.Option(metavar="N", min=1, help="n of that soft best-of-n.")] = 16,
    max_cost: Annotated[float, _option("NUMBER", "Only options of this cost a step or less.")] = float("inf"),
    max_kl: Annotated[float, _option("NUMBER", "Only options with KL(π‖law) bounded by this, nats.")] = float("inf"),
    value: Annotated[
        str,
        _option(
            "NAME",
            "What to maximize: reward, gold_reward or correct.",
            names=("reward", "gold_reward", "correct"),
        ),
    ] = "reward",
    tolerance: Annotated[
        float, _option("NUMBER", "Share of the value's range by which another may be better.")
    ] = TOLERANCE,
    reward_range: Annotated[
        tuple[float, float] | None, typer.Option("--reward-range", metavar="LOW HIGH", help=_RANGE)
    ] = None,
    rule: Annotated[str, _option("RULES", f"{', '.join(RULES)}.", _OPTIONS)] = "softmax,race",
    beta: Annotated[str, _option("NUMBERS", "β values.", _OPTIONS)] = ",".join(f"{b:g}" for b in BETAS),
    n: Annotated[str, _option("NUMBERS", "n values.", _OPTIONS)] = ",".join(map(str, NS)),
    threshold: Annotated[
        str | None,
        _option(
            "NUMBERS", "u values in reward units (default: from the pool); of one model, rewards to stop at.", _OPTIONS
        ),
    ] = None,
    decides: Annotated[
        str | None,
        _option(
            "N,B[,U[,METHOD]]",
            "Ask who decides of this: n, β, threshold, method (gsi, gsi_race, gsi_score_gate, …).",
            _OPTIONS,
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="POOL",
            help="A pool of the same problems at another step length, to compare coverage; repeatable.",
            rich_help_panel=_OPTIONS,
        ),
    ] = None,
    cost: Annotated[
        str,
        _option(
            "UNIT",
            "flops, tokens or seconds a step; of one model draws (default) or tokens.",
            _COST,
            ("flops", "tokens", "seconds", "draws"),
        ),
    ] = "flops",
    models: Annotated[
        str | None,
        _option(
            "D,B,R",
            f"Draft, base, reward model: known names or parameters (default: the pool's own, else {DEFAULT_MODELS}).",
            _COST,
            SHAPES,
        ),
    ] = None,
    device: Annotated[
        str | None, _option("GPU", f"For seconds, by its roofline: {', '.join(DEVICES)}.", _COST, DEVICES)
    ] = None,
    timings: Annotated[
        str | None, _option("N,S,S", "Measured seconds a token of draft and base decoding a batch of n.", _COST)
    ] = None,
    engine: Annotated[
        str | None,
        _option("NAME", f"For seconds, what it takes beside the passes: {', '.join(OVERHEADS)}.", _COST, OVERHEADS),
    ] = None,
    costs: Annotated[
        Path | None, _option("FILE", "Measured seconds of your models: what gsi check lm_seconds wrote.", _COST)
    ] = None,
    context: Annotated[float, _option("NUMBER", "Tokens before the step, for the device.", _COST)] = 500.0,
    step_tokens: Annotated[float, _option("NUMBER", "Tokens of a step where the pool logs none.", _COST)] = 100.0,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Seed of the bootstrap that compares options.", rich_help_panel=RUN),
    ] = 0,
    source: Annotated[
        str | None, _option("NAME", "Plan for one model of a pool alone, draft or base, as a log of one.", _OPTIONS)
    ] = None,
    missing: MissingOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a bad row, do not leave its prompt out.", rich_help_panel=RUN)
    ] = False,
    page: Annotated[
        Path | None, _option("FOLDER", "Write a page to explore, index.html, to this folder.", OUTPUT)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Compare rules, gates, n, n_base, β and u on a pool, and recommend one for a goal if the pool can tell.

    Of a log of one model: selector, β and n for --max-cost draws (or --cost tokens); of two models without
    log-probabilities: n, n_base and the reward below which to ask the base. Never what may be worse than one draw.

    Recommended is the cheapest option than which no other is better by more than --tolerance, at 95 % for all options
    together; with --min-gain or --within the cheapest that is proved to reach it. Of costs within 2 % the one of more
    value, then of less KL. Where nothing can be said of any option: why, and what would help. Exit status 0 also then.
    """
    # slow to import
    from llm_check.logs.draw_plan_words import print_draw_plan
    from llm_check.logs.log import Log, one_source, read_either
    from llm_check.logs.planner.draw_plan import TOLERANCE as TOLERANCE_OF_DRAWS
    from llm_check.logs.planner.goal import Goal
    from llm_check.logs.planner.page_artifact import write_pool_page
    from llm_check.logs.planner.plan_log import plan_draws
    from llm_check.logs.planner.recommendation import PLAN_ROWS, plan
    from llm_check.logs.planner.scheme_grid import stated_option
    from llm_check.logs.planner.setup import stated_setup
    from llm_check.logs.pools.missing_values import lacks_rewards, under_each
    from llm_check.logs.pools.pool import read_pool
    from llm_check.logs.pools.pool_files import left_out_record

    # before anything is read
    unit = "tokens" if cost == "draws" else cost  # of draws: a pool's plan refuses it below
    stated_setup(unit, device, models, timings, context, step_tokens, engine=engine, costs=costs)
    asked = None if decides is None else stated_option(decides)
    if page is not None:
        for name in ("pool_page.json", "index.html"):
            require_writable(page / name)
    thresholds = None if threshold is None else listed(threshold, float, "threshold")
    grid = listed(beta, float, "beta"), listed(n, int, "n"), listed(rule, str, "rule"), thresholds
    goal = Goal(max_cost, min_gain, within, baseline_n, max_kl, value, tolerance)
    stated = _stated(run)

    def of_draws(data: Log, choice: str | None) -> Record:
        """The plan of a log without log-probabilities."""
        best = "reward" if "reward" in data.values else "correct"
        kept = tolerance if "tolerance" in stated else TOLERANCE_OF_DRAWS
        aim = replace(goal, value=value if "value" in stated else best, tolerance=kept)
        sizes = stated_setup("flops", None, models, None, context, step_tokens, data.metadata)
        options = (grid[0] if "beta" in stated else None, grid[1] if "n" in stated else None, thresholds, reward_range)
        tokens, unit_of = step_tokens if "step_tokens" in stated else None, cost if "cost" in stated else None
        log = pool if data.whole is not None and data.models == 1 else data  # of a long one `data` is a part
        with progress_bar("plan") as report:
            return plan_draws(
                log,
                aim,
                unit_of,
                sizes,
                *options,
                seed,
                tokens,
                strict,
                progress=report,
                workers=workers_of(workers, cluster),
                missing=choice,
                source=source if log is pool else None,
            ).record()

    def of_pool(data: Pool) -> tuple[Plan, Setup]:
        setup = stated_setup(cost, device, models, timings, context, step_tokens, data.metadata, engine, costs)
        others = [(other.name, read_pool(other, strict, PLAN_ROWS)) for other in also or ()]
        name = Path(pool).name
        with progress_bar("plan") as report:
            made = plan(data, goal, setup, *grid, report, reward_range, seed, also=others, asked=asked, name=name)
        return made, setup

    def taken(choice: str | None) -> Pool | Log:
        data = read_either(pool, strict, PLAN_ROWS, choice)
        if source is None:
            return data
        if isinstance(data, Log):
            raise InputError(f"--source {source} of {pool}, which is no pool of two models: leave it out")
        return one_source(data, source)

    def recommended(choice: str) -> Record | None:
        """What is recommended under a choice of what to do about missing rewards."""
        data = taken(choice)
        record = of_draws(data, choice) if isinstance(data, Log) else of_pool(data)[0].record()
        return record["recommendation"]

    data = taken(missing)
    absent = missing is None and lacks_rewards(left_out_record(data.left_out))
    under = {"missing": under_each(recommended)} if absent else {}
    if isinstance(data, Log):
        _refuse_stated(pool, stated)
        found = of_draws(data, missing) | under
        typer.echo(json.dumps(found, allow_nan=False, default=str)) if as_json else print_draw_plan(pool, found)
        return
    answer, setup = of_pool(data)
    record = answer.record() | under
    if page is not None:
        line, made = _called(run, pool), page / "pool_page.json"
        with progress_bar("page") as report:
            write_pool_page(made, data, Path(pool).name, answer, record, setup, *grid, line, progress=report)
        drawn = importlib.import_module("figures.pool_page").build_pool_page(made, page / "index.html")
        typer.echo(f"wrote {drawn}", err=as_json)
    if as_json:
        typer.echo(json.dumps(record, allow_nan=False, default=str))
        return
    print_plan(pool, record)
