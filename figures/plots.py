"""The report's figures as SVG and PDF, for files and for pages."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from figures.figure_table import PageFigure, figures_of
from figures.narrow import stack_panels
from figures.plot_data import drawing
from figures.style import house_style
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import Artifact
from gsi_theory.runs.workers import Pool

__all__ = [
    "FIGURES",
    "Drawing",
    "Files",
    "draw_figures",
    "figure_files",
    "inline_svg",
    "render_svg",
]

# Path to content, for files that are written together.
Files = dict[Path, bytes]


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG for wide and for narrow screens."""

    wide: str
    narrow: str


FIGURES = figures_of("report")


def render_svg(figure: Figure) -> str:
    """The figure as SVG text; the bytes depend on what is drawn alone."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def inline_svg(drawing: Drawing, prefix: str, label: str) -> str:
    """The drawing for a page that holds several: for wide screens, and of class "narrow" for narrow ones."""
    return _inline(drawing.wide, prefix, label) + _inline(drawing.narrow, f"{prefix}-narrow", label, "narrow")


def _inline(svg: str, prefix: str, label: str, kind: str = "wide") -> str:
    """SVG without prologue or size, coordinates of two digits, ids made unique by `prefix`, `label` as its name."""
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body).replace("url(#", f"url(#{prefix}-")
    # a hundredth of a point is finer than any screen
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} class="{kind}" role="img" aria-label="{label}">{rest}'


def _render_pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return buffer.getvalue()


def figure_files(figure: Figure, folder: Path, name: str) -> tuple[Drawing, Files]:
    """The figure for pages, and what goes to folder/NAME.svg and folder/NAME.pdf. Within `house_style`.

    The figure is laid out anew, in place.
    """
    svg = render_svg(figure)
    # rendering has placed everything; the PDF keeps these places
    figure.set_layout_engine("none")
    files = {folder / f"{name}.svg": svg.encode(), folder / f"{name}.pdf": _render_pdf(figure)}
    stack_panels(figure)
    return Drawing(svg, render_svg(figure)), files


def _drawn(entry: PageFigure, artifact: Artifact, folder: Path) -> tuple[Drawing, Files]:
    with drawing(entry.artifact), house_style():
        return figure_files(entry.draw(artifact), folder, entry.name)


def draw_figures(
    figures: Iterable[PageFigure], artifacts: Mapping[str, Artifact | None], folder: Path, pool: Pool
) -> tuple[dict[str, Drawing], Files]:
    """Those figures whose artifact is there, by the executor of `pool`: the drawings by name, and the SVG and PDF
    files for `folder`.

    Raises InputError naming the artifact that no figure can be drawn from.
    """
    there = [(entry, artifact) for entry in figures if (artifact := artifacts.get(entry.artifact)) is not None]
    try:
        with pool(len(there)) as executor:
            jobs = {entry.name: executor.submit(_drawn, entry, artifact, folder) for entry, artifact in there}
            drawn = {name: job.result() for name, job in jobs.items()}
    except BrokenExecutor as error:
        raise InputError("a process that drew figures died: free some memory, and run gsi figures") from error
    return {name: shown for name, (shown, _) in drawn.items()}, {
        path: content for _, files in drawn.values() for path, content in files.items()
    }
