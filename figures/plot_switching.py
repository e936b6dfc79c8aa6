"""Start with the base or with the draft: reward against the share of steps that the base writes."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import curve, key_below, panels
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

WAYS = {
    "start base": Look("start with the base, switch", "#000000", "s", "-"),
    "start draft": Look("start with the draft, switch", "#56b4e9", "<", "-"),
    "gsi": Look("GSI: draft first at every step", "#0072b2", "o", "--"),
}


def draw(artifact: Artifact) -> Figure:
    """A panel for each coverage and n; a curve runs along the threshold u."""
    numbers = ("coverage", "n", "share", "reward", "simulated", "stderr", "written", "steps")
    cells = rows(artifact, "plane", numbers, ("way",))
    for cell in cells:
        cell["share_written"] = cell["written"] / cell["steps"]
    places = list(dict.fromkeys((c["coverage"], c["n"]) for c in cells))
    figure, grid = panels(len(places), 5.0, 2, sharey=False)
    for axes, place in zip(grid, places, strict=True):
        for way in distinct(c["way"] for c in cells):
            own = [c for c in cells if (c["coverage"], c["n"]) == place and c["way"] == way]
            curve(axes, own, "share_written", "reward", WAYS[way], along="share")
        axes.set(xlabel="share of steps written by the base", ylabel="expected reward", xlim=(-0.03, 1.03))
        axes.set_title(f"coverage {place[0]:g}, n = {place[1]}")
    key_below(figure, grid, 3)
    return figure
