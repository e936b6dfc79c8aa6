"""`gsi refute`: lists the claims, or searches, shrinks and certifies a counterexample to one; `--mutants`: is every
constant needed?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.claims import CLAIMS, Claim
from gsi_theory.claims.plain_text import plain_text
from gsi_theory.errors import InputError
from gsi_theory.refutation.card import card_json, card_latex, card_text
from gsi_theory.refutation.refute import Refutation, refute
from gsi_theory.refutation.tightened import mutant_text, write_mutants
from gsi_theory.runs.json_output import answer
from gsi_theory.runs.options import OUTPUT, RUN, refuse_options
from gsi_theory.runs.output import atomic_write_files, require_writable
from gsi_theory.runs.progress import progress_bar
from gsi_theory.runs.terminal import columns, wrapped
from gsi_theory.runs.user_file import guarded, load_member, names_file

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _listed() -> str:
    """Every claim: id, what is expected of it, statement."""
    wide = max(map(len, CLAIMS)) + 2
    lines = []
    for claim in CLAIMS.values():
        head, text = f"{claim.id:<{wide}}{claim.expected!s:<9}", plain_text(claim.statement)
        lines.append(head + text if len(head + text) <= columns() else f"{head.rstrip()}\n{wrapped(text, '    ')}")
    words = (
        f"{len(CLAIMS)} claims, and what they are expected to do: HOLDS, or REFUTED where a reading in circulation is "
        "false. Numbers (M7 of M7-tv) and letters are those of gsi_theory/THEORY.md. gsi refute CLAIM searches one."
    )
    return "\n".join([*lines, "", wrapped(words)])


def _records() -> dict[str, list[dict[str, str]]]:
    keys = ("id", "expected", "statement")
    return {"claims": [{key: str(getattr(claim, key)) for key in keys} for claim in CLAIMS.values()]}


def _refuted(name: str, seed: int, seconds: float) -> Refutation:
    """The search on a claim of the table, or on a user's own; InputError where one of its functions raises."""
    if not names_file(name):
        return refute(CLAIMS[name], seed, seconds)
    return guarded(name, refute, ": judging it")(load_member(name, Claim), seed, seconds, member=name)


@app.command()
def command(
    context: typer.Context,
    claim: Annotated[
        str | None,
        typer.Argument(
            metavar="CLAIM",
            help="Claim, or your own as FILE.py:NAME; without it they are listed.",
            autocompletion=lambda: list(CLAIMS),
        ),
    ] = None,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Tighten every constant of every true claim (or of CLAIM) instead.")
    ] = False,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Seed of every random stream.", rich_help_panel=RUN)
    ] = 0,
    seconds: Annotated[
        float,
        typer.Option(
            metavar="NUMBER",
            min=0.1,
            help="Cuts the search short; below it the answer depends on the seed alone.",
            rich_help_panel=RUN,
        ),
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)] = False,
    latex: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the card as LaTeX (amsmath).", rich_help_panel=OUTPUT),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write the card as text; with --mutants, the artifact's path.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
) -> None:
    """Search the instance on which a claim fails, or comes closest. Exit status 1: a claim that should hold fails."""
    if claim is None and not mutants:
        refuse_options(context, ("seed", "seconds", "out", "latex"), "without a claim: name one, or give --mutants")
        typer.echo(answer("claims", _records()) if as_json else _listed())
        return
    if mutants:
        refuse_options(context, ("seconds", "latex"), "with --mutants: it tries all of a fixed list; leave them out")
        if claim is not None and names_file(claim):
            raise InputError(f"--mutants with {claim}: it tightens claims of the table; name one, or leave it out")
        chosen = [CLAIMS[claim].id] if claim is not None else list(CLAIMS)
        path = out or Path("report/artifacts/mutants.json")
        require_writable(path)
        with progress_bar("mutants") as report:
            rows = write_mutants(path, chosen, seed, report)
        typer.echo(answer("mutants", {"mutants": rows}) if as_json else f"{mutant_text(rows)}\nwrote {path}")
        return
    if out is not None and out == latex:
        raise InputError(f"--out and --latex are both {out}: name two files")
    for file in (latex, out):
        if file is not None:
            require_writable(file)
    finding = _refuted(str(claim), seed, seconds)
    texts = ((latex, card_latex(finding)), (out, card_text(finding) + "\n"))
    atomic_write_files({file: text.encode() for file, text in texts if file is not None})
    typer.echo(answer("refute", card_json(finding)) if as_json else card_text(finding))
    if finding.surprise:
        raise typer.Exit(1)
