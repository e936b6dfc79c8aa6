"""`gsi predict POOL`: expected reward and acceptance of every scheme, from a pool file of any engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gsi_theory.rules.table import rule_names
from gsi_theory.runs.options import (
    OUTPUT,
    ClusterOption,
    MissingOption,
    PoolArgument,
    WorkersOption,
    listed,
    workers_of,
)
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, counted, number, wrapped
from gsi_theory.types import Record

if TYPE_CHECKING:
    from llm_check.logs.mean_prediction import MeanPredictions

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _print_rows(rows: list[Record], value: str, positions: int) -> None:
    """The table; of lines that all `positions` speak for that of the largest value, the first of equals, is marked."""
    names = ("rule", "gate", "β", "n", value, "± s.e.", "accepted", "± s.e.")
    table = Table("", *names, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    told = [s for s, row in enumerate(rows) if row[value] is not None and row["positions"] == positions]
    best = max(told, key=lambda s: float(rows[s][value]), default=None)
    for s, row in enumerate(rows):
        gated = row["gate"] != "none"
        scheme = row["rule"], row["gate"], f"{row['beta']:g}", str(row["n"])
        mean, error, chance, chance_se = (
            "–" if row[key] is None else number(row[key]) for key in (value, f"{value}_se", "p_accept", "p_accept_se")
        )
        table.add_row("→" if s == best else "", *scheme, mean, error, *((chance, chance_se) if gated else ("–", "–")))
    console().print(table)


def _lines(means: MeanPredictions, pool: str, gated: bool) -> list[str]:
    """What the numbers rest on, in words."""
    # slow to import
    from llm_check.logs.pools.pool_files import left_out_lines
    from llm_check.logs.pools.supports import CURES

    lines = [
        f"means over {counted(means.positions, 'position')} of {pool}; s.e.: standard error, from the candidates, "
        f"positions held fixed; →: the largest {means.value}"
    ]
    if means.clipped is not None:
        beyond = ", ".join(map(str, means.clipped["n"]))
        lines.append(f"n of {beyond}: clipped to {means.clipped['to']}, the number of {means.clipped['place']}")
    fewer = {
        (row["n"], row["gate"] != "none"): row["positions"] for row in means.rows if row["positions"] < means.positions
    }
    lines += [
        f"n = {n}{' with a gate' if gate else ''}: {speak:,} of {counted(means.positions, 'position')} speak; the "
        "others have fewer candidates, so do not compare it with a smaller n"
        for (n, gate), speak in fewer.items()
    ]
    error = f"{means.value}_se"
    silent: dict[str, list[str]] = {}
    for row in means.rows:
        if row["reason"]:
            at = f"β = {row['beta']:g}, n = {row['n']}"
            silent.setdefault(row["reason"], []).extend([at] if at not in silent.get(row["reason"], []) else [])
    lines += [f"no prediction at {'; '.join(places)}: {reason}" for reason, places in silent.items()]
    if silent:
        lines.append(f"would help: {', '.join(CURES[:-1])}, or {CURES[-1]}")
    if any(row[error] is not None and np.isinf(row[error]) for row in means.rows):
        lines.append("unknown: one candidate shows no error")
    if means.missing:
        lacking = "candidates of both sources" if gated else "drafts"
        lacking += "" if means.value == "reward" else f", or a {means.value} of all"
        lines.append(f"left out: {counted(means.missing, 'position')} without {lacking}")
    doubts = means.verdict["errors"] or means.verdict["warnings"]
    return [*lines, *_absent(means), *([means.verdict["line"]] if doubts else []), *left_out_lines(means.left_out)]


def _absent(means: MeanPredictions) -> list[str]:
    """The largest value under each choice of what to do about missing rewards, where they differ."""
    largest = {}
    for choice, rows in (means.absent or {}).items():
        told = [row for row in rows if row[means.value] is not None]
        row = max(told, key=lambda row: float(row[means.value]), default=None)
        largest[choice] = "none" if row is None else _scheme(row, means.value)
    if len(set(largest.values())) <= 1:
        return []
    each = "; ".join(f"{choice}: {text}" for choice, text in largest.items())
    return [f"rewards are missing, and the largest {means.value} depends on what is done about it (--missing): {each}"]


def _scheme(row: Record, value: str) -> str:
    return f"{number(row[value])} ({row['rule']}, gate {row['gate']}, β = {row['beta']:g}, n = {row['n']})"


@app.command()
def command(
    pool: PoolArgument,
    rule: Annotated[
        str, typer.Option(metavar="RULES", help=f"Rules, separated by commas: {', '.join(rule_names())}.")
    ] = "softmax,race",
    beta: Annotated[str, typer.Option(metavar="NUMBERS", help="β values, separated by commas.")] = "1,5,20",
    n: Annotated[
        str,
        typer.Option(metavar="NUMBERS", help="n values, separated by commas; those beyond the pool are clipped to it."),
    ] = "1,2,4,8,16",
    threshold: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="u in reward units; without it no gated schemes.")
    ] = None,
    value: Annotated[
        str, typer.Option(metavar="NAME", help="What is averaged: reward, gold_reward or correct.")
    ] = "reward",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Stop at a bad row, a position without candidates or an n beyond the pool; mend nothing."
        ),
    ] = False,
    missing: MissingOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help='{"predictions": [...]}, means over positions.', rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """Mean over positions of the predicted reward and acceptance, with standard errors (M31).

    Gated schemes need base candidates: with --threshold, positions without them are left out for all schemes.
    """
    from llm_check.logs.mean_prediction import predict  # slow to import

    betas, ns, rules = listed(beta, float, "beta"), listed(n, int, "n"), listed(rule, str, "rule")
    with progress_bar("predict") as report:
        means = predict(pool, rules, betas, ns, threshold, strict, report, value, workers_of(workers, cluster), missing)
    if as_json:
        typer.echo(json.dumps(means.record(), allow_nan=False, default=str))
        return
    _print_rows(means.rows, means.value, means.positions)
    for line in _lines(means, pool, threshold is not None):
        typer.echo(wrapped(line.lstrip(), " " * (len(line) - len(line.lstrip()))))
