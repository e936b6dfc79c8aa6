"""`gsi figures`: the figures and the page, from artifacts already computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def command(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the report.")] = Path("report"),
    artifacts: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the artifacts (default: OUT/artifacts).")
    ] = None,
) -> None:
    """Draw every figure (SVG and PDF) and the page OUT/index.html; nothing is computed."""
    from figures.report import build_report  # slow to import

    typer.echo(f"wrote {build_report(artifacts or out / 'artifacts', out)}")
