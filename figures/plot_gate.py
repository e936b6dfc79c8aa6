"""What the gate does to the law: distance of the gated law to the tilted policy against a = π(A) (M7).

The curve is the closed form of (M7), drawn as a reference line; points are the artifact's laws at finite n. Divergences
in nats, rewards in reward units.
"""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, spread
from figures.style import WIDTH, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw", "limit_curve"]

_QUANTITIES = (("tv", "TV(G, π)"), ("kl_forward", "KL(π‖G), nats"), ("kl_reverse", "KL(G‖π), nats"))
MOST_NS = 4
_MASS = np.linspace(0.0, 1.0 - 1e-6, 400)
# light to dark with n; the largest n is the full color of its rule
_ALPHA = {1: (1.0,), 2: (0.35, 1.0), 3: (0.25, 0.5, 1.0), 4: (0.2, 0.38, 0.6, 1.0)}


def limit_curve(name: str, a: np.ndarray) -> np.ndarray:
    """(M7) at 0 ≤ a < 1: "tv", "kl_forward" = KL(π‖G) or "kl_reverse" = KL(G‖π) of the gated law as n → ∞."""
    b = 1.0 - a
    if name == "tv":
        return a * b
    if name == "kl_forward":
        return -a * np.log(1.0 + b) - b * np.log(b)
    return a * (1.0 + b) * np.log(1.0 + b) + b * b * np.log(b)


def _points(axes: Axes, cells: list[Row], x: str, y: str, ns: list[int]) -> None:
    for n, alpha in zip(ns, _ALPHA[len(ns)], strict=True):
        for rule in distinct(c["rule"] for c in cells):
            shown = [c for c in cells if c["n"] == n and c["rule"] == rule and c[x] is not None and c[y] is not None]
            style = look(rule)
            axes.scatter(
                [c[x] for c in shown],
                [c[y] for c in shown],
                s=11,
                marker=style.marker,
                color=style.color,
                alpha=alpha,
                linewidths=0,
                zorder=2 + alpha,
            )


def _words(n: int) -> str:
    return f"n = {n}" if n < 100_000 else f"n = $10^{{{math.log10(n):.3g}}}$"


def _key(cells: list[Row], ns: list[int]) -> list[Line2D]:
    made = [
        Line2D([], [], linestyle="", marker=look(r).marker, color=look(r).color, label=f"{look(r).label} rule")
        for r in distinct(c["rule"] for c in cells)
    ]
    made += [
        Line2D([], [], linestyle="", marker="s", color="#333333", alpha=alpha, markeredgewidth=0, label=_words(n))
        for n, alpha in zip(ns, _ALPHA[len(ns)], strict=True)
    ]
    return [*made, Line2D([], [], color="#000000", linewidth=1, label="limit n → ∞ (M7)")]


def draw(artifact: Artifact) -> Figure:
    """Three distances against a = π(A), and the reward gap against its limit Cov_π(1_A, r)."""
    columns = ["a", "n", "reward_gap", "limit_reward_gap"]
    columns += [name for name, _ in _QUANTITIES]
    cells = rows(artifact, "gate", columns, ("rule", "family"))
    ns = spread(sorted(distinct(c["n"] for c in cells)), MOST_NS)
    figure = Figure(figsize=(WIDTH, 5.4))
    panels = figure.subplots(2, 2).flat
    for axes, (name, label) in zip(panels, _QUANTITIES, strict=False):
        _points(axes, cells, "a", name, ns)
        curve = limit_curve(name, _MASS)
        axes.plot(_MASS, curve, color="#000000", linewidth=1, zorder=2)
        top = float(np.max(curve))
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.06 * top, 2.2 * top), ylabel=label)
        axes.set_xlabel("a = π(A), tilted mass that the gate accepts")
    axes = figure.axes[3]
    _points(axes, cells, "limit_reward_gap", "reward_gap", ns)
    ends = [c["limit_reward_gap"] for c in cells if c["limit_reward_gap"] is not None]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color="#000000", linewidth=1, zorder=2)
    axes.set(xlabel=r"limit: Cov($1_A$, r) under π, reward units", ylabel="E r under G − E r under π")
    figure.legend(handles=_key(cells, ns), loc="outside upper center", ncols=4)
    return figure


FIGURE = PageFigure(
    name="gate_bias",
    artifact="bounds_vs_n",
    page="report",
    draw=draw,
    title="The gate changes the law for good",
    caption="""
    Read whether the points of growing n settle on the curve or go on to zero; points of small n may lie outside the
    panels.
    [gated_at_limit] At n = {n:,} all laws are within {near:g} of the curve in TV: gated GSI does not converge to the
    tilted policy (M7). | At n = {n:,} these are not yet within {near:g} of the curve in TV: {exceptions}.
    [both_signs] The reward gap of the limit, lower right, has either sign. | The reward gap of the limit, lower right,
    has one sign on all these families.
    """,
    alt="Three panels of distance against the accepted mass a, points of growing n and their limit curve, and one "
    "panel of reward gap against its limit.",
)
