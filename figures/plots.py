"""Every figure of the report as data: its artifact, its drawing, its caption and its text for those who cannot see it.

To add a figure, append an entry to FIGURES; the page and `gsi figures` iterate over the table.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from figures import (
    plot_accuracy,
    plot_asked,
    plot_atlas,
    plot_convergence,
    plot_gate,
    plot_headline,
    plot_law,
    plot_methods,
    plot_prediction,
    plot_rate,
    plot_reward,
    plot_sampler,
    plot_steps,
)
from figures.narrow import stack_panels
from figures.plot_data import drawing
from figures.style import house_style
from gsi_theory.runs.artifact import Artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = [
    "FIGURES",
    "Drawing",
    "FigureEntry",
    "Files",
    "draw_figures",
    "figure_files",
    "inline_svg",
    "render_svg",
    "save_figures",
]

# Path to content, for files that are written together.
Files = dict[Path, bytes]


@dataclass(frozen=True)
class FigureEntry:
    """name of the files; artifact it is drawn from; draw; title; what to see, one sentence; alternative text."""

    name: str
    artifact: str
    draw: Callable[[Artifact], Figure]
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG for wide and for narrow screens."""

    wide: str
    narrow: str


FIGURES: tuple[FigureEntry, ...] = (
    FigureEntry(
        "headline", "lm_headline", plot_headline.draw, "What the bounds ask and what is needed",
        "Read how far each mark lies to the left of the one above it, on a scale of powers of ten; faint ticks are the "
        "other positions that were enumerated.",
        "Dot chart on a log axis of the number of drafts asked by GSI Theorem 1 (b), by the instance bound, and needed "
        "by the exact laws of the softmax and race rules.",
    ),
    FigureEntry(
        "atlas", "audit", plot_atlas.draw, "Where each bound is tight, and where it says nothing",
        "The darker a cell, the nearer the bound comes to being attained by some instance there; hatched cells say no "
        "more than the trivial bound on any instance, and a cross marks cells with instances that refute the claim.",
        "Heat map with a row for each bound and a column for each number of candidates, in a panel for each beta; "
        "shades give the largest ratio of left to right side, hatching marks vacuous cells and crosses refuted ones.",
    ),
    FigureEntry(
        "asked", "audit", plot_asked.draw, "Drafts asked for and drafts needed",
        "Read how far the square of a row lies to the right of its circle: that many powers of ten the guarantee asks "
        "too much, over the families of instances (ticks; the large mark is their median).",
        "Dot charts on a log axis for three beta: for each guarantee the number of drafts it asks for, above what "
        "the exact law needs and, for total variation, the number no rule can go below.",
    ),
    FigureEntry(
        "rate", "audit", plot_rate.draw, "KL falls like 1/n², and from which n",
        "Left, all points below the dashed line mean that n² KL(π‖Pₙ) is ½ Var(w) to 1 % (M18); right, points "
        "on the dashed line mean that the fitted product of C = sup w and 1 + χ² tells from which n to rely on it.",
        "Two log-log scatter plots over random instances: distance of n squared times KL from its limit against the "
        "coverage constant, and the n from which it is right within ten percent against a fitted formula.",
    ),
    FigureEntry(
        "convergence_kl", "bounds_vs_n", plot_convergence.draw_kl, "KL to the tilted policy against n",
        "The instance bounds (M11) follow the exact softmax curve until it turns to its true 1/n² rate, while "
        "Theorem 1 (b) lies orders of magnitude above as soon as β is large.",
        "Grid of log-log panels, families by beta: exact KL of the softmax and race laws falls with n below the "
        "instance bounds and far below the bound of GSI Theorem 1 (b).",
    ),
    FigureEntry(
        "convergence_tv", "bounds_vs_n", plot_convergence.draw_tv, "Total variation to the tilted policy against n",
        "The race rule falls geometrically where softmax falls like 1/n; no rule that returns one of n draws can go "
        "below the green line (M19), which ends where its value is zero.",
        "Grid of log-log panels, families by beta: total variation of the softmax and race laws, two bounds for the "
        "race rule, and the lower limit for any rule.",
    ),
    FigureEntry(
        "gate_bias", "bounds_vs_n", plot_gate.draw, "The gate changes the law for good",
        "As n grows the computed points settle on the curve and not on zero: gated GSI does not converge to the tilted "
        "policy (M7), and its reward gap, lower right, can have either sign (some points of small n lie outside the "
        "panels).",
        "Three panels of distance against the accepted mass a, points of growing n settling on a limit curve that is "
        "zero only at a = 0 and a = 1, and one panel of reward gap against its limit.",
    ),
    FigureEntry(
        "reward_vs_beta", "bounds_vs_n", plot_reward.draw, "Expected reward against β",
        "Compare each method with the dotted line of the tilted policy, the law it is meant to sample: above it, a "
        "method earns more reward by sampling another law.",
        "Line charts of expected reward against beta for every method, one panel for each family of instances.",
    ),
    FigureEntry(
        "methods", "methods", plot_methods.draw, "All methods on one instance",
        "Read how far each row's darkest mark has moved towards the left end (the tilted policy) and the line of its "
        "reward: rules with a score gate or the race rule get there, the gate of GSI and RSD stop at a distance, and "
        "best-of-n passes the tilted policy and moves away; ticks are the limit of every rule on n draws (M19).",
        "Dot chart with a row for each method: total variation to the tilted policy with the least value of any "
        "rule, expected reward with lines for draft, base and tilted policy, and expected numbers of draft samples, "
        "scored candidates and base samples a round.",
    ),
    FigureEntry(
        "steps", "steps", plot_steps.draw, "Several steps: error that adds up, and the tilt of whole trajectories",
        "Above, the KL of the steps adds up exactly (M28) while TV grows more slowly than the sum of the steps' TV; "
        "below, tilting step by step equals the tilt of whole trajectories when the step reward is the soft value "
        "(M29), whereas the expected reward E[R | prefix] leaves a gap that grows with β, as does noise in the reward.",
        "Four line charts: KL after t steps for three methods at two n; exact TV after t steps below three bounds; KL "
        "between sequence tilt and stepwise tilt against beta for five step rewards; share of correct trajectories "
        "against beta for the same rewards.",
    ),
    FigureEntry(
        "exact_vs_mc", "exact_vs_mc", plot_sampler.draw, "Exact laws against simulation",
        "Every cell should lie below the dashed bound, and the acceptance z-scores on the diagonal: then the sampler "
        "and the exact law agree to within chance.",
        "Left, largest absolute z-score of each cell with the Bonferroni bound; right, normal quantile plot of the "
        "z-scores of acceptance rates.",
    ),
    FigureEntry(
        "lm_law", "lm_law", plot_law.draw, "Language-model sampler against the enumerated law",
        "P-values along the diagonal and above the dashed line mean that the steps the transformer sampled follow the "
        "exact law computed by enumerating every step.",
        "Left, ordered p-values of goodness-of-fit tests against uniform quantiles; right, largest z-score of each "
        "test against its number of cells.",
    ),
    FigureEntry(
        "lm_prediction", "lm_prediction", plot_prediction.draw, "Prediction from a pool against fresh runs",
        "Points on the diagonal within their one-standard-error bars mean that the pool predicted what a fresh run of "
        "the two language models then measured.",
        "Scatter plots of measured against predicted reward and acceptance with error bars, and a normal quantile plot "
        "of all z-scores.",
    ),
    FigureEntry(
        "lm_accuracy", "lm_accuracy", plot_accuracy.draw, "Accuracy on the language models",
        "Differences smaller than the intervals (95 %) are not resolved by these problems; the lower row shows "
        "how often the gate accepts a draft, the share of steps the base model need not write.",
        "Line charts with error bars of the share of problems solved, and of the share of steps accepted, against the "
        "number of candidates, one line for each method.",
    ),
)  # fmt: skip


