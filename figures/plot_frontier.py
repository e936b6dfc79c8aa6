"""Reward against KL to the base, above; reward against β, below; a column for each world."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import curve, key_below, look_of, panels, worlds_title
from gsi_theory.artifact import Artifact

__all__ = ["draw"]

METHODS = ("soft_bon_base", "race_base", "gsi_ungated", "gsi")
WIDTHS = (0.7, 1.3, 2.0)


def draw(artifact: Artifact) -> Figure:
    """Lines run along β (thicker for larger n), along n for best-of-n and along the mean for best-of-Poisson."""
    cells = rows(artifact, "plane", ("n", "beta", "kl", "reward", "simulated", "stderr"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 5.6, len(worlds), sharey=False)
    for place, world in enumerate(worlds):
        own = [c for c in cells if c["world"] == world]
        above, below = grid[place], grid[place + len(worlds)]
        for axes, x in ((above, "kl"), (below, "beta")):
            for method in METHODS:
                ns = sorted(distinct(c["n"] for c in own if c["method"] == method))
                for n, width in zip(ns, WIDTHS[-len(ns) :], strict=False):
                    line = [c for c in own if c["method"] == method and c["n"] == n]
                    last = n == ns[-1]
                    options: dict[str, Any] = {
                        "label": None if last else "_",
                        "simulated": "simulated" if last else None,
                    }
                    curve(axes, line, x, "reward", look_of(method), along="beta", linewidth=width, **options)
            if x == "kl":
                for method in ("best_of_n_base", "best_of_poisson"):
                    curve(axes, [c for c in own if c["method"] == method], x, "reward", look_of(method), along="n")
            tilt = [c for c in own if c["method"] == "tilted"]
            curve(axes, tilt, x, "reward", look_of("tilted"), simulated=None, along="beta", linewidth=2.2)
        above.set(xlabel="KL(law‖base), nats", xlim=(0.0, 1.05 * max(c["kl"] for c in own if c["method"] != "tilted")))
        above.set_title("uniform rewards, no draft" if world == "uniform" else worlds_title(world))
        below.set(xlabel="inverse temperature β", xscale="log")
        betas = sorted(distinct(c["beta"] for c in own))
        below.set_xticks(betas[1::2], [f"{b:g}" for b in betas[1::2]])
        below.set_xticks([], minor=True)
    grid[0].set_ylabel("expected reward")
    grid[len(worlds)].set_ylabel("expected reward")
    key_below(figure, grid)
    return figure
