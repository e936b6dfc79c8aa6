"""Transfer Q* and stepwise GSI on the plane of reward and KL, and how tight the bounds on ratio and loss are."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import rows
from figures.small_multiples import curve, key_below, look_of, panels
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]


def draw(artifact: Artifact) -> Figure:
    """The plane; largest log-ratio to the base, and reward lost to ρ*, with their bounds (dotted), against β."""
    numbers = ("parameter", "beta", "reward", "simulated", "stderr", "kl", "largest_log_ratio", "ratio_bound",
               "loss", "loss_bound")  # fmt: skip
    cells = rows(artifact, "plane", numbers, ("method",))
    figure, (left, right, loss) = panels(3, 3.3, sharey=False)
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
            curve(loss, own, "beta", "loss", style, label=text, linewidth=width, simulated=None)
            curve(loss, own, "beta", "loss_bound", bound, linewidth=width, simulated=None)
    left.set(xlabel="KL(law‖base), nats", ylabel="expected reward")
    right.set(xscale="log", yscale="log", xlabel="inverse temperature β", ylabel="max log(law/base), nats")
    loss.set(xscale="log", yscale="log", xlabel="inverse temperature β", ylabel="reward lost to ρ*")
    for axes in (right, loss):
        axes.set_xticks([0.5, 2, 8, 32], ["0.5", "2", "8", "32"])
        axes.set_xticks([], minor=True)
    key_below(figure, (left, right, loss), 3)
    return figure
