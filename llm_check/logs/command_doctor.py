"""`gsi doctor LOG`: what is wrong with a log's log-probabilities, rewards and rows, with evidence and a cure; and what
its weights may be used for. The figure (`--page`) is drawn by `figures`, called by name."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from gsi_theory.errors import InputError
from gsi_theory.runs.options import OUTPUT
from gsi_theory.runs.output import require_writable
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import console, counted, formatted, wrapped
from gsi_theory.types import Json, Record

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _text(value: Json) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {_text(v)}" if isinstance(v, dict) else f"{k} = {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    return formatted(value, ".4g") if isinstance(value, float) or value in ("inf", "-inf") else str(value)


def _khat(value: Json, draws: int) -> str:
    return f"not fitted ({counted(draws, 'draw')})" if value is None else formatted(value, ".2g")


def _coverage(record: Record) -> Table:
    """Coverage by step, two lines each: of π_B/π_S and of the tilt."""
    table = Table("step", "of", "χ²", "≥", "D₂", "ESS", "sup", "k̂", "seen")
    for s in record["steps"]:
        for name, of, seen in (("ratio", "", ""), ("tilt", "tilted_", f"{s['tail_seen']}/{s['prompts']}")):
            numbers = (formatted(s[of + key]) for key in ("chi2", "chi2_low", "renyi2", "ess"))
            sup, khat = "" if of else formatted(s["largest_ratio"]), s[of + "khat"]
            tail = "–" if khat is None else formatted(khat, ".2g")
            table.add_row("" if of else str(s["step"]), name, *numbers, sup, tail, seen)
    return table


def _coverage_words(record: Record) -> str:
    """What the columns of the coverage table are."""
    drafts = min(step["drafts"] for step in record["steps"])
    fewest = min((s["draws"] for s in record["steps"] if None in (s["khat"], s["tilted_khat"])), default=None)
    unfitted = "" if fewest is None else f"–: {_khat(None, fewest)}, "
    return (
        f"ratio: π_B/π_S over both sources; tilt: e^(βr)·π_B/π_S over drafts at β = {record['beta']:g}; medians over "
        f"prompts of {drafts} or more drafts. χ²: variance of the weights over their squared mean; ≥: its lower bound "
        "at 95 % a prompt (no draws bound it from above); D₂: Rényi divergence of order 2, log(1 + χ²), nats; ESS: "
        "effective number of drafts; sup: the largest ratio is this at least; k̂: index of the tail of all prompts' "
        f"weights together (Pareto; {unfitted}∞: too wide to fit, -∞: the largest weights are equal, no tail); seen: "
        "prompts whose tail was seen"
    )


def _kl(step: Record) -> str:
    """Both directions of KL where there are base draws, a step and a token."""
    parts = []
    for name, key in (("KL(π_S‖π_B)", "kl_draft"), ("KL(π_B‖π_S)", "kl_base")):
        if step[key] is not None:
            token = step[key + "_token"]
            parts.append(f"{name} {formatted(step[key])}" + ("" if token is None else f", {formatted(token)} a token"))
    return "; ".join(parts) + ", nats"


def _lengths(rows: Sequence[Record]) -> Table:
    """By the length of a step."""
    table = Table("tokens", "KL", "χ²", "ESS", "k̂", "n ≤", "β ≤")
    for row in rows:
        khat = "–" if row["khat"] is None else formatted(row["khat"], ".2g")
        most = ("–" if row[key] is None else formatted(row[key], "g") for key in ("n_max", "beta"))
        table.add_row(str(row["tokens"]), *(formatted(row[key]) for key in ("kl", "chi2", "ess")), khat, *most)
    return table


_LENGTH_WORDS = (
    "the first tokens of every draft, as drafts of a step of that length (M44); KL: of the draft from the base, nats; "
    "χ², ESS: medians over positions; k̂: of all together (–: not fitted, or equal ratios); n ≤, β ≤: the most that may "
    "be used, rewards being those of the whole drafts (–: none)"
)


def _lines(record: Record) -> list[tuple[str, str]]:
    """(label, what was measured) of the tests that have data."""
    if record["models"] == 1:
        return [("models", "one: no ratio to check")]
    base = record["rows"] - record["drafts"]
    lines = [
        ("mean ratio π_B/π_S over drafts", _mean(record["ratio_mean"], record["ratio_mean_se"], record["drafts"])),
        ("mean ratio π_S/π_B over base", _mean(record["inverse_ratio_mean"], record["inverse_ratio_mean_se"], base)),
    ]
    if (balance := record["balance"]) is not None:
        chi2, level = formatted(balance["chi2"]), formatted(balance["p_value"], ".2g")
        text = f"χ² {chi2} on {balance['degrees_of_freedom']} degrees of freedom, p {level}"
        lines.append(("balance of the two sources", text))
    steps = record["coverage"]["steps"] if record["coverage"] and record["valid"] else []
    lines += [(f"KL of step {s['step']}" if len(steps) > 1 else "KL of a step", _kl(s)) for s in steps]
    for source, check in record["sampling"].items():
        if check is not None:
            temperature, low, high = (formatted(v, ".3f") for v in (check["temperature"], *check["interval_95"]))
            draws = f"{counted(check['draws'], 'draw')} at shared {check['level']} prefixes"
            text = f"{temperature} (95 %: {low} to {high}; 1 if right), of {draws}"
            lines.append((f"temperature of {source}", text))
    return lines


def _mean(value: Json, error: Json, draws: int) -> str:
    if value is None:
        return "above a million: no right log has that" if draws else "0 draws"
    mean, spread = (formatted(v, ".4f" if abs(float(v)) < 1e4 else ".3g") for v in (value, error))
    return f"{mean} ± {spread} (1 if right)"


def _print(path: str, record: Record) -> None:
    from llm_check.logs.pools.pool_files import left_out_lines  # slow to import

    screen = console()
    size = f"{counted(record['rows'], 'row')} at {counted(record['positions'], 'position')}"
    screen.print(f"[bold]{escape(str(path))}[/bold]: {size}{_drawn(record)}")
    for label, text in _lines(record):
        typer.echo(wrapped(text, f"  {label:<32}"))
    if record["valid"] and record["models"] == 2 and record["coverage"]["steps"]:
        screen.print(_coverage(record["coverage"]))
        typer.echo(wrapped(_coverage_words(record["coverage"]), "  "))
    if "lengths" in record:
        screen.print(_lengths(record["lengths"]))
        typer.echo(wrapped(_LENGTH_WORDS, "  "))
    for finding in record["findings"]:
        color = "red" if finding["severity"] == "error" else "yellow"
        screen.print(f"[{color}]{finding['severity']}: {finding['id']}[/{color}]")
        typer.echo(wrapped(_text(finding["evidence"]), "  "))
        typer.echo(wrapped(f"cure: {finding['advice']}", "  ", "    "))
    for line in record["untested"]:
        typer.echo(wrapped(f"untested: {line}", rest="  "))
    for line in left_out_lines(record["left_out"]):
        typer.echo(wrapped(line.lstrip(), " " * (len(line) - len(line.lstrip()))))
    for line in _verdict(record):
        typer.echo(wrapped(line, rest="  "))


def _drawn(record: Record) -> str:
    """Who drew the rows, where that is less than two models."""
    if record["models"] == 1:
        return ", of one model"
    if record["drafts"] in (0, record["rows"]):
        return ", drafts only" if record["drafts"] else ", base draws only"
    return ""


def _verdict(record: Record) -> list[str]:
    """What the numbers and what the weights are good for, in words."""
    supports = record["supports"]
    if not record["valid"] and record["models"] == 1:
        return ["draws: not valid, no curve, plan or prediction can rest on them"]
    if not record["valid"]:
        return ["numbers: not valid, they do not belong to the draws; weights: no plan or prediction can rest on them"]
    wrong = "" if record["findings"] else "nothing wrong found; "
    if supports["ess"] is None:
        return [f"{wrong}{supports['reason']}"]
    effective = f"{formatted(supports['ess'], '.2g')} effective drafts, k̂ {_khat(supports['khat'], record['drafts'])}"
    tokens = supports["length_max"]
    use = "may be used" if supports["usable"] else "cannot be used"
    if tokens is not None:
        effective += f"; steps of up to {counted(tokens, 'token')} may be used"
    return [f"{wrong}numbers: valid; weights: {use} {supports['reason']} ({effective})"]


def _explained(identity: str) -> str:
    """The paragraph of a finding; of an unknown one InputError lists all, the nearest names first."""
    from llm_check.logs.pools.findings import FINDINGS  # slow to import

    rules = {rule.id: rule for rule in FINDINGS}
    if identity not in rules:
        ids = sorted(rules, key=lambda name: -SequenceMatcher(None, identity.lower(), name).ratio())
        raise InputError(f"no finding {identity!r}; nearest first: {', '.join(ids)}")
    rule = rules[identity]
    parts = [("cause", rule.explanation.cause), ("looks like", rule.explanation.picture)]
    parts += [("settings", rule.explanation.setting), ("cure", rule.advice)]
    lines = [wrapped(f"{name}: {text}", "  ", "    ") for name, text in parts]
    return "\n".join([f"{rule.severity}: {rule.id}", *lines])


@app.command()
def command(
    pool: Annotated[
        str | None,
        typer.Argument(
            metavar="LOG",
            help="Log of two models or one: .parquet or .jsonl with one candidate a line, or a folder, glob or URL of "
            "them.",
        ),
    ] = None,
    beta: Annotated[
        float, typer.Option(metavar="NUMBER", help="β of the coverage table, and at which weights are to be used.")
    ] = 5.0,
    n: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="n at which they are to be used (default: the largest).")
    ] = None,
    lengths: Annotated[
        bool, typer.Option("--lengths", help="Also by the length of a step in tokens: how long may it be?")
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="POOL", help="Another pool in the figure, of another draft; repeatable."),
    ] = None,
    explain: Annotated[
        str | None,
        typer.Option("--explain", metavar="ID", help="What a finding means: cause, picture, settings, cure."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at a bad row instead of leaving its prompt out.")
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --lengths: write step_length.json, and its figure as .svg and .pdf, to this folder.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; infinity is the string inf.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Self-checks of a log: mean ratios (M32, M45), draws against their log-probabilities (M34), rows, rewards, and
    coverage. A log of one model gets the checks that need no log-probabilities.

    Exit status 0 whether or not something is found: the answer is in "valid", "supports" and "findings"; 2 for a bad
    file.
    """
    from llm_check.logs.pools.diagnosis import doctor  # slow to import

    if explain is not None:
        typer.echo(_explained(explain))
        return
    if pool is None:
        raise InputError("no log: give the path of one, or --explain ID")
    if page is not None and not lengths:
        raise InputError("--page draws what --lengths computes: give both")
    if beside and page is None:
        raise InputError("--beside names further pools of the figure: give --page FOLDER too")
    if page is not None:
        for name in FILES:
            require_writable(page / name)
    with progress_bar("coverage") as report:
        record = doctor(pool, beta, strict, report, n, lengths).record()
    if page is not None:
        _draw(page, [Path(pool), *(beside or [])], record["lengths"], beta, strict, as_json)
    if as_json:
        typer.echo(json.dumps(record, allow_nan=False, default=str))
        return
    _print(pool, record)


FILES = ("step_length.json", "step_length.svg", "step_length.pdf")


def _draw(page: Path, pools: Sequence[Path], rows: Json, beta: float, strict: bool, as_json: bool) -> None:
    """The artifact of every pool's lengths and, by `figures`, called by name, its figure."""
    from llm_check.logs.pools.length_artifact import write_lengths  # slow to import

    made = write_lengths(page / FILES[0], pools, rows, beta, strict)
    drawn = importlib.import_module("figures.length_files").save_step_length(made, page)
    typer.echo(f"wrote {drawn}", err=as_json)
