"""Value against n of the draws of one model, a panel a value, from artifact `curve`; differences of two logs."""

from __future__ import annotations

from matplotlib.figure import Figure

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
    labeled: dict[str, object] = {}
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


def _line(axes: object, curve: list[Row], betas: list[float]) -> object:
    """One curve with its band, which holds at all n at once."""
    color, marker, style = _LOOKS[curve[0]["selector"]]
    at, mean = ([row[name] for row in curve] for name in ("n", "mean"))
    if len(betas) > 1:  # the larger β, the fuller the line
        depth = 0.35 + 0.65 * betas.index(curve[0]["beta"]) / (len(betas) - 1)
    else:
        depth = 1.0
    shown = {"color": color, "linestyle": style, "alpha": depth, "marker": marker or None, "markersize": 3}
    (handle,) = axes.plot(at, mean, **shown)  # type: ignore[attr-defined]
    banded = [row for row in curve if row["low"] is not None]
    if banded and curve[0]["selector"] in _BANDED:
        ends = ([row[name] for row in banded] for name in ("n", "low", "high"))
        axes.fill_between(*ends, color=color, alpha=0.13, linewidth=0)  # type: ignore[attr-defined]
    return handle


def draw(artifact: Artifact) -> Figure:
    """Every curve against n; where a gold value was tested, a vertical line at its peak: full if it surely falls."""
    figure = _panels(artifact, "curves", zero=False)
    for peak in scalars(artifact, ("peaks",))["peaks"]:
        for axes in figure.axes:
            if axes.get_title() == peak["value"].replace("_", " ") and peak["peak"] < peak["last"]:
                axes.axvline(peak["peak"], color="#1c1c1c", linewidth=0.8, linestyle="-" if peak["turns"] else ":")
    return figure


def draw_differences(artifact: Artifact) -> Figure:
    """Differences of two logs against n, with bands."""
    return _panels(artifact, "differences", zero=True)
