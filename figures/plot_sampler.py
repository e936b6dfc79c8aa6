"""Exact law against Monte Carlo: z-scores of sampled frequencies, against the normal and the Bonferroni bound."""

from __future__ import annotations

from statistics import NormalDist

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, scalars
from figures.style import WIDTH, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw", "normal_plot"]

# An impossible outcome that was drawn has z = ∞; it is drawn here, far above any bound.
SHOWN_Z = 40.0


def normal_plot(axes: Axes, scores: list[float], color: str = "#333333") -> None:
    """Ordered z-scores against the quantiles of the standard normal, with the line they should follow."""
    ordered = sorted(min(max(z, -SHOWN_Z), SHOWN_Z) for z in scores)
    expected = [NormalDist().inv_cdf((i + 0.5) / len(ordered)) for i in range(len(ordered))]
    reach = max(map(abs, [*ordered, *expected, 2.0])) * 1.08
    axes.plot([-reach, reach], [-reach, reach], color="#000000", linewidth=0.8)
    axes.plot(expected, ordered, linestyle="", marker="o", markersize=3, markeredgewidth=0, color=color, alpha=0.7)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="normal quantile", ylabel="z, ordered")
    axes.set_aspect("equal")


def _worst_scores(axes: Axes, cells: list[Row], bound: float, level: float) -> None:
    families = distinct(c["family"] for c in cells)
    rules = distinct(c["rule"] for c in cells)
    worst = [min(c["max_abs_z"], SHOWN_Z) for c in cells]
    for k, rule in enumerate(rules):
        style = look(rule)
        subset = [(families.index(c["family"]), z) for c, z in zip(cells, worst, strict=True) if c["rule"] == rule]
        offset = 0.5 * ((k + 0.5) / len(rules) - 0.5)
        axes.plot(
            [x + offset for x, _ in subset],
            [z for _, z in subset],
            linestyle="",
            marker=style.marker,
            color=style.color,
            markersize=4,
            alpha=0.75,
            markeredgewidth=0,
            label=style.label,
        )
    axes.axhline(bound, color="#000000", linestyle="--", linewidth=1)
    axes.text(
        1.0, bound, f"Bonferroni bound at {level:g}", ha="right", va="bottom", transform=axes.get_yaxis_transform()
    )
    rotation = 0 if len(families) <= 4 else 25
    names = [f.replace("_", "\n" if rotation == 0 else " ") for f in families]
    axes.set_xticks(range(len(families)), names, rotation=rotation)
    axes.set(xlim=(-0.5, len(families) - 0.5), ylim=(0, 1.25 * max(bound, *worst)))
    axes.set_ylabel("largest |z| of a cell")
    axes.legend(loc="lower right", ncols=len(rules), handletextpad=0.1, columnspacing=0.8)


def draw(artifact: Artifact) -> Figure:
    """Left: the largest |z| over outcomes, one point a cell. Right: z of the acceptance rate of the gated cells."""
    cells = rows(artifact, "cells", ("max_abs_z", "acceptance_z"), ("family", "rule"))
    summary = scalars(artifact, ("bonferroni_bound", "level"))
    figure = Figure(figsize=(WIDTH, 3.1))
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    scored = [c for c in cells if c["max_abs_z"] is not None]
    _worst_scores(left, scored, summary["bonferroni_bound"], summary["level"])
    left.set_title("frequencies of outcomes")
    normal_plot(right, [c["acceptance_z"] for c in cells if c["acceptance_z"] is not None])
    right.set_title("acceptance rates")
    return figure


FIGURE = PageFigure(
    name="exact_vs_mc",
    artifact="exact_vs_mc",
    page="report",
    draw=draw,
    title="Exact laws against simulation",
    caption="""
    Every cell should lie below the dashed bound, and the acceptance z-scores on the diagonal: then the sampler and the
    exact law agree to within chance.
    """,
    alt="Left, largest absolute z-score of each cell with the Bonferroni bound; right, normal quantile plot of "
    "the z-scores of acceptance rates.",
)
