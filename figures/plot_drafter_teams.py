"""Several drafters that each miss some of the support: TV to the tilted policy against n, alone and together."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

TEAMS = {
    "fixed": Look("together, fixed allocation", "#0072b2", "o", "-"),
    "random": Look("together, random allocation", "#56b4e9", "s", "--"),
}
ALONE = Look("one drafter alone", "#7f7f7f", "v", ":")
BOUND = Look("bound of the fixed allocation (M20)", "#333333", "", ":")


def draw(artifact: Artifact) -> Figure:
    """A panel for each rule; the green line is the limit of every rule with a fixed allocation."""
    cells = rows(artifact, "teams", ("n", "tv", "simulated", "stderr", "kl", "kl_bound", "tv_limit"), ("team", "rule"))
    rules = distinct(c["rule"] for c in cells)
    figure, grid = panels(len(rules) + 1, 3.3, sharey=False)
    for axes, rule in zip(grid, rules, strict=False):
        panel = where(cells, rule=rule)
        for team in distinct(c["team"] for c in panel):
            curve(axes, where(panel, team=team), "n", "tv", TEAMS.get(team, ALONE))
        limit = [c for c in where(panel, team="fixed") if c["tv_limit"] > 1e-3]
        curve(axes, limit, "n", "tv_limit", look_of("limit"), simulated=None)
        axes.set(yscale="log", ylim=(1e-3, 1.0), ylabel="TV(law, π)", title=f"{rule} rule")
    fixed = where(cells, team="fixed", rule="softmax")
    curve(grid[-1], fixed, "n", "kl", TEAMS["fixed"], simulated=None)
    curve(grid[-1], fixed, "n", "kl_bound", BOUND, simulated=None)
    grid[-1].set(yscale="log", ylabel="KL(π‖law), nats", title="softmax rule, KL")
    for axes in grid:
        powers(axes, (c["n"] for c in fixed))
        axes.set_xlabel("draws n in all")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="drafter_teams",
    artifact="drafter_teams",
    page="gallery",
    order=11,
    draw=draw,
    title="Several drafters, each blind to a third",
    question="Can several drafters, each blind to part of the base's support, replace one that sees it all?",
    caption="A gray line cannot go to zero: one drafter alone keeps the mass it misses.",
    claim="""
    The balance heuristic in the form of (M20):
    [bound_holds] the bound of the fixed allocation holds, and is from {least:.2g} to {most:.2g} times too large, | the
    bound of the fixed allocation is broken {broken} times; it is from {least:.2g} to {most:.2g} times the KL,
    [bound_loosens] ever more so as n grows, as all bounds of order 1/n on KL are (M18). | not more so at the largest n
    ({last:.2g}) than at the smallest ({first:.2g}).
    [together_reach] At n = {n} together they are {team:.2g} from π in TV, the best one alone {alone:.2g}. | At n = {n}
    together they are still {team:.2g} from π in TV, no tenth of the {alone:.2g} of the best one alone.
    [within_limits] No law passes what is possible with its draws (M37b; green: of the fixed allocation) in {cases}
    cases; softmax on the fixed allocation leaves up to {spare:.2g} of TV to better rules. | {passed} of {cases} laws
    are nearer to π than any rule can be with their draws (M37b): a fault of the numbers.
    [allocations_alike] Fixed and random allocation differ little, in TV by at most {apart:.2g}. | Fixed and random
    allocation differ in TV by up to {apart:.2g}.
    """,
    alt="Total variation against n for three drafters alone and together under two rules, and KL with its bound.",
)
