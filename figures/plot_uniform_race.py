"""TV against n on pools, exactly for every n, for softmax and race, with the bounds and the limit."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows
from figures.small_multiples import curve, key_below, look_of, panels, powers
from figures.style import Look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

FLOOR = 1e-6
BOUNDS = (
    ("bound_tail", Look("(1 - 1/C)^n (M17)", "#333333", "", "--")),
    ("bound_chi2", Look("2(1 + χ²)/(e n) (M17)", "#333333", "", ":")),
    ("limit", Look("limit of every rule (M19)", "#009e73", "", "-")),
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
            own = [c for c in exact if (c["pool"], c["rule"]) == (pool, rule)]
            curve(axes, own, "n", "tv", look_of(rule), keep=lambda c: c["tv"] > FLOOR)
            # A simulated TV below two standard errors says nothing that a log axis can show.
            seen = [c for c in marks if (c["pool"], c["rule"]) == (pool, rule) and c["stderr"] is not None
                    and c["simulated"] > 2.0 * c["stderr"]]  # fmt: skip
            axes.errorbar([c["n"] for c in seen], [c["simulated"] for c in seen], yerr=[2 * c["stderr"] for c in seen],
                          linestyle="", marker=look_of(rule).marker, color=look_of(rule).color, markerfacecolor="white",
                          markersize=3.2, elinewidth=0.8)  # fmt: skip
        race = [c for c in exact if (c["pool"], c["rule"]) == (pool, "race")]
        for name, style in BOUNDS:
            curve(axes, _down(race, name), "n", name, style, simulated=None)
        powers(axes, (c["n"] for c in race))
        axes.set(yscale="log", ylim=(FLOOR, 1.5), xlabel="candidates n")
        axes.set_title(pool)
    grid[0].set_ylabel("TV(law, target)")
    key_below(figure, grid, 5)
    return figure
