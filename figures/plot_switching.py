"""Start with the base or with the draft: reward against the share of steps that the base writes."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, panels
from figures.style import Look, look
from gsi_theory.runs.artifact import Artifact

WAYS = {
    "start base": Look("start with the base, switch", "#000000", "s", "-"),
    "start draft": Look("start with the draft, switch", "#56b4e9", "<", "-"),
    "gsi": look("gsi"),
}


def draw(artifact: Artifact) -> Figure:
    """A panel for each coverage and n; a curve runs along the threshold u."""
    numbers = ("coverage", "n", "share", "reward", "simulated", "stderr", "written", "steps")
    cells = [c | {"part": c["written"] / c["steps"]} for c in rows(artifact, "plane", numbers, ("way",))]
    places = list(dict.fromkeys((c["coverage"], c["n"]) for c in cells))
    figure, grid = panels(len(places), 5.0, 2, sharey=False)
    for axes, (coverage, n) in zip(grid, places, strict=True):
        for way in distinct(c["way"] for c in cells):
            line = where(cells, coverage=coverage, n=n, way=way)
            curve(axes, line, "part", "reward", WAYS[way], along="share")
        axes.set(xlabel="share of steps written by the base", ylabel="expected reward", xlim=(-0.03, 1.03))
        axes.set_title(f"coverage {coverage:g}, n = {n}")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="switching",
    artifact="switching",
    page="gallery",
    order=13,
    draw=draw,
    title="Start with the base, or with the draft",
    question="Is it better to start with the base and hand over to the draft, or to begin every step with the draft?",
    caption="""
    A curve runs along the threshold. At the same share of steps written by the base, higher is better.
    """,
    claim="""
    The cascade of SPECS in our reading:
    [base_saved] that its best reward is kept (to {kept:g}) with a part of the base's steps is confirmed, with
    {share:.0%} of them at most; | that its best reward is kept (to {kept:g}) with a part of the base's steps is not
    confirmed in every panel;
    [gsi_better] that this takes a start with the base is not: draft first at every step, which is GSI, earns more at
    equal share in every panel. | a start with the base earns as much as draft first at every step, which is GSI, at
    some equal share for {exceptions}.
    """,
    alt="Expected reward against the share of steps written by the base for three ways to switch, a panel for each "
    "coverage and n.",
)
