"""Knockout and league: failure against the calls they take, their bounds, and scoring with the same calls."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows
from figures.small_multiples import curve, key_below, panels
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

COLORS = ("#56b4e9", "#0072b2", "#00345a")
SCORED = {
    "best-of-n": Look("best-of-n by score", "#cc79a7", "P", (0, (3, 1, 1, 1))),
    "soft": Look("soft best-of-n by score", "#009e73", "D", (0, (5, 1.5))),
}


def _scored(cells: list[Row], name: str) -> list[Row]:
    return [c for c in cells if c["method"].startswith(name)]


def draw(artifact: Artifact) -> Figure:
    """A column for each judge (p, right); above the knockout, below the league."""
    numbers = ("p", "right", "candidates", "votes", "calls", "fail", "simulated", "stderr", "bound")
    cells = rows(artifact, "fail", numbers, ("method",))
    judges = list(dict.fromkeys((c["p"], c["right"]) for c in cells))
    figure, grid = panels(2 * len(judges), 5.6, len(judges), sharey=True)
    for place, judge in enumerate(judges):
        for row, method in enumerate(("knockout", "league")):
            axes = grid[place + row * len(judges)]
            own = [c for c in cells if (c["p"], c["right"]) == judge and c["method"].endswith(method)]
            for votes, color in zip(distinct(c["votes"] for c in own), COLORS, strict=False):
                line = [c for c in own if c["method"] == method and c["votes"] == votes]
                style = Look(f"tournament, K = {votes}", color, "o", "-")
                curve(axes, line, "calls", "fail", style, keep=lambda c: c["fail"] > 1e-6)
                curve(axes, line, "calls", "bound", style, label="bound (M25), in the color of its K", simulated=None,
                      linestyle=":", keep=lambda c: c["bound"] < 1.0)  # fmt: skip
            for name, style in SCORED.items():
                scored = {c["calls"]: c for c in _scored(own, name)}
                curve(axes, scored.values(), "calls", "fail", style, simulated=None)
            axes.set(xscale="log", yscale="log", ylim=(1e-3, 1.1), xlabel="calls")
            axes.set_title(f"{method}: p = {judge[0]:g}, q = {judge[1]:g}")
    grid[0].set_ylabel("P(winner incorrect)")
    grid[len(judges)].set_ylabel("P(winner incorrect)")
    key_below(figure, grid, 3)
    return figure
