"""Every sampler against its exact law: the largest |z| of each cell, by kind, below the Bonferroni bound."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, scalars, where
from figures.small_multiples import key, panels
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """One mark a cell: its largest |z|, in order."""
    cells = rows(artifact, "cells", ("n", "comparisons", "max_abs_z"), ("kind", "method"))
    bound = scalars(artifact, ("bonferroni_bound", "draws_per_cell"))["bonferroni_bound"]
    kinds = distinct(c["kind"] for c in cells)
    figure, grid = panels(len(kinds), 2.7)
    for axes, kind in zip(grid, kinds, strict=True):
        z = sorted(c["max_abs_z"] for c in where(cells, kind=kind))
        places = [(i + 0.5) / len(z) for i in range(len(z))]
        axes.plot(places, z, linestyle="", marker="o", markersize=2.6, color="#0072b2")
        axes.axhline(bound, color="#d55e00", linestyle="--", label="Bonferroni bound over all comparisons")
        axes.set(xlim=(-0.05, 1.05), ylim=(0.0, 1.15 * bound), xlabel="cells, in order", title=f"{kind} ({len(z)})")
        axes.set_xticks([])
    grid[0].set_ylabel("largest |z| of a cell")
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="samplers",
    artifact="samplers",
    page="gallery",
    order=14,
    draw=draw,
    title="Every sampler against its exact law",
    question="Does every sampler play the exact law of its method?",
    caption="""
    [all_agree] All marks lie below the dashed bound: the simulations beside the exact lines above are of the same laws.
    | Marks lie above the dashed bound among {exceptions}.
    """,
    claim="""
    [all_agree] The laws of schemes with every rule and gate, of all methods, of several drafters, of channel
    simulation, of methods on trees and of tournaments are confirmed, with {draws_per_cell:,} rounds a cell in
    {backend}. | Not all laws are confirmed, with {draws_per_cell:,} rounds a cell in {backend}.
    [] Other profiles play more rounds a cell; with --set backend=torch, in torch.
    """,
    alt="Largest absolute z-score of each cell by kind of sampler, with the Bonferroni bound.",
)
