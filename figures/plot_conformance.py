"""Draws until a mistake is refuted, against what its KL divergence from the method's law says."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import key, look_of, panels
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """A mark for each mistake of each method; the line is equality."""
    cells = rows(artifact, "mistakes", ("expected", "median", "found"), ("method", "mistake"))
    seen = [c for c in cells if np.isfinite(c["median"])]
    figure, (axes,) = panels(1, 4.2)
    ends = [min(c["expected"] for c in cells) / 2, max(c["expected"] for c in cells) * 2]
    axes.plot(ends, ends, color="0.6", lw=1)
    for method in distinct(c["method"] for c in cells):
        look, at = look_of(method), where(seen, method=method)
        x, y = ([c[name] for c in at] for name in ("expected", "median"))
        axes.plot(x, y, linestyle="none", marker=look.marker or "o", color=look.color, label=look.label)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(xlabel="draws that the divergence asks for", ylabel="draws until refuted, median of runs")
    key(figure, [axes])
    return figure


FIGURE = PageFigure(
    name="conformance",
    artifact="conformance",
    page="gallery",
    order=24,
    draw=draw,
    title="Does a sampler sample what it says?",
    question="How many draws does it take to see that a sampler makes a known mistake?",
    caption="Every mark is a mistake of the catalogue (gsi conform lists them) in one method, played on the problems "
    "of gsi conform. On the line, the test takes as many draws as the divergence of the mistake's law asks for.",
    claim="""
    [all_found] All {mistakes} mistakes are refuted within {draws:,} draws in {share:.0%} of runs or more. |
    Not refuted within {draws:,} draws in {share:.0%} of runs: {exceptions}.
    [wald] Medians are {low:.2f} to {high:.2f} times what the divergence asks for. | Medians are {low:.2f} to {high:.2f}
    times what the divergence asks for: of some mistake more than twice as many.
    [alarms] Right samplers were refuted in {alarms} of {runs} runs. | Right samplers were refuted in {alarms} of {runs}
    runs, more than the level says.
    [named] When refuted at level {level:g}, the mistake itself was the likeliest rival in {share:.0%} of runs. |
    No mistake was played.
    """,
    alt="Median number of draws until a mistake is refuted against the number that its divergence asks for, a mark for "
    "each mistake of each method.",
)
