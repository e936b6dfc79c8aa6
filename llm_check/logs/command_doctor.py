"""`gsi doctor POOL`: what is wrong with a pool's log-probabilities, rewards and rows, with evidence and a cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from gsi_theory.runs.options import OUTPUT
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, counted, formatted, wrapped

if TYPE_CHECKING:
    from llm_check.logs.diagnosis.findings import Diagnosis
    from llm_check.logs.pools.pool import Pool

__all__ = ["app", "diagnosis_record", "left_out_lines", "left_out_record", "plain"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
FAULTS_SHOWN = 10


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: NumPy to Python, infinities to "inf" and "-inf", NaN (of bad rows) to "NaN"."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else str(value)
    return value


def diagnosis_record(found: Diagnosis, left_out: dict[str, Any], coverage: dict[str, Any]) -> dict[str, Any]:
    """The object of `gsi doctor --json`; coverage: of `coverage_record`."""
    from llm_check.logs.diagnosis.balance import FREEDOM  # slow to import

    e = found.evidence
    return plain({
        "valid": found.valid, "ratio_mean": found.ratio_mean, "ratio_mean_se": found.ratio_mean_se,
        "findings": [vars(finding) for finding in found.findings],
        "inverse_ratio_mean": e.ratio.inverse_mean, "inverse_ratio_mean_se": e.ratio.inverse_se,
        "bridge_z": e.ratio.z, "balance": None if e.balance is None else {
            "chi2": e.balance.chi2, "degrees_of_freedom": FREEDOM, "p_value": e.balance.level, "rows": e.balance.rows,
        },
        "positions": len(e.whole.names), "rows": int(e.whole.order.size),
        "sampling": {
            source: None if check is None else {
                "level": check.level, "draws": check.events, "temperature": check.temperature,
                "interval_95": list(check.interval or ()), "new_expected": check.new_expected,
                "new_drawn": check.new_seen,
            }
            for source, check in e.draws.items()
        },
        "untested": list(found.untested), "left_out": left_out, "coverage": coverage,
    })  # fmt: skip


def left_out_record(pool: Pool) -> dict[str, Any]:
    """Rows and prompts that reading left out because of bad rows."""
    from llm_check.logs.pools.pool_files import said  # slow to import

    return {
        "rows": len(pool.left_out), "prompts": pool.prompts_left_out,
        "faults": [vars(fault) | {"said": said(fault)} for fault in pool.left_out],
    }  # fmt: skip


def left_out_lines(left: dict[str, Any]) -> list[str]:
    """What was left out, in words: the count and the first bad rows; no line when nothing was."""
    if not left["rows"]:
        return []
    faults = [f"  row or line {fault['row']}{fault['said']}" for fault in left["faults"][:FAULTS_SHOWN]]
    more = left["rows"] - len(faults)
    return [
        f"left out: {counted(left['prompts'], 'prompt')} for {counted(left['rows'], 'bad row')}",
        *faults,
        *([f"  and {more:,} more: --json lists them all"] if more else []),
    ]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {_text(v)}" if isinstance(v, dict) else f"{k} = {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    return formatted(value, ".4g") if isinstance(value, float) or value in ("inf", "-inf") else str(value)


def _coverage(record: dict[str, Any]) -> Table:
    """Coverage by step, two lines each: of π_B/π_S and of the tilt."""
    table = Table("step", "of", "χ²", "≥", "D₂", "ESS", "sup", "k̂", "seen")
    for s in record["steps"]:
        for name, of, seen in (("ratio", "", ""), ("tilt", "tilted_", f"{s['tail_seen']}/{s['prompts']}")):
            numbers = (formatted(s[of + key]) for key in ("chi2", "chi2_low", "renyi2", "ess"))
            sup = "" if of else formatted(s["largest_ratio"])
            table.add_row("" if of else str(s["step"]), name, *numbers, sup, formatted(s[of + "khat"], ".2g"), seen)
    return table


def _coverage_words(record: dict[str, Any]) -> str:
    """What the columns of the coverage table are."""
    drafts = min(step["drafts"] for step in record["steps"])
    return (
        f"ratio: π_B/π_S over drafts; tilt: e^(βr)·π_B/π_S at β = {record['beta']:g}; medians over prompts of {drafts} "
        "or more drafts, of sup and k̂ the largest. χ²: variance of the weights over their squared mean; ≥: its lower "
        "bound at 95 % a prompt (no draws bound it from above); D₂: Rényi divergence of order 2, nats; ESS: effective "
        "number of drafts; sup: largest ratio seen; k̂: index of the tail (Pareto; ∞: too few drafts, -∞: the largest "
        "weights are equal, no tail); seen: prompts whose tail was seen"
    )


def _lines(record: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, what was measured) of the tests that have data."""
    lines = [("mean ratio π_B/π_S over drafts", _mean(record["ratio_mean"], record["ratio_mean_se"]))]
    inverse = _mean(record["inverse_ratio_mean"], record["inverse_ratio_mean_se"])
    lines.append(("mean ratio π_S/π_B over base", inverse))
    if (balance := record["balance"]) is not None:
        lines.append((
            "balance of the two sources",
            f"χ² {formatted(balance['chi2'])} on {balance['degrees_of_freedom']} degrees of freedom, p "
            f"{formatted(balance['p_value'], '.2g')}",
        ))  # fmt: skip
    for source, check in record["sampling"].items():
        if check is not None:
            temperature, low, high = (formatted(v, ".3f") for v in (check["temperature"], *check["interval_95"]))
            lines.append((
                f"temperature of {source}",
                f"{temperature} (95 %: {low} to {high}; 1 if right), "
                f"of {counted(check['draws'], 'draw')} at shared {check['level']} prefixes",
            ))  # fmt: skip
    return lines


