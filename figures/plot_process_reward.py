"""Step by step or whole trajectories: KL to the sequence tilt and share of correct trajectories against depth."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import band, curve, key_below, look_of, panels
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """A column for each level of noise in the process reward; bands are two standard errors over trees."""
    numbers = ("noise", "n", "steps", "correct", "simulated", "stderr", "kl", "sequence_correct", "base_correct",
               "spread")  # fmt: skip
    cells = rows(artifact, "depth", numbers, ("method",))
    noises = distinct(c["noise"] for c in cells)
    figure, grid = panels(2 * len(noises), 4.8, len(noises), sharey=False)
    most = max(c["kl"] for c in cells)
    for place, noise in enumerate(noises):
        above, below = grid[place], grid[place + len(noises)]
        own = [c for c in cells if c["noise"] == noise]
        ways = list(dict.fromkeys((c["method"], c["n"]) for c in own))
        for method, n in ways:
            line = [c for c in own if (c["method"], c["n"]) == (method, n)]
            style = look_of(method)
            drawn: dict[str, Any] = {
                "label": style.label if n is None else f"{style.label}, n = {n}",
                "linewidth": 0.8 if n == 4 else 1.4,
            }
            curve(above, line, "steps", "kl", style, simulated=None, marker=style.marker, markersize=3,
                  keep=lambda c: c["kl"] > 1e-12, **drawn)  # fmt: skip
            curve(below, line, "steps", "correct", style, **drawn)
            if n != 4 and method != "gsi":
                band(below, line, "steps", "correct", "spread", style.color)
        first = [c for c in own if (c["method"], c["n"]) == ways[0]]
        curve(below, first, "steps", "sequence_correct", look_of("sequence tilt"), simulated=None)
        curve(below, first, "steps", "base_correct", look_of("base"), simulated=None)
        above.set(yscale="log", ylim=(1e-3, 2.0 * most))
        for axes in (above, below):
            axes.set_xticks(sorted(distinct(c["steps"] for c in own)))
        below.set(xlabel="steps T", ylim=(0.0, 1.03))
        above.set_title("no noise" if noise == 0 else f"noise {noise:g}")
    grid[0].set_ylabel("KL(sequence tilt‖law)")
    grid[len(noises)].set_ylabel("correct trajectories")
    key_below(figure, grid, 3)
    return figure
