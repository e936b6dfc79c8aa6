"""Prediction from a pool against fresh runs of the language models: values with standard errors, and z-scores."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, scalars, where
from figures.plot_sampler import normal_plot
from figures.style import WIDTH, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["GATES", "draw"]

_TITLES = {
    "reward": "expected reward",
    "p_accept": "probability of acceptance",
    "length": "tokens of a step",
    "accuracy": "share of right solutions",
}
COLUMNS = 3
GATES = {"none": ("o", "no gate"), "tilted_reward": ("s", "gate on tilted reward"), "score": ("X", "gate on score")}


def _scatter(axes: Axes, cells: list[Row], quantity: str) -> None:
    subset = where(cells, quantity=quantity)
    for rule in distinct(c["rule"] for c in subset):
        for gate in distinct(c["gate"] for c in subset):
            shown = where(subset, rule=rule, gate=gate)
            axes.errorbar(
                [c["predicted"] for c in shown],
                [c["measured"] for c in shown],
                xerr=[c["predicted_se"] or 0.0 for c in shown],
                yerr=[c["measured_se"] or 0.0 for c in shown],
                linestyle="",
                marker=GATES.get(gate, ("h", gate))[0],
                markersize=4,
                color=look(rule).color,
                elinewidth=0.7,
                alpha=0.75,
                markeredgewidth=0,
            )
    values = [c[k] for c in subset for k in ("predicted", "measured")]
    ends = [min(values), max(values)]
    axes.plot(ends, ends, color="#000000", linewidth=0.8, zorder=1)
    axes.set(xlabel="predicted", ylabel="measured", title=_TITLES.get(quantity, quantity))
    axes.set_aspect("equal", adjustable="datalim")


def draw(artifact: Artifact) -> Figure:
    """Measured against predicted for each quantity with one-standard-error bars, and the z-scores of all cells."""
    numbers = ("n", "beta", "predicted", "predicted_se", "measured", "measured_se", "z")
    cells = rows(artifact, "cells", numbers, ("rule", "gate", "quantity"))
    bound = scalars(artifact, ("bonferroni_bound",))["bonferroni_bound"]
    quantities = distinct(c["quantity"] for c in cells)
    lines = -(-(len(quantities) + 1) // COLUMNS)
    figure = Figure(figsize=(WIDTH, 0.5 + 2.4 * lines))
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for empty in panels[len(quantities) + 1 :]:
        empty.set_axis_off()
    panels = panels[: len(quantities) + 1]
    full = [c for c in cells if c["predicted"] is not None and c["measured"] is not None]
    for axes, quantity in zip(panels, quantities, strict=False):
        _scatter(axes, full, quantity)
    normal_plot(panels[-1], [c["z"] for c in cells if c["z"] is not None])
    for side in (-bound, bound):
        panels[-1].axhline(side, color="#000000", linestyle="--", linewidth=1)
    reach = max(panels[-1].get_ylim()[1], 1.15 * bound)
    panels[-1].set(ylim=(-reach, reach), xlim=(-reach, reach), title="z-scores, dashed: bound")
    handles = [
        Line2D([], [], linestyle="", marker="o", color=look(r).color, label=f"{look(r).label} rule")
        for r in distinct(c["rule"] for c in cells)
    ]
    handles += [
        Line2D([], [], linestyle="", marker=GATES.get(g, ("h", g))[0], color="#333333", label=GATES.get(g, ("h", g))[1])
        for g in distinct(c["gate"] for c in cells)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, columnspacing=1.2, handletextpad=0.2)
    return figure


FIGURE = PageFigure(
    name="lm_prediction",
    artifact="lm_prediction",
    page="report",
    draw=draw,
    title="Prediction from a pool against fresh runs",
    caption="""
    Points on the diagonal within their one-standard-error bars mean that the pool predicted what a fresh run of the two
    language models then measured.
    """,
    alt="Scatter plots of measured against predicted reward and acceptance with error bars, and a normal quantile "
    "plot of all z-scores.",
)
