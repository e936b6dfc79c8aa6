"""Gold and proxy reward as selection by the proxy goes on: against n, and against KL to the base."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.small_multiples import band, curve, key, look_of, panels, powers
from gsi_theory.runs.artifact import Artifact

# Methods along β, and those that are drawn against n alone.
ALONG_BETA, AGAINST_N = ("tilted", "soft_bon_64"), ("gsi", "gsi_ungated", "soft_bon_base")


def draw(artifact: Artifact) -> Figure:
    """A row for each world; lines are gold, the faint one the proxy of best-of-n; bands are over problems."""
    numbers = ("n", "beta", "gold", "simulated", "stderr", "proxy", "kl", "spread")
    cells = rows(artifact, "gold", numbers, ("world", "method"))
    worlds = distinct(c["world"] for c in cells)
    figure, grid = panels(2 * len(worlds), 2.6 * len(worlds) + 0.6, 2, sharey=False)
    for world, left, right in zip(worlds, grid[::2], grid[1::2], strict=True):
        panel = where(cells, world=world)
        for method in distinct(c["method"] for c in panel):
            style, every = look_of(method), where(panel, method=method)
            if method not in AGAINST_N:
                curve(right, every, "kl", "gold", style, along="beta" if method in ALONG_BETA else "n")
            for beta in distinct(c["beta"] for c in every) if method not in ALONG_BETA else ():
                line = where(every, beta=beta)
                label = f"{style.label}, β = {beta:g}" if method == "soft_bon_base" else style.label
                curve(left, line, "n", "gold", style, label=label, linewidth=1.3 if beta != 4 else 0.8)
                band(left, line, "n", "gold", "spread", style.color)
        gold = [c["gold"] for c in panel]
        for axes, x in ((left, "n"), (right, "kl")):
            faint, style = where(panel, method="best_of_n_base"), look_of("best_of_n_base")
            curve(axes, faint, x, "proxy", style, label="proxy of best-of-n", simulated=None, alpha=0.35)
            axes.set(ylabel="expected gold reward", ylim=(min(gold) - 0.1, max(gold) + 0.4))
            axes.set_title(f"proxy with {world}" if world.startswith("honest") else f"a proxy that {world}")
        powers(left, (c["n"] for c in panel if c["n"]))
        left.set_xlabel("candidates n")
        right.set_xlabel("KL(law‖base), nats")
    key(figure, grid, 3)
    return figure


FIGURE = PageFigure(
    name="overoptimization",
    artifact="overoptimization",
    page="gallery",
    order=5,
    draw=draw,
    title="Proxy against gold reward",
    question="When does more selection by a proxy lower the gold reward, and does soft selection prevent it?",
    caption="""
    Below, a few outcomes have a high proxy and a low gold reward.
    [proxy_rises] The proxy of best-of-n (faint) goes on rising after its gold has peaked, from {from:.2f} to {to:.2f}.
    | The proxy of best-of-n (faint) does not rise after its gold has peaked: {from:.2f} there, {to:.2f} at the end.
    [] Bands, two standard errors over problems, are wide where a few hacked outcomes decide.
    """,
    claim="""
    Gao et al. (arXiv 2210.10760):
    [gamed_holds] where the proxy can be gamed gold does not fall below {share:.0%} of its peak: {peak:.2f} at n =
    {peak_n}, {last:.2f} at n = {last_n:,}. | confirmed where the proxy can be gamed: gold falls from {peak:.2f} at n =
    {peak_n} to {last:.2f} at n = {last_n:,}.
    [honest_holds] An honest error of the same size does not do that: gold ends at {last:.2f}, its peak is {peak:.2f}. |
    An honest error of the same size lowers it too: from {peak:.2f} at n = {peak_n} to {last:.2f}.
    [] Verdun et al. (arXiv 2505.03156):
    [soft_holds] β = {beta:g} guards, gold ends at {last:.2f} with a peak of {peak:.2f}; | β = {beta:g} does not guard,
    gold falls from {peak:.2f} to {last:.2f};
    [sharp_holds] β = {beta:g} guards too. | β = {beta:g} does not guard: gold falls from {peak:.2f} to {last:.2f}.
    [soft_peak_lower] The price is a lower peak, {soft:.2f} in place of {best:.2f}. | It has no price: its peak is
    {soft:.2f}, that of best-of-n {best:.2f}.
    [tilt_peak_lower] The tilt's best gold at any β is {tilt:.2f}, below best-of-n's {best:.2f}: it puts weight on the
    hacked outcomes as soon as β is large. | The tilt's best gold at any β is {tilt:.2f}, no lower than best-of-n's
    {best:.2f}.
    """,
    alt="Gold reward against n and against KL for best-of-n, soft best-of-n, GSI and the tilt, with an honest proxy "
    "above and one that can be gamed below.",
)
