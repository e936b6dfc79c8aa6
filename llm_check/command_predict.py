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
from llm_check.command_doctor import left_out_lines, left_out_record
from llm_check.pools.pool import read_pool
from llm_check.predict import Prediction, predict_pool, scheme_grid
from llm_check.words import counted

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _numbers(text: str, kind: type, name: str) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"--{name} {text!r}: give numbers separated by commas") from error


def _mean(found: list[Prediction]) -> list[dict[str, Any]]:
    """Means over positions, each scheme; positions are independent, so errors add in squares."""
    groups: dict[Any, list[Prediction]] = {}
    for prediction in found:
        groups.setdefault(prediction.scheme, []).append(prediction)
    rows = []
    for scheme, items in groups.items():
        rows.append({
            "rule": scheme.rule, "gate": "none" if scheme.threshold is None else scheme.gate,
            "threshold": scheme.threshold, "beta": scheme.beta, "n": scheme.n, "positions": len(items),
            "reward": float(np.mean([p.reward for p in items])),
            "reward_se": float(np.sqrt(np.sum([p.reward_se**2 for p in items])) / len(items)),
            "p_accept": float(np.mean([p.p_accept for p in items])),
            "p_accept_se": float(np.sqrt(np.sum([p.p_accept_se**2 for p in items])) / len(items)),
        })  # fmt: skip
    return rows


@app.command()
def command(
    pool: Annotated[Path, typer.Argument(help="Pool: .parquet, or .jsonl with one candidate a line.")],
    beta: Annotated[str, typer.Option(help="β values, separated by commas.")] = "1,5,20",
    n: Annotated[str, typer.Option(help="n values, separated by commas.")] = "1,2,4,8,16",
    rule: Annotated[str, typer.Option(help="Rules, separated by commas: softmax, race, max.")] = "softmax,race",
    threshold: Annotated[float | None, typer.Option(help="u in reward units; without it no gated schemes.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a bad row, do not leave its prompt out.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help='{"predictions": [...], "left_out"}, means over positions.')
    ] = False,
) -> None:
    """Mean over positions of the predicted reward and acceptance, with standard errors (M31)."""
    data = read_pool(pool, strict=strict)
    grid = scheme_grid(_numbers(beta, float, "beta"), _numbers(n, int, "n"), _numbers(rule, str, "rule"), threshold)
    with progress_bar("predict") as report:
        rows = _mean(predict_pool(data, grid, report))
    used, left = rows[0]["positions"], left_out_record(data)
    if as_json:
        typer.echo(json.dumps({"predictions": rows, "left_out": left | {"positions": len(data.keys()) - used}}))
        return
    table = Table("rule", "gate", "β", "n", "reward", "± s.e.", "p_accept", "± s.e.")
    for row in rows:
        table.add_row(
            row["rule"], row["gate"], f"{row['beta']:g}", str(row["n"]), f"{row['reward']:.4f}",
            f"{row['reward_se']:.4f}", f"{row['p_accept']:.4f}", f"{row['p_accept_se']:.4f}",
        )  # fmt: skip
    Console().print(table)
    typer.echo(
        f"means over {counted(used, 'position')} of {pool}; s.e. from the candidates, positions held fixed; of "
        "p_accept too small near 0 and 1, where few drafts decide"
    )
    if used < len(data.keys()):
        typer.echo(f"left out: {counted(len(data.keys()) - used, 'position')} without candidates of a source needed")
    for line in left_out_lines(left):
        typer.echo(line)
