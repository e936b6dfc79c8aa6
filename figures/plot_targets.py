"""TV to each target against the number of drafts: the limits and the rules; a row for each target, a column a world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact

FLOOR = 1e-3
LIMITS = ("limit", "limit_stopping")
NAMES = {"kl": "KL", "chi2": "χ²", "order:0.5": "order ½", "power:2": "power 2"}


def draw(artifact: Artifact) -> Figure:
    """Limits wide and without marks, rules with the marks they have elsewhere."""
    cells = rows(artifact, "points", ("n", "tv"), ("world", "target", "method"))
    worlds, targets = distinct(c["world"] for c in cells), distinct(c["target"] for c in cells)
    methods = sorted(distinct(c["method"] for c in cells), key=lambda m: m in LIMITS)
    figure, grid = panels(len(worlds) * len(targets), 1.9 * len(targets) + 0.6, len(worlds))
    for row, target in enumerate(targets):
        for column, world in enumerate(worlds):
            axes = grid[row * len(worlds) + column]
            for method in methods:
                line = where(cells, world=world, target=target, method=method)
                drawn = [c | {"tv": max(c["tv"], FLOOR)} for c in line]
                curve(
                    axes, drawn, "n", "tv", look_of(method), simulated=None, linewidth=1.8 if method in LIMITS else 1.0
                )
            powers(axes, (c["n"] for c in cells))
            axes.set(yscale="log", ylim=(0.8 * FLOOR, 1.2))
            if row == 0:
                axes.set_title(worlds_title(world))
            if row == len(targets) - 1:
                axes.set_xlabel("drafts n")
        grid[row * len(worlds)].set_ylabel(f"TV to {NAMES.get(target, target)}")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="targets",
    artifact="targets",
    page="gallery",
    order=17,
    draw=draw,
    title="Other targets than the tilt, and what rules make of them",
    question="How far is each rule from each target, and how near could any rule come with these drafts?",
    caption="""
    Rows: the targets at one β (M41): the tilt (KL), χ², order ½, and the base squared, which reads no reward.
    Green: what no rule can beat with n drafts (solid), or n expected ones (dashed). TV at the lower edge is that or
    less.
    [none_beats] No rule passes its limits, in {cases} cases. | A rule passes its limit in {exceptions}: a fault of the
    numbers.
    """,
    claim="""
    [needs] The least n tried with which the race has TV at most {close:g}: {needed}; the best rule needs at most
    {factor:g} times fewer. | No n tried was enough for TV {close:g}.
    [race_nearer] The race is nowhere further from a target than softmax. | The race is further from its target than
    softmax somewhere in {exceptions}.
    [race_arrives] At n = {n} the race is within {least:g} of every target: papers that ask for one of them need no
    sampler of its own. | At n = {n} the race is not yet within {least:g} of the target in {exceptions}; it is off by
    {gaps:.2g}.
    [chi2_cheaper] At equal β the race is nearer to the χ² target than to the tilt at every n. | At equal β the χ²
    target is not always the nearer one: not in {exceptions}.
    [regularized_stays] Regularized best-of-n, whose weights count by order alone, tends to none of them: at n = {n} it
    is further from the target than it must be, by {smallest:.2g} at least. | Regularized best-of-n happens to be within
    {least:g} of what any rule can do, at n = {n}, in {exceptions}; the smallest gap is {smallest:.2g}.
    """,
    alt="Total variation to the target against the number of drafts, for four targets and three worlds: two limits, "
    "softmax, race and regularized best-of-n.",
)
