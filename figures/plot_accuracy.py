"""Accuracy and acceptance of each method on the language models against n, with 95 % intervals."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, spread
from figures.style import LOOKS, WIDTH, log_ticks, look
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

__all__ = ["draw", "ordered_methods"]

MOST_BETAS = 3


def ordered_methods(cells: list[Row]) -> list[str]:
    """The methods found, in the order of the table of looks, unknown ones last."""
    present = distinct(c["method"] for c in cells)
    return [m for m in LOOKS if m in present] + [m for m in present if m not in LOOKS]


def _lines(axes: Axes, cells: list[Row], quantity: str, handles: Record) -> None:
    """One line for each method and threshold; points are set apart a little in n so that intervals stay readable."""
    methods = ordered_methods(cells)
    names = ("accuracy", "accuracy_low", "accuracy_high")
    if quantity == "acceptance":
        names = ("acceptance_rate", "acceptance_low", "acceptance_high")
    for k, method in enumerate(methods):
        style, apart = look(method), 1.035 ** (k - (len(methods) - 1) / 2)
        subset = [c for c in cells if c["method"] == method and all(c[name] is not None for name in names)]
        thresholds = distinct(c["threshold"] for c in subset)
        for t, threshold in enumerate(thresholds or [None]):
            shown = sorted((c for c in subset if c["threshold"] == threshold), key=lambda c: c["n"] or 1)
            if not shown:
                continue
            middle = [c[names[0]] for c in shown]
            errors = [
                [m - c[names[1]] for m, c in zip(middle, shown, strict=True)],
                [c[names[2]] - m for m, c in zip(middle, shown, strict=True)],
            ]
            label = style.label if len(thresholds) < 2 else f"{style.label}, u = {threshold:g}"
            handles[label] = axes.errorbar(
                [(c["n"] or 1) * apart for c in shown],
                middle,
                yerr=errors,
                color=style.color,
                marker=style.marker,
                linestyle=style.line,
                linewidth=1.1,
                elinewidth=0.8,
                capsize=1.5,
                markerfacecolor=style.color if t == 0 else "white",
            )


def draw(artifact: Artifact) -> Figure:
    """A column for each beta (at most three): accuracy above, acceptance rate of the gated methods below."""
    numbers = (
        "n",
        "beta",
        "threshold",
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "acceptance_rate",
        "acceptance_low",
        "acceptance_high",
    )
    cells = rows(artifact, "methods", numbers, ("method",))
    # a method that does not tilt (draft or base alone) belongs to every column
    betas = spread(sorted(distinct(c["beta"] for c in cells if c["beta"])), MOST_BETAS) or [0.0]
    gated = any(c["acceptance_rate"] is not None for c in cells)
    figure = Figure(figsize=(WIDTH, 5.2 if gated else 3.4))
    grid = figure.subplots(1 + gated, len(betas), sharex=True, sharey="row", squeeze=False)
    handles: Record = {}
    for j, beta in enumerate(betas):
        subset = [c for c in cells if not c["beta"] or c["beta"] == beta]
        _lines(grid[0][j], subset, "accuracy", handles)
        grid[0][j].set_title(f"β = {beta:g}")
        if gated:
            _lines(grid[1][j], subset, "acceptance", {})
        grid[-1][j].set_xlabel("candidates per step n")
    log_ticks(grid[0][0], sorted(distinct(c["n"] or 1 for c in cells)))
    grid[0][0].set_ylabel("share of problems solved")
    if gated:
        grid[1][0].set(ylabel="share of steps accepted", ylim=(-0.03, 1.03))
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=4)
    return figure


FIGURE = PageFigure(
    name="lm_accuracy",
    artifact="lm_accuracy",
    page="report",
    draw=draw,
    title="Accuracy on the language models",
    caption="""
    Differences smaller than the intervals are not resolved by these problems; the lower row shows how often the gate
    accepts a draft, the share of steps the base model need not write.
    """,
    alt="Line charts with error bars of the share of problems solved, and of the share of steps accepted, against "
    "the number of candidates, one line for each method.",
)
