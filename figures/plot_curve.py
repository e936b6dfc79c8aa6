"""Value against n of the draws of one model, a panel a value, from artifact `curve`; differences of two logs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.plot_data import Row, distinct, rows, scalars, where
from figures.style import WIDTH, log_ticks
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw", "draw_differences"]

# selector -> color, marker, line; a curve's β sets how dark it is
_LOOKS = {
    "best_of_n": ("#0072b2", "o", "-"),
    "soft_best_of_n": ("#56b4e9", "s", "--"),
    "race": ("#009e73", "D", "-."),
    "majority": ("#d55e00", "^", "-"),
    "weighted_majority": ("#882255", "v", "--"),
    "pass_at_k": ("#000000", "", ":"),
}
_BANDED = ("best_of_n", "majority", "weighted_majority")
_NUMBERS = ("n", "beta", "mean", "low", "high")


def _panels(artifact: Artifact, table: str, zero: bool) -> Figure:
    cells = rows(artifact, table, _NUMBERS, ("selector", "value", "title"))
    # race is close to soft best-of-n: drawn where there is nothing else
    others = [row for row in cells if row["selector"] != "race"]
    cells = others or cells
    values = distinct(row["value"] for row in cells)
    figure = Figure(figsize=(WIDTH, 3.3))
    panels = figure.subplots(1, len(values), squeeze=False)[0]
    labeled: dict[str, Line2D] = {}
    for axes, value in zip(panels, values, strict=True):
        here = where(cells, value=value)
        for title in distinct(row["title"] for row in here):
            curve = where(here, title=title)
            betas = distinct(row["beta"] for row in where(here, selector=curve[0]["selector"]))
            handle = _line(axes, curve, betas)
            labeled.setdefault(title, handle)
        if zero:
            axes.axhline(0.0, color="#1c1c1c", linewidth=0.6)
        log_ticks(axes, [n for n in sorted(distinct(row["n"] for row in here)) if n & (n - 1) == 0])
        axes.set(title=value.replace("_", " "), xlabel="n")
    figure.legend(list(labeled.values()), list(labeled), loc="outside lower center", ncols=3)
    return figure


def _line(axes: Axes, curve: list[Row], betas: list[float]) -> Line2D:
    """One curve with its band, which holds at all n at once."""
    color, marker, style = _LOOKS[curve[0]["selector"]]
    at, mean = ([row[name] for row in curve] for name in ("n", "mean"))
    # the larger β, the fuller the line
    depth = 0.35 + 0.65 * betas.index(curve[0]["beta"]) / (len(betas) - 1) if len(betas) > 1 else 1.0
    powers = [i for i, n in enumerate(at) if n & (n - 1) == 0]
    shape: Row = {"color": color, "linestyle": style, "alpha": depth, "marker": marker or None, "markersize": 3}
    (handle,) = axes.plot(at, mean, markevery=powers, **shape)
    banded = [row for row in curve if row["low"] is not None]
    if banded and curve[0]["selector"] in _BANDED:
        at, low, high = ([row[name] for row in banded] for name in ("n", "low", "high"))
        axes.fill_between(at, low, high, color=color, alpha=0.13, linewidth=0)
    return handle


def draw(artifact: Artifact) -> Figure:
    """Every curve against n; where a gold value surely turns down, a vertical line at its peak."""
    figure = _panels(artifact, "curves", zero=False)
    for peak in scalars(artifact, ("peaks",))["peaks"]:
        for axes in figure.axes:
            if peak["turns"] and axes.get_title() == peak["value"].replace("_", " "):
                axes.axvline(peak["peak"], color="#1c1c1c", linewidth=0.8)
    return figure


def draw_differences(artifact: Artifact) -> Figure:
    """Differences of two logs against n, with bands."""
    return _panels(artifact, "differences", zero=True)
