"""Reward against KL to the base, how far above the tilt's that KL is, and reward against β; a column for each world."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, scalars, where
from figures.small_multiples import curve, key, look_of, panels, ticks, worlds_title
from figures.style import number
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

METHODS = ("soft_bon_base", "race_base", "gsi_ungated", "gsi")
WIDTHS = (0.7, 1.3, 2.0)
# Gaps below this are drawn as this: the tilt is reached.
LEAST = 1e-5


def _lines(axes: Axes, cells: list[Row], x: str, y: str) -> None:
    """Along β, thicker for larger n, and, on an axis of KL, the methods without β along n; marks where y is reward."""
    simulated = "simulated" if y == "reward" else None
    for method in METHODS:
        ns = sorted(distinct(c["n"] for c in where(cells, method=method)))
        for n, width in zip(ns, WIDTHS[-len(ns) :], strict=False):
            line, last = where(cells, method=method, n=n), n == ns[-1]
            label, marks = (None, simulated) if last else ("_", None)
            curve(axes, line, x, y, look_of(method), label, marks, along="beta", linewidth=width)
    if x == "kl":
        for method in ("best_of_n_base", "best_of_poisson"):
            curve(axes, where(cells, method=method), x, y, look_of(method), simulated=simulated, along="n")
        widest = max(c["kl"] for c in cells if c["method"] != "tilted")
        axes.set(xlabel="KL(law‖base), nats", xlim=(0.0, 1.05 * widest))


def draw(artifact: Artifact) -> Figure:
    """Lines run along β (thicker for larger n), along n for best-of-n and along the mean for best-of-Poisson."""
    numbers = ("n", "beta", "kl", "reward", "simulated", "stderr", "tilt_kl")
    cells = rows(artifact, "plane", numbers, ("world", "method"))
    published = scalars(artifact, (), ("findings",))["findings"]
    for cell in cells:
        cell["gap"] = None if cell["tilt_kl"] is None else max(cell["kl"] - cell["tilt_kl"], LEAST)
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(3 * len(worlds), 7.6, len(worlds), sharey=False)
    for column, world in enumerate(worlds):
        panel = where(cells, world=world)
        plane, gap, along = grid[column :: len(worlds)]
        for axes, x, y in ((plane, "kl", "reward"), (gap, "kl", "gap"), (along, "beta", "reward")):
            _lines(axes, panel, x, y)
        for axes, x in ((plane, "kl"), (along, "beta")):
            tilt = where(panel, method="tilted")
            curve(axes, tilt, x, "reward", look_of("tilted"), simulated=None, along="beta", linewidth=2.2)
        gap.set(yscale="log", ylim=(0.7 * LEAST, 1.0))
        plane.set_title("uniform rewards, no draft" if world == "uniform" else worlds_title(world))
        along.set(xlabel="inverse temperature β", xscale="log")
        ticks(along, sorted(distinct(c["beta"] for c in panel))[1::2])
        if world == "uniform" and published is not None:
            level = published["poisson_uniform"]["published"]
            gap.axhline(level, color="#7f7f7f", linewidth=0.8)
            corner: Record = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"}
            gap.annotate(f"{number(level, 1)} (M23)", (0.98, level), fontsize=8, color="#555555", **corner)
    for row, label in enumerate(("expected reward", "KL above the tilt\nof equal reward, nats", "expected reward")):
        grid[row * len(worlds)].set_ylabel(label)
    key(figure, grid)
    return figure


FIGURE = PageFigure(
    name="frontier",
    artifact="frontier",
    page="gallery",
    order=3,
    draw=draw,
    title="Reward against KL, and against β",
    question="How much reward does each method buy with its divergence from the base, and how does β set it?",
    caption="""
    Above, the dotted line of the tilt, which no law can exceed, and how near the others come; the middle row shows by
    how much they miss it (the smallest values are drawn at its lower edge). Thicker lines are larger n.
    [none_above_tilt] No law exceeds the tilt. | The laws of {exceptions} exceed the tilt: a fault of the numbers.
    [ungated_below] GSI without a gate falls below the others: up to {ungated:.2g} nats, with its gate {gated:.2g}. |
    GSI without a gate does not fall below the others: up to {ungated:.2g} nats, with its gate {gated:.2g}.
    """,
    claim="""
    GSI's Figure 6 in form. Verdun et al. (arXiv 2505.03156) state that soft best-of-n is near the tilt.
    [race_nearer] At β = {beta:g} the race is nearer still, at every n. The largest gaps to the tilt of equal reward, in
    nats: {largest_gaps:.2g}. | At β = {beta:g} the race is not nearer in {exceptions}. The largest gaps to the tilt of
    equal reward, in nats: {largest_gaps:.2g}.
    [poisson_uniform] Best-of-Poisson (arXiv 2506.19248) is confirmed for uniform rewards, where its largest gap is
    {gap:.2g} nats, below {published:.1g} (M23); | Best-of-Poisson (arXiv 2506.19248) is not confirmed for uniform
    rewards, where its largest gap is {gap:.2g} nats, above {published:.1g} (M23);
    [poisson_worlds] for the rewards of the worlds it is {gap:.2g}, below that number too. | for the rewards of the
    worlds, which are not uniform under the base, it is {gap:.2g}, above that number.
    """,
    alt="Above, expected reward against KL to the base; in the middle, how much more KL than the tilt of equal "
    "reward; below, reward against beta; for soft best-of-n, race, best-of-n, best-of-Poisson, GSI and the tilt, "
    "a column for each world and one for uniform rewards.",
)
