"""Tutorials that no build of the site runs, as they need a real model, a server or a cluster: their outputs are kept.

`python -m docs.kept_tutorials [NAME...]` runs the code cells of docs/tutorials/NAME.md and writes NAME.ipynb beside it,
text and code as they are there and what was printed and drawn below; the site shows that file. Where only the text
changed, nothing is run (`--run` does all the same). What a tutorial needs, its page says.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gsi_theory.runs.output import atomic_write_text
from gsi_theory.types import Record

__all__ = ["KEPT", "Cell", "cells_of", "is_current", "main"]

TUTORIALS = Path(__file__).parent / "tutorials"
KEPT = ("real_model", "production", "cluster")
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_BLOCK = re.compile(r"^```\{code-cell\}[^\n]*\n((?::[^\n]*\n)*)\n*(.*?)\n```$", re.MULTILINE | re.DOTALL)
_TAGS = re.compile(r"^:tags: \[(.*)\]$", re.MULTILINE)
# seconds that a cell may take
_LONGEST = 3600

Cell = tuple[str, str, tuple[str, ...]]  # "markdown" or "code", its text, its tags


def cells_of(name: str) -> list[Cell]:
    """The cells of a page, text between code as one."""
    text = _FRONT.sub("", (TUTORIALS / f"{name}.md").read_text(encoding="utf-8"))
    cells: list[Cell] = []
    at = 0
    for block in _BLOCK.finditer(text):
        tags = tuple(tag.strip() for options in _TAGS.findall(block[1]) for tag in options.split(","))
        cells += [("markdown", text[at : block.start()].strip(), ()), ("code", block[2], tags)]
        at = block.end()
    cells.append(("markdown", text[at:].strip(), ()))
    return [cell for cell in cells if cell[1]]


def _notebook(name: str) -> Record | None:
    path = TUTORIALS / f"{name}.ipynb"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _kept_code(notebook: Record) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def is_current(name: str) -> bool:
    """Whether the outputs that are kept are those of the code that stands on the page today."""
    notebook = _notebook(name)
    return notebook is not None and _kept_code(notebook) == [text for kind, text, _ in cells_of(name) if kind == "code"]


def _as_notebook(name: str, outputs: Sequence[list[Record]]) -> Record:
    left = iter(enumerate(outputs, start=1))
    cells: list[Record] = []
    for place, (kind, text, tags) in enumerate(cells_of(name)):
        cell: Record = {"id": f"cell-{place}", "cell_type": kind, "metadata": {"tags": list(tags)} if tags else {}}
        cell["source"] = text.splitlines(keepends=True)
        if kind == "code":
            cell["execution_count"], cell["outputs"] = next(left)
        cells.append(cell)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def _played(name: str) -> list[list[Record]]:
    """What each code cell prints and draws when the page is run. Raises what a cell does; ValueError for a warning."""
    import nbformat
    from nbclient import NotebookClient

    code = [text for kind, text, _ in cells_of(name) if kind == "code"]
    book = nbformat.reads(json.dumps(_as_notebook(name, [[] for _ in code])), as_version=4)

    def heard(cell: Any, cell_index: int, execute_reply: Record) -> None:
        said = [each for each in cell.outputs if each.get("name") == "stderr"]
        if said and "remove-stderr" not in cell.metadata.get("tags", ()):
            raise ValueError(f"{name}: a cell writes to stderr: {said[0]['text']}")
        cell.outputs = [each for each in cell.outputs if each not in said]

    place = {"metadata": {"path": TUTORIALS}}
    NotebookClient(book, timeout=_LONGEST, kernel_name="python3", resources=place, on_cell_executed=heard).execute()
    outputs = [cell["outputs"] for cell in json.loads(nbformat.writes(book))["cells"] if cell["cell_type"] == "code"]
    # how many objects a cell drew before is no part of what it shows
    return [[{key: value for key, value in each.items() if key != "execution_count"} | _counted(each, place)
             for each in cell] for place, cell in enumerate(outputs, start=1)]  # fmt: skip


def _counted(output: Record, place: int) -> Record:
    return {"execution_count": place} if output["output_type"] == "execute_result" else {}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the kept outputs of the named tutorials again."""
    parser = argparse.ArgumentParser(
        "python -m docs.kept_tutorials", description="Run tutorials whose outputs are kept."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(KEPT)} (default: all)")
    parser.add_argument("--run", action="store_true", help="run them though only text changed")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in KEPT]
    if unknown:
        parser.error(f"no kept tutorial {unknown[0]!r}: give {', '.join(KEPT)}")
    for name in options.names or KEPT:
        notebook = _notebook(name)
        if notebook is not None and is_current(name) and not options.run:
            outputs = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
        else:
            outputs = _played(name)
        text = json.dumps(_as_notebook(name, outputs), ensure_ascii=False, indent=1) + "\n"
        atomic_write_text(TUTORIALS / f"{name}.ipynb", text)
        print(f"docs/tutorials/{name}.ipynb", file=sys.stderr)


if __name__ == "__main__":
    main()
