"""Draws needed for TV ≤ ε against KL and against χ², for three rules and the limit of all."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import key, look_of, panels
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

RULES = ("softmax", "race", "greedy")
# Draws beyond which nothing is drawn.
MOST = 1.2e6


def draw(artifact: Artifact) -> Figure:
    """A column for each ε; each mark is an instance."""
    cells = rows(artifact, "needed", ("epsilon", "kl", "chi2", "needed", "limit"), ("rule",))
    epsilons = distinct(c["epsilon"] for c in cells)
    figure, grid = panels(2 * len(epsilons), 5.6, len(epsilons), sharey=True)
    for column, epsilon in enumerate(epsilons):
        known = [c for c in where(cells, epsilon=epsilon) if c["needed"] is not None and c["limit"] is not None]
        for axes, x, name in zip(
            grid[column :: len(epsilons)], ("kl", "chi2"), ("KL(π‖μ), nats", "χ²(π‖μ)"), strict=True
        ):
            for rule in (*RULES, "limit"):
                style, points = look_of(rule), where(known, rule=RULES[0] if rule == "limit" else rule)
                mark: Record = {"marker": style.marker, "markersize": 4, "alpha": 0.8}
                if rule == "limit":
                    mark = {"marker": "_", "markersize": 8, "markeredgewidth": 1.6}
                y = "limit" if rule == "limit" else "needed"
                pairs = [c[x] for c in points], [c[y] for c in points]
                axes.plot(*pairs, linestyle="", color=style.color, label=style.label, **mark)
            across = np.geomspace(max(min(c[x] for c in known), 1e-3), max(c[x] for c in known), 100)
            line = np.exp(np.minimum(across / epsilon, 700.0)) if x == "kl" else across / epsilon
            label, dashes = ("e^(KL/ε) (M27)", ":") if x == "kl" else ("χ²/ε (M11)", "--")
            axes.plot(across[line < MOST], line[line < MOST], color="#333333", linestyle=dashes, label=label)
            axes.set(xscale="log", yscale="log", ylim=(0.7, 2e6), xlabel=name, ylabel="draws needed")
        grid[column].set_title(f"TV ≤ {epsilon:g}")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="sample_complexity",
    artifact="sample_complexity",
    page="gallery",
    order=8,
    draw=draw,
    title="Draws for TV ≤ ε: KL, χ² and the limit",
    question="How many draws does each rule need for TV ≤ ε, and is it KL, χ² or coverage that decides?",
    caption="""
    Each column of marks is an instance. The green bars are what no rule can go below.
    [race_nearer] The race stays within a factor of {race:.2g} of them, softmax needs up to {softmax:.2g} times as many.
    | The race needs up to {race:.2g} times as many, softmax no more than {softmax:.2g} times.
    """,
    claim="""
    Flamich and Wells (arXiv 2405.04363):
    [exponential_suffices] e^(KL/ε) draws suffice for greedy rejection on every instance here. | e^(KL/ε) draws suffice
    for greedy rejection on {share:.0%} of the instances here, as its o(1) allows.
    [kl_orders] KL orders the instances as the limit (M19) does; | KL does not order the instances as the limit (M19)
    does ({exceptions});
    [chi2_orders] χ² orders them so too. | nor does χ² in every case ({exceptions}).
    [greedy_needs_most] Greedy rejection needs most draws of the three everywhere. | Greedy rejection needs most draws
    of the three on {share:.0%} of the instances.
    [softmax_below_chi2] Softmax stays below χ²/ε wherever χ² ≥ 1 (M11). | Softmax is above χ²/ε for {exceptions}.
    """,
    alt="Draws needed for softmax, race and greedy Poisson rejection against KL above and chi-squared below, a column "
    "for each epsilon, with the limit of every rule.",
)
