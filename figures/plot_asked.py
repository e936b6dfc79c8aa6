"""Drafts that a guarantee asks for against drafts that are needed, a panel for each β, a row for each guarantee."""

from __future__ import annotations

from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, where
from figures.style import WIDTH, drafts
from gsi_theory.runs.artifact import Artifact

__all__ = ["NUMBERS", "asked_table", "draw"]

NUMBERS = ("epsilon", "beta", "log10_asked", "log10_needed", "log10_best")
# column, label, color, marker, how far from the middle of its row
MARKS = (
    ("log10_asked", "asked by the guarantee", "#333333", "s", -0.24),
    ("log10_needed", "needed, by the exact law", "#0072b2", "o", 0.06),
    ("log10_best", "needed by the best rule (TV)", "#009e73", "v", 0.32),
)


def _values(cells: list[Row], column: str) -> list[float]:
    return sorted(c[column] for c in cells if c[column] is not None)


def asked_table(artifact: Artifact) -> list[Row]:
    """By guarantee: its distance, and for each β the median over families of what is asked and needed, as text."""
    cells = rows(artifact, "asked", NUMBERS, ("id", "distance", "family"))
    betas, made = sorted(distinct(c["beta"] for c in cells)), []
    for key in distinct(c["id"] for c in cells):
        subset = where(cells, id=key)
        shown = []
        for beta in betas:
            part = where(subset, beta=beta)
            medians = [_values(part, column) for column in ("log10_asked", "log10_needed")]
            shown.append([drafts(median(values)) if values else "–" for values in medians])
        made.append({"id": key, "distance": subset[0]["distance"], "betas": betas, "shown": shown})
    return made


def _panel(axes: Axes, cells: list[Row], names: list[str]) -> None:
    for y, name in enumerate(names):
        subset = where(cells, id=name)
        for column, _, color, marker, shift in MARKS:
            values = _values(subset, column)
            if not values:
                continue
            axes.plot([values[0], values[-1]], [y + shift] * 2, color=color, linewidth=1.2, alpha=0.6)
            axes.plot(values, [y + shift] * len(values), linestyle="", marker="|", markersize=5, color=color, alpha=0.6)
            axes.plot([median(values)], [y + shift], linestyle="", marker=marker, markersize=4.5, color=color)


def draw(artifact: Artifact) -> Figure:
    """Ticks are the families, large marks their median; log axis."""
    cells = rows(artifact, "asked", NUMBERS, ("id", "distance", "family"))
    names, betas = distinct(c["id"] for c in cells), sorted(distinct(c["beta"] for c in cells))
    distance = {c["id"]: c["distance"] for c in cells}
    epsilon = cells[0]["epsilon"]
    words = {"kl": f"KL ≤ {epsilon:g}", "tv": f"TV ≤ {epsilon:g}"}
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(names)))
    grid = figure.subplots(1, len(betas), sharex=True, sharey=True, squeeze=False)[0]
    for axes, beta in zip(grid, betas, strict=True):
        _panel(axes, where(cells, beta=beta), names)
        axes.set(title=f"β = {beta:g}", ylim=(len(names) - 0.5, -0.5), xlabel="drafts n")
        axes.set_yticks(range(len(names)), [f"{name}\n{words[distance[name]]}" for name in names])
        axes.grid(axis="y", visible=False)
        for y in range(1, len(names)):
            axes.axhline(y - 0.5, color="#dddddd", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"$10^{{{x:.0f}}}$" if x > 0 else "1"))
    handles = [
        Line2D([], [], color=color, marker=marker, markersize=4.5, linewidth=1.2, label=label)
        for _, label, color, marker, _ in MARKS
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


FIGURE = PageFigure(
    name="asked",
    artifact="audit",
    page="report",
    draw=draw,
    title="Drafts asked for and drafts needed",
    caption="""
    Read how far the square of a row lies to the right of its circle: that many powers of ten the guarantee asks too
    much, over the families of instances (ticks; the large mark is their median).
    """,
    alt="Dot charts on a log axis for three beta: for each guarantee the number of drafts it asks for, above what "
    "the exact law needs and, for total variation, the number no rule can go below.",
)
