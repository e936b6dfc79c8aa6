"""TV against n on pools, exactly for every n, for softmax and race, with the bounds and the limit."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import Row, distinct, rows, where
from figures.small_multiples import curve, key, look_of, panels, powers
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

FLOOR = 1e-6
BOUNDS = (
    ("bound_tail", Look("(1 - 1/C)^n (M17)", "#333333", "", "--")),
    ("bound_chi2", Look("2(1 + χ²)/(e n) (M17)", "#333333", "", ":")),
    ("limit", look_of("limit")),
)


def _down(line: list[Row], name: str) -> list[Row]:
    """The line below one, to the first place below FLOOR: a limit that is zero there is drawn as a fall to the axis."""
    inside = [c for c in sorted(line, key=lambda c: c["n"]) if c[name] < 1.0]
    kept = [c for c in inside if c[name] > FLOOR]
    last = next((c for c in inside if c[name] <= FLOOR), None)
    return kept if last is None else [*kept, last | {name: 0.5 * FLOOR}]


def draw(artifact: Artifact) -> Figure:
    """A panel for each pool; marks are simulations of `trials` rounds."""
    exact = rows(artifact, "exact", ("n", "tv", *(name for name, _ in BOUNDS)), ("pool", "rule"))
    marks = rows(artifact, "simulated", ("n", "tv", "simulated", "stderr", "trials"), ("pool", "rule"))
    pools = distinct(c["pool"] for c in exact)
    figure, grid = panels(len(pools), 3.3)
    for axes, pool in zip(grid, pools, strict=True):
        for rule in ("softmax", "race"):
            line, style = where(exact, pool=pool, rule=rule), look_of(rule)
            curve(axes, line, "n", "tv", style, keep=lambda c: c["tv"] > FLOOR)
            # A simulated TV below two standard errors says nothing that a log axis can show.
            seen = [c for c in where(marks, pool=pool, rule=rule) if c["simulated"] > 2.0 * (c["stderr"] or 1.0)]
            axes.errorbar(
                [c["n"] for c in seen],
                [c["simulated"] for c in seen],
                yerr=[2 * c["stderr"] for c in seen],
                linestyle="",
                marker=style.marker,
                color=style.color,
                markerfacecolor="white",
                markersize=3.2,
                elinewidth=0.8,
            )
        race = where(exact, pool=pool, rule="race")
        for name, style in BOUNDS:
            curve(axes, _down(race, name), "n", name, style, simulated=None)
        powers(axes, (c["n"] for c in race))
        axes.set(yscale="log", ylim=(FLOOR, 1.5), xlabel="candidates n", title=pool)
    grid[0].set_ylabel("TV(law, target)")
    key(figure, grid, 5)
    return figure


FIGURE = PageFigure(
    name="uniform_race",
    artifact="uniform_race",
    page="gallery",
    order=12,
    draw=draw,
    title="Uniform Race's experiment, exactly",
    question="How fast do softmax and race converge on a pool, at every n and without simulation?",
    caption="""
    The race falls geometrically, softmax like 1/n (M17); simulations (marks) end where their standard error begins, the
    exact curves do not.
    """,
    claim="""
    Uniform Race:
    [race_below] confirmed on every pool and at every n, the race is below softmax | not confirmed, the race is above
    softmax on {exceptions}
    [bounds_hold] and below both bounds (M17). | and above one of the bounds (M17) at {broken} places.
    [limit_zero] The limit of every rule (M19) reaches zero at finite n on every pool, because n draws can show all
    candidates that matter. | The limit of every rule (M19) does not reach zero up to n = {largest_n} on {exceptions}.
    """,
    alt="Total variation against n for softmax and race, a panel for each pool, with two bounds, the limit, and "
    "simulations.",
)
