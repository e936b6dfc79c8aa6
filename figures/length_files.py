"""The files of `gsi doctor --lengths --page`: the figure of artifact `step_length` as SVG and PDF."""

from __future__ import annotations

from pathlib import Path

from figures.plot_data import drawing
from figures.plot_step_length import draw
from figures.plots import figure_files
from figures.style import house_style
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["save_step_length"]


def save_step_length(artifact: Path, folder: Path) -> Path:
    """Draw an artifact's figure to folder/step_length.svg and .pdf; returns the first. InputError for another file."""
    content = read_artifact(artifact, "step_length")
    with house_style(), drawing("step_length"):
        files = figure_files(draw(content), folder, "step_length")[1]
    atomic_write_files(files)
    return folder / "step_length.svg"
