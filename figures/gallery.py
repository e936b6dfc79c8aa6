"""The gallery: a page of the report with one figure and one paragraph for each experiment of the literature.

Its figures are those of page "gallery" (figures/figure_table.py), each drawn from the artifact of one experiment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from figures.figure_table import PageFigure, figures_of, spoken
from figures.page import page_bytes, theory_files
from figures.plot_data import Row, drawing, scalars
from figures.plots import Drawing, Files, draw_figures, inline_svg
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.workers import Pool

__all__ = ["GALLERY", "gallery_files"]

GALLERY = figures_of("gallery")


def _artifact(folder: Path, name: str) -> Artifact | None:
    path = folder / f"{name}.json"
    return read_artifact(path, name) if path.exists() else None


def _shown(entry: PageFigure, artifact: Artifact | None, drawings: Mapping[str, Drawing]) -> Row:
    if artifact is None:
        return {"entry": spoken(entry, None), "drawn": None}
    with drawing(entry.artifact):
        checked = scalars(artifact, (), ("worst_abs_z", "bonferroni_bound", "worst_p_holm", "comparisons", "passed"))
        record = artifact.provenance
        drawn = {
            "svg": Markup(inline_svg(drawings[entry.name], entry.name, entry.alt)),
            "checked": checked if checked["passed"] is not None else None,
            "simulated": artifact.summary.get("simulated") is True,
            "command": record["command"],
            "commit": record["commit"],
        }
        return {"entry": spoken(entry, artifact), "drawn": drawn}


def gallery_files(artifacts: Path, out: Path, pool: Pool) -> Files:
    """What goes to out/gallery.html, and its figures as SVG and PDF under out/figures, from the artifacts there are.

    An experiment that has not been run names its command; `pool` opens the executor that draws. Raises InputError when
    an artifact cannot be read or lacks a column.
    """
    read = {entry.artifact: _artifact(artifacts, entry.artifact) for entry in GALLERY}
    drawings, files = draw_figures(GALLERY, read, out / "figures", pool)
    shown = [_shown(entry, read[entry.artifact], drawings) for entry in GALLERY]
    with drawing():
        page = page_bytes("gallery.html.j2", {"shown": shown})
    return files | theory_files(out) | {out / "gallery.html": page}
