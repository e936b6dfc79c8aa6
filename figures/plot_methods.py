"""All methods on one instance: distance to the tilted policy, reward, and what a round costs, a row for each method.

Methods are grouped by what they draw. Shades go from light to dark with n; TV has no unit, rewards are in reward units,
costs are expected numbers a round.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, where
from figures.style import WIDTH
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

__all__ = ["draw"]

# n = 1 is a policy itself for most methods; three values are told apart at this size.
MOST_NS = 3
SHADES = {1: ("#0072b2",), 2: ("#8ec1de", "#0072b2"), 3: ("#b9d9ec", "#56a5d1", "#00507d")}
LINES: dict[str, tuple[str, Any]] = {
    "draft": ("#7f7f7f", ":"),
    "base": ("#000000", (0, (4, 2))),
    "tilted": ("#d55e00", "-"),
}
# column, label, marker, color, whether it is filled, and how far below its row it is drawn, so that none hides another
COSTS = (
    ("draft_samples", "draft samples", "o", "#e69f00", False, -0.2),
    ("base_scored", "scored by the base", "x", "#009e73", True, 0.0),
    ("base_samples", "base samples", "s", "#000000", True, 0.2),
)
# What is below a thousandth of a sample a round, or of TV, is drawn at the left end.
LEAST = 1e-3


def _shown(cells: list[Row]) -> list[int]:
    ns = sorted(distinct(c["n"] for c in cells))
    return ns[-MOST_NS:]


def _distances(axes: Axes, cells: list[Row], position: dict[str, int], ns: list[int]) -> None:
    for n, shade in zip(ns, SHADES[len(ns)], strict=True):
        subset = where(cells, n=n)
        axes.scatter(
            [max(c["tv"], LEAST) for c in subset], [position[c["method"]] for c in subset], s=16, color=shade, zorder=3
        )
        for c in subset:
            if c["tv_limit"] is not None:
                y = position[c["method"]]
                axes.plot([max(c["tv_limit"], LEAST)] * 2, [y - 0.36, y + 0.36], color=shade, linewidth=1.4, zorder=2)
    axes.set(xscale="log", xlim=(0.8 * LEAST, 1.3), xlabel="TV to π")
    axes.set_xticks([1e-3, 1e-2, 1e-1, 1], ["≤0.001", "0.01", "0.1", "1"])


def _rewards(axes: Axes, cells: list[Row], references: list[Row], position: dict[str, int], ns: list[int]) -> None:
    for line in references:
        color, style = LINES[line["policy"]]
        axes.axvline(line["reward"], color=color, linestyle=style, linewidth=1, zorder=1)
    for n, shade in zip(ns, SHADES[len(ns)], strict=True):
        subset = where(cells, n=n)
        axes.scatter(
            [c["reward"] for c in subset], [position[c["method"]] for c in subset], s=16, color=shade, zorder=3
        )
    axes.set_xlabel("expected reward")


def _costs(axes: Axes, cells: list[Row], position: dict[str, int], n: int) -> None:
    subset = where(cells, n=n)
    for name, _, marker, color, filled, below in COSTS:
        shown = [c for c in subset if c[name] > 0]
        face: Record = (
            {"facecolors": color if filled else "none", "edgecolors": color} if marker != "x" else {"color": color}
        )
        axes.scatter(
            [max(c[name], LEAST) for c in shown],
            [position[c["method"]] + below for c in shown],
            s=14 if marker != "s" else 9,
            marker=marker,
            linewidths=1,
            zorder=3,
            **face,
        )
    axes.set(xscale="log", xlabel=f"expected number\na round, n = {n}")
    ticks = [t for t in (0.01, 0.1, 1, 4, 16, 64, 256) if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])


def _key(ns: list[int]) -> list[Line2D]:
    made = [
        Line2D([], [], linestyle="", marker="o", color=shade, label=f"n = {n}")
        for n, shade in zip(ns, SHADES[len(ns)], strict=True)
    ]
    made.append(
        Line2D([], [], linestyle="", marker="|", markersize=9, color=SHADES[1][0], label="least TV of any rule (M19)")
    )
    names = {"draft": "E r, draft", "base": "E r, base", "tilted": "E r, tilted policy π"}
    made += [Line2D([], [], color=LINES[k][0], linestyle=LINES[k][1], label=name) for k, name in names.items()]
    for _, label, marker, color, filled, _ in COSTS:
        face = color if filled else "none"
        made.append(Line2D([], [], linestyle="", marker=marker, color=color, markerfacecolor=face, label=label))
    return made


def draw(artifact: Artifact) -> Figure:
    """One row for each method: TV with the limit of any rule, expected reward, expected numbers a round."""
    numbers = ("n", "tv", "tv_limit", "reward", "draft_samples", "base_samples", "base_scored")
    cells = rows(artifact, "methods", numbers, ("family", "method", "label"))
    references = rows(artifact, "references", ("reward",), ("family", "policy"))
    family = cells[0]["family"]
    cells = where(cells, family=family)
    methods = distinct(c["method"] for c in cells)
    labels = {c["method"]: c["label"] for c in cells}
    position, ns = {m: k for k, m in enumerate(methods)}, _shown(cells)
    figure = Figure(figsize=(WIDTH, 1.3 + 0.215 * len(methods)))
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1.15, 1, 1))
    _distances(left, cells, position, ns)
    _rewards(middle, cells, where(references, family=family), position, ns)
    _costs(right, cells, position, ns[len(ns) // 2])
    left.set_yticks(list(position.values()), [labels[m] for m in methods])
    left.set_ylim(len(methods) - 0.4, -0.6)
    for axes in (left, middle, right):
        axes.set_xticks([], minor=True)
        axes.tick_params(axis="y", length=0)
    figure.legend(handles=_key(ns), loc="outside upper center", ncols=5, columnspacing=1.2, handletextpad=0.5)
    return figure


FIGURE = PageFigure(
    name="methods",
    artifact="methods",
    page="report",
    draw=draw,
    title="All methods on one instance",
    caption="""
    Read how far each row's darkest mark has moved towards the left end (the tilted policy) and the line of its reward;
    ticks are the limit of every rule on n draws (M19).
    [reach] At n = {largest_n} {methods} come within {reached:g} of the tilted policy in TV. | At n = {largest_n} no
    method comes within {reached:g} of the tilted policy in TV.
    [leave] Moving away from it again as n grows: {methods}. | No method moves away from it again as n grows.
    """,
    alt="Dot chart with a row for each method: total variation to the tilted policy with the least value of any "
    "rule, expected reward with lines for draft, base and tilted policy, and expected numbers of draft "
    "samples, scored candidates and base samples a round.",
)
