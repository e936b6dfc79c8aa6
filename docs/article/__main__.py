"""`make article`: compute the artifacts that are not there, fill the text, set it: docs/_build/article/article.pdf.

Artifacts are taken from --artifacts (report/artifacts, where `gsi report`, `gsi simulate` and `gsi check` leave them).
Those of minutes that are not there are computed into docs/_build/article/artifacts; of those that take longer the kept
ones stand in, and the article says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from docs.article.artifacts import NEEDS, find
from docs.article.pdf import write_pdf
from gsi_theory.errors import InputError

BUILD = Path(__file__).parents[1] / "_build" / "article"


def _compute(arguments: Sequence[str], folder: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "gsi_theory.cli", *arguments, "--out", str(folder)], stdout=subprocess.DEVNULL
    )
    if made.returncode:
        raise InputError(f"gsi {' '.join(arguments)} ended with status {made.returncode}: there is no article without")


def command(
    artifacts: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of artifacts.")] = Path("report/artifacts"),
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the article.")] = BUILD,
) -> None:
    """Build the article from artifacts."""
    computed = out / "artifacts"
    for name, need in NEEDS.items():
        if not need.long and not any((folder / f"{name}.json").exists() for folder in (artifacts, computed)):
            _compute(need.command, computed)
    typer.echo(f"wrote {write_pdf(find([artifacts, computed]), out)}")


if __name__ == "__main__":
    try:
        typer.run(command)
    except InputError as error:
        sys.exit(f"article: {error}")
