"""`gsi decode`: whole solutions on two language models by one or several methods, on the same problems."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import atomic_write_text, provenance, require_writable
from gsi_theory.runs.options import OUTPUT, RUN, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, wrapped
from gsi_theory.runs.user_file import names_file
from llm_check.models.decoding.method_table import METHODS, named_method
from llm_check.models.decoding.prompting import template_record
from llm_check.models.decoding.solution_journal import Journal, journal_path, plain
from llm_check.models.model_options import (
    MODELS,
    TASK,
    BaseOption,
    DeviceOption,
    DraftOption,
    DtypeOption,
    MaxTokensOption,
    RewardOption,
    SeedOption,
    StepOption,
    TaskOption,
    TemplateOption,
    quiet_engines,
)
from llm_check.models.rewards.reward_model import reward_record, unjudged

if TYPE_CHECKING:
    from llm_check.models.decoding.positions import Prompt
    from llm_check.models.decoding.solutions import Plan
    from llm_check.models.decoding.step_candidates import Models
    from llm_check.models.world import World

__all__ = ["app"]

SHOWN = 20
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="One of those named above, or FILE.py:NAME, a Method of your own; repeatable (default: gsi).",
        autocompletion=lambda: list(METHODS),
    ),
]
DrafterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--drafter",
        metavar="MODEL",
        help="A further draft model, for the methods drafters*; repeatable.",
        rich_help_panel=MODELS,
    ),
]
_LEGEND = (
    "accuracy: share of the graded solutions that are right, Wilson's interval; failed: solutions that could not be "
    "graded; accepted: share of steps that passed the gate (–: no gate); by draft: share of steps that a draft drew; "
    "tokens: drawn by both models, a solution"
)
_HELP = f"""Solve problems step by step on two language models; report accuracy, paired differences between methods,
acceptance and costs.

Methods: {", ".join(METHODS)}.

