"""`gsi conform`: does a sampler of yours sample what it says? Lists methods, selectors and mistakes without one."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from gsi_theory.conform import MISTAKES, SELECTORS, Costs, conform, conform_selector, served_methods
from gsi_theory.conformance.mistakes import Mistake
from gsi_theory.conformance.smallest import smallest
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.runs.conformance_words import Told, outcome_lines, outcome_record
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import RUN, JsonOption, SeedOption, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import formatted, wrapped
from gsi_theory.runs.user_file import guarded, load_callable
from gsi_theory.types import Floats, Record

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _listed() -> str:
    def table(rows: list[tuple[str, str]]) -> list[str]:
        wide = max(len(name) for name, _ in rows) + 2
        return [wrapped(words, f"  {name:<{wide}}") for name, words in rows]

    methods = [(name, METHODS[name].label) for name in served_methods()]
    selectors = [(each.id, each.words) for each in SELECTORS.values()]
    mistakes = [(each.id, each.words) for each in MISTAKES.values()]
    said = (
        "A sampler is a function from a problem to an outcome: problem.draw_draft(k), draw_base(k), log_draft, "
        "log_base, reward, beta, n, n_base, threshold, rng, parameters. A selector is one from candidates (reward, "
        "answer, beta, n, rng) to the place of one. gsi conform FILE.py:FUNCTION --method ID plays it on problems "
        "that tell the method from its mistakes."
    )
    parts = (("methods", methods), ("selectors", selectors), ("mistakes that are known by name", mistakes))
    blocks = ["\n".join([title, *table(rows)]) for title, rows in parts]
    return "\n\n".join([*blocks, wrapped(said)])


def _records() -> Record:
    def rows(members: list[Any]) -> list[Record]:
        return [{"id": each.id, "words": each.words} for each in members]

    kept: list[Mistake] = list(MISTAKES.values())
    return {
        "methods": [{"id": name, "words": METHODS[name].label} for name in served_methods()],
        "selectors": rows(list(SELECTORS.values())),
        "mistakes": rows(kept),
    }


def _place(problem: int, outcome: int) -> str:
    return f"problem {problem}, outcome {outcome}"


def _cost_lines(costs: Costs | None) -> list[str]:
    if costs is None:
        return []
    rows = (("draft", costs.drafts, costs.drafts_expected), ("base", costs.bases, costs.bases_expected))
    off = [f"{name} {formatted(seen)} ({formatted(law)})" for name, seen, law in rows]
    return [wrapped(f"draws an outcome, and by the method's law: {', '.join(off)}")]


def _explained(name: str) -> str:
    """A mistake, and the smallest problem that exposes it."""
    shown = smallest(name)

    def law(values: Floats) -> str:
        return f"({', '.join(f'{x:.3f}' for x in values)})"

    lines = [
        wrapped(f"{name}: {MISTAKES[name].words}"),
        "",
        wrapped(f"smallest problem, method {shown.method}: {shown.words}"),
        wrapped(f"law as stated {law(shown.right)}, with the mistake {law(shown.wrong)}, TV {shown.tv:.3f}"),
        wrapped(f"about {shown.draws:.0f} draws refute it at level 1 %"),
    ]
    return "\n".join(lines)


@app.command()
def command(
    context: typer.Context,
    sampler: Annotated[
        str | None,
        typer.Argument(metavar="FILE.py:FUNCTION", help="A sampler or selector; without it what is known is listed."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The method that it should be.", autocompletion=served_methods),
    ] = None,
    selector: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The selector that it should be, instead.", autocompletion=lambda: list(SELECTORS)
        ),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="MISTAKE",
            help="Instead: a known mistake, and the smallest problem that exposes it.",
            autocompletion=lambda: list(MISTAKES),
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(metavar="N", min=100, max=10_000_000, help="At most so many outcomes.", rich_help_panel=RUN)
    ] = 20_000,
    level: Annotated[
        float,
        typer.Option(
            metavar="NUMBER", help="A right sampler is refuted with at most this probability.", rich_help_panel=RUN
        ),
    ] = 0.01,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Play a sampler on problems of known law, look after every draw, and name what it is instead (M50).

    Exit status 1: it does not conform.
    """
    if explain is not None:
        others = ("method", "selector", "draws", "level", "seed", "as_json")
        refuse_options(context, others, "with --explain: leave them out")
        typer.echo(_explained(explain))
        return
    if sampler is None:
        refuse_options(
            context, ("method", "selector", "draws", "level", "seed"), "without a sampler: give FILE.py:FUNCTION"
        )
        typer.echo(answer("conform_lists", _records()) if as_json else _listed())
        return
    if (method is None) == (selector is None):
        raise InputError(f"{sampler}: give --method ID or --selector ID, one of them; gsi conform lists them")
    function = guarded(sampler, load_callable(sampler))
    costs: Costs | None = None
    with np.errstate(all="ignore"), progress_bar("draws") as report:
        try:
            if method is not None:
                outcome, costs = conform(function, method, draws=draws, level=level, seed=seed, progress=report)
            else:
                outcome = conform_selector(
                    function, str(selector), draws=draws, level=level, seed=seed, progress=report
                )
        except InputError as error:
            told = str(error)
            raise InputError(told if told.startswith(sampler) else f"{sampler}: {told}") from error
    if as_json:
        said = outcome_record(outcome) | {"costs": None if costs is None else vars(costs)}
        typer.echo(answer("conform", said))
    else:
        words = Told(sampler, str(method or selector), f"{len(outcome.laws)} problems", "draw", _place)
        typer.echo("\n".join([*outcome_lines(outcome, words), *_cost_lines(costs)]))
    if not outcome.conforms:
        raise typer.Exit(1)
