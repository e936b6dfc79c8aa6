"""How long a step may be: effective drafts against tokens, a line a pool, from artifact `step_length`."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from figures.plot_data import distinct, rows, where
from figures.style import WIDTH, log_ticks
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw"]

_LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#882255", "v"), ("#000000", "D"), ("#e69f00", "P"))


def draw(artifact: Artifact) -> Figure:
    """Two panels against tokens: effective drafts (dotted: all drafts), and KL(π_S‖π_B)."""
    lines = rows(artifact, "lengths", ("tokens", "drafts", "ess", "kl"), ("pool",))
    figure = Figure(figsize=(WIDTH, 2.9))
    left, right = figure.subplots(1, 2)
    for at, pool in enumerate(distinct(line["pool"] for line in lines)):
        color, marker = _LOOKS[at % len(_LOOKS)]
        of_pool = where(lines, pool=pool)
        for axes, name in ((left, "ess"), (right, "kl")):
            shown = [line for line in of_pool if line[name] is not None and line[name] not in ("inf", "-inf")]
            tokens, values = ([line[key] for line in shown] for key in ("tokens", name))
            axes.plot(tokens, values, color=color, marker=marker, markersize=3.5, label=pool)
        left.axhline(of_pool[0]["drafts"], color=color, linewidth=0.8, linestyle=(0, (1, 2)))
    for axes in (left, right):
        # powers of two; the longest draft's length between them would crowd the last
        log_ticks(axes, [k for k in sorted(distinct(line["tokens"] for line in lines)) if k & (k - 1) == 0])
        axes.set_xlabel("tokens of a step")
    left.set_yscale("log")
    left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set_ylabel("effective drafts")
    right.set_ylabel(r"KL$(\pi_S\Vert\pi_B)$, nats")
    right.set_ylim(bottom=0.0)
    left.legend()
    return figure
