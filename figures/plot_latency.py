"""Value against seconds and against FLOPs a step, along n; a column for each world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, worlds_title
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """A curve along n for each method; marks are the n tried."""
    cells = rows(artifact, "cost", ("n", "reward", "value", "flops", "seconds"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 5.2, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        panel = where(cells, world=world)
        lines = {method: where(panel, method=method) for method in distinct(c["method"] for c in panel)}
        best = [max(c["value"] for c in line) for line in lines.values()]
        low, high = min(best), max(best)
        for axes, x in zip(grid[column :: len(worlds)], ("seconds", "flops"), strict=True):
            for method, line in lines.items():
                style = look_of(method)
                curve(axes, line, x, "value", style, simulated=None, along="n", marker=style.marker, markersize=3)
            axes.set(ylim=(low - 0.05 * (high - low), high + 0.1 * (high - low)), xscale="log")
            axes.set_xlabel("seconds a step" if x == "seconds" else "FLOPs a step")
            if column == 0:
                axes.set_ylabel("value, reward units")
        grid[column].set_title(worlds_title(world))
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="latency",
    artifact="latency",
    page="gallery",
    order=6,
    draw=draw,
    title="Value at equal time and at equal FLOPs",
    question="At equal time, and at equal FLOPs, which method has most value E r - KL/β, and when is it soft "
    "best-of-n?",
    caption="""
    Curves run along n. A method left of and above another is better at that budget. Methods with a gate bend to the
    left: with more drafts they fall back less often, and writing with the base is what takes time.
    """,
    claim="""
    GSI (arXiv 2506.04118) claims to be faster than soft best-of-n on the base at equal reward. With candidates written
    as one batch the threshold decides.
    [gsi_90_faster] With one that passes nine tenths of π it reaches the value of soft best-of-n at n = {n} (less
    {equal:g}) in less time in every world; | With one that passes nine tenths of π it does not reach the value of soft
    best-of-n at n = {n} (less {equal:g}) in less time in {exceptions};
    [gsi_faster] with one that passes half of π likewise. | with one that passes half of π, not in {exceptions}.
    [soft_wins_seconds] Given much time soft best-of-n on the base has most value in every world; | Given much time
    another method than soft best-of-n on the base has most value in {exceptions};
    [soft_wins_flops] given many FLOPs likewise. | given many FLOPs, in {exceptions}.
    [] Scoring with the base costs as many FLOPs as writing (M33), so fewer FLOPs come from better drafts alone.
    """,
    alt="Value against seconds and against FLOPs a step for eight methods, a column for each world, a curve along n "
    "for each.",
)
