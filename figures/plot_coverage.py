"""Weak and strong drafters: acceptance, distance and gain against the coverage of the draft."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, ticks
from gsi_theory.runs.artifact import Artifact

ROWS = (("reward", "expected reward"), ("tv", "TV(law, π)"), ("gain", "gain over soft best-of-n\nin the same time"))


def _title(correlation: float) -> str:
    if correlation == 0:
        return "reward unrelated to the draft"
    return "draft prefers good answers" if correlation < 0 else "draft misses good answers"


def draw(artifact: Artifact) -> Figure:
    """A column for each correlation of reward with what the draft misses."""
    numbers = ("correlation", "coverage", "reward", "simulated", "stderr", "p_accept", "tv", "gain")
    cells = rows(artifact, "coverage", numbers, ("method",))
    correlations = distinct(c["correlation"] for c in cells)
    figure, grid = panels(3 * len(correlations), 6.6, len(correlations), sharey=False)
    for column, correlation in enumerate(correlations):
        for axes, (name, label) in zip(grid[column :: len(correlations)], ROWS, strict=True):
            for method in distinct(c["method"] for c in cells):
                if (name, method) != ("gain", "soft_bon_base"):
                    line = where(cells, correlation=correlation, method=method)
                    marks = "simulated" if name == "reward" else None
                    curve(axes, line, "coverage", name, look_of(method), simulated=marks)
            axes.set_xscale("log")
            ticks(axes, [1, 1e2, 1e4, 1e6], ["1", "10²", "10⁴", "10⁶"])
            if name == "gain":
                axes.axhline(0.0, color="#000000", linewidth=0.8)
                axes.set_xlabel(r"coverage $\sup\,\pi_B/\pi_S$")
            if column == 0:
                axes.set_ylabel(label)
        grid[column].set_title(_title(correlation))
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="coverage",
    artifact="coverage",
    page="gallery",
    order=4,
    draw=draw,
    title="Weak, medium and strong drafters",
    question="How weak may the draft be before GSI no longer pays?",
    caption="""
    Follow a color from left (draft = base) to right. The bottom row is the value E r - KL/β gained over soft best-of-n
    on the base that takes the same time: at zero the draft no longer pays. It has steps because the base writes many
    candidates in the time of one, so that a method gains while it is faster than one base step.
    """,
    claim="""
    GSI's Theorem 1 says that coverage hurts the ungated law.
    [ungated_farther] It does: its TV is larger at a coverage of {largest_coverage} than where the draft is the
    base. | It does not in TV where the correlation between reward and what the draft misses is {exceptions}.
    [good_answers_matter] What hurts is coverage of good answers: its reward falls by {missing:.2f} where the draft
    misses them, by {unrelated:.2f} where reward is unrelated to the draft. | Reward falls by {missing:.2f} where the
    draft misses good answers, and by no less than half of that, {unrelated:.2f}, where reward is unrelated to the
    draft.
    [pays_unrelated] There GSI still pays at the largest coverage, by {gain:.2f}. | There GSI no longer pays at the
    largest coverage: its gain is {gain:.2f}.
    [] Where the draft misses good answers:
    [gsi_pays] a gate that passes half of π still gains at a coverage of {largest_coverage}; | a gate that passes
    half of π loses from a coverage of {end} on;
    [gsi_90_pays] one that passes nine tenths of π still gains at a coverage of {largest_coverage}; | one that
    passes nine tenths of π loses from a coverage of {end} on;
    [gsi_score_gate_pays] the score gate still gains at a coverage of {largest_coverage}. | the score gate loses
    from a coverage of {end} on.
    """,
    alt="Nine panels against coverage: reward, total variation to the tilt, and gain over soft best-of-n in equal "
    "time, for drafts that prefer, ignore or miss good answers.",
)
