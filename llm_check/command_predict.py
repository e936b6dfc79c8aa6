"""`gsi predict POOL`: expected reward and acceptance of every scheme, from a pool file of any engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from gsi_theory.errors import InputError
from gsi_theory.progress import progress_bar
from llm_check.command_doctor import left_out_lines, left_out_record, plain
from llm_check.pools.pool import read_pool
from llm_check.predict import Prediction, predict_pool, scheme_grid
from llm_check.words import counted

__all__ = ["app", "mean_rows"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _numbers(text: str, kind: type, name: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--{name} {text!r}: give numbers separated by commas") from error


def mean_rows(found: list[Prediction]) -> list[dict[str, Any]]:
    """Means over positions, each scheme; positions are independent, so errors add in squares.

    What the floor adds to the error of an acceptance is added once, at the position where it adds most: one draft more
    on the other side of the gate, of all drafts.
    """
    groups: dict[Any, list[Prediction]] = {}
    for prediction in found:
        groups.setdefault(prediction.scheme, []).append(prediction)
    rows = []
    for scheme, items in groups.items():
        added = [p.p_accept_se**2 - p.p_accept_jackknife**2 for p in items if p.p_accept_se > p.p_accept_jackknife]
        variance = sum(p.p_accept_jackknife**2 for p in items) + max(added, default=0.0)
        rows.append({
            "rule": scheme.rule, "gate": "none" if scheme.threshold is None else scheme.gate,
            "threshold": scheme.threshold, "beta": scheme.beta, "n": scheme.n, "positions": len(items),
            "reward": float(np.mean([p.reward for p in items])),
            "reward_se": float(np.sqrt(np.sum([p.reward_se**2 for p in items])) / len(items)),
            "p_accept": float(np.mean([p.p_accept for p in items])),
            "p_accept_se": float(np.sqrt(variance) / len(items)),
        })  # fmt: skip
    return rows


@app.command()
def command(
    pool: Annotated[Path, typer.Argument(help="Pool: .parquet, or .jsonl with one candidate a line.")],
    beta: Annotated[str, typer.Option(help="β values, separated by commas.")] = "1,5,20",
    n: Annotated[str, typer.Option(help="n values, separated by commas.")] = "1,2,4,8,16",
    rule: Annotated[str, typer.Option(help="Rules, separated by commas: softmax, race, max.")] = "softmax,race",
    threshold: Annotated[float | None, typer.Option(help="u in reward units; without it no gated schemes.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a bad row or a position without candidates, leave none out.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help='{"predictions": [...]}, means over positions.')] = False,
) -> None:
    """Mean over positions of the predicted reward and acceptance, with standard errors (M31).

    Gated schemes need base candidates: with --threshold, positions without them are left out for all schemes.
    """
    data = read_pool(pool, strict=strict)
    grid = scheme_grid(_numbers(beta, float, "beta"), _numbers(n, int, "n"), _numbers(rule, str, "rule"), threshold)
    with progress_bar("predict") as report:
        rows = mean_rows(predict_pool(data, grid, report, strict))
    used, left = rows[0]["positions"], left_out_record(data)
    missing = len(data.keys()) - used
    if as_json:
        record = {"predictions": rows, "positions_left_out": missing, "left_out": left}
        typer.echo(json.dumps(plain(record), allow_nan=False, default=str))
        return
    table = Table("rule", "gate", "β", "n", "reward", "± s.e.", "p_accept", "± s.e.")
    for row in rows:
        table.add_row(
            row["rule"], row["gate"], f"{row['beta']:g}", str(row["n"]), f"{row['reward']:.4f}",
            f"{row['reward_se']:.4f}", f"{row['p_accept']:.4f}", f"{row['p_accept_se']:.4f}",
        )  # fmt: skip
    Console().print(table)
    typer.echo(f"means over {counted(used, 'position')} of {pool}; s.e. from the candidates, positions held fixed")
    if missing:
        lacking = "drafts" if threshold is None else "candidates of both sources"
        typer.echo(f"left out: {counted(missing, 'position')} without {lacking}")
    for line in left_out_lines(left):
        typer.echo(line)