With --out, a run that is interrupted goes on when the same command is given again."""


@app.command(help=_HELP)
def command(
    context: typer.Context,
    method: MethodOption = None,
    n: Annotated[int, typer.Option(metavar="N", help="Candidates a step.")] = 4,
    n_base: Annotated[
        int | None, typer.Option(metavar="N", help="Base candidates where the base draws (default: n).")
    ] = None,
    beta: Annotated[float, typer.Option(metavar="NUMBER", help="β ≥ 0, multiplies the reward.")] = 20.0,
    threshold: Annotated[
        float, typer.Option(metavar="NUMBER", help="u in reward units, for methods with a gate.")
    ] = 0.5,
    draft: DraftOption = None,
    base: BaseOption = None,
    reward: RewardOption = None,
    drafter: DrafterOption = None,
    drafter_n: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="Candidates of each further drafter, in their order (default: n each).",
            rich_help_panel=MODELS,
        ),
    ] = None,
    device: DeviceOption = "cpu",
    dtype: DtypeOption = "float32",
    task: TaskOption = None,
    problems: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="At most this many problems, chosen by the seed (default: all).",
            rich_help_panel=TASK,
        ),
    ] = None,
    step: StepOption = None,
    max_tokens: MaxTokensOption = None,
    template: TemplateOption = None,
    seed: SeedOption = 0,
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Problems decoded side by side.", rich_help_panel=RUN)
    ] = 16,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the JSON record here; a journal beside it lets the same command go on after a stop.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON record instead of text.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    # slow to import
    from llm_check.models.decoding.solution import require_size
    from llm_check.models.decoding.solutions import Plan, solve_task
    from llm_check.models.world import load_world

    quiet_engines()
    used = [named_method(name) for name in method or ["gsi"]]
    if all(item.threshold is None for item in used):
        refuse_options(context, ("threshold",), f"with {', '.join(item.name for item in used)}: no gate is among them")
    plan = Plan(tuple(method or ["gsi"]), beta, n, threshold, n_base, seed, batch)
    if out is not None:
        require_writable(out)
    world = load_world(
        draft, base, reward, max_tokens, device, dtype,
        task=task, step=step, template=template, limit=problems, seed=seed, drafters=drafter or (),
    )  # fmt: skip
    models = replace(world.models, drafter_counts=tuple(drafter_n or ()))
    prompts = world.prompts()
    for name in plan.methods:
        chosen = named_method(name)
        require_size(chosen, chosen.scheme(beta, n, threshold, n_base), models, prompts, world.rule, batch)
    head = _head(plan, world, models, prompts, dtype)
    journal = Journal(None if out is None else journal_path(out), head)
    try:
        with progress_bar("decode") as report:
            rows = solve_task(plan, models, prompts, world.rule, world.max_steps, world.task.grade, journal, report)
    except InputError:
        journal.delete_if_empty()
        raise
    if told := unjudged(world.reward_model):
        typer.echo(f"gsi decode: {told}", err=True)
    record = _record(plan, world, rows, head)
    text = json.dumps(plain(record), indent=1, allow_nan=False) + "\n"
    if out is not None:
        atomic_write_text(out, text)
        journal.delete()
    if as_json:
        typer.echo(text, nl=False)
    else:
        _show(record)


def _head(plan: Plan, world: World, models: Models, prompts: list[Prompt], dtype: str) -> dict[str, Any]:
    """What the solutions depend on: settings, models, prompts, code and versions."""
    chosen = {key: value for key, value in asdict(plan).items() if key != "seed"}
    settings = chosen | {
        "step": world.step, "max_tokens": world.rule.max_tokens, "max_steps": world.max_steps,
        "template": world.template, "problems": len(prompts), "dtype": dtype,
        "drafter_n": models.drafter_counts or None,
    }  # fmt: skip
    if records := {name: asdict(named_method(name)) for name in plan.methods if names_file(name)}:
        settings["records"] = records
    options = " ".join(f"--{key.replace('_', '-')} {shlex.quote(str(value))}" for key, value in _told(settings))
    engines = {"draft": world.draft, "base": world.base}
    engines |= {f"drafter{j}": engine for j, engine in enumerate(world.drafters, start=1)}
    contracts = {name: asdict(engine.contract) for name, engine in engines.items()}
    asked = [[prompt.prompt_id, list(prompt.ids), str(prompt.problem.answer)] for prompt in prompts]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    record = provenance(f"gsi decode --task {world.task.name} {options} --seed {plan.seed}", plan.seed)
    return {
        "settings": settings,
        "prompts": template_record(world.draft.tokenizer, world.task.instruction, world.template) | {"sha256": digest},
        "reward": reward_record(world.reward_model),
        "models": world.names,
        "contracts": contracts,
        "provenance": record,
    }


def _told(settings: dict[str, Any]) -> list[tuple[str, Any]]:
    """The settings as options of this command."""
    told = [("method", name) for name in settings["methods"]]
    told += [("drafter_n", count) for count in settings["drafter_n"] or ()]
    skipped = ("methods", "max_steps", "drafter_n", "records")
    return told + [(key, value) for key, value in settings.items() if key not in skipped and value is not None]


def _record(plan: Plan, world: World, rows: list[dict[str, Any]], head: dict[str, Any]) -> dict[str, Any]:
    from llm_check.models.decoding.solutions import differences, summary  # slow to import

    asked = {problem.problem_id: problem for problem in world.task.problems}
    solutions = []
    for row in rows:
        problem = asked[row["problem_id"]]
        solutions.append({"question": problem.question, "reference": str(problem.answer), **row})
    own = {name: [row for row in rows if row["method"] == name] for name in plan.methods}
    return {
        "task": world.task.name, "settings": head["settings"], "models": head["models"],
        "methods": [summary(name, plan, own[name]) for name in plan.methods],
        "differences": differences(plan.methods, rows),
        "solutions": solutions,
        "provenance": head["provenance"] | {key: head[key] for key in ("contracts", "prompts", "reward")},
    }  # fmt: skip


def shown(text: str) -> str:
    """Model text as a terminal may print it: no markup, no control or invisible characters, blank lines as a dot."""
    joined = text.replace("\n\n", " · ").replace("\n", " ")
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined))


def _show(record: dict[str, Any]) -> None:
    screen = console()
    marks = {"right": "[green]right[/green]", "wrong": "[red]wrong[/red]", "failed": "[yellow]failed[/yellow]"}
    for row in record["solutions"][:SHOWN]:
        mark = marks[row["grade"]]
        line = f"{row['method']:<14} {shown(row['question'])[:60]:<14} {shown(row['text'])[:400]:<36} {mark}"
        screen.print(line, highlight=False)
    if len(record["solutions"]) > SHOWN:
        screen.print(f"... and {len(record['solutions']) - SHOWN} more", highlight=False)
    screen.print(_methods_table(record["methods"]))
    for pair in record["differences"]:
        if pair["difference"] is not None:
            text = (
                f"{pair['first']} minus {pair['second']}: {pair['difference']:+.3f} (95 % {pair['low']:+.3f} to "
                f"{pair['high']:+.3f}, {pair['pairs']} pairs, exact McNemar p {pair['p_value']:.3g})"
            )
            typer.echo(wrapped(text, rest="  "))
    typer.echo(wrapped(_LEGEND))


def _methods_table(methods: list[dict[str, Any]]) -> Table:
    """Accuracy over the graded, failures of grading, steps accepted and drawn by the draft, tokens drawn a solution."""
    table = Table(box=None, pad_edge=False)
    for name in ("method", "accuracy (95 %)", "failed", "accepted", "by draft", "tokens"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for found in methods:
        tokens = (found["draft_tokens"] + found["base_tokens"]) / found["problems"]
        interval = f"({found['accuracy_low']:.3f}–{found['accuracy_high']:.3f})"
        table.add_row(
            found["method"],
            "–" if found["accuracy"] is None else f"{found['accuracy']:.3f} {interval}",
            str(found["failed"]),
            "–" if found["acceptance_rate"] is None else f"{found['acceptance_rate']:.3f}",
            f"{found['draft_share']:.3f}",
            f"{tokens:.1f}",
        )
    return table
