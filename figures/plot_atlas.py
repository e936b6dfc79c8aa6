"""Atlas of tightness: every bound against β and n, the largest left over right side found there.

Vacuous and refuted regimes are marked by hatching and a cross, so that no reading depends on color alone.
"""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows
from figures.style import WIDTH
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

SHOWN_BETAS = (1.0, 5.0, 20.0)
# Steps of tightness and their colors: Brewer's YlGnBu, in order of lightness, so that gray keeps the order.
STEPS = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)
COLORS = ("#ffffd9", "#d5eeb3", "#7fcdbb", "#41a0c4", "#225ea8", "#0c2c63")
LABELS = ("< 0.01", "0.01–0.1", "0.1–0.5", "0.5–0.9", "0.9–0.99", "> 0.99")
VACUOUS, EMPTY = "#e4e4e4", "#ffffff"


def _count(n: float) -> str:
    return f"{n:.0f}" if n <= 64 else f"$2^{{{round(math.log2(n))}}}$"


def _cells(axes: Axes, cells: list[Row], position: dict[str, int], ns: list[float]) -> None:
    norm, colors = BoundaryNorm(STEPS, len(COLORS)), ListedColormap(COLORS)
    vacuous, mostly = [], []
    for cell in cells:
        x, y = ns.index(cell["n"]), position[cell["id"]]
        box = Rectangle((x - 0.5, y - 0.5), 1.0, 1.0)
        silent = cell["vacuous"] == cell["evaluations"]
        color = EMPTY if not cell["evaluations"] else VACUOUS if silent else COLORS[0]
        if cell["tightness"] is not None:
            color = colors(norm(min(cell["tightness"], 1.0 - 1e-12)))
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1.0, 1.0, facecolor=color, edgecolor="white", linewidth=0.4))
        if cell["evaluations"] and silent:
            vacuous.append(box)
        elif 2 * cell["vacuous"] > cell["evaluations"]:
            mostly.append((x, y))
        if cell["refuted"]:
            axes.plot([x], [y], marker="x", color="white", markersize=5.5, markeredgewidth=2.6)
            axes.plot([x], [y], marker="x", color="#c1272d", markersize=5, markeredgewidth=1.3)
    axes.add_collection(PatchCollection(vacuous, facecolor="none", edgecolor="#8a8a8a", hatch="//////", linewidth=0.0))
    for x, y in mostly:
        axes.plot([x], [y], marker="_", color="white", markersize=5, markeredgewidth=2.4)
        axes.plot([x], [y], marker="_", color="black", markersize=4.5, markeredgewidth=1.0)


def _handles() -> list[Artist]:
    steps: list[Artist] = [
        Patch(facecolor=c, edgecolor="#999999", label=t) for c, t in zip(COLORS, LABELS, strict=True)
    ]
    cross = Line2D([], [], linestyle="", marker="x", color="#c1272d", markeredgewidth=1.3, label="refuted here")
    dash = Line2D([], [], linestyle="", marker="_", color="black", label="vacuous in over half")
    return [*steps, Patch(facecolor=VACUOUS, edgecolor="#8a8a8a", hatch="//////", label="vacuous in all"), dash, cross]


def draw(artifact: Artifact) -> Figure:
    """One row a bound, a panel for each β, a column for each n; limits, which have no ratio, are left out."""
    numbers = ("beta", "n", "evaluations", "refuted", "vacuous", "tightness")
    bounds = {row["id"] for row in rows(artifact, "claims", ("tightness",), ("id",)) if row["tightness"] is not None}
    cells = [row for row in rows(artifact, "regimes", numbers, ("id",)) if row["id"] in bounds]
    names, ns = distinct(c["id"] for c in cells), sorted(distinct(c["n"] for c in cells))
    betas = [beta for beta in SHOWN_BETAS if any(c["beta"] == beta for c in cells)]
    position = {name: y for y, name in enumerate(names)}
    figure = Figure(figsize=(WIDTH, 1.25 + 0.185 * len(names)))
    grid = figure.subplots(1, max(1, len(betas)), sharey=True, squeeze=False)[0]
    for axes, beta in zip(grid, betas, strict=False):
        _cells(axes, [c for c in cells if c["beta"] == beta], position, ns)
        axes.set(
            title=f"β = {beta:g}", xlim=(-0.5, len(ns) - 0.5), ylim=(len(names) - 0.5, -0.5), xlabel="candidates n"
        )
        shown = range(0, len(ns), 2)
        axes.set_xticks(list(shown), [_count(ns[i]) for i in shown])
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    grid[0].set_yticks(range(len(names)), names)
    figure.legend(
        handles=_handles(),
        loc="outside upper center",
        ncols=5,
        columnspacing=1.2,
        handlelength=1.5,
        title="largest left side over right side",
        title_fontsize=8,
    )
    return figure


FIGURE = PageFigure(
    name="atlas",
    artifact="audit",
    page="report",
    draw=draw,
    title="Where each bound is tight, and where it says nothing",
    caption="""
    The darker a cell, the nearer the bound comes to being attained by some instance there; hatched cells say no more
    than the trivial bound on any instance, and a cross marks cells with instances that refute the claim.
    """,
    alt="Heat map with a row for each bound and a column for each number of candidates, in a panel for each beta; "
    "shades give the largest ratio of left to right side, hatching marks vacuous cells and crosses refuted "
    "ones.",
)
