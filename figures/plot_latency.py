"""Value against seconds and against FLOPs a step, along n; a column for each world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import curve, key_below, look_of, panels, worlds_title
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """A curve along n for each method; marks are the n tried."""
    cells = rows(artifact, "cost", ("n", "reward", "value", "flops", "seconds"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 5.2, len(worlds), sharey=False)
    for place, world in enumerate(worlds):
        own = [c for c in cells if c["world"] == world]
        for axes, x in ((grid[place], "seconds"), (grid[place + len(worlds)], "flops")):
            for method in distinct(c["method"] for c in own):
                style = look_of(method)
                line = [c for c in own if c["method"] == method]
                curve(axes, line, x, "value", style, simulated=None, along="n", marker=style.marker, markersize=3)
            best = [max(c["value"] for c in own if c["method"] == m) for m in distinct(c["method"] for c in own)]
            axes.set_ylim(min(best) - 0.05 * (max(best) - min(best)), max(best) + 0.1 * (max(best) - min(best)))
            axes.set_xscale("log")
            axes.set_xlabel("seconds a step" if x == "seconds" else "FLOPs a step")
        grid[place].set_title(worlds_title(world))
    grid[0].set_ylabel("value, reward units")
    grid[len(worlds)].set_ylabel("value, reward units")
    key_below(figure, grid)
    return figure
