"""`gsi plan POOL`: rule, gate, n, β and threshold for a goal, their cost and guarantee, or why the pool cannot tell.

The page (`--page`) is drawn by `figures`, called by name, so that no folder imports another against the arrows.
"""

from __future__ import annotations

import importlib
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.artifact import is_current, provenance
from gsi_theory.runs.options import OUTPUT, RUN, listed
from gsi_theory.runs.output import require_writable
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, wrapped
from llm_check.logs.command_doctor import left_out_lines, left_out_record, plain
from llm_check.logs.planner.roofline import DEVICES, SHAPES, Calibration, Trio, calibrate
from llm_check.logs.planner.scheme_grid import BETAS, NS, RULES
from llm_check.logs.planner.step_cost import Sizes
from llm_check.logs.words import counted, number

if TYPE_CHECKING:
    from llm_check.logs.planner.recommendation import Plan
    from llm_check.logs.planner.setup import Setup

__all__ = ["app", "embedded_page", "plan_record"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_OPTIONS, _COST, _VALUES = "Options to compare", "Cost of a step", ("reward", "gold_reward", "correct")
DEFAULT_MODELS = "qwen2.5-math-1.5b,qwen2.5-math-7b,qwen2.5-math-prm-7b"


def _option(plan: Plan, s: int) -> dict[str, Any]:
    """One option as `gsi plan --json` shows it."""
    option, names = plan.table.options[s], plan.table.names
    cost = plan.cost
    record: dict[str, Any] = {
        "method": option.method, "rule": option.rule, "gate": option.gate, "n": option.n, "n_base": option.n_base,
        "beta": option.beta, "threshold": option.threshold, "value": plan.values[s], "value_se": plan.errors[s],
        "cost": plan.costs[s], "p_accept": 1.0 - plan.table.reject[s], "kl_bound": plan.kl_bound[s],
        "kl_bound_se": plan.kl_bound_se[s], "kl": plan.kl[s], "tv": plan.tv[s],
        "on_front": bool((plan.front == s).any()),
        "tokens": {"drafted": cost.drafted[s], "decoded": cost.decoded[s], "scored": cost.scored[s],
                   "judged": cost.judged[s]},
        "flops": {"draft": cost.flops_draft[s], "base": cost.flops_base[s], "reward": cost.flops_reward[s]},
        "seconds": None if plan.seconds is None else plan.seconds[s],
    }  # fmt: skip
    return record | {f"mean_{name}": plan.table.values[k, s].mean() for k, name in enumerate(names)}


def plan_record(plan: Plan, left_out: dict[str, Any]) -> dict[str, Any]:
    """The object of `gsi plan --json`; infinite numbers as the string inf."""
    chosen = None
    if plan.recommendation is not None and (worth := plan.worth) is not None:
        chosen = _option(plan, plan.recommendation) | {
            "value": worth.value, "value_se": worth.stderr, "value_low": worth.low, "value_high": worth.high,
            "value_spread_trusted": worth.trusted, "value_on_all": plan.values[plan.recommendation],
            "shortfall_95": plan.shortfall, "guarantee": plan.guarantee,
        }  # fmt: skip
    turns = [
        {"along": t.along, "rule": t.best.rule, "method": t.best.method, "best_n": t.best.n, "best_beta": t.best.beta,
         "after_n": t.after.n, "after_beta": t.after.beta, "gold_fall": t.fall, "gold_fall_se": t.fall_se,
         "reward_rise": t.rise}
        for t in plan.turns
    ]  # fmt: skip
    return plain({
        "recommendation": chosen, "reason": plan.reason, "cost_unit": plan.unit, "limits": list(plan.limits),
        "improve": list(plan.improve), "assumptions": list(plan.assumptions), "over_optimization": turns,
        "front": [int(s) for s in plan.front],
        "chosen": plan.recommendation, "baseline": None if plan.baseline is None else int(plan.baseline),
        "reward_range": vars(plan.rewards), "seed": plan.seed, "valid": plan.diagnosis.valid,
        "findings": [vars(finding) for finding in plan.diagnosis.findings], "left_out": left_out,
        "options": [_option(plan, s) for s in range(len(plan.table.options))],
    })  # fmt: skip


_LONGEST_STEP = 1e12  # tokens; sums of costs over positions and options stay floats


def _setup(unit: str, device: str | None, models: str, timings: str | None, context: float, tokens: float) -> Setup:
    """What a step costs, from the options of the command line."""
    from llm_check.logs.planner.setup import COSTS, Setup  # slow to import

    if not 0 < tokens <= _LONGEST_STEP:
        raise InputError(f"--step-tokens {tokens:g}: give the tokens of a step, above 0, at most {_LONGEST_STEP:g}")
    if not 0 <= context < float("inf"):
        raise InputError(f"--context {context:g}: give the tokens before the step, 0 or more")
    if unit not in COSTS:
        raise InputError(f"--cost {unit!r}{nearest(unit, COSTS)}: give one of {', '.join(COSTS)}")
    names = models.split(",")
    if len(names) != 3 or any(name not in SHAPES and not _is_number(name) for name in names):
        raise InputError(
            f"--models {models!r}: give draft,base,reward as names ({', '.join(SHAPES)}) or parameters (1.5e9)"
        )
    sizes = Sizes(*(SHAPES[n].parameters if n in SHAPES else float(n) for n in names))
    if device is None and timings is not None:
        raise InputError(f"--timings {timings!r} without --device: name the device they were measured on")
    if device is None:
        return Setup(sizes, unit, step_tokens=tokens)
    if device not in DEVICES:
        raise InputError(f"--device {device!r}{nearest(device, DEVICES)}: give one of {', '.join(DEVICES)}")
    if any(name not in SHAPES for name in names):
        raise InputError(f"--device with --models {models!r}: seconds need known shapes, give {', '.join(SHAPES)}")
    trio, calibration = Trio(*(SHAPES[n] for n in names)), Calibration()
    if timings is not None:
        given = _timings(timings)
        calibration = calibrate(trio, DEVICES[device], given[1], given[2], given[0], context)
    return Setup(sizes, unit, DEVICES[device], trio, calibration, context, tokens)


def _timings(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 3:
        raise InputError(f"--timings {text!r}: give n, and seconds a token of draft and base for a batch of n")
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _row(record: dict[str, Any], mark: str) -> tuple[str, ...]:
    """A line of the front, narrow enough for 80 columns."""
    gate = "none" if record["threshold"] is None else f"{record['gate'].split('_')[0]} {record['threshold']:.3g}"
    bound, error = record["kl_bound"], record["value_se"]
    return (
        mark, record["rule"], gate if record["method"] == "gsi" else "base only", str(record["n"]),
        "–" if record["threshold"] is None else str(record["n_base"]), f"{record['beta']:g}", number(record["value"]),
        "<.0001" if 0 < error < 5e-5 <= abs(record["value"]) else number(error), f"{record['cost']:.3g}",
        f"{record['p_accept']:.3f}" if record["threshold"] is not None else "–",
        bound if isinstance(bound, str) else f"{bound:.3g}",
    )  # fmt: skip


def _front(record: dict[str, Any]) -> tuple[Table, int]:
    """The table of the front, and how many lines are left out of it because they read as another in value and cost."""
    names = ("rule", "gate", "n", "n_base", "β", "value", "±", record["cost_unit"], "accept", "KL ≤")
    table = Table(
        "",
        *(Column(name, overflow="fold") for name in names),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    shown: dict[tuple[str, str], tuple[str, ...]] = {}
    for s in record["front"]:
        chosen = s == record["chosen"]
        row = _row(record["options"][s], "→" if chosen else "")
        if chosen or (row[6], row[8]) not in shown:
            shown[row[6], row[8]] = row
    for row in shown.values():
        table.add_row(*row)
    return table, len(record["front"]) - len(shown)


def _say(text: str, first: str = "") -> None:
    typer.echo(wrapped(text, first))


def _recommended(record: dict[str, Any]) -> None:
    """The recommendation, why, and what is guaranteed; or that there is none."""
    chosen = record["recommendation"]
    if chosen is None:
        _say(f"No recommendation: {record['reason']}")
        return
    gate = "no gate" if chosen["threshold"] is None else f"{chosen['gate']} ≥ {chosen['threshold']:g}"
    what = (
        f"no drafts, best-of-n on the base: {chosen['rule']}, n = {chosen['n']}, β = {chosen['beta']:g}"
        if chosen["method"] == "base"
        else f"{chosen['rule']}, n = {chosen['n']}, β = {chosen['beta']:g}, {gate}"
        + ("" if chosen["threshold"] is None else f", n_base = {chosen['n_base']}")
    )
    _say(
        f"Recommended: {what}: value {number(chosen['value'])} ± {number(chosen['value_se'])} (95 %"
        f"{'' if chosen['value_spread_trusted'] else ' or more, as few prompts or rare failures decide'}: "
        f"{number(chosen['value_low'])} to {number(chosen['value_high'])}), cost {chosen['cost']:.4g} "
        f"{record['cost_unit']}"
    )
    _say(record["reason"], "  why: ")
    _say(chosen["guarantee"], "  guarantee: ")


def _print(path: Path, record: dict[str, Any]) -> None:
    notes = record["assumptions"]
    _say(notes[0][:1].upper() + notes[0][1:])
    table, alike = _front(record)
    console().print(table)
    chosen = "" if record["chosen"] is None else ", and what is recommended (→)"
    more = f" {counted(alike, 'line')} that read as another in value and cost are left out." if alike else ""
    _say(
        f"Pareto front of {counted(len(record['options']), 'option')} on {path}{chosen}: value ± standard "
        f"error, {record['cost_unit']} a step.{more} Gate: u of the tilted reward or of the score; base only: "
        "best-of-n on the base. KL ≤: bound of KL(π‖law), nats"
    )
    _recommended(record)
    for label, lines in (("limit", record["limits"]), ("would help", record["improve"])):
        for line in lines:
            _say(line, f"  {label}: ")
    for turn in record["over_optimization"]:
        _say(
            f"{turn['method']}, {turn['rule']}: gold is best at n = {turn['best_n']}, β = "
            f"{turn['best_beta']:g} and lower by {turn['gold_fall']:.4f} ± {turn['gold_fall_se']:.4f} at n = "
            f"{turn['after_n']}, β = {turn['after_beta']:g}, where the reward is higher by {turn['reward_rise']:.4f}",
            "  over-optimized: ",
        )
    for finding in record["findings"]:
        _say(f"{finding['severity']}: {finding['id']}: {finding['advice']}", "  doctor: ")
    for line in notes[1:]:
        _say(line, "  note: ")
    for line in left_out_lines(record["left_out"]):
        _say(line.strip(), "  " + " " * (len(line) - len(line.lstrip())))


def _told(context: typer.Context, pool: Path) -> str:
    """The command as given, without the folders of this machine."""
    given = [
        f"--{p.name.replace('_', '-')} {shlex.quote(str(context.params[p.name]))}"
        for p in context.command.params
        if p.name not in (None, "pool", "page", "as_json") and context.params.get(p.name) != p.default
    ]
    return " ".join(["gsi plan", shlex.quote(pool.name), *given, "--page FOLDER"])


def embedded_page(folder: Path, seed: int, resume: bool) -> Path:
    """Collect a pool of the embedded pair, plan on it, and write folder/pool_page.json; returns that path.

    With `resume` an artifact of the same command, seed, versions and commit is kept, and a pool begun is finished.
    """
    from llm_check.logs.planner.goal import Goal
    from llm_check.logs.planner.page_artifact import NAME, write_pool_page
    from llm_check.logs.planner.recommendation import make_plan
    from llm_check.logs.planner.setup import Setup
    from llm_check.logs.pools.pool import read_pool
    from llm_check.models.command_pool import command as collect

    path, file, line = folder / "pool_page.json", folder / "pool.parquet", f"gsi report --seed {seed}"
    if resume and is_current(path, NAME, provenance(line, seed)):
        return path
    file.unlink(missing_ok=True)
    collect(file, problems=60, steps=2, candidates=64, seed=seed)
    pool, setup = read_pool(file), Setup()
    with progress_bar("plan") as report:
        plan = make_plan(pool, Goal(within=0.02), setup, progress=report)
    record = plan_record(plan, left_out_record(pool))
    with progress_bar("page") as report:
        return write_pool_page(path, pool, file.name, plan, record, setup, command=line, seed=seed, progress=report)


@app.command()
def command(
    run: typer.Context,
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool: .parquet, or .jsonl with one candidate a line.")],
    min_gain: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="The cheapest that is better than one base draw by this much."),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="The cheapest within this much of soft best-of-n on the base."),
    ] = None,
    baseline_n: Annotated[int, typer.Option(metavar="N", min=1, help="n of that soft best-of-n.")] = 16,
    max_cost: Annotated[
        float, typer.Option(metavar="NUMBER", help="Only options of this cost a step or less.")
    ] = float("inf"),
    max_kl: Annotated[
        float, typer.Option(metavar="NUMBER", help="Only options with KL(π‖law) bounded by this, nats.")
    ] = float("inf"),
    value: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to maximize: reward, gold_reward or correct.",
            autocompletion=lambda: list(_VALUES),
        ),
    ] = "reward",
    tolerance: Annotated[
        float, typer.Option(metavar="NUMBER", help="Share of the value by which another may be better.")
    ] = 0.01,
    reward_range: Annotated[
        tuple[float, float] | None,
        typer.Option(
            "--reward-range",
            metavar="LOW HIGH",
            help="Least and largest reward there is: the guarantee is up to HIGH, without it up to the largest drawn.",
        ),
    ] = None,
    rule: Annotated[
        str, typer.Option(metavar="RULES", help=f"{', '.join(RULES)}.", rich_help_panel=_OPTIONS)
    ] = "softmax,race",
    beta: Annotated[str, typer.Option(metavar="NUMBERS", help="β values.", rich_help_panel=_OPTIONS)] = ",".join(
        f"{b:g}" for b in BETAS
    ),
    n: Annotated[str, typer.Option(metavar="NUMBERS", help="n values.", rich_help_panel=_OPTIONS)] = ",".join(
        map(str, NS)
    ),
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="u values in reward units (default: from the pool).", rich_help_panel=_OPTIONS
        ),
    ] = None,
    cost: Annotated[
        str,
        typer.Option(
            metavar="UNIT",
            help="flops, tokens or seconds a step.",
            autocompletion=lambda: ["flops", "tokens", "seconds"],
            rich_help_panel=_COST,
        ),
    ] = "flops",
    models: Annotated[
        str,
        typer.Option(
            metavar="D,B,R",
            help="Draft, base, reward model: known names or parameters.",
            autocompletion=lambda: list(SHAPES),
            rich_help_panel=_COST,
        ),
    ] = DEFAULT_MODELS,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="GPU",
            help=f"For seconds, by its roofline: {', '.join(DEVICES)}.",
            autocompletion=lambda: list(DEVICES),
            rich_help_panel=_COST,
        ),
    ] = None,
    timings: Annotated[
        str | None,
        typer.Option(
            metavar="N,S,S",
            help="Measured seconds a token of draft and base decoding a batch of n.",
            rich_help_panel=_COST,
        ),
    ] = None,
    context: Annotated[
        float, typer.Option(metavar="NUMBER", help="Tokens before the step, for the device.", rich_help_panel=_COST)
    ] = 500.0,
    step_tokens: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="Tokens of a step where the pool logs none.", rich_help_panel=_COST),
    ] = 100.0,
    seed: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Seed of the bootstrap that compares options.", rich_help_panel=RUN),
    ] = 0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a bad row, do not leave its prompt out.", rich_help_panel=RUN)
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write a page to explore, index.html, to this folder.", rich_help_panel=OUTPUT
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Compare rules, gates, n, n_base, β and u on a pool, and recommend one for a goal if the pool can tell.

    Recommended is the cheapest option than which no other is better by more than --tolerance, at 95 % for all options
    together; with --min-gain or --within the cheapest that is proved to reach it. Of costs within 2 % the one of more
    value, then of less KL. Where nothing can be said of any option: why, and what would help. Exit status 0 also then.
    """
    # slow to import
    from llm_check.logs.planner.goal import Goal
    from llm_check.logs.planner.page_artifact import write_pool_page
    from llm_check.logs.planner.recommendation import make_plan
    from llm_check.logs.pools.pool import read_pool

    setup = _setup(cost, device, models, timings, context, step_tokens)
    if page is not None:
        for name in ("pool_page.json", "index.html"):
            require_writable(page / name)
    goal = Goal(max_cost, min_gain, within, baseline_n, max_kl, value, tolerance)
    thresholds = None if threshold is None else listed(threshold, float, "threshold")
    grid = listed(beta, float, "beta"), listed(n, int, "n"), listed(rule, str, "rule")
    data = read_pool(pool, strict=strict)
    with progress_bar("plan") as report:
        plan = make_plan(data, goal, setup, *grid, thresholds, report, reward_range, seed)
    record = plan_record(plan, left_out_record(data))
    if page is not None:
        told, made = _told(run, pool), page / "pool_page.json"
        with progress_bar("page") as report:
            write_pool_page(made, data, pool.name, plan, record, setup, *grid, thresholds, told, progress=report)
        drawn = importlib.import_module("figures.pool_page").build_pool_page(made, page / "index.html")
        typer.echo(f"wrote {drawn}", err=as_json)
    if as_json:
        typer.echo(json.dumps(record, allow_nan=False, default=str))
        return
    _print(pool, record)
