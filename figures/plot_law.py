"""Sampled steps of the language models against the enumerated exact law: p-values and largest z-scores."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, scalars
from figures.small_multiples import key
from figures.style import WIDTH, look, number
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

# p-values below this are drawn at it, so that one impossible outcome does not stretch the axis
SMALLEST = 1e-12


def draw(artifact: Artifact) -> Figure:
    """Left: ordered p-values of the goodness-of-fit tests on log axes, uniform if the sampler follows the law.

    Right: the largest |z| of a test against the number of its cells.
    """
    tests = rows(artifact, "prompts", ("p_value", "max_abs_z", "cells"), ("sampler",))
    level = scalars(artifact, ("level",))["level"]
    figure = Figure(figsize=(WIDTH, 3.0))
    left, right = figure.subplots(1, 2)
    ordered = sorted((t for t in tests if t["p_value"] is not None), key=lambda t: t["p_value"])
    position = [(i + 0.5) / len(ordered) for i in range(len(ordered))]
    for sampler in distinct(t["sampler"] for t in tests):
        style = look(sampler)
        kind = {"color": style.color, "marker": style.marker, "linestyle": "", "markeredgewidth": 0, "alpha": 0.8}
        shown = [(x, t["p_value"]) for x, t in zip(position, ordered, strict=True) if t["sampler"] == sampler]
        left.plot([x for x, _ in shown], [max(p, SMALLEST) for _, p in shown], label=style.label, **kind)
        subset = [t for t in tests if t["sampler"] == sampler and t["max_abs_z"] is not None]
        right.plot([t["cells"] for t in subset], [t["max_abs_z"] for t in subset], **kind)
    least = 0.5 * min([level, *(max(t["p_value"], SMALLEST) for t in ordered)])
    left.plot([least, 1], [least, 1], color="#000000", linewidth=0.8, zorder=1)
    left.axhline(level, color="#000000", linestyle="--", linewidth=1)
    words, at_right = f"fails below {number(level, 2)}", left.get_yaxis_transform()
    left.text(0.99, level, words, ha="right", va="bottom", transform=at_right)
    left.set(xscale="log", yscale="log", xlim=(min(position) / 2, 1.2), ylim=(least, 1.6))
    left.set(xlabel="rank / number of tests", ylabel="p-value, ordered")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="cells of the test", ylabel="largest |z| of a cell", ylim=(0, None))
    key(figure, [left], 5, above=True)
    return figure


FIGURE = PageFigure(
    name="lm_law",
    artifact="lm_law",
    page="report",
    draw=draw,
    title="Language-model sampler against the enumerated law",
    caption="""
    P-values along the diagonal and above the dashed line mean that the steps the transformer sampled follow the exact
    law computed by enumerating every step.
    """,
    alt="Left, ordered p-values of goodness-of-fit tests against uniform quantiles; right, largest z-score of "
    "each test against its number of cells.",
)
