"""Expected reward of each method against beta, a panel for each family of instances, at one n."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, spread
from figures.small_multiples import ticks
from figures.style import LOOKS, WIDTH, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw", "shown_n"]

SHOWN_N = 16


def shown_n(artifact: Artifact) -> int:
    """The n that the figure shows: the one in the artifact nearest to 16 on the log scale."""
    ns = distinct(c["n"] for c in rows(artifact, "reward", ("n",)))
    return int(min((n for n in ns if n >= 1), key=lambda n: max(n / SHOWN_N, SHOWN_N / n), default=1))


def draw(artifact: Artifact) -> Figure:
    """Lines of expected reward; a method without n (draft, base, tilted policy) is drawn as it is."""
    cells = rows(artifact, "reward", ("n", "beta", "expected_reward"), ("family", "method"))
    families, n = distinct(c["family"] for c in cells), shown_n(artifact)
    across = min(3, len(families))
    down = -(-len(families) // across)
    figure = Figure(figsize=(WIDTH, 0.9 + 2.3 * down))
    grid = figure.subplots(down, across, squeeze=False)
    present = distinct(c["method"] for c in cells)
    methods = [m for m in LOOKS if m in present] + [m for m in present if m not in LOOKS]
    handles = {}
    for index, axes in enumerate(grid.flat):
        if index >= len(families):
            axes.set_axis_off()
            continue
        for method in methods:
            subset = [c for c in cells if c["family"] == families[index] and c["method"] == method]
            at_n = [c for c in subset if c["n"] == n or c["n"] is None]
            points = sorted((c["beta"], c["expected_reward"]) for c in at_n if c["expected_reward"] is not None)
            if not points:
                continue
            style = look(method)
            x, y = zip(*points, strict=True)
            (handles[style.label],) = axes.plot(
                x, y, color=style.color, linestyle=style.line, marker=style.marker, markersize=3.5, linewidth=1.1
            )
        positive = [c["beta"] for c in cells if c["beta"] is not None and c["beta"] > 0]
        if positive and max(positive) > 25 * min(positive):
            axes.set_xscale("symlog", linthresh=min(positive))
        betas = spread(sorted(distinct(c["beta"] for c in cells)), 6)
        ticks(axes, betas)
        axes.set_title(families[index].replace("_", " "))
        axes.set_xlabel("inverse temperature β")
        if index % across == 0:
            axes.set_ylabel(f"expected reward, n = {n}")
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=4)
    return figure


FIGURE = PageFigure(
    name="reward_vs_beta",
    artifact="bounds_vs_n",
    page="report",
    draw=draw,
    title="Expected reward against β",
    caption="""
    Compare each method with the dotted line of the tilted policy, the law it is meant to sample: above it, a method
    earns more reward by sampling another law.
    """,
    alt="Line charts of expected reward against beta for every method, one panel for each family of instances.",
)
