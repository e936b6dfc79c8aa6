"""The rate of the softmax rule: how near n² KL is to its limit at large n, and from which n the constant is right."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import rows, scalars
from figures.style import WIDTH
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

FIT = ("rate_fit_factor", "rate_fit_coverage", "rate_fit_chi2")
LEAST = 1e-8  # an error of the quotient below this is drawn here


def draw(artifact: Artifact) -> Figure:
    """Left, the quotient's distance from one at n = 10⁶; right, the n from which it stays within 10 %, and its fit."""
    cells = rows(artifact, "kl_rate", ("coverage", "chi2", "quotient", "n_ten_percent"))
    fit = scalars(artifact, (), FIT)
    figure = Figure(figsize=(WIDTH, 2.7))
    left, right = figure.subplots(1, 2)
    coverage = [c["coverage"] for c in cells]
    left.plot(coverage, [max(abs(c["quotient"] - 1.0), LEAST) for c in cells], "o", color="#0072b2", markersize=3)
    left.axhline(0.01, color="#d55e00", linestyle="--", linewidth=1)
    left.annotate("1 %", (max(coverage), 0.01), (0, 3), textcoords="offset points", ha="right", color="#d55e00")
    left.set(xscale="log", yscale="log", xlabel="coverage constant C = sup w")
    left.set_title("distance from the limit at $n=10^6$\n|n² KL / (½ Var w) − 1|")
    known = [c for c in cells if c["n_ten_percent"] is not None]
    if None not in fit.values():
        factor, power, other = (fit[name] for name in FIT)
        x = [factor * c["coverage"] ** power * (1.0 + c["chi2"]) ** other for c in known]
        label = f"{factor:.2g} · C^{power:.2f} · (1+χ²)^{other:.2f}"
    else:
        x, label = [c["coverage"] for c in known], "C"
    y = [c["n_ten_percent"] for c in known]
    if not min([*coverage, *x, *y], default=1.0) > 0:
        raise ValueError("a coverage constant, a number of drafts or its fit is not positive")
    right.plot(x, y, "o", color="#0072b2", markersize=3)
    if x:
        ends = [min(x), max(x)]
        right.plot(ends, ends, color="#333333", linewidth=1, linestyle="--")
    right.set(xscale="log", yscale="log", xlabel=label)
    right.set_title("smallest n from which the constant\nis right within 10 %")
    return figure


FIGURE = PageFigure(
    name="rate",
    artifact="audit",
    page="report",
    draw=draw,
    title="KL falls like 1/n², and from which n",
    caption="""
    Left, all points below the dashed line mean that n² KL(π‖Pₙ) is ½ Var(w) up to the share written at that line (M18);
    right, points on the dashed line mean that the fitted product of C = sup w and 1 + χ² tells from which n to rely on
    it.
    """,
    alt="Two log-log scatter plots over random instances: distance of n squared times KL from its limit against "
    "the coverage constant, and the n from which it is right within ten percent against a fitted formula.",
)
