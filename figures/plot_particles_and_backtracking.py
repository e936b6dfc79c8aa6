"""TV to the tilt of trajectories and share of correct ones against evaluations; a column for each kind of noise."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import rows, where
from figures.small_multiples import curve, key, look_of, panels
from gsi_theory.runs.artifact import Artifact

FLOOR = 1e-3
POINTS = ("forward", "first_leaf")


def draw(artifact: Artifact) -> Figure:
    """Above TV, below the share of correct trajectories with its simulations; passes without a length are points."""
    values = ("n", "evaluations", "tv", "correct", "simulated", "stderr", "tilted_correct")
    cells = rows(artifact, "points", values, ("world", "method"))
    worlds = list(dict.fromkeys(c["world"] for c in cells))
    methods = list(dict.fromkeys(c["method"] for c in cells))
    figure, grid = panels(2 * len(worlds), 5.2, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        above, below = grid[column], grid[column + len(worlds)]
        for method in methods:
            style, line = look_of(method), where(cells, world=world, method=method)
            drawn = [c | {"tv": max(c["tv"], FLOOR)} for c in line]
            alone: dict[str, Any] = {"marker": style.marker, "linestyle": "", "markersize": 6.0}
            looks = alone if method in POINTS else {}
            curve(above, drawn, "evaluations", "tv", style, simulated=None, along="n", **looks)
            curve(below, line, "evaluations", "correct", style, along="n", **looks)
        best = where(cells, world=world)[0]["tilted_correct"]
        below.axhline(best, color=look_of("sequence tilt").color, linestyle=":", linewidth=1, zorder=1)
        for axes in (above, below):
            axes.set_xscale("log")
        above.set(yscale="log", ylim=(0.8 * FLOOR, 1.2), title=world)
        above.minorticks_off()
        below.minorticks_off()
        below.set(xlabel="evaluations", ylim=(-0.03, 1.03))
    grid[0].set_ylabel("TV(law, tilt)")
    grid[len(worlds)].set_ylabel("correct trajectories")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="particles_and_backtracking",
    artifact="particles_and_backtracking",
    page="gallery",
    order=17,
    draw=draw,
    title="Particles and a walk with steps back, with a noisy process reward",
    question="Do particles, or a walk that may take steps back, repair a noisy process reward, and at what cost?",
    caption="""
    Evaluations are the values or step rewards asked for; a walk begins again until it ends at a leaf, and asks for all
    next steps whenever it moves on. Noisy values are exact at the end of a trajectory; noisy steps are not. TV at the
    lower edge is that or less; the dotted line is the tilt.
    [particles_nearer] At equal draws particles are nearer to the tilt than GSI without gate in all {cases} cases. | At
    equal draws particles are nearer to the tilt than GSI without gate, but not in {exceptions}.
    [resampling_pays] Drawing again brings them nearer than whole trajectories do in all {cases} cases. | Drawing again
    brings them nearer than whole trajectories do, but not in {exceptions}.
    [nearest] Within {budget:.0f} evaluations the nearest is {nearest}. | No method was tried.
    """,
    claim="""
    [walk_repairs] That steps back repair errors of the values (VGB, arXiv 2510.03149, as read) is confirmed: after
    {steps} steps the walk's TV is {walk:.2g}, without steps back {forward:.2g}. | That steps back repair errors of the
    values (VGB, arXiv 2510.03149, as read) is not seen after {steps} steps in {exceptions}.
    [needed] The price: for TV at most {close:g} it asks, on the mean, for {needed:.0f} values, where the whole tree has
    {tree}. | The price: TV at most {close:g} asks, on the mean, for so many values: {needed:.0f} (for others no length
    tried is enough); the whole tree has {tree}.
    [first_leaf_between] Stopped at its first leaf the walk is nearer than without steps back. | Stopped at its first
    leaf the walk is no nearer than without steps back in {exceptions}.
    [exact_without_noise] With exact values the walk, and one pass down, sample the tilt: TV {tv}. | With exact values
    the walk does not sample the tilt: TV {tv}.
    [nothing_repairs_steps] With M29's noise at every step no method reaches TV {close:g}: what all of them aim at is
    wrong. | With M29's noise at every step TV {close:g} is reached by {exceptions}.
    """,
    alt="Total variation to the tilt of trajectories and share of correct trajectories against evaluations: GSI "
    "without gate, particles, whole trajectories and the walk with steps back, a column for each kind of noise.",
)
