"""Every sampler against its exact law: the largest |z| of each cell, by kind, below the Bonferroni bound."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows, scalars
from figures.small_multiples import key_below, panels
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """One mark a cell: its largest |z| against its number of comparisons."""
    cells = rows(artifact, "cells", ("n", "comparisons", "max_abs_z"), ("kind", "method"))
    summary = scalars(artifact, ("bonferroni_bound", "draws_per_cell"))
    kinds = distinct(c["kind"] for c in cells)
    figure, grid = panels(len(kinds), 2.7)
    for axes, kind in zip(grid, kinds, strict=True):
        own = sorted((c for c in cells if c["kind"] == kind), key=lambda c: c["max_abs_z"])
        axes.plot([(i + 0.5) / len(own) for i in range(len(own))], [c["max_abs_z"] for c in own], linestyle="",
                  marker="o", markersize=2.6, color="#0072b2")  # fmt: skip
        axes.axhline(summary["bonferroni_bound"], color="#d55e00", linestyle="--",
                     label="Bonferroni bound over all comparisons")  # fmt: skip
        axes.set(xlim=(-0.05, 1.05), ylim=(0.0, 1.15 * summary["bonferroni_bound"]), xlabel="cells, in order")
        axes.set_xticks([])
        axes.set_title(f"{kind} ({len(own)})")
    grid[0].set_ylabel("largest |z| of a cell")
    key_below(figure, grid)
    return figure
