"""Transfer Q* and stepwise GSI on the plane of reward and KL, and how tight the bound on the ratio is."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import rows
from figures.small_multiples import curve, key_below, look_of, panels
from figures.style import Look
from gsi_theory.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """Left the plane, right largest log-ratio to the base with its bound (dotted), against β."""
    numbers = ("parameter", "beta", "reward", "simulated", "stderr", "kl", "largest_log_ratio", "ratio_bound")
    cells = rows(artifact, "plane", numbers, ("method",))
    figure, (left, right) = panels(2, 3.3, sharey=False)
    for number, (method, parameter) in enumerate(dict.fromkeys((c["method"], c["parameter"]) for c in cells)):
        own, style = [c for c in cells if (c["method"], c["parameter"]) == (method, parameter)], look_of(method)
        text, width = style.label, 1.3
        if parameter is not None:
            name = "α" if method == "transfer Q*" else "n"
            text, width = f"{style.label}, {name} = {parameter:g}", 0.8 if number % 2 else 1.5
        curve(left, own, "kl", "reward", style, label=text, linewidth=width, along="beta")
        if method == "transfer Q*":
            curve(right, own, "beta", "largest_log_ratio", style, label=text, linewidth=width, simulated=None)
            bound = Look(f"its bound (M26), α = {parameter:g}", style.color, "", ":")
            curve(right, own, "beta", "ratio_bound", bound, linewidth=width, simulated=None)
    left.set(xlabel="KL(law‖base), nats", ylabel="expected reward")
    right.set(xscale="log", yscale="log", xlabel="inverse temperature β", ylabel="max log(law/base), nats")
    key_below(figure, (left, right), 3)
    return figure
