"""The report's figures as SVG and PDF, for files and for pages."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from figures.figure_table import figures_of
from figures.plot_data import drawing
from figures.style import house_style
from gsi_theory.runs.artifact import Artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = [
    "FIGURES",
    "Files",
    "draw_figures",
    "figure_files",
    "inline_svg",
    "render_svg",
    "save_figures",
]

# Path to content, for files that are written together.
Files = dict[Path, bytes]


FIGURES = figures_of("report")


def render_svg(figure: Figure) -> str:
    """The figure as SVG text; the bytes depend on what is drawn alone."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def inline_svg(svg: str, prefix: str, label: str) -> str:
    """SVG for a page that holds several: no prologue or size, ids made unique by `prefix`, `label` as its name."""
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body).replace("url(#", f"url(#{prefix}-")
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{label}">{rest}'


def _render_pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return buffer.getvalue()


def figure_files(figure: Figure, folder: Path, name: str) -> tuple[str, Files]:
    """The figure's SVG text, and what goes to folder/NAME.svg and folder/NAME.pdf. Within `house_style`."""
    svg = render_svg(figure)
    # rendering has placed everything; the PDF keeps these places
    figure.set_layout_engine("none")
    return svg, {folder / f"{name}.svg": svg.encode(), folder / f"{name}.pdf": _render_pdf(figure)}


def draw_figures(artifacts: Mapping[str, Artifact | None], folder: Path) -> tuple[dict[str, str], Files]:
    """Every figure whose artifact is there: the SVG texts by name, and the SVG and PDF files for `folder`.

    Raises InputError naming the artifact that no figure can be drawn from.
    """
    texts: dict[str, str] = {}
    files: Files = {}
    with house_style():
        for entry in FIGURES:
            artifact = artifacts.get(entry.artifact)
            if artifact is None:
                continue
            with drawing(entry.artifact):
                texts[entry.name], made = figure_files(entry.draw(artifact), folder, entry.name)
            files |= made
    return texts, files


def save_figures(artifacts: Mapping[str, Artifact | None], folder: Path) -> tuple[dict[str, str], list[Path]]:
    """Draw every figure whose artifact is there into `folder` as SVG and PDF; the SVG texts and the paths."""
    texts, files = draw_figures(artifacts, folder)
    atomic_write_files(files)
    return texts, list(files)
