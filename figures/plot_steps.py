"""Several steps: how a stepwise method's error accumulates, and how far stepwise tilting is from the sequence tilt.

Points are means over the artifact's random trees, bands reach from the smallest to the largest tree. Divergences in
nats; the reward of a trajectory is whether it is correct.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, where
from figures.small_multiples import key, ticks
from figures.style import WIDTH, Look, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

# Below this a divergence is rounding, and is not drawn.
FLOOR = 1e-9
_KINDS = {
    ("last_step", 0.0): Look("reward on the last step only", "#7f7f7f", "v", ":"),
    ("mean_value", 0.0): Look("process reward model, E[R | prefix]", "#009e73", "D", "--"),
    ("soft_increment", 0.3): Look("soft value + noise 0.3", "#d55e00", "^", "-."),
    ("soft_increment", 0.1): Look("soft value + noise 0.1", "#e69f00", "s", "-."),
    ("soft_increment", 0.0): Look("soft value, exact: gap 0", "#0072b2", "o", "-"),
}
_BOUNDS = (
    ("tv_sum", "bound: sum of the steps' TV", "#333333", (0, (5, 1.5))),
    ("tv_coupling", "bound: coupling step by step", "#333333", "-."),
    ("tv_from_kl", "bound: from KL by the chain rule", "#333333", ":"),
)
# What the artifact names by its rule alone is a method too.
_METHODS = {"race": "gsi_ungated_race"}


def _label(method: str) -> str:
    return look(_METHODS.get(method, method)).label


def _accumulated(axes: Axes, cells: list[Row]) -> None:
    """KL after each number of steps, one line for each method and n; open markers for every n but the largest."""
    ns = sorted(distinct(c["n"] for c in cells))
    methods = distinct(c["method"] for c in cells)
    for method in methods:
        style = look(method)
        for n in ns:
            subset = sorted(where(cells, method=method, n=n), key=lambda c: c["steps"])
            axes.plot(
                [c["steps"] for c in subset],
                [c["kl"] for c in subset],
                color=style.color,
                marker=style.marker,
                linestyle="-" if n == ns[-1] else "--",
                markerfacecolor=style.color if n == ns[-1] else "white",
            )
    handles = [Line2D([], [], color=look(m).color, marker=look(m).marker, label=_label(m)) for m in methods]
    handles += [
        Line2D(
            [],
            [],
            color="#333333",
            linestyle="-" if n == ns[-1] else "--",
            marker="o",
            label=f"n = {n}",
            markerfacecolor="#333333" if n == ns[-1] else "white",
        )
        for n in ns
    ]
    axes.set(xlabel="steps t", ylabel="KL(stepwise tilt‖method), nats")
    axes.set_ylim(0, 1.3 * max(c["kl"] for c in cells))
    axes.legend(handles=handles, loc="upper left", handlelength=2.4)
    axes.set_title("error after t steps")


def _bounded(axes: Axes, cells: list[Row]) -> None:
    """TV of one method at its smallest n, the spread over trees, and the three bounds."""
    method = cells[0]["method"]
    n = min(c["n"] for c in where(cells, method=method))
    subset = sorted(where(cells, method=method, n=n), key=lambda c: c["steps"])
    x, style = [c["steps"] for c in subset], look(method)
    axes.fill_between(
        x, [c["tv_low"] for c in subset], [c["tv_high"] for c in subset], color=style.color, alpha=0.12, lw=0
    )
    for column, label, color, line in _BOUNDS:
        axes.plot(x, [c[column] for c in subset], color=color, linestyle=line, label=label)
    axes.plot(
        x,
        [c["tv"] for c in subset],
        color=style.color,
        marker=style.marker,
        linestyle="--",
        markerfacecolor="white",
        label="exact (band: all trees)",
    )
    axes.set(xlabel="steps t", ylabel="TV(stepwise tilt, method)")
    axes.set_ylim(0, 1.55 * max(max(c["tv_high"], *(c[name] for name, *_ in _BOUNDS)) for c in subset))
    # TV ends at 1; the room above is for the key.
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 1.0])
    axes.legend(loc="upper left", handlelength=2.4)
    axes.set_title(f"bounds for {_label(method)}, n = {n}")


def _gaps(left: Axes, right: Axes, cells: list[Row]) -> None:
    """KL between the two tilts, and the share of correct trajectories, against beta at the largest number of steps."""
    deepest = max(c["steps"] for c in cells)
    subset = where(cells, steps=deepest)
    betas = sorted(distinct(c["beta"] for c in subset))
    sequence = sorted({(c["beta"], c["reward_sequence"]) for c in subset})
    right.plot(
        *zip(*sequence, strict=True),
        color="#000000",
        linestyle=(0, (1, 1)),
        linewidth=2.2,
        label="sequence tilt itself",
    )
    for (kind, noise), style in _KINDS.items():
        line = sorted(where(subset, kind=kind, noise=noise), key=lambda c: c["beta"])
        for axes, column, floor in ((left, "kl_sequence", FLOOR), (right, "reward_stepwise", -1.0)):
            points = [(c["beta"], c[column]) for c in line if c[column] is not None and c[column] > floor]
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=style.color,
                marker=style.marker,
                linestyle=style.line,
                label=style.label,
            )
    for axes in (left, right):
        axes.set(xscale="log", xlabel="inverse temperature β")
        ticks(axes, betas)
    left.set_yscale("log")
    left.set(ylabel="KL(sequence tilt‖stepwise tilt), nats")
    left.set_title(f"gap between the two tilts, {deepest} steps")
    right.set(ylabel="share of correct trajectories", ylim=(None, 1.03))
    right.set_title(f"what the stepwise tilt earns, {deepest} steps")


def draw(artifact: Artifact) -> Figure:
    """Above: KL of every method and TV of one against the steps taken. Below: gap and reward of the two tilts."""
    numbers = ("n", "steps", "kl", "tv", "tv_low", "tv_high", *(name for name, *_ in _BOUNDS))
    cells = rows(artifact, "accumulation", numbers, ("method",))
    numbers = ("noise", "steps", "beta", "kl_sequence", "reward_sequence", "reward_stepwise")
    gaps = rows(artifact, "gap", numbers, ("kind",))
    figure = Figure(figsize=(WIDTH, 6.2))
    grid = figure.subplots(2, 2)
    _accumulated(grid[0][0], cells)
    _bounded(grid[0][1], cells)
    _gaps(grid[1][0], grid[1][1], gaps)
    key(figure, [grid[1][1]], 3)
    return figure


FIGURE = PageFigure(
    name="steps",
    artifact="steps",
    page="report",
    draw=draw,
    title="Several steps: error that adds up, and the tilt of whole trajectories",
    caption="""
    Above, errors of steps and their bounds; below, tilting step by step against the tilt of whole trajectories.
    [chain_adds_up] The KL of the steps adds up exactly (M28). | The KL of the steps does not add up to rounding (M28):
    an error of {error}.
    [tv_slower] TV grows more slowly than the sum of the steps' TV. | TV does not grow more slowly than the sum of the
    steps' TV for {exceptions}.
    [increments_exact] Tilting step by step equals the tilt of whole trajectories when the step reward is the soft value
    (M29). | Tilting step by step is off the tilt of whole trajectories by {gap} nats even where the step reward is the
    soft value (M29).
    [mean_gap_grows] The expected reward E[R | prefix] leaves a gap that grows with β, to {gap} nats at β =
    {largest_beta:g}. | The expected reward E[R | prefix] leaves a gap that does not always grow with β; at β =
    {largest_beta:g} it is {gap} nats.
    [noise_leaves_gap] Noise in the reward leaves a gap at every β. | Noise in the reward leaves no gap at some β:
    {exceptions}.
    """,
    alt="Four line charts: KL after t steps for three methods at two n; exact TV after t steps with three "
    "bounds; KL between sequence tilt and stepwise tilt against beta for five step rewards; share of correct "
    "trajectories against beta for the same rewards.",
)
