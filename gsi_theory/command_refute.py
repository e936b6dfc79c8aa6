"""`gsi refute CLAIM`: search a counterexample, shrink and certify it; `--mutants`: is every constant needed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gsi_theory.artifact import atomic_write_text, require_writable
from gsi_theory.claims import CLAIMS
from gsi_theory.errors import InputError
from gsi_theory.options import refuse_options
from gsi_theory.progress import progress_bar
from gsi_theory.refutation.card import card_json, card_latex, card_text
from gsi_theory.refutation.mutants import mutant_text, write_mutants
from gsi_theory.refutation.refute import refute

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _known(claim: str | None) -> str:
    if claim not in CLAIMS:
        raise InputError(f"claim {claim!r}: give one of {', '.join(CLAIMS)}")
    return str(claim)


@app.command()
def command(
    context: typer.Context,
    claim: Annotated[str | None, typer.Argument(help="Id of a claim, as gsi audit lists them.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every random stream.")] = 0,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Cuts the search short; below it the answer depends on the seed alone.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    latex: Annotated[Path | None, typer.Option(help="Also write the card as LaTeX (amsmath).")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the card as text; with --mutants, the artifact's path.")
    ] = None,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Tighten every constant of every true claim (or of CLAIM) instead.")
    ] = False,
) -> None:
    """Search the instance on which a claim fails, or comes closest. Exit 1 if a claim expected to hold fails."""
    if mutants:
        refuse_options(context, ("seconds", "latex"), "with --mutants: it tries all of a fixed list; leave them out")
        chosen = [_known(claim)] if claim is not None else list(CLAIMS)
        path = out or Path("report/artifacts/mutants.json")
        require_writable(path)
        with progress_bar("mutants") as report:
            rows = write_mutants(path, chosen, seed, report)
        typer.echo(json.dumps(rows) if as_json else f"{mutant_text(rows)}\nwrote {path}")
        return
    for file in (latex, out):
        if file is not None:
            require_writable(file)
    finding = refute(CLAIMS[_known(claim)], seed, seconds)
    typer.echo(json.dumps(card_json(finding), allow_nan=False) if as_json else card_text(finding))
    if latex is not None:
        atomic_write_text(latex, card_latex(finding))
    if out is not None:
        atomic_write_text(out, card_text(finding) + "\n")
    if finding.surprise:
        raise typer.Exit(1)
