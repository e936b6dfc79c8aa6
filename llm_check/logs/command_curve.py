"""`gsi curve LOG`: value against n of the draws of one model. The figure (`--page`) is drawn by `figures`, by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import (
    OUTPUT,
    RUN,
    ClusterOption,
    JsonOption,
    MissingOption,
    SeedOption,
    WorkersOption,
    listed,
    workers_of,
)
from gsi_theory.runs.output import require_writable
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, counted, formatted, number, wrapped

if TYPE_CHECKING:
    from llm_check.logs.curves.curve_lines import CurveLine
    from llm_check.logs.curves.log_curves import Curves

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_SHOWN = 5  # values of n of a curve in a table
_WHAT = "What is shown"
FILES = ("curve.json", "curve.svg", "curve.pdf", "theory.html", "index.html")


def _selectors() -> list[str]:
    from llm_check.logs.curves.selectors import SELECTORS  # slow to import

    return list(SELECTORS)


def _print_lines(ns: Sequence[int], lines: Sequence[CurveLine], mark: str = "") -> None:
    """A table a value: curves down, n across; a curve's means, and under them both errors."""
    from llm_check.logs.curves.curve_words import curve_name, few_of  # slow to import

    at = few_of(ns, _SHOWN)
    for value in dict.fromkeys(line.key.value for line in lines):
        head = f"{value.replace('_', ' ')}{mark}"
        table = Table(head, *(f"n={ns[m]}" for m in at), box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.show_edge = False
        for line in (each for each in lines if each.key.value == value):
            band = line.bands
            table.add_row(curve_name(line), *("–" if np.isnan(band.mean[m]) else number(band.mean[m]) for m in at))
            table.add_row("", *(f"{_error(band.se_prompts[m])}/{_error(band.se_fixed[m])}" for m in at), style="dim")
        console().print(table)


def _error(value: float) -> str:
    """Three decimals, without the zero before the point; narrow, as two stand side by side."""
    if np.isnan(value):
        return "–"
    if 0 < value < 5e-4:
        return "<.001"
    return formatted(value, ".3f").removeprefix("0") if 0 < value < 0.9995 else formatted(value, ".2g")


def _shown(lines: Sequence[CurveLine], everything: bool) -> list[CurveLine]:
    """The race is close to soft best-of-n: it is in the tables where it was asked for."""
    return [line for line in lines if everything or line.key.selector != "race"]


def _print(curves: Curves, everything: bool) -> None:
    from llm_check.logs.curves.curve_words import difference_words, rests_on  # slow to import

    _print_lines(curves.ns, _shown(curves.lines, everything))
    if (labelled := curves.labelled) is not None:
        _print_lines(labelled.ns, (labelled.line,), f", {counted(labelled.labels, 'label')}")
    if curves.same is not None:
        _print_lines(curves.same_ns, _shown(curves.same, everything), "*")
    told = "under each mean its standard error for prompts like these / for these prompts; bands, and all n: --json"
    for line in (told, *rests_on(curves)):
        typer.echo(wrapped(line, rest="  "))
    if (paired := curves.against) is None:
        return
    left = " and ".join(f"{count:,}" for count in paired.left_out)
    title = f"{curves.about.name} less {curves.other} on {counted(paired.prompts, 'shared prompt')}"
    typer.echo(wrapped(f"{title} ({left} of theirs left out)", rest="  "))
    _print_lines(curves.ns, _shown(paired.lines, everything), " less")
    for line in difference_words(_shown(paired.lines, everything), curves.ns):
        typer.echo(wrapped(line, rest="  "))


@app.command()
def command(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG", help="Log of one model, or a pool with --source: a file, or a folder, glob or URL of files."
        ),
    ],
    n: Annotated[
        str | None, typer.Option(metavar="NUMBERS", help="n values, separated by commas (default: all, thinned out).")
    ] = None,
    beta: Annotated[
        str, typer.Option(metavar="NUMBERS", help="β of soft best-of-n and race, separated by commas.")
    ] = "1,5,20",
    select: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="best_of_n, soft_best_of_n, race, majority, weighted_majority, pass_at_k (default: what the log "
            "allows).",
            autocompletion=_selectors,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="LOG", help="Another log of the same prompts: differences.", rich_help_panel=_WHAT),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a pool of two models: draft or base.", rich_help_panel=_WHAT),
    ] = None,
    tokens: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Tokens of a draw (default: the mean of n_tokens).", rich_help_panel=_WHAT),
    ] = None,
    label_chance: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Gold is on a part of the draws: the chance with which each label was bought (default: the field "
            "label_chance).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    missing: MissingOption = None,
    seed: SeedOption = 0,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop at a bad row instead of leaving its prompt out.", rich_help_panel=RUN),
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write index.html, curve.json, and the figure as .svg and .pdf, to this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Mean reward and accuracy of best-of-n, soft best-of-n, race and votes for every n up to the draws of a prompt,
    exact and unbiased (M31, M47), with errors for prompts like these and for these prompts, and bands over n.

    Also whether the reward over-optimizes, and differences to another log of the same prompts. Where only a part of the
    draws has gold_reward (or correct), and label_chance says by what chance: best-of-n's gold value for every n, and an
    n that is shown to do no harm (M43).
    """
    from llm_check.logs.curves.log_curves import curve  # slow to import

    if page is not None:
        for name in FILES:
            require_writable(page / name)
    ns = None if n is None else listed(n, int, "n")
    names = None if select is None else listed(select, str, "select")
    with progress_bar("curve") as report:
        betas, pool = listed(beta, float, "beta"), workers_of(workers, cluster)
        curves = curve(
            log, ns, betas, names, against, source, tokens, seed, strict, report, pool, missing, label_chance
        )
    if page is not None:
        from llm_check.logs.curves.curve_artifact import write_curves  # slow to import

        made = write_curves(page / FILES[0], curves, Path(log))
        drawn = importlib.import_module("figures.curve_page").save_curve_page(made, page)
        typer.echo(f"wrote {drawn}", err=as_json)
    if as_json:
        typer.echo(answer("curve", {k: v for k, v in curves.record().items() if k != "schema"}))
        return
    _print(curves, names is not None)
