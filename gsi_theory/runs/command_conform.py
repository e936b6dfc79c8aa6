"""`gsi conform`: does a sampler of yours sample what it says? Lists methods, selectors and mistakes without one."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from gsi_theory.conform import (
    MISTAKES,
    SELECTORS,
    Conformance,
    Costs,
    conform,
    conform_selector,
    served_methods,
)
from gsi_theory.conformance.mistakes import Mistake
from gsi_theory.conformance.smallest import smallest
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import RUN, JsonOption, SeedOption, refuse_options
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import counted, formatted, wrapped
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


def _record(outcome: Conformance, costs: Costs | None) -> Record:
    nearest = None if outcome.nearest is None else {
        "id": outcome.nearest.id,
        "kind": outcome.nearest.kind,
        "words": outcome.nearest.words,
        "log_e": outcome.nearest.log_e,
        "alike": list(outcome.nearest.alike),
        "explains": outcome.nearest.explains,
    }  # fmt: skip
    return {
        "conforms": outcome.conforms,
        "p": outcome.p,
        "level": outcome.level,
        "draws": outcome.draws,
        "refuted_at": outcome.refuted_at,
        "tv_low": outcome.tv_low,
        "tv_high": outcome.tv_high,
        "detectable_tv": outcome.detectable,
        "nearest": nearest,
        "costs": None if costs is None else vars(costs),
        "problems": [
            {"counts": count.tolist(), "law": law.tolist()}
            for count, law in zip(outcome.counts, outcome.laws, strict=True)
        ],
    }


def _print(text: str, what: str, outcome: Conformance, costs: Costs | None) -> None:
    problem, cell = outcome.worst
    count, law = outcome.counts[problem], outcome.laws[problem]
    if outcome.conforms:
        typer.echo(
            wrapped(
                f"{text} conforms to {what}: {counted(outcome.draws, 'draw')} on {len(outcome.laws)} problems do not "
                f"refute it (p = {formatted(outcome.p)}, level {outcome.level:g}, looked at after each). At 95 % its "
                f"law is within TV {formatted(outcome.tv_high, '.2g')} of the stated one on every problem; one off by "
                f"{formatted(outcome.detectable, '.2g')} on a single problem would be found in 4 of 5 such runs."
            )
        )
    else:
        said = (
            f"{text} does not conform to {what}: refuted at level {outcome.level:g} after "
            f"{counted(outcome.refuted_at or 0, 'draw')}; p = {outcome.p:.1e} after all {outcome.draws:,}."
        )
        if outcome.tv_low > 0.0:
            said += f" On some problem its law is at least TV {formatted(outcome.tv_low, '.2g')} away."
        typer.echo(wrapped(said))
        typer.echo(
            wrapped(
                f"problem {problem}, outcome {cell}: came {count[cell]:,} times of {int(count.sum()):,}, expected "
                f"{formatted(float(count.sum() * law[cell]), '.1f')}"
            )
        )
        near = outcome.nearest
        if near is not None:
            verb = "It draws as if" if near.explains else "Nothing known explains the draws; nearest is"
            alike = f" (of the same law: {', '.join(near.alike)})" if near.alike else ""
            kind = "this mistake" if near.kind == "mistake" else "this method"
            typer.echo(
                wrapped(
                    f"{verb} by {kind}: {near.id}, {near.words}{alike}; likelier than the stated law by "
                    f"{formatted(near.log_e, '.0f')} nats."
                )
            )
    if costs is not None:
        rows = (("draft", costs.drafts, costs.drafts_expected), ("base", costs.bases, costs.bases_expected))
        off = [f"{name} {formatted(seen)} ({formatted(law)})" for name, seen, law in rows]
        typer.echo(wrapped(f"draws an outcome, and by the method's law: {', '.join(off)}"))


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
        typer.echo(answer("conform", _record(outcome, costs)))
    else:
        _print(sampler, str(method or selector), outcome, costs)
    if not outcome.conforms:
        raise typer.Exit(1)
