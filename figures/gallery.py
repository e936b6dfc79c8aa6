"""The gallery: a page of the report with one figure and one paragraph for each experiment of the literature.

Its figures are those of page "gallery" (figures/figure_table.py), each drawn from the artifact of one experiment.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from figures.figure_table import PageFigure, figures_of, spoken
from figures.plot_data import Row, drawing, scalars
from figures.plots import Files, figure_files, inline_svg
from figures.style import house_style, number
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["GALLERY", "build_gallery", "gallery_files"]

GALLERY = figures_of("gallery")


def _artifact(folder: Path, name: str) -> Artifact | None:
    path = folder / f"{name}.json"
    return read_artifact(path, name) if path.exists() else None


def _drawn(entry: PageFigure, artifact: Artifact | None, folder: Path) -> tuple[Row, Files]:
    if artifact is None:
        return {"entry": spoken(entry, None), "drawn": None}, {}
    with drawing(entry.name), house_style():
        svg, files = figure_files(entry.draw(artifact), folder, entry.name)
        checked = scalars(artifact, (), ("worst_abs_z", "bonferroni_bound", "comparisons", "passed"))
        record = artifact.provenance
        drawn = {
            "svg": Markup(inline_svg(svg, entry.name, entry.alt)),
            "checked": checked if checked["passed"] is not None else None,
            "command": record["command"],
            "commit": record["commit"],
        }
        return {"entry": spoken(entry, artifact), "drawn": drawn}, files


def gallery_files(artifacts: Path, out: Path) -> Files:
    """What goes to out/gallery.html, and its figures as SVG and PDF under out/figures, from the artifacts there are.

    An experiment that has not been run names its command. Raises InputError when an artifact cannot be read or lacks a
    column.
    """
    shown: list[Row] = []
    files: Files = {}
    for entry, artifact in [(entry, _artifact(artifacts, entry.artifact)) for entry in GALLERY]:
        row, made = _drawn(entry, artifact, out / "figures")
        shown.append(row)
        files |= made
    environment = Environment(
        loader=PackageLoader("figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["num"] = number
    with drawing():
        page = environment.get_template("gallery.html.j2").render(shown=shown)
    return files | {out / "gallery.html": page.encode("utf-8", "backslashreplace")}


def build_gallery(artifacts: Path, out: Path) -> Path:
    """Write out/gallery.html and its figures (`gallery_files`), all or none; the page."""
    atomic_write_files(gallery_files(artifacts, out))
    return out / "gallery.html"
