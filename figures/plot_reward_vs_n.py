"""Reward of every method against n, a panel for each world; the dotted line is the tilted policy."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import band, curve, key, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """Exact lines, simulated marks, bands of two standard errors over problems; rewards in reward units."""
    cells = rows(artifact, "reward", ("n", "reward", "simulated", "stderr", "spread"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(len(worlds), 2.55 * -(-len(worlds) // 2) + 0.7, min(2, len(worlds)), sharey=False)
    for axes, world in zip(grid, worlds, strict=True):
        panel = where(cells, world=world)
        for method in distinct(c["method"] for c in panel):
            line = where(panel, method=method)
            if method == "tilted":
                axes.axhline(line[0]["reward"], color="#000000", linestyle=(0, (1, 1)), label="tilted policy π")
            else:
                curve(axes, line, "n", "reward", look_of(method))
                band(axes, line, "n", "reward", "spread", look_of(method).color)
        powers(axes, (c["n"] for c in panel if c["n"]))
        axes.set(xlabel="candidates n", ylabel="expected reward", title=worlds_title(world))
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="reward_vs_n",
    artifact="reward_vs_n",
    page="gallery",
    order=1,
    draw=draw,
    title="Reward against n, all methods",
    question="How much reward does each method earn at n candidates, in easy and hard worlds?",
    caption="""
    Compare GSI (blue) with soft best-of-n on the base (green), which its fallback is, and with GSI without its gate
    (purple).
    [gate_gains] The gate gains reward in every world, at best {gains:.2f}. | The gate gains no reward in {exceptions};
    at best it gains {gains:.2f}.
    """,
    claim="""
    GSI's Figure 1 in form (arXiv 2506.04118).
    [above_rsd] GSI is above RSD at every n from n ≥ 2 on, as claimed. | GSI is not above RSD everywhere from n ≥ 2 on:
    not in {exceptions}.
    [above_draft] It is above soft best-of-n on the draft everywhere, as claimed. | It is not above soft best-of-n on
    the draft in {exceptions}.
    [even_with_base] It is above soft best-of-n on the base, or lower by less than {even:g}, at every n ≥ 2. | It is
    below soft best-of-n on the base, by more than {even:g}, in {exceptions}.
    [gsi_below_tilt] At n = {largest_n} GSI is below the tilted policy (dotted) in every world. | At n = {largest_n} GSI
    has passed the tilted policy (dotted), the bias of its gate (M7), in {exceptions}: its reward is above π's by
    {excess:.3f}.
    [score_gate_below_tilt] The score gate (M9) has not passed it. | The score gate (M9) has passed it in {exceptions}.
    [] Bands are two standard errors over problems, of which all methods have the same.
    """,
    alt="Panels of expected reward against n for nine methods, exact lines with bands over problems and simulated "
    "marks, the tilted policy dotted.",
)
