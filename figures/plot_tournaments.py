"""Knockout and league: failure against the calls they take, their bounds, and scoring with the same calls."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, panels
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

COLORS = ("#56b4e9", "#0072b2", "#00345a")
SCORED = {
    "best-of-n": Look("best-of-n by score", "#cc79a7", "P", (0, (3, 1, 1, 1))),
    "soft": Look("soft best-of-n by score", "#009e73", "D", (0, (5, 1.5))),
}
LEAST = 1e-6


def draw(artifact: Artifact) -> Figure:
    """A column for each judge (p, right); above the knockout, below the league."""
    numbers = ("p", "right", "candidates", "votes", "calls", "fail", "simulated", "stderr", "bound")
    cells = rows(artifact, "fail", numbers, ("method",))
    judges = list(dict.fromkeys((c["p"], c["right"]) for c in cells))
    figure, grid = panels(2 * len(judges), 5.6, len(judges), sharey=True)
    for column, (p, right) in enumerate(judges):
        for axes, method in zip(grid[column :: len(judges)], ("knockout", "league"), strict=True):
            panel = where(cells, p=p, right=right)
            for votes, color in zip(distinct(c["votes"] for c in panel), COLORS, strict=False):
                line = where(panel, method=method, votes=votes)
                style = Look(f"tournament, K = {votes}", color, "o", "-")
                curve(axes, line, "calls", "fail", style, keep=lambda c: c["fail"] > LEAST)
                bound = Look("bound (M25), in the color of its K", color, "", ":")
                curve(axes, line, "calls", "bound", bound, simulated=None, keep=lambda c: c["bound"] < 1.0)
            for name, style in SCORED.items():
                # the same calls come with several numbers of votes
                scored = {c["calls"]: c for c in where(panel, method=f"{name} against {method}")}
                curve(axes, scored.values(), "calls", "fail", style, simulated=None)
            axes.set(xscale="log", yscale="log", ylim=(1e-3, 1.1), xlabel="calls")
            axes.set_title(f"{method}: p = {p:g}, q = {right:g}")
            if column == 0:
                axes.set_ylabel("P(winner incorrect)")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="tournaments",
    artifact="tournaments",
    page="gallery",
    order=9,
    draw=draw,
    title="Knockout and league",
    question="How do tournaments fail as candidates and comparisons grow, and would scoring have used the calls "
    "better?",
    caption="""
    A candidate is correct with probability p, and a comparison finds the correct one of two with q, by K votes. Along a
    blue line the candidates grow. Pink is best-of-n by a score that is right on a pair with probability q, with the
    same number of calls.
    [knockout_falls_many] With K = {votes} the knockout falls with every doubling of the candidates. | With K = {votes}
    the knockout does not fall with every doubling of the candidates for {exceptions}.
    [league_falls_few] With K = {votes} so does the league. | With K = {votes} the league gets worse with more
    candidates somewhere: {exceptions}.
    """,
    claim="""
    Chen et al. (arXiv 2411.19477):
    [bounds_hold] both bounds hold wherever tried; | a bound is broken {broken} times;
    [league_bound_vacuous] but that of the league is above one everywhere here, | that of the league is above one at
    {share:.0%} of the settings,
    [knockout_bound_vacuous] and so is that of the knockout. | that of the knockout at {share:.0%}.
    [scoring_beats_league] Scoring beats the league at most budgets ({share:.0%}). | Scoring beats the league at few
    budgets ({share:.0%}).
    [scoring_beats_knockout] It beats the knockout at most ({share:.0%}). | It beats the knockout at few ({share:.0%}).
    """,
    alt="Failure of knockout and league against calls for three judges and three numbers of votes, with bounds, "
    "best-of-n and soft best-of-n at equal calls.",
)
