"""Lines with simulations beside them, in rows of small panels: what the figures of the gallery share.

A line is exact; an open marker on it is the simulated mean, with a bar of two standard errors where that is visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.plot_data import Row
from figures.style import WIDTH, Look, log_ticks, look

__all__ = ["EXTRA", "band", "curve", "key", "look_of", "panels", "powers", "ticks", "worlds_title"]

EXTRA: dict[str, Look] = {
    "race_base": Look("race, base", "#d55e00", "^", "-"),
    "soft_bon_64": Look("soft best-of-64, base, along β", "#d55e00", "^", "-"),
    "gsi_90": Look("GSI, gate passes 0.9 of π", "#00345a", "h", "-"),
    "stepwise tilt": Look("stepwise tilt", "#000000", "s", "-"),
    "sequence tilt": Look("tilt of trajectories", "#000000", "*", (0, (1, 1))),
    "transfer Q*": Look("Transfer Q*", "#d55e00", "^", "-"),
    "greedy": Look("greedy Poisson rejection", "#7b3294", "p", (0, (3, 1, 1, 1))),
    "particles": Look("particles", "#0072b2", "o", "-"),
    "trajectories": Look("whole trajectories", "#56b4e9", "<", (0, (5, 1.5))),
    "walk": Look("walk with steps back", "#d55e00", "^", "-"),
    "forward": Look("no steps back", "#000000", "s", "-"),
    "first_leaf": Look("first leaf of the walk", "#009e73", "D", "-"),
    "limit": Look("limit of every rule (M19)", "#009e73", "", "-"),
    "limit_stopping": Look("limit if it may stop (M36)", "#009e73", "", "--"),
    "fixed": Look("best-of-n", "#d55e00", "", "-"),
    "stopping": Look("stopping, law known", "#0072b2", "o", "-"),
    "pilots": Look("threshold from pilots", "#7b3294", "", "-."),
    "learned": Look("threshold learned on the way", "#cc79a7", "", ":"),
    "rejection": Look("rejection, capped", "#cc79a7", "", "-"),
    "limit_fallback": Look("limit of GSI's shape (M39b)", "#333333", "", "-"),
    "limit_both": Look("limit of any order (M37)", "#333333", "", "--"),
    "regularized:4": Look("regularized best-of-n, 4", "#7b3294", "p", (0, (3, 1, 1, 1))),
}


def look_of(key: str) -> Look:
    """The look of a method in the gallery."""
    return EXTRA.get(key) or look(key)


def panels(count: int, height: float, columns: int | None = None, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of text width with `count` panels, `columns` a row; unused places are left empty."""
    columns = columns or count
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height))
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def curve(
    axes: Axes,
    rows: Iterable[Row],
    x: str,
    y: str,
    style: Look,
    label: str | None = None,
    simulated: str | None = "simulated",
    stderr: str = "stderr",
    along: str | None = None,
    keep: Callable[[Row], bool] = lambda row: True,
    **drawn: object,
) -> None:
    """One exact line over x, in the order of `along` (x), and the simulation beside it where the rows have one."""
    order = along or x
    line = sorted((r for r in rows if r[x] is not None and r[y] is not None and keep(r)), key=lambda r: r[order])
    if not line:
        return
    options: dict[str, Any] = {
        "color": style.color,
        "linestyle": style.line,
        "label": style.label if label is None else label,
    } | drawn
    axes.plot([r[x] for r in line], [r[y] for r in line], **options)
    known = [r for r in line if simulated is not None and r.get(simulated) is not None]
    if known and simulated is not None:
        axes.errorbar(
            [r[x] for r in known],
            [r[simulated] for r in known],
            yerr=[2.0 * (r[stderr] or 0.0) for r in known],
            linestyle="",
            marker=style.marker or "o",
            markersize=3.2,
            markerfacecolor="white",
            color=options["color"],
            elinewidth=0.8,
            markeredgewidth=0.8,
        )


def band(axes: Axes, rows: Iterable[Row], x: str, y: str, spread: str, color: str) -> None:
    """Two standard errors over problems around a line; nothing where there is one problem."""
    line = sorted((r for r in rows if r[x] is not None and r[spread] is not None), key=lambda r: r[x])
    low, high = ([r[y] + sign * 2.0 * r[spread] for r in line] for sign in (-1.0, 1.0))
    axes.fill_between([r[x] for r in line], low, high, color=color, alpha=0.13, linewidth=0)


def key(figure: Figure, axes: Iterable[Axes], columns: int = 4, above: bool = False) -> None:
    """One key for all panels, below or above them, each label once."""
    handles: dict[str, Artist] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    loc: Any = f"outside {'upper' if above else 'lower'} center"
    figure.legend(list(handles.values()), list(handles), loc=loc, ncols=columns)


def ticks(axes: Axes, values: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Ticks of x at these values alone, as they are or with labels."""
    axes.set_xticks(values, [f"{v:g}" for v in values] if labels is None else labels)
    axes.set_xticks([], minor=True)


def powers(axes: Axes, values: Iterable[int]) -> None:
    """A log axis of n with few ticks."""
    log_ticks(axes, sorted(set(values)))


def worlds_title(world: str) -> str:
    """A world as a title."""
    name = world.replace("_", " ")
    return name if ":" not in name else name.replace("+", ", ").replace(":", " ")
