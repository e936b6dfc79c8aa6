"""Distance of the exact laws to the tilted policy against n, with the bounds and the limit of any rule.

Small multiples: a row for each family of instances, a column for each beta; log axes; KL in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, spread, where
from figures.small_multiples import key
from figures.style import WIDTH, log_ticks, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw_kl", "draw_tv"]

MOST_BETAS, MOST_FAMILIES = 4, 6
DARK = "#333333"
_SOFTMAX, _RACE = look("softmax"), look("race")


@dataclass(frozen=True)
class _Line:
    column: str
    label: str
    color: str
    line: Any
    marker: str = ""


_KL = (
    _Line("kl_softmax", "softmax, exact", _SOFTMAX.color, "-", _SOFTMAX.marker),
    _Line("kl_race", "race, exact", _RACE.color, "-", _RACE.marker),
    _Line("bound_theorem_b", "GSI Theorem 1 (b), M12", "#000000", "-."),
    _Line("bound_kl_chi2", "bound log(1 + χ²/n), M11", DARK, "--"),
    _Line("bound_kl_mean", "bound E log(1 + (w−1)/n), M11", DARK, ":"),
)
_TV = (
    _Line("tv_softmax", "softmax, exact", _SOFTMAX.color, "-", _SOFTMAX.marker),
    _Line("tv_race", "race, exact", _RACE.color, "-", _RACE.marker),
    _Line("bound_tv_race", "race bound, M17", DARK, "--"),
    _Line("bound_tv_tail", "race bound by tails, M17", DARK, ":"),
    _Line("tv_limit", "no rule can be below, M19", "#009e73", (0, (5, 1, 1, 1))),
)


def _panel(axes: Axes, cells: list[Row], lines: tuple[_Line, ...]) -> None:
    for line in lines:
        points = [(c["n"], c[line.column]) for c in cells if c[line.column] is not None and c[line.column] > 0]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=line.color, linestyle=line.line, marker=line.marker, markersize=3, label=line.label)


def _grid(artifact: Artifact, lines: tuple[_Line, ...], label: str, floor: float) -> Figure:
    cells = rows(artifact, "curves", ("beta", "n", *(line.column for line in lines)), ("family",))
    families = distinct(c["family"] for c in cells)[:MOST_FAMILIES]
    betas = spread(sorted(distinct(c["beta"] for c in cells)), MOST_BETAS)
    ns = sorted(distinct(c["n"] for c in cells))
    shown = [c for c in cells if c["family"] in families and c["beta"] in betas]
    top = [c[line.column] for c in shown for line in lines if c[line.column] is not None and c[line.column] < 1e300]
    figure = Figure(figsize=(WIDTH, 0.55 + 1.45 * len(families) + 0.3))
    grid = figure.subplots(len(families), len(betas), sharex=True, sharey=True, squeeze=False)
    for i, family in enumerate(families):
        for j, beta in enumerate(betas):
            axes = grid[i][j]
            panel = sorted(where(shown, family=family, beta=beta), key=lambda c: c["n"])
            _panel(axes, panel, lines)
            axes.set_yscale("log")
            if i == 0:
                axes.set_title(f"β = {beta:g}")
            if j == 0:
                axes.set_ylabel(f"{family.replace('_', ' ')}\n{label}")
            if i == len(families) - 1:
                axes.set_xlabel("candidates n")
    log_ticks(grid[0][0], ns)
    grid[0][0].set_ylim(floor, 2.5 * max(top, default=1.0))
    key(figure, grid.flat, 3, above=True)
    return figure


def draw_kl(artifact: Artifact) -> Figure:
    """KL(π‖P_n) of both rules with the bounds M11 and M12 (b)."""
    return _grid(artifact, _KL, "KL(π‖P), nats", 1e-9)


def draw_tv(artifact: Artifact) -> Figure:
    """TV(P_n, π) of both rules with the bounds M17 and the limit M19."""
    return _grid(artifact, _TV, "TV(P, π)", 1e-6)


FIGURES = (
    PageFigure(
        name="convergence_kl",
        artifact="bounds_vs_n",
        page="report",
        draw=draw_kl,
        title="KL to the tilted policy against n",
        caption="""
        Both laws with the instance bounds (M11) and the published Theorem 1 (b), a panel for each family and β.
        [below_instance_bounds] The exact softmax law lies below both instance bounds at every n. | The exact softmax
        law lies above an instance bound in {exceptions}.
        [theorem_b_far] At n = {n} and β = {beta} Theorem 1 (b) is {orders:.1f} powers of ten above the exact law
        (median of the families). | At n = {n} and β = {beta} Theorem 1 (b) is above the exact law by fewer powers of
        ten than one, {orders:.1f} (median of the families).
        """,
        alt="Grid of log-log panels, families by beta: exact KL of the softmax and race laws against n, with the "
        "instance bounds and the bound of GSI Theorem 1 (b).",
    ),
    PageFigure(
        name="convergence_tv",
        artifact="bounds_vs_n",
        page="report",
        draw=draw_tv,
        title="Total variation to the tilted policy against n",
        caption="""
        No rule that returns one of n draws can go below the green line (M19), which ends where its value is zero.
        [race_below_softmax] The race is below softmax, and above that line, at every n. | The order of limit, race and
        softmax is broken in {exceptions}.
        [race_below_bounds] The race is below both of its bounds (M17) everywhere. | The race is above one of its bounds
        (M17) in {exceptions}.
        """,
        alt="Grid of log-log panels, families by beta: total variation of the softmax and race laws, two bounds for "
        "the race rule, and the lower limit for any rule.",
    ),
)
