"""ExpGSI against its clip, in units of the calibrated one: reward above, expected draws below; a column a world."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, panels, ticks, worlds_title
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

CLIPPED = Look("ExpGSI, clipped, early exit", "#0072b2", "o", "-")
WHOLE = Look("without a clip", "#d55e00", "", "--")
TILTED = Look("tilted policy", "#000000", "", ":")
NAMES = ("factor", "reward", "simulated", "stderr", "unclipped", "tilted", "calls", "simulated_calls", "calls_stderr")


def draw(artifact: Artifact) -> Figure:
    """Exact lines, simulated marks."""
    cells = rows(artifact, "clips", NAMES, ("world",))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 4.6, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        here, (above, below) = where(cells, world=world), (grid[column], grid[column + len(worlds)])
        curve(above, here, "factor", "reward", CLIPPED)
        curve(above, here, "factor", "unclipped", WHOLE, simulated=None)
        curve(above, here, "factor", "tilted", TILTED, simulated=None)
        curve(below, here, "factor", "calls", CLIPPED, simulated="simulated_calls", stderr="calls_stderr")
        above.set(title=worlds_title(world), ylim=(0.0, 1.05))
        below.set(xlabel="clip / calibrated clip", ylim=(0.0, 1.1 * max(c["calls"] for c in cells)))
        for axes in (above, below):
            ticks(axes, sorted({c["factor"] for c in cells})[::2])
    grid[0].set_ylabel("expected reward")
    grid[len(worlds)].set_ylabel("expected draws")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="clip_quantile",
    artifact="clip_quantile",
    page="gallery",
    order=18,
    draw=draw,
    title="ExpGSI: the clip from a calibration set",
    question="Is a clip at a quantile of a calibration set good enough, and what does early exit save?",
    caption="""
    The paper is known to us second-hand: this is a reading. Flat lines above mean that the value of the clip does not
    matter; the lower the line below, the more early exit saves, at the same law.
    """,
    claim="""
    [stable] From half to one and a half times the calibrated clip the reward moves by at most {moved:.2g}: as the paper
    is summarized. | From half to one and a half times the calibrated clip the reward moves by up to {moved:.2g}, more
    than {most:g} in {exceptions}: not as the paper is summarized.
    [harmless] The clip costs at most {lost:.2g} of reward against none. | The clip costs {lost:.2g} of reward, more
    than {most:g} in {exceptions}.
    [saved] At n = {n} and a clip at the {quantile:.0%} quantile, early exit saves {shares:.0%} of the draws at equal
    accuracy. | At n = {n} early exit saves no draws somewhere: {shares:.0%}.
    [saved_alike] With other clips it saves {least:.0%} to {most:.0%}. | With other clips it saves {least:.0%} to
    {most:.0%}: that does depend on the clip.
    [faster] One after the other, until the exit, is faster than one batch of all: by the cost model for {setups} it
    takes {least:.2g} to {most:.2g} times as long. | Fewer draws are not less time: one after the other, until the exit,
    they take {least:.2g} to {most:.2g} times as long as one batch of all by the cost model for {setups}, longer in
    {exceptions}.
    """,
    alt="Above, expected reward of ExpGSI against the clip in units of the calibrated one, with no clip and the tilted "
    "policy; below, the expected number of draws under early exit; a column for each world.",
)
