"""`gsi import LOG... --out OUT.parquet --from FORMAT`: the logs people have, as a log of one model or two."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import require_writable
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import OUTPUT, JsonOption
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import counted, wrapped
from gsi_theory.types import Record

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_TABLE = "Reading a table, and fields that a format does not know"
_TRUST = "What is missing, and what is known of the draws"


def _formats() -> list[str]:
    from llm_check.logs.formats.load_format import FORMATS  # slow to import

    return list(FORMATS)


@app.command()
def command(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Logs of one run, in any order.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Log to write (.parquet).", rich_help_panel=OUTPUT)
    ],
    from_format: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="vllm, sglang, openai, tgi, search-and-learn, monkeys, lm-eval, inspect, every-eval-ever, human-eval, "
            "rsd, its-hub; or table, for anything else by --map.",
            autocompletion=_formats,
        ),
    ] = "table",
    pick: Annotated[
        str | None, typer.Option("--pick", metavar="NAME", help="Scorer or filter to read (default: the first).")
    ] = None,
    aggregate: Annotated[
        str,
        typer.Option(metavar="NAME", help="One reward of the scores of steps: last, min, product or average."),
    ] = "last",
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=THEIRS",
            help="Where a field is found: FIELD=THEIRS[:CONVERSION,...]; dots and numbers go into objects and lists "
            "(scores.0.-1); repeatable, see llm_check.logs.formats.field_maps.",
            rich_help_panel=_TABLE,
        ),
    ] = None,
    explode: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="Parallel lists, a draw of each place.", rich_help_panel=_TABLE),
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option(metavar="N,CORRECT", help="Fields with how many draws, how many right.", rich_help_panel=_TABLE),
    ] = None,
    reward_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--reward-range", metavar="LOW HIGH", help="Lowest and highest reward.", rich_help_panel=_TABLE),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            metavar="CHOICE", help="Rewards that failed: drop-row, worst or drop-prompt.", rich_help_panel=_TRUST
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Leave prompts of bad lines out, counted, not stop at the first.", rich_help_panel=_TRUST
        ),
    ] = False,
    facts: Annotated[
        list[str] | None,
        typer.Option(
            "--fact",
            metavar="NAME=VALUE",
            help="temperature, top_p, top_k, min_p, engine, version, model, base_model, logprobs (raw, processed), "
            "seed, iid (true, false), how; repeatable.",
            rich_help_panel=_TRUST,
        ),
    ] = None,
    not_iid: Annotated[
        bool,
        typer.Option("--not-iid", help="Take dependent draws, marked; nothing is recommended.", rich_help_panel=_TRUST),
    ] = False,
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Keep texts and tokens.", rich_help_panel=OUTPUT)
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Import logs of engines and benches: one row a draw, checked, with what is known of the draws in the file.

    A log is of one model (rewards, grades or answers of its draws), or of two where both scored them.
    """
    # slow to import
    from llm_check.logs.formats.declared_facts import parse_facts
    from llm_check.logs.formats.field_maps import parse_maps
    from llm_check.logs.formats.log_import import ImportChoices, import_log

    totals = tuple(counts.split(",")) if counts else ()
    if counts and (len(totals) != 2 or not all(totals)):
        raise InputError(f"--counts {counts!r}: name two fields, N,CORRECT")
    choices = ImportChoices(
        from_format,
        tuple(parse_maps(maps or [])),
        tuple(name for name in (explode or "").split(",") if name),
        (totals[0], totals[1]) if counts else None,
        pick,
        aggregate,
        missing,
        parse_facts(facts or []),
        not_iid,
        skip_bad,
        reward_range,
        text,
    )
    require_writable(out)
    with progress_bar("import") as report:
        log = import_log(logs, out, choices, report)
    record: Record = {
        "out": str(out),
        "models": log.models,
        "rows": log.table.num_rows,
        "draws": log.draws,
        "prompts": log.prompts,
        "values": log.values,
        **{name: log.metadata.get(name) for name in ("facts", "missing", "left_out", "notes")},
    }
    if as_json:
        typer.echo(answer("import", record))
        return
    for line in _lines(record):
        typer.echo(wrapped(line, rest="  "))


def _lines(record: Record) -> list[str]:
    """What was written, and what to know of it."""
    draws, prompts, rows = counted(record["draws"], "draw"), counted(record["prompts"], "prompt"), record["rows"]
    models = "one model" if record["models"] == 1 else "two models"
    lines = [
        f"wrote {record['out']}: {draws} of {prompts}, {models}" + (f", {rows:,} rows" * (rows != record["draws"]))
    ]
    if (left := record["left_out"]) is not None:
        lines.append(f"left out: {counted(left['prompts'], 'prompt')} for {counted(left['rows'], 'bad row')}")
    if (missing := record["missing"]) is not None:
        names = " and ".join(f"{missing[name]:,} {name}" for name in ("reward", "correct") if name in missing)
        lines.append(f"missing: {names}; {missing['choice'] or 'kept as not graded'}")
    lines += [f"note: {note}" for note in record["notes"] or ()]
    if record["draws"] == record["prompts"] and record["draws"] > 1:
        lines.append("note: 1 draw a prompt; where several lines are draws of one prompt, --map prompt_id=FIELD")
    if not record["values"]:
        lines.append("note: no reward, correct or answer to choose by: --map reward=FIELD, or grade the texts")
    if record["facts"].get("iid") is False:
        lines.append(f"not independent draws ({record['facts'].get('how')}): nothing is recommended from this file")
    return lines
