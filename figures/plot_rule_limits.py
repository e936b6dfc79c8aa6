"""TV to the tilt and reward against the expected number of draws: limits, rules and GSI; a column for each world."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact

FLOOR = 1e-3
GSI = replace(look_of("gsi"), color="#333333")  # the color of its limits; softmax has GSI's own
LIMITS = ("limit", "limit_stopping", "limit_fallback", "limit_both")


def draw(artifact: Artifact) -> Figure:
    """Above TV, below reward with its simulations as marks; limits without marks."""
    cells = rows(artifact, "points", ("n", "draws", "tv", "reward", "simulated", "stderr"), ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    methods = sorted(distinct(c["method"] for c in cells), key=lambda m: m in LIMITS)
    figure, grid = panels(2 * len(worlds), 5.6, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        above, below = grid[column], grid[column + len(worlds)]
        for method in methods:
            style, line = GSI if method == "gsi" else look_of(method), where(cells, world=world, method=method)
            wide = 1.8 if method in LIMITS else 1.0
            drawn = [c | {"tv": max(c["tv"], FLOOR)} for c in line]
            curve(above, drawn, "draws", "tv", style, simulated=None, linewidth=wide)
            curve(below, line, "draws", "reward", style, linewidth=wide)
        for axes in (above, below):
            powers(axes, (c["n"] for c in cells))
            axes.set_xlim(0.9, 2.2 * max(c["n"] for c in cells))
        above.set(yscale="log", ylim=(0.8 * FLOOR, 1.2), title=worlds_title(world))
        below.set(xlabel="expected number of draws", ylim=(-0.03, 1.03))
    grid[0].set_ylabel("TV(law, tilt)")
    grid[len(worlds)].set_ylabel("expected reward")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="rule_limits",
    artifact="rule_limits",
    page="gallery",
    order=16,
    draw=draw,
    title="What the best rule could do, and what rules do",
    question="What is the best that any method could do with these draws, and how far is each method from it?",
    caption="""
    Green: what no rule on drafts alone can beat, with n draws (solid) and with n expected (dashed). Black: the same for
    rounds with GSI's probability of fallback, and for any rule with GSI's drafts and base draws. TV at the lower edge
    is that or less. Above, nearer to the tilt is lower; below, the reward alone counts, and rules that aim at the tilt
    stop at its reward.
    [none_beats] No rule passes its limits, in {cases} cases. | A rule passes its limit in {exceptions}: a fault of the
    numbers.
    """,
    claim="""
    [needs] The least n tried with TV at most {close:g}: {needed}. | No n was tried.
    [race_nearer] The race is nowhere further from the tilt than softmax. | The race is further from the tilt than
    softmax somewhere in {exceptions}.
    [price] That the number is fixed costs at most {tv:.2g} in TV (at n = {tv_n} in {tv_world}) and {reward:.2g} in
    reward (at n = {reward_n} in {reward_world}). | No n was tried.
    [gsi_stays] At n = {n} GSI with its usual gate is further from the tilt than its shape must be, by {gaps:.2g}: the
    gate, not the number of draws, holds it there (M7). | At n = {n} GSI with its usual gate is within {least:g} of what
    its shape can do in {exceptions}; the gaps are {gaps:.2g}.
    """,
    alt="Above, total variation to the tilt, below, expected reward, against the expected number of draws: four "
    "limits, softmax, race, regularized best-of-n and GSI, a column for each world.",
)
