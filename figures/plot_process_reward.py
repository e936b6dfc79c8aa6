"""Step by step or whole trajectories: KL to the sequence tilt and share of correct trajectories against depth."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import band, curve, key, look_of, panels, ticks
from gsi_theory.runs.artifact import Artifact

ROUNDING = 1e-12


def draw(artifact: Artifact) -> Figure:
    """A column for each level of noise in the process reward; bands are two standard errors over trees."""
    values = ("correct", "simulated", "stderr", "kl", "sequence_correct", "base_correct", "spread")
    cells = rows(artifact, "depth", ("noise", "n", "steps", *values), ("method",))
    noises = distinct(c["noise"] for c in cells)
    figure, grid = panels(2 * len(noises), 4.8, len(noises), sharey=False)
    for noise, above, below in zip(noises, grid, grid[len(noises) :], strict=False):
        panel = where(cells, noise=noise)
        ways = list(dict.fromkeys((c["method"], c["n"]) for c in panel))
        for method, n in ways:
            line, style = where(panel, method=method, n=n), look_of(method)
            label, width = style.label if n is None else f"{style.label}, n = {n}", 0.8 if n == 4 else 1.4
            marked = [c for c in line if c["kl"] > ROUNDING]
            curve(above, marked, "steps", "kl", style, label, None, marker=style.marker, markersize=3, linewidth=width)
            curve(below, line, "steps", "correct", style, label, linewidth=width)
            if n != 4 and method != "gsi":
                band(below, line, "steps", "correct", "spread", style.color)
        first = where(panel, method=ways[0][0], n=ways[0][1])
        for column, name in (("sequence_correct", "sequence tilt"), ("base_correct", "base")):
            curve(below, first, "steps", column, look_of(name), simulated=None)
        above.set(yscale="log", ylim=(1e-3, 2.0 * max(c["kl"] for c in cells)))
        for axes in (above, below):
            ticks(axes, sorted(distinct(c["steps"] for c in panel)))
        below.set(xlabel="steps T", ylim=(0.0, 1.03))
        above.set_title("no noise" if noise == 0 else f"noise {noise:g}")
    grid[0].set_ylabel("KL(sequence tilt‖law)")
    grid[len(noises)].set_ylabel("correct trajectories")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="process_reward",
    artifact="process_reward",
    page="gallery",
    order=7,
    draw=draw,
    title="Tilting steps or trajectories, with a noisy process reward",
    question="What does tilting step by step lose against tilting whole trajectories, as steps and reward noise grow?",
    caption="""
    Without noise the stepwise tilt is the tilt of trajectories (its KL, zero, is not drawn). Each depth has trees of
    its own, hence the kinks.
    [kl_grows] With noise its KL is larger at T = {steps} than after one step. | Its KL is no larger at T = {steps} than
    after one step for a noise of {exceptions}.
    [noise_sets_kl] From a noise of {noise:g} on it is noise and not n = {n} that sets the KL. | At no level of noise is
    it noise rather than n = {n} that sets the KL.
    """,
    claim="""
    [exact_without_noise] (M29) is confirmed exactly: the largest KL without noise is {kl}. | (M29) is not confirmed:
    the largest KL without noise is {kl}.
    [] The reading of a process reward as a tilt of the response (GSI, arXiv 2506.04118) holds for soft values alone.
    [noise_costs_more] Of the gain in correct trajectories at T = {steps} noise takes the more the larger it is:
    {taken:.0%}. | Of the gain in correct trajectories at T = {steps} noise takes, not always more where it is larger:
    {taken:.0%}.
    """,
    alt="KL to the sequence tilt and share of correct trajectories against depth, a column for each level of reward "
    "noise.",
)
