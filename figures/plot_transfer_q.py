"""Transfer Q* and stepwise GSI on the plane of reward and KL, and how tight the bounds on ratio and loss are."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import rows, where
from figures.small_multiples import curve, key, look_of, panels, ticks
from figures.style import Look
from gsi_theory.runs.artifact import Artifact


def draw(artifact: Artifact) -> Figure:
    """The plane; largest log-ratio to the base, and reward lost to ρ*, with their bounds (dotted), against β."""
    bounded = ("largest_log_ratio", "ratio_bound", "loss", "loss_bound")
    numbers = ("parameter", "beta", "reward", "simulated", "stderr", "kl", *bounded)
    cells = rows(artifact, "plane", numbers, ("method",))
    figure, (left, right, loss) = panels(3, 3.3, sharey=False)
    for number, (method, parameter) in enumerate(dict.fromkeys((c["method"], c["parameter"]) for c in cells)):
        line, style = where(cells, method=method, parameter=parameter), look_of(method)
        text, width = style.label, 1.3
        if parameter is not None:
            name = "α" if method == "transfer Q*" else "n"
            text, width = f"{style.label}, {name} = {parameter:g}", 0.8 if number % 2 else 1.5
        curve(left, line, "kl", "reward", style, label=text, linewidth=width, along="beta")
        if method == "transfer Q*":
            bound = Look(f"its bound (M26), α = {parameter:g}", style.color, "", ":")
            for axes, value, above in ((right, *bounded[:2]), (loss, *bounded[2:])):
                curve(axes, line, "beta", value, style, label=text, linewidth=width, simulated=None)
                curve(axes, line, "beta", above, bound, linewidth=width, simulated=None)
    left.set(xlabel="KL(law‖base), nats", ylabel="expected reward")
    for axes, label in ((right, "max log(law/base), nats"), (loss, "reward lost to ρ*")):
        axes.set(xscale="log", yscale="log", xlabel="inverse temperature β", ylabel=label)
        ticks(axes, [0.5, 2, 8, 32])
    key(figure, (left, right, loss), 3)
    return figure


FIGURE = PageFigure(
    name="transfer_q",
    artifact="transfer_q",
    page="gallery",
    order=10,
    draw=draw,
    title="Transfer Q* against stepwise GSI on trees",
    question="Does Transfer Q* decoding earn more reward at its KL than stepwise GSI, and how loose are its bounds?",
    caption="""
    Left, nearer to the dotted line is better. Then the largest log-ratio to the base, and the reward lost to the tilt
    of whole trajectories ρ*; the dotted lines are what the theorem allows.
    """,
    claim="""
    Transfer Q* (arXiv 2405.20495):
    [transfer_near_tilt] confirmed: with exact Q it is within {below:.2g} of the most reward at its KL, whatever the
    aligned policy it starts from. | with exact Q it earns up to {below:.2g} less than the most reward at its KL, more
    than {near:g}.
    [bounds_hold] Its two bounds always hold, at best {ratio:.2g} of the one on the ratio and {loss:.2g} of the one on
    the loss used; for this aligned policy the latter is what the aligned policy itself loses. | Its two bounds are
    broken {broken} times.
    [gsi_few_below] GSI needs no Q and pays for that at n = {n}, by up to {below:.2g} of reward at its KL, | GSI needs
    no Q and does not pay for that at n = {n}: it earns at most {below:.2g} less than the best,
    [gsi_many_below] and by up to {below:.2g} at n = {n}. | and at n = {n} at most {below:.2g} less.
    """,
    alt="Reward against KL for Transfer Q*, GSI and the tilt of trajectories; largest log-ratio to the base, and "
    "reward lost to the tilt, each with its bound against beta.",
)
