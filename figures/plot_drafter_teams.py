"""Several drafters that each miss some of the support: TV to the tilted policy against n, alone and together."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import curve, key_below, panels, powers
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

TEAMS = {
    "fixed": Look("together, fixed allocation", "#0072b2", "o", "-"),
    "random": Look("together, random allocation", "#56b4e9", "s", "--"),
}


def draw(artifact: Artifact) -> Figure:
    """A panel for each rule; the green line is the limit of every rule on the mixture."""
    cells = rows(artifact, "teams", ("n", "tv", "simulated", "stderr", "kl", "kl_bound", "tv_limit"), ("team", "rule"))
    rules = distinct(c["rule"] for c in cells)
    figure, grid = panels(len(rules) + 1, 3.3, sharey=False)
    for axes, rule in zip(grid, rules, strict=False):
        own = [c for c in cells if c["rule"] == rule]
        for team in distinct(c["team"] for c in own):
            style = TEAMS.get(team, Look("one drafter alone", "#7f7f7f", "v", ":"))
            curve(axes, [c for c in own if c["team"] == team], "n", "tv", style)
        limit = Look("limit of every rule (M19)", "#009e73", "", "-")
        curve(axes, [c for c in own if c["team"] == "random"], "n", "tv_limit", limit, simulated=None,
              keep=lambda c: c["tv_limit"] > 1e-3)  # fmt: skip
        powers(axes, (c["n"] for c in own))
        axes.set(yscale="log", ylim=(1e-3, 1.0), xlabel="draws n in all", ylabel="TV(law, π)")
        axes.set_title(f"{rule} rule")
    fixed = [c for c in cells if c["team"] == "fixed" and c["rule"] == "softmax"]
    curve(grid[-1], fixed, "n", "kl", TEAMS["fixed"], simulated=None)
    curve(
        grid[-1],
        fixed,
        "n",
        "kl_bound",
        Look("bound of the fixed allocation (M20)", "#333333", "", ":"),
        simulated=None,
    )
    powers(grid[-1], (c["n"] for c in fixed))
    grid[-1].set(yscale="log", xlabel="draws n in all", ylabel="KL(π‖law), nats")
    grid[-1].set_title("softmax rule, KL")
    key_below(figure, grid, 3)
    return figure
