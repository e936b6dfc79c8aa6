"""How many drafts are asked for and how many are needed: the published bound, the instance bound, the exact law."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from figures.figure_table import PageFigure
from figures.plot_data import Row, rows, scalars
from figures.style import WIDTH, drafts, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["NEEDS", "Need", "draw", "needs"]


@dataclass(frozen=True)
class Need:
    """A number of drafts: its column, the words for it, its color and marker."""

    column: str
    label: str
    color: str
    marker: str


NEEDS = (
    Need("log10_n_theorem_b", "GSI Theorem 1 (b) asks", "#333333", "s"),
    Need("n_instance", "instance bound M11 asks", "#333333", "D"),
    Need("n_exact_softmax", "needed, softmax rule (exact)", look("softmax").color, look("softmax").marker),
    Need("n_exact_race", "needed, race rule (exact)", look("race").color, look("race").marker),
    Need("n_limit", "no rule can do with fewer", "#009e73", "v"),
)


def needs(record: Row) -> dict[str, float | None]:
    """log10 of each number of drafts in a summary or a row of `positions`; None where it is not stated."""
    numbers: dict[str, float | None] = {}
    for need in NEEDS:
        value = record.get(need.column)
        if value is not None and not need.column.startswith("log10"):
            value = log10(max(value, 1))
        numbers[need.column] = value
    return numbers


def draw(artifact: Artifact) -> Figure:
    """One row a number, log axis; the large mark is the headline position, faint marks are all the positions."""
    columns = tuple(need.column for need in NEEDS if need.column != "n_limit")
    headline = needs(scalars(artifact, columns, ("n_limit",)))
    positions = [needs(row) for row in rows(artifact, "positions", columns, may_be_empty=True)]
    shown = [(need, value) for need in NEEDS if (value := headline[need.column]) is not None]
    figure = Figure(figsize=(WIDTH, 0.75 + 0.42 * len(shown)))
    axes = figure.subplots()
    for y, (need, value) in enumerate(shown):
        color = need.color
        others = [other for p in positions if (other := p[need.column]) is not None]
        axes.plot(others, [y] * len(others), linestyle="", marker="|", markersize=9, color=color, alpha=0.35)
        axes.plot([0, value], [y, y], color=color, linewidth=1.5, alpha=0.5, zorder=1)
        axes.plot([value], [y], marker=need.marker, markersize=8, color=color, linestyle="")
        axes.annotate(drafts(value), (value, y), (0, 7), textcoords="offset points", ha="center", weight="bold")
    axes.set_yticks(range(len(shown)), [need.label for need, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.75)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"$10^{{{x:.0f}}}$" if x > 0 else "1"))
    axes.set_xlabel("drafts n per step (log scale)")
    axes.set_xlim(-0.4, None)
    axes.margins(x=0.08)
    return figure


FIGURE = PageFigure(
    name="headline",
    artifact="lm_headline",
    page="report",
    draw=draw,
    title="What the bounds ask and what is needed",
    caption="""
    Read how far each mark lies to the left of the one above it, on a scale of powers of ten; faint ticks are the other
    positions that were enumerated.
    """,
    alt="Dot chart on a log axis of the number of drafts asked by GSI Theorem 1 (b), by the instance bound, and "
    "needed by the exact laws of the softmax and race rules.",
)