def render_svg(figure: Figure) -> str:
    """The figure as SVG text; the bytes depend on what is drawn alone."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def inline_svg(drawing: Drawing, prefix: str, label: str) -> str:
    """The drawing for a page that holds several: for wide screens, and of class "narrow" for narrow ones."""
    return _inline(drawing.wide, prefix, label) + _inline(drawing.narrow, f"{prefix}-narrow", label, "narrow")


def _inline(svg: str, prefix: str, label: str, kind: str = "wide") -> str:
    """SVG without prologue or size, coordinates of two digits, ids made unique by `prefix`, `label` as its name."""
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'href="#', f'href="#{prefix}-', body).replace("url(#", f"url(#{prefix}-")
    # a hundredth of a point is finer than any screen
    body = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), body)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} class="{kind}" role="img" aria-label="{label}">{rest}'


def _render_pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return buffer.getvalue()


def figure_files(figure: Figure, folder: Path, name: str) -> tuple[Drawing, Files]:
    """The figure for pages, and what goes to folder/NAME.svg and folder/NAME.pdf. Within `house_style`.

    The figure is laid out anew, in place.
    """
    svg = render_svg(figure)
    # rendering has placed everything; the PDF keeps these places
    figure.set_layout_engine("none")
    files = {folder / f"{name}.svg": svg.encode(), folder / f"{name}.pdf": _render_pdf(figure)}
    stack_panels(figure)
    return Drawing(svg, render_svg(figure)), files


def draw_figures(artifacts: Mapping[str, Artifact | None], folder: Path) -> tuple[dict[str, Drawing], Files]:
    """Every figure whose artifact is there: the drawings by name, and the SVG and PDF files for `folder`.

    Raises InputError naming the artifact that no figure can be drawn from.
    """
    drawings: dict[str, Drawing] = {}
    files: Files = {}
    with house_style():
        for entry in FIGURES:
            artifact = artifacts.get(entry.artifact)
            if artifact is None:
                continue
            with drawing(entry.artifact):
                drawings[entry.name], made = figure_files(entry.draw(artifact), folder, entry.name)
            files |= made
    return drawings, files


def save_figures(artifacts: Mapping[str, Artifact | None], folder: Path) -> tuple[dict[str, Drawing], list[Path]]:
    """Draw every figure whose artifact is there into `folder` as SVG and PDF; the drawings and the paths."""
    drawings, files = draw_figures(artifacts, folder)
    atomic_write_files(files)
    return drawings, list(files)
