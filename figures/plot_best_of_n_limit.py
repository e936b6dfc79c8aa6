"""How often best-of-n misses the best answer, from draft and base, against n; a panel for each world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """Exact lines, simulated marks."""
    cells = rows(artifact, "miss", ("n", "miss", "simulated", "stderr"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(len(worlds), 3.0)
    for axes, world in zip(grid, worlds, strict=True):
        for method in distinct(c["method"] for c in cells):
            curve(axes, where(cells, world=world, method=method), "n", "miss", look_of(method))
        powers(axes, (c["n"] for c in cells))
        axes.set(xlabel="candidates n", ylim=(-0.03, 1.03), title=worlds_title(world))
    grid[0].set_ylabel("P(the best answer is missed)")
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="best_of_n_limit",
    artifact="best_of_n_limit",
    page="gallery",
    order=15,
    draw=draw,
    title="Best-of-n and the best answer",
    question="How many candidates does best-of-n need to find the best answer, from the draft and from the base?",
    caption="Read at which n a line comes down to zero: the fewer candidates, the more mass the best answer has.",
    claim="""
    [draft_misses_more] Best-of-n on the draft misses the best answer more often than on the base, at every n. |
    Best-of-n on the draft misses the best answer less often than on the base somewhere in {exceptions}.
    [needs] The least n tried that misses it with at most {missed:g}: {needed}. | No n was tried.
    """,
    alt="Probability that best-of-n misses the best answer against n, from the draft and from the base, a panel for "
    "each world.",
)
