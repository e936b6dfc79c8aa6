"""Weak and strong drafters: acceptance, distance and gain against the coverage of the draft."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import curve, key_below, look_of, panels
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

ROWS = (("reward", "expected reward"), ("tv", "TV(law, π)"), ("gain", "gain over soft best-of-n\nin the same time"))


def draw(artifact: Artifact) -> Figure:
    """A column for each correlation of reward with what the draft misses."""
    numbers = ("correlation", "coverage", "reward", "simulated", "stderr", "p_accept", "tv", "gain")
    cells = rows(artifact, "coverage", numbers, ("method",))
    correlations = distinct(c["correlation"] for c in cells)
    figure, grid = panels(3 * len(correlations), 6.6, len(correlations), sharey=False)
    for column, correlation in enumerate(correlations):
        own = [c for c in cells if c["correlation"] == correlation]
        for row, (name, label) in enumerate(ROWS):
            axes = grid[row * len(correlations) + column]
            for method in distinct(c["method"] for c in own):
                if name == "gain" and method == "soft_bon_base":
                    continue
                line = [c for c in own if c["method"] == method]
                curve(
                    axes, line, "coverage", name, look_of(method), simulated="simulated" if name == "reward" else None
                )
            axes.set_xscale("log")
            axes.set_xticks([1, 1e2, 1e4, 1e6], ["1", "10²", "10⁴", "10⁶"])
            axes.set_xticks([], minor=True)
            if name == "gain":
                axes.axhline(0.0, color="#000000", linewidth=0.8)
                axes.set_xlabel(r"coverage $\sup\,\pi_B/\pi_S$")
            if column == 0:
                axes.set_ylabel(label)
            if row == 0:
                said = "draft prefers good answers" if correlation < 0 else "draft misses good answers"
                axes.set_title("reward unrelated to the draft" if correlation == 0 else said)
    key_below(figure, grid)
    return figure
