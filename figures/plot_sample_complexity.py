"""Draws needed for TV ≤ ε against KL and against χ², for three rules and the limit of all."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import key_below, look_of, panels
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

RULES = ("softmax", "race", "greedy")


def draw(artifact: Artifact) -> Figure:
    """A column for each ε; each mark is an instance."""
    cells = rows(artifact, "needed", ("epsilon", "kl", "chi2", "needed", "limit"), ("rule",))
    epsilons = distinct(c["epsilon"] for c in cells)
    figure, grid = panels(2 * len(epsilons), 5.6, len(epsilons), sharey=True)
    for place, epsilon in enumerate(epsilons):
        own = [c for c in cells if c["epsilon"] == epsilon and c["needed"] is not None and c["limit"] is not None]
        for axes, x, name in (
            (grid[place], "kl", "KL(π‖μ), nats"), (grid[place + len(epsilons)], "chi2", "χ²(π‖μ)"),
        ):  # fmt: skip
            for rule in RULES:
                style, points = look_of(rule), [c for c in own if c["rule"] == rule]
                axes.plot([c[x] for c in points], [c["needed"] for c in points], linestyle="", marker=style.marker,
                          color=style.color, label=style.label, markersize=4, alpha=0.8)  # fmt: skip
            first = [c for c in own if c["rule"] == RULES[0]]
            axes.plot([c[x] for c in first], [c["limit"] for c in first], linestyle="", marker="_", color="#009e73",
                      markersize=8, markeredgewidth=1.6, label="limit of every rule (M19)")  # fmt: skip
            grid_x = np.geomspace(max(min(c[x] for c in own), 1e-3), max(c[x] for c in own), 100)
            line = np.exp(grid_x / epsilon) if x == "kl" else grid_x / epsilon
            shown = line < 1.2e6
            label = "e^(KL/ε) (M27)" if x == "kl" else "χ²/ε (M11)"
            axes.plot(grid_x[shown], line[shown], color="#333333", linestyle=":" if x == "kl" else "--", label=label)
            axes.set(xscale="log", yscale="log", ylim=(0.7, 2e6), xlabel=name, ylabel="draws needed")
        grid[place].set_title(f"TV ≤ {epsilon:g}")
    key_below(figure, grid, 3)
    return figure
