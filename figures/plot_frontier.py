"""Reward against KL to the base, how far above the tilt's that KL is, and reward against β; a column for each world."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows
from figures.small_multiples import curve, key_below, look_of, panels, worlds_title
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

METHODS = ("soft_bon_base", "race_base", "gsi_ungated", "gsi")
WIDTHS = (0.7, 1.3, 2.0)
# Gaps below this are drawn as this: the tilt is reached.
LEAST = 1e-5


def _along_beta(axes: Any, cells: list[Row], x: str, y: str, simulated: bool) -> None:
    for method in METHODS:
        ns = sorted(distinct(c["n"] for c in cells if c["method"] == method))
        for n, width in zip(ns, WIDTHS[-len(ns) :], strict=False):
            line = [c for c in cells if c["method"] == method and c["n"] == n]
            last = n == ns[-1]
            options: dict[str, Any] = {"label": None if last else "_"}
            curve(axes, line, x, y, look_of(method), along="beta", linewidth=width,
                  simulated="simulated" if last and simulated else None, **options)  # fmt: skip


def _along_n(axes: Any, cells: list[Row], x: str, y: str, simulated: bool) -> None:
    for method in ("best_of_n_base", "best_of_poisson"):
        line = [c for c in cells if c["method"] == method]
        curve(axes, line, x, y, look_of(method), along="n", simulated="simulated" if simulated else None)


def draw(artifact: Artifact) -> Figure:
    """Lines run along β (thicker for larger n), along n for best-of-n and along the mean for best-of-Poisson."""
    numbers = ("n", "beta", "kl", "reward", "simulated", "stderr", "tilt_kl")
    cells = rows(artifact, "plane", numbers, ("world", "method"))
    for cell in cells:
        cell["gap"] = None if cell["tilt_kl"] is None else max(cell["kl"] - cell["tilt_kl"], LEAST)
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(3 * len(worlds), 7.6, len(worlds), sharey=False)
    for place, world in enumerate(worlds):
        own = [c for c in cells if c["world"] == world]
        plane, gap, along = (grid[place + row * len(worlds)] for row in range(3))
        for axes, x, y, simulated in (
            (plane, "kl", "reward", True), (gap, "kl", "gap", False), (along, "beta", "reward", True)
        ):  # fmt: skip
            _along_beta(axes, own, x, y, simulated)
            if x == "kl":
                _along_n(axes, own, x, y, simulated)
                axes.set(xlabel="KL(law‖base), nats",
                         xlim=(0.0, 1.05 * max(c["kl"] for c in own if c["method"] != "tilted")))  # fmt: skip
        tilt = [c for c in own if c["method"] == "tilted"]
        for axes, x in ((plane, "kl"), (along, "beta")):
            curve(axes, tilt, x, "reward", look_of("tilted"), simulated=None, along="beta", linewidth=2.2)
        gap.set(yscale="log", ylim=(0.7 * LEAST, 1.0))
        plane.set_title("uniform rewards, no draft" if world == "uniform" else worlds_title(world))
        along.set(xlabel="inverse temperature β", xscale="log")
        betas = sorted(distinct(c["beta"] for c in own))
        along.set_xticks(betas[1::2], [f"{b:g}" for b in betas[1::2]])
        along.set_xticks([], minor=True)
        if world == "uniform":
            gap.axhline(8e-4, color="#7f7f7f", linewidth=0.8)
            gap.annotate("8e-4 (M23)", (0.98, 8e-4), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                         fontsize=8, color="#555555")  # fmt: skip
    for row, label in enumerate(("expected reward", "KL above the tilt\nof equal reward, nats", "expected reward")):
        grid[row * len(worlds)].set_ylabel(label)
    key_below(figure, grid)
    return figure
