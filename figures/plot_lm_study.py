"""A real pair of language models: what each method earns against n, a panel for each draft; and over-optimization."""

from __future__ import annotations

from matplotlib.figure import Figure

from figures.figure_table import PageFigure
from figures.plot_data import distinct, rows, where
from figures.plot_step_length import draw as draw_lengths
from figures.small_multiples import band, curve, key, look_of, panels, powers
from figures.style import WIDTH
from gsi_theory.runs.artifact import Artifact

METHODS = ("draft", "rsd", "soft_bon_draft", "gsi_ungated", "gsi", "base", "soft_bon_base")
NUMBERS = ("n", "beta", "predicted", "measured", "measured_se")


def draw(artifact: Artifact) -> Figure:
    """Predicted accuracy as lines, measured as marks, at the largest β."""
    cells = rows(artifact, "cells", (*NUMBERS, "tokens"), ("draft", "method", "quantity"))
    cells = [c for c in cells if c["tokens"] is None and c["quantity"] == "correct"]
    largest = max(c["beta"] for c in cells if c["beta"] is not None)
    cells = [c for c in cells if c["beta"] in (None, largest)]
    drafts = distinct(c["draft"] for c in cells)
    figure, grid = panels(len(drafts), 5.4 if len(drafts) > 2 else 3.2, 2)
    ns = sorted(distinct(c["n"] for c in cells))
    for axes, draft in zip(grid, drafts, strict=True):
        for method in METHODS:
            line = where(cells, draft=draft, method=method)
            if len(line) == 1:  # it has no n of its own: a level
                line = [line[0] | {"n": n, "measured": line[0]["measured"] if n == ns[0] else None} for n in ns]
            curve(axes, line, "n", "predicted", look_of(method), simulated="measured", stderr="measured_se")
        powers(axes, ns)
        axes.set(title=f"{draft} draft", xlabel="candidates n")
    for axes in grid[::2]:
        axes.set_ylabel("share of answers that are right")
    key(figure, grid)
    return figure


def draw_overuse(artifact: Artifact) -> Figure:
    """Reward and accuracy of best-of-n on the base by the learned reward."""
    cells = rows(artifact, "overuse", ("n", "reward", "reward_se", "accuracy", "accuracy_se"), ())
    figure = Figure(figsize=(WIDTH, 3.0))
    axes = figure.subplots()
    for name, style, label in (
        ("reward", look_of("soft_bon_draft"), "its reward"),
        ("accuracy", look_of("soft_bon_base"), "share that is right"),
    ):
        curve(axes, cells, "n", name, style, label, simulated=None)
        band(axes, cells, "n", name, f"{name}_se", style.color)
    powers(axes, (c["n"] for c in cells))
    axes.set(xlabel="candidates n", ylabel="of the answer chosen")
    key(figure, [axes])
    return figure


FIGURES = (
    PageFigure(
        name="lm_study",
        artifact="lm_study",
        page="gallery",
        order=90,
        command="gsi check lm_study",
        draw=draw,
        title="A pretrained pair: accuracy against n",
        question="What does GSI earn over soft best-of-n and RSD on language models that nobody here trained?",
        caption="""
        [drawn] Lines are predicted from {candidates} candidates of each model at each of {problems} problems, marks
        measured on {fresh} others, with two standard errors over problems. | Nothing was drawn.
        """,
        claim="""
        GSI (arXiv 2506.04118), accuracy:
        [above_soft_best_of_n_on_the_draft] above soft best-of-n on the draft for every draft at n = {n}, by
        {gains:.2f}; |
        not clearly above soft best-of-n on the draft at n = {n} for {exceptions} (differences {gains:.2f});
        [above_rsd] above RSD for every draft; | not clearly above RSD for {exceptions} (differences {gains:.2f});
        [above_base] above one answer of the base for every draft. | not clearly above one answer of the base for
        {exceptions} (differences {gains:.2f}).
        """,
        alt="Share of right answers against the number of candidates, a panel for each draft, one line a method.",
    ),
    PageFigure(
        name="lm_study_lengths",
        artifact="lm_study",
        page="gallery",
        order=91,
        command="gsi check lm_study",
        draw=draw_lengths,
        title="A pretrained pair: how long a step may be",
        question="After how many tokens is nothing left of the drafts?",
        caption="Medians over problems; the dotted line is the number of drafts.",
        claim="M44: the first tokens of a draft are a draft of the shorter step, so one pool answers for every length.",
        alt="Effective number of drafts, and KL of draft and base, against the tokens of a step, one line a draft.",
    ),
    PageFigure(
        name="lm_study_overuse",
        artifact="lm_study",
        page="gallery",
        order=92,
        command="gsi check lm_study",
        draw=draw_overuse,
        title="A pretrained pair: over-optimization of a learned reward",
        question="How far may one select by a learned reward?",
        caption="Best-of-n on the base by the learned reward; bands are two standard errors over problems.",
        claim="""
        [overused] Accuracy is {peak:.2f} at n = {peak_n} and falls to {last:.2f} at n = {last_n}, by {fall:.2f} ±
        {fall_se:.2f}, while the reward goes on rising. | Accuracy, {peak:.2f} at n = {peak_n}, does not clearly fall up
        to n = {last_n}.
        """,
        alt="Reward and share of right answers of best-of-n against n.",
    ),
)
