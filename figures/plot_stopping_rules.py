"""Reward and TV to the tilt against expected draws: a fixed number, stopping, limits; a column for each world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers, worlds_title
from gsi_theory.runs.artifact import Artifact

FLOOR = 1e-3
EQUAL = ("pilots", "learned")  # whose draws differ by problem
WIDE = {"fixed": 1.6, "stopping": 1.6, "limit_stopping": 1.8, "limit": 1.8}


def draw(artifact: Artifact) -> Figure:
    """Above the reward, with the simulation of stopping as marks, below TV; rules that do not know the law at the draws
    of the others."""
    cells = rows(artifact, "points", ("n", "draws", "value", "simulated", "stderr"), ("world", "figure", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 5.6, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        for row, what in enumerate(("reward", "tv")):
            axes = grid[column + row * len(worlds)]
            here, equal = where(cells, world=world, figure=what), where(cells, world=world, figure="equal")
            for method in distinct(c["method"] for c in here):
                line = where(equal if method in EQUAL else here, method=method)
                if what == "tv":
                    line = [c | {"value": max(c["value"], FLOOR)} for c in line]
                curve(axes, line, "draws", "value", look_of(method), linewidth=WIDE.get(method, 1.1))
            powers(axes, sorted({c["n"] for c in cells})[1::2])
            axes.set_xlim(0.9, 1.3 * max(c["n"] for c in cells))
            if what == "tv":
                axes.set(yscale="log", ylim=(0.8 * FLOOR, 1.2), xlabel="expected number of draws")
            else:
                axes.set(title=worlds_title(world))
    grid[0].set_ylabel("expected reward")
    grid[len(worlds)].set_ylabel("TV(law, tilt)")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="stopping_rules",
    artifact="stopping_rules",
    page="gallery",
    order=17,
    draw=draw,
    title="Stopping when a draw is good enough",
    question="At equal expected draws, what does it gain to stop, if the law is known, and if it is not?",
    caption="""
    Above, reward: higher is better. Stopping has a threshold and a cap; its limit (M38) has no cap. Thresholds from
    pilots and thresholds learned on the way know nothing of the law beforehand; pilots are not counted. How many draws
    these make differs by problem: they are drawn at n expected draws of every problem, by chance between two of their
    own settings, so that means over problems compare equal draws and no line may lie above its limit; a line ends where
    no setting tried draws more. Below, TV to the tilt: lower is better, and at the lower edge it is that or less; the
    rejection that attains M36 is drawn with a cap, the limit without.
    [within] No rule passes its limit, and stopping nowhere has less reward than best-of-n, in {cases} cases. | A rule
    passes its limit, or stopping has less than best-of-n, in {exceptions}: a fault of the numbers.
    """,
    claim="""
    [saved] At best-of-n's reward, stopping with a known law saves {shares:.0%} of the draws: as the paper is
    summarized, {published:.0%} or more. | At best-of-n's reward, stopping with a known law saves {shares:.0%} of the
    draws; the paper, as summarized, says {published:.0%} or more, which is not confirmed in {exceptions}.
    [pilots_gain] The threshold at the {rank}rd largest of its pilots has nowhere less reward than best-of-n at equal
    draws. | The threshold at the {rank}rd largest of its pilots has less reward than best-of-n at equal draws in
    {exceptions}.
    [learned_gain] The threshold learned by a distribution-free bound has nowhere less. | The threshold learned by a
    distribution-free bound has less in {exceptions}.
    [regret] Not knowing the law costs, against stopping at equal draws, at most {pilots_lost:.2g} by pilots (at
    n = {pilots_n} in {pilots_world}) and {learned_lost:.2g} on the way (at n = {learned_n} in {learned_world}). | What
    it costs not to know the law cannot be read off these draws.
    """,
    alt="Above, expected reward of best-of-n, stopping with a known and with an estimated law and the limit, below, "
    "total variation to the tilt of softmax, of capped rejection and of two limits, against expected draws.",
)
