"""`gsi decode`: whole solutions on two language models by one or several methods, on the same problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from gsi_theory.runs.options import OUTPUT, RUN, listed, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, formatted, wrapped
from llm_check.models.decoding.method_table import METHODS, SETS, methods_of, named_method
from llm_check.models.model_options import (
    MODELS,
    TASK,
    BaseOption,
    DeviceOption,
    DraftOption,
    DtypeOption,
    InstructionOption,
    MaxTokensOption,
    PairOption,
    RewardOption,
    SeedOption,
    StepOption,
    TaskOption,
    TemperatureOption,
    TemplateOption,
    quiet_engines,
)
from llm_check.models.model_pairs import with_pair

if TYPE_CHECKING:
    from llm_check.models.decoding.decoded_task import DecodedTask

__all__ = ["app"]

SHOWN = 20
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

MethodOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="One of those named above, or FILE.py:NAME, a Method of your own; repeatable (default: gsi). paper: those "
        "that the GSI paper compares.",
        autocompletion=lambda: [*METHODS, *SETS],
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
    "accuracy: share of the graded solutions that are right, Wilson's interval; reward: mean over solutions of the "
    "mean reward of their steps, Student's interval; no answer: wrong because none is stated; failed: could not be "
    "graded; accepted: share of steps that passed the gate (–: no gate); by draft: share of steps that a draft drew; "
    "tokens: drawn by both models, a solution; s/step: seconds of decoding by steps of all problems side by side (one: "
    "--batch 1)"
)
_COSTS = ("accepted", "by draft", "tokens", "s/step")
_HELP = f"""Solve problems step by step on two language models; report accuracy, paired differences between methods,
acceptance and costs.

Methods: {", ".join(METHODS)}.

With --out, a run that is interrupted goes on when the same command is given again."""


@app.command(help=_HELP)
def command(
    context: typer.Context,
    method: MethodOption = None,
    n: Annotated[
        list[str] | None,
        typer.Option(metavar="N", help="Candidates a step (default: 4); several (1,4,16): each in turn; repeatable."),
    ] = None,
    n_base: Annotated[
        int | None, typer.Option(metavar="N", help="Base candidates where the base draws (default: n).")
    ] = None,
    beta: Annotated[float, typer.Option(metavar="NUMBER", help="β ≥ 0, multiplies the reward.")] = 20.0,
    threshold: Annotated[
        float, typer.Option(metavar="NUMBER", help="u in reward units, for methods with a gate.")
    ] = 0.5,
    pair: PairOption = None,
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
    temperature: TemperatureOption = 1.0,
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
    instruction: InstructionOption = None,
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
    from llm_check.models.decoding.decoded_task import decode  # slow to import

    quiet_engines()
    methods = methods_of(method or ["gsi"])
    entries = [named_method(name) for name in methods]
    if all(entry.threshold is None for entry in entries):
        refuse_options(context, ("threshold",), f"with {', '.join(e.name for e in entries)}: no gate is among them")
    values = {
        "n": (4,) if n is None else listed(",".join(n), int, "n"),
        "beta": beta,
        "threshold": threshold,
        "draft": draft,
        "base": base,
        "reward": reward,
        "dtype": dtype,
        "temperature": temperature,
        "step": step,
        "max_tokens": max_tokens,
        "template": template,
        "batch": batch,
    }
    with progress_bar("decode") as report:
        decoded = decode(
            methods,
            **with_pair(context, pair, values),
            n_base=n_base,
            drafters=drafter or (),
            drafter_counts=drafter_n or (),
            device=device,
            task=task,
            problems=problems,
            instruction=instruction,
            seed=seed,
            out=out,
            progress=report,
        )
    if decoded.warning:
        typer.echo(f"gsi decode: {decoded.warning}", err=True)
    if as_json:
        typer.echo(decoded.as_json(), nl=False)
    else:
        _show(decoded)


def shown(text: str) -> str:
    """Model text as a terminal may print it: no markup, no control or invisible characters, blank lines as a dot."""
    joined = text.replace("\n\n", " · ").replace("\n", " ")
    return escape("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in joined))


def _show(decoded: DecodedTask) -> None:
    screen = console()
    marks = {"right": "[green]right[/green]", "wrong": "[red]wrong[/red]", "failed": "[yellow]failed[/yellow]"}
    for row in decoded.solutions[:SHOWN]:
        mark = marks[row["grade"]]
        line = f"{row['method']:<14} {shown(row['question'])[:60]:<14} {shown(row['text'])[:400]:<36} {mark}"
        screen.print(line, highlight=False)
    if len(decoded.solutions) > SHOWN:
        screen.print(f"... and {len(decoded.solutions) - SHOWN} more", highlight=False)
    several = len({row["n"] for row in decoded.solutions}) > 1
    for results in (True, False):
        screen.print(_methods_table(decoded, several, results))
    told = [pair for pair in decoded.differences if pair["difference"] is not None]
    shown_pairs = [pair for pair in told if len(told) <= SHOWN or pair["first"] == decoded.methods[0]["method"]]
    for pair in shown_pairs:
        where = f" at n = {pair['n']}" if several else ""
        text = (
            f"{pair['first']} minus {pair['second']}{where}: accuracy {pair['difference']:+.3f} (95 % "
            f"{pair['low']:+.3f} to {pair['high']:+.3f}, {pair['pairs']} pairs, McNemar p {pair['p_value']:.3g})"
        )
        if pair["reward_low"] is not None:
            text += (
                f"; reward {pair['reward_difference']:+.3f} (95 % {pair['reward_low']:+.3f} to "
                f"{pair['reward_high']:+.3f}, t-test p {pair['reward_p_value']:.3g})"
            )
        typer.echo(wrapped(text, rest="  "))
    if len(told) > len(shown_pairs):
        typer.echo(f"... and {len(told) - len(shown_pairs)} more pairs of methods (--json)")
    typer.echo(wrapped(_LEGEND))


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A number in front of its interval, as far as they are known."""
    known = "–" if value is None else f"{value:.3f}"
    return known if value is None or low is None or high is None else f"{known} ({low:.3f}–{high:.3f})"


def _methods_table(decoded: DecodedTask, several: bool, results: bool) -> Table:
    """One row for each method, and n where there are `several`. Results: accuracy over the graded, mean reward, wrong
    ones without an answer, failures of grading. Else costs: steps accepted and drawn by the draft, tokens drawn a
    solution, seconds a step."""
    table = Table(box=None, pad_edge=False)
    columns = ("accuracy (95 %)", "reward (95 %)", "no answer", "failed") if results else _COSTS
    for name in ("method", *["n"] * several, *columns):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for row, seconds in zip(decoded.methods, decoded.step_seconds, strict=True):
        tokens = (row["draft_tokens"] + row["base_tokens"]) / row["problems"]
        found = (
            _with_interval(row["accuracy"], row["accuracy_low"], row["accuracy_high"]),
            _with_interval(row["solution_reward"], row["solution_reward_low"], row["solution_reward_high"]),
            str(row["no_answer"]),
            str(row["failed"]),
        )
        spent = (
            "–" if row["acceptance_rate"] is None else f"{row['acceptance_rate']:.3f}",
            f"{row['draft_share']:.3f}",
            f"{tokens:.1f}",
            formatted(seconds),
        )
        table.add_row(row["method"], *[str(row["n"])] * several, *(found if results else spent))
    return table
