"""The page of `gsi curve --page`, from artifact `curve`: figures with their numbers, and what they rest on."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from figures.page import page_bytes, theory_files
from figures.plot_curve import draw, draw_differences
from figures.plot_data import Row, distinct, drawing, rows, scalars, spread, where
from figures.plots import Files, figure_files, inline_svg
from figures.style import house_style
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["save_curve_page"]

_KNOWN = ("log", "other", "prompts", "draws", "same_prompts", "shared_prompts", "words", "difference_words")
_ALT = "Value against n of every way to select, with bands."
_MOST = 8  # values of n in a table


def _tables(artifact: Artifact, table: str) -> list[Row]:
    """A table a value: its ns, and a line a curve with a cell a n (None: silent)."""
    cells = rows(artifact, table, ("n", "mean", "low", "high"), ("title", "value", "needs_key"), may_be_empty=True)
    made: list[Row] = []
    for value in distinct(row["value"] for row in cells):
        here = where(cells, value=value)
        ns = spread(sorted(distinct(row["n"] for row in here)), _MOST)
        lines = []
        for title in distinct(row["title"] for row in here):
            by_n = {row["n"]: row for row in where(here, title=title)}
            lines.append({"title": title, "cells": [by_n.get(n) for n in ns]})
        made.append({"value": value, "heads": [f">n = {n}" for n in ns], "lines": lines})
    return made


def save_curve_page(artifact: Path, folder: Path) -> Path:
    """Draw an artifact to folder/index.html, with its figures beside it as .svg and .pdf; the page.

    Raises InputError for another file.
    """
    content = read_artifact(artifact, "curve")
    with house_style(), drawing("curve"):
        files = _files(content, folder)
    atomic_write_files(files)
    return folder / "index.html"


def _files(content: Artifact, folder: Path) -> Files:
    known = scalars(content, _KNOWN)
    svg, files = figure_files(draw(content), folder, "curve")
    drawn = [{"svg": Markup(inline_svg(svg, "curve", _ALT)), "tables": _tables(content, "curves")}]
    if content.tables["differences"]["n"]:
        svg, more = figure_files(draw_differences(content), folder, "difference")
        drawn.append({"svg": Markup(inline_svg(svg, "difference", _ALT)), "tables": _tables(content, "differences")})
        files |= more
    context = {"known": known, "figures": drawn, "same": _tables(content, "same"), "record": content.provenance}
    return files | theory_files(folder) | {folder / "index.html": page_bytes("curve.html.j2", context)}
