"""Reward of every method against n, a panel for each world; the dotted line is the tilted policy."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import band, curve, key_below, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """Exact lines, simulated marks, bands of two standard errors over problems; rewards in reward units."""
    cells = rows(artifact, "reward", ("n", "reward", "simulated", "stderr", "spread"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(len(worlds), 2.55 * -(-len(worlds) // 2) + 0.7, min(2, len(worlds)), sharey=False)
    for axes, world in zip(grid, worlds, strict=True):
        own = [c for c in cells if c["world"] == world]
        for method in distinct(c["method"] for c in own):
            line = [c for c in own if c["method"] == method]
            if method == "tilted":
                axes.axhline(line[0]["reward"], color="#000000", linestyle=(0, (1, 1)), label="tilted policy π")
            else:
                curve(axes, line, "n", "reward", look_of(method))
                band(axes, line, "n", "reward", "spread", look_of(method).color)
        powers(axes, (c["n"] for c in own if c["n"]))
        axes.set(xlabel="candidates n", ylabel="expected reward")
        axes.set_title(worlds_title(world))
    key_below(figure, grid)
    return figure
