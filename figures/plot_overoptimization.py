"""Gold and proxy reward as selection by the proxy goes on: against n, and against KL to the base."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import distinct, rows
from figures.small_multiples import band, curve, key_below, look_of, panels, powers
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """A row for each world; lines are gold, the faint one the proxy of best-of-n; bands are over problems."""
    cells = rows(
        artifact, "gold", ("n", "beta", "gold", "simulated", "stderr", "proxy", "kl", "spread"), ("world", "method")
    )
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 2.6 * len(worlds) + 0.6, 2, sharey=False)
    for place, world in enumerate(worlds):
        left, right = grid[2 * place], grid[2 * place + 1]
        own = [c for c in cells if c["world"] == world]
        for axes, x in ((left, "n"), (right, "kl")):
            for method in distinct(c["method"] for c in own):
                if x == "n" and method in ("tilted", "soft_bon_64"):
                    continue
                if x == "kl" and method in ("gsi", "gsi_ungated"):
                    continue
                for beta in distinct(c["beta"] for c in own if c["method"] == method) if x == "n" else (None,):
                    line = [c for c in own if c["method"] == method and beta in (None, c["beta"])]
                    if x == "kl" and method == "soft_bon_base":
                        continue
                    style = look_of(method)
                    label = style.label if x == "kl" or method != "soft_bon_base" else f"{style.label}, β = {beta:g}"
                    curve(axes, line, x, "gold", style, label=label, linewidth=1.3 if beta != 4 else 0.8,
                          along="beta" if method in ("tilted", "soft_bon_64") else "n")  # fmt: skip
                    if x == "n":
                        band(axes, line, x, "gold", "spread", style.color)
            best = [c for c in own if c["method"] == "best_of_n_base"]
            curve(
                axes,
                best,
                x,
                "proxy",
                look_of("best_of_n_base"),
                label="proxy of best-of-n",
                simulated=None,
                alpha=0.35,
            )
            axes.set_title(f"proxy with {world}" if world.startswith("honest") else f"a proxy that {world}")
            axes.set_ylabel("expected gold reward")
        powers(left, (c["n"] for c in own if c["n"]))
        left.set_xlabel("candidates n")
        right.set_xlabel("KL(law‖base), nats")
        gold = [c["gold"] for c in own]
        for axes in (left, right):
            axes.set_ylim(min(gold) - 0.1, max(gold) + 0.4)
    key_below(figure, grid, 3)
    return figure
