"""`gsi predict POOL`: expected reward and acceptance of every scheme, from a pool file of any engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gsi_theory.rules.table import rule_names
from gsi_theory.runs.options import OUTPUT, distinct, listed
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, wrapped
from llm_check.logs.command_doctor import left_out_lines, left_out_record, plain
from llm_check.logs.words import counted, number

if TYPE_CHECKING:
    from llm_check.logs.pools.pool import Pool
    from llm_check.logs.prediction import Prediction

__all__ = ["app", "mean_rows"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


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


def _clipped(ns: tuple[int, ...], pool: Pool, gated: bool) -> tuple[tuple[int, ...], dict[str, Any] | None]:
    """n up to what the smallest set holds, and what was clipped: beyond it no unbiased estimate exists (M31)."""
    from llm_check.logs.prediction import smallest_set  # slow to import

    most, place = smallest_set(pool, gated)
    beyond = [n for n in ns if n > most]
    kept = distinct(min(n, most) for n in ns)
    return kept, {"n": beyond, "to": most, "place": place} if beyond else None


def _print(rows: list[dict[str, Any]]) -> None:
    """The table; the line of the largest reward, and of equal ones the first, is marked."""
    names = ("rule", "gate", "β", "n", "reward", "± s.e.", "accepted", "± s.e.")
    table = Table("", *names, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    best = max(range(len(rows)), key=lambda s: float(rows[s]["reward"]))
    for s, row in enumerate(rows):
        gated = row["gate"] != "none"
        chance = (number(row["p_accept"]), number(row["p_accept_se"])) if gated else ("–", "–")
        table.add_row(
            "→" if s == best else "", row["rule"], row["gate"], f"{row['beta']:g}", str(row["n"]),
            number(row["reward"]), number(row["reward_se"]), *chance,
        )  # fmt: skip
    console().print(table)


@app.command()
def command(
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool: .parquet, or .jsonl with one candidate a line.")],
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
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Stop at a bad row, a position without candidates or an n beyond the pool; mend nothing."
        ),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help='{"predictions": [...]}, means over positions.', rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """Mean over positions of the predicted reward and acceptance, with standard errors (M31).

    Gated schemes need base candidates: with --threshold, positions without them are left out for all schemes.
    """
    # slow to import
    from llm_check.logs.pools.pool import read_pool
    from llm_check.logs.prediction import predict_pool, scheme_grid

    betas, ns, rules = listed(beta, float, "beta"), listed(n, int, "n"), listed(rule, str, "rule")
    data, gated, clipped = read_pool(pool, strict=strict), threshold is not None, None
    if not strict:
        ns, clipped = _clipped(ns, data, gated)
    grid = scheme_grid(betas, ns, rules, threshold)
    with progress_bar("predict") as report:
        rows = mean_rows(predict_pool(data, grid, report, strict))
    used, left = rows[0]["positions"], left_out_record(data)
    missing = len(data.keys()) - used
    if as_json:
        record = {"predictions": rows, "n_clipped": clipped, "positions_left_out": missing, "left_out": left}
        typer.echo(json.dumps(plain(record), allow_nan=False, default=str))
        return
    _print(rows)
    said = [
        f"means over {counted(used, 'position')} of {pool}; s.e.: standard error, from the candidates, positions held "
        "fixed; →: the largest reward"
    ]
    if clipped is not None:
        asked = ", ".join(map(str, clipped["n"]))
        said.append(f"n of {asked}: clipped to {clipped['to']}, the number of {clipped['place']}")
    if any(np.isinf(row["reward_se"]) for row in rows):
        said.append("unknown: one candidate shows no error")
    if missing:
        lacking = "candidates of both sources" if gated else "drafts"
        said.append(f"left out: {counted(missing, 'position')} without {lacking}")
    for line in (*said, *left_out_lines(left)):
        typer.echo(wrapped(line.lstrip(), " " * (len(line) - len(line.lstrip()))))