def _mean(value: Any, error: Any) -> str:
    if value is None:
        return "0 draws"
    mean, spread = (formatted(v, ".4f" if abs(float(v)) < 1e4 else ".3g") for v in (value, error))
    return f"{mean} ± {spread} (1 if right)"


def _print(path: Path, record: dict[str, Any]) -> None:
    screen = console()
    size = f"{counted(record['rows'], 'row')} at {counted(record['positions'], 'position')}"
    screen.print(f"[bold]{escape(str(path))}[/bold]: {size}")
    for label, text in _lines(record):
        typer.echo(wrapped(text, f"  {label:<32}"))
    if record["coverage"]["steps"]:
        screen.print(_coverage(record["coverage"]))
        typer.echo(wrapped(_coverage_words(record["coverage"]), "  "))
    for finding in record["findings"]:
        color = "red" if finding["severity"] == "error" else "yellow"
        screen.print(f"[{color}]{finding['severity']}: {finding['id']}[/{color}]")
        typer.echo(wrapped(_text(finding["evidence"]), "  "))
        typer.echo(wrapped(f"cure: {finding['advice']}", "  ", "    "))
    for line in record["untested"]:
        typer.echo(wrapped(f"untested: {line}", rest="  "))
    for line in left_out_lines(record["left_out"]):
        typer.echo(wrapped(line.lstrip(), " " * (len(line) - len(line.lstrip()))))
    screen.print("valid" if record["valid"] else "not valid: no plan or prediction can rest on this pool")


@app.command()
def command(
    pool: Annotated[Path, typer.Argument(metavar="POOL", help="Pool: .parquet, or .jsonl with one candidate a line.")],
    beta: Annotated[float, typer.Option(metavar="NUMBER", help="β of the coverage table.")] = 5.0,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a bad row instead of leaving its prompt out.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; infinity is the string inf.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Self-checks of a pool: mean ratios (M32), draws against their log-probabilities (M34), rows, rewards; coverage.

    Exit status 0 whether or not something is found: the answer is in "valid" and "findings"; 2 for a bad file.
    """
    # slow to import
    from llm_check.logs.diagnosis.findings import doctor
    from llm_check.logs.diagnosis.step_coverage import coverage_record
    from llm_check.logs.pools.pool import read_pool

    data = read_pool(pool, strict=strict)
    with progress_bar("coverage") as report:
        coverage = coverage_record(data, beta, report)
    record = diagnosis_record(doctor(data), left_out_record(data), coverage)
    if as_json:
        typer.echo(json.dumps(record, allow_nan=False, default=str))
        return
    _print(pool, record)
