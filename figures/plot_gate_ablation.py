"""What the gate does: TV to the tilted policy against n, and where it ends, for each world."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows
from figures.small_multiples import curve, key_below, panels, powers, worlds_title
from figures.style import Look, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

SHADES = ("#b9d9ec", "#8ec1de", "#56a5d1", "#0072b2", "#00345a")


def _gates(cells: list[Row]) -> list[tuple[str, float, Look]]:
    made = [("none", 1.0, look("gsi_ungated")), ("score", 1.0, look("gsi_score_gate"))]
    shares = sorted(distinct(c["share"] for c in cells if c["gate"] == "tilted_reward"))
    for share, shade in zip(shares, SHADES[-len(shares) :], strict=True):
        made.append(("tilted_reward", share, Look(f"GSI, gate passes {share:g} of π", shade, "o", "-")))
    return made


def draw(artifact: Artifact) -> Figure:
    """Above TV, below the reward gap to the tilted policy; dotted ends are the limits (M7)."""
    numbers = ("n", "share", "tv", "tv_simulated", "tv_stderr", "reward_gap", "reward_simulated", "reward_stderr",
               "limit_tv", "limit_reward_gap")  # fmt: skip
    cells = rows(artifact, "gate", numbers, ("world", "gate"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 5.4, len(worlds), sharey=False)
    for place, world in enumerate(worlds):
        above, below = grid[place], grid[place + len(worlds)]
        for gate, share, style in _gates(cells):
            own = [c for c in cells if c["world"] == world and c["gate"] == gate and c["share"] == share]
            curve(above, own, "n", "tv", style, simulated="tv_simulated", stderr="tv_stderr")
            curve(below, own, "n", "reward_gap", style, simulated="reward_simulated", stderr="reward_stderr")
            if gate == "tilted_reward" and own:
                _limit(above, own, "limit_tv", style)
                _limit(below, own, "limit_reward_gap", style)
        for axes in (above, below):
            powers(axes, (c["n"] for c in cells))
            axes.set_xlabel("candidates n")
        above.set_title(worlds_title(world))
        above.set(yscale="log", ylim=(1e-3, 1.0))
        below.axhline(0.0, color="#000000", linewidth=0.6)
    grid[0].set_ylabel("TV(law, π)")
    grid[len(worlds)].set_ylabel("E r − E r under π")
    grid[0].plot([], [], color=SHADES[-2], linestyle=":", linewidth=1.6, label="its limit (M7)")
    key_below(figure, grid, 3)
    return figure


def _limit(axes: Any, own: list[Row], column: str, style: Look) -> None:
    last = max(c["n"] for c in own)
    axes.plot([last, 2.2 * last], [own[0][column]] * 2, color=style.color, linestyle=":", linewidth=1.6)
