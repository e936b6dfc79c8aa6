"""The gallery: a page of the report with one figure and one paragraph for each experiment of the literature.

To add an experiment, append an entry to GALLERY: how to draw it, and what it asks, what to see, what it says of the
claim it bears on. The statements are those of the quick profile with seed 0; the numbers are the artifact's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from figures import (
    plot_coverage,
    plot_drafter_teams,
    plot_frontier,
    plot_gate_ablation,
    plot_latency,
    plot_overoptimization,
    plot_process_reward,
    plot_reward_vs_n,
    plot_sample_complexity,
    plot_samplers,
    plot_switching,
    plot_tournaments,
    plot_transfer_q,
    plot_uniform_race,
)
from figures.page import page_bytes, theory_files
from figures.plot_data import Row, drawing, scalars
from figures.plots import Files, figure_files, inline_svg
from figures.style import house_style
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["GALLERY", "GalleryEntry", "build_gallery", "gallery_files"]


@dataclass(frozen=True)
class GalleryEntry:
    """An experiment by its artifact's name: draw, title, question, what to see, what it says of a claim, alt text."""

    name: str
    draw: Callable[[Artifact], Figure]
    title: str
    question: str
    see: str
    claim: str
    alt: str


GALLERY: tuple[GalleryEntry, ...] = (
    GalleryEntry(
        "reward_vs_n", plot_reward_vs_n.draw, "Reward against n, all methods",
        "How much reward does each method earn at n candidates, in easy and hard worlds?",
        "Compare GSI (blue) with soft best-of-n on the base (green) and with GSI without its gate (purple): the weaker "
        "the draft, the more the gate matters, and the nearer GSI is to soft best-of-n itself, which its fallback is.",
        "GSI's Figure 1 in form (arXiv 2506.04118). Its ranking is confirmed: GSI is above RSD at every n from 2 on, "
        "above soft best-of-n on the draft, and above soft best-of-n on the base or even with it. At n = 64 GSI has "
        "passed the tilted policy (dotted) in the first two worlds, by 0.03 and 0.02, the bias of its gate (M7); the "
        "score gate (M9) has not. Bands are two standard errors over problems, of which all methods have the same.",
        "Four panels of expected reward against n for nine methods, exact lines with bands over problems and simulated "
        "marks, the tilted policy dotted.",
    ),
    GalleryEntry(
        "gate_ablation", plot_gate_ablation.draw, "The gate, on and off",
        "Does the rejection step bring the law nearer to the tilted policy, and what does it do to reward?",
        "Blue curves go to their dotted limit instead of zero, with the weak draft later than n = 256; purple (no "
        "gate) and orange (score gate) keep falling. Below, the limit is on the side of more reward here.",
        "The ablation of GSI (arXiv 2506.04118) is confirmed at small n, where the gate helps in TV and in reward: at "
        "n = 16 with the weak draft TV is 0.39 without it and 0.09 with a gate that passes half of π. At large n it is "
        "a bias of exactly a(1 − a): the gated law does not tend to π (M7). GSI's Theorem 1, on the law without "
        "fallback, does not say so. A gate on the score has no such bias (M9).",
        "Panels of total variation and reward gap against n for GSI without gate, with five gates and with the score "
        "gate, in three worlds; gated curves end on dotted limits.",
    ),
    GalleryEntry(
        "frontier", plot_frontier.draw, "Reward against KL, and against β",
        "How much reward does each method buy with its divergence from the base, and how does β set it?",
        "Above, all that draw from the base lie on or just below the dotted line of the tilt, which no law can exceed; "
        "the middle row shows by how much (values below 1e-5 are drawn there). GSI without a gate falls below where "
        "the draft is weak. Thicker lines are larger n: at n = 4 reward stops growing at a small β.",
        "GSI's Figure 6 in form. Verdun et al. (arXiv 2505.03156) are confirmed: soft best-of-n is within 0.04 nats of "
        "the tilt, the race closer still at small β, best-of-n within 0.05. Best-of-Poisson (arXiv 2506.19248) is "
        "confirmed for uniform rewards, where its largest gap is 6.6e-4 nats, below 8e-4 (M23); for the rewards of the "
        "two worlds, which are not uniform under the base, it is not: 0.037.",
        "Above, expected reward against KL to the base; in the middle, how much more KL than the tilt of equal reward; "
        "below, reward against beta; for soft best-of-n, race, best-of-n, best-of-Poisson, GSI and the tilt, in two "
        "worlds and for uniform rewards.",
    ),
    GalleryEntry(
        "coverage", plot_coverage.draw, "Weak, medium and strong drafters",
        "How weak may the draft be before GSI no longer pays?",
        "Follow a color from left (draft = base) to right (coverage 10⁶). The bottom row is the value E r - KL/β "
        "gained over soft best-of-n on the base that takes the same time: at zero the draft no longer pays. It has "
        "steps because the base writes about a hundred candidates in the time of one, so that a method gains while it "
        "is faster than one base step.",
        "GSI's Theorem 1 is right that coverage hurts the ungated law, but what hurts is coverage of good answers: "
        "where reward is unrelated to the draft a coverage of 10⁶ costs little, and GSI still pays. Where the draft "
        "misses good answers it is the threshold that decides: a gate that passes half of π falls back so often that "
        "GSI gains nothing from a coverage of 3 on, one that passes 0.9 of π still gains at 10⁶, and the score gate up "
        "to 10³.",
        "Nine panels against coverage from 1 to a million: reward, total variation to the tilt, and gain over soft "
        "best-of-n in equal time, for drafts that prefer, ignore or miss good answers.",
    ),
    GalleryEntry(
        "overoptimization", plot_overoptimization.draw, "Proxy against gold reward",
        "When does more selection by a proxy lower the gold reward, and does soft selection prevent it?",
        "Below, a few outcomes have a high proxy and a low gold reward: best-of-n rises to n of about 50 and then "
        "collapses, while its proxy (faint) goes on rising; soft selection at β = 1 stops where it is.",
        "Gao et al. (arXiv 2210.10760) are confirmed where the proxy can be gamed: gold falls from 1.3 to below zero. "
        "An honest error of the same size does not do that, gold levels off. Verdun et al. (arXiv 2505.03156) are "
        "confirmed: β = 1 guards, at the price of a lower peak; β = 4 does not. At equal KL the tilt is worse than "
        "best-of-n here: it puts weight on the hacked outcomes as soon as β is large. Bands, two standard errors over "
        "problems, are wide where two or three hacked outcomes decide.",
        "Gold reward against n and against KL for best-of-n, soft best-of-n, GSI and the tilt, with an honest proxy "
        "above and one that can be gamed below.",
    ),
    GalleryEntry(
        "latency", plot_latency.draw, "Value at equal time and at equal FLOPs",
        "At equal time, and at equal FLOPs, which method has most value E r - KL/β, and when is it soft best-of-n?",
        "Curves run along n. A method left of and above another is better at that budget. Methods with a gate bend to "
        "the left: with more drafts they fall back less often, and writing with the base is what takes time.",
        "GSI (arXiv 2506.04118) claims to be faster than soft best-of-n on the base at equal reward. With candidates "
        "written as one batch the threshold decides. With one that passes 0.9 of π this is confirmed for a strong "
        "draft (0.17 s where soft best-of-16 takes 0.30 s, value 0.743 and 0.748); with one that passes half of π only "
        "where the draft prefers good answers. With a weak draft soft best-of-n on the base wins in FLOPs, and in time "
        "as soon as there is time for a base step. Scoring with the base costs as many FLOPs as writing (M33), so "
        "fewer FLOPs come from better drafts alone.",
        "Value against seconds and against FLOPs a step for eight methods in three worlds, a curve along n for each.",
    ),
    GalleryEntry(
        "process_reward", plot_process_reward.draw, "Tilting steps or trajectories, with a noisy process reward",
        "What does tilting step by step lose against tilting whole trajectories, as steps and reward noise grow?",
        "Without noise the stepwise tilt is the tilt of trajectories (its KL, zero, is not drawn); with noise its KL "
        "grows with the steps, and from noise 0.3 on it is noise and not n that sets the KL. Each depth has trees of "
        "its own, hence the kinks.",
        "(M29) is confirmed exactly. The reading of a process reward as a tilt of the response (GSI, arXiv 2506.04118) "
        "holds for soft values alone: noise of 0.1 costs hardly a correct trajectory, noise of 1 (as large as the "
        "reward) half of the gain at five steps and all of it at four.",
        "KL to the sequence tilt and share of correct trajectories against depth, for four levels of reward noise.",
    ),
    GalleryEntry(
        "sample_complexity", plot_sample_complexity.draw, "Draws for TV ≤ ε: KL, χ² and the limit",
        "How many draws does each rule need for TV ≤ ε, and is it KL, χ² or coverage that decides?",
        "Each column of marks is an instance. The green bars are what no rule can go below; the race stays within a "
        "factor of about three of them, softmax needs up to eighteen times as many at ε = 0.01.",
        "Flamich and Wells (arXiv 2405.04363): e^(KL/ε) is no upper bound at small KL and far too much at large KL, as "
        "its o(1) allows; neither it nor χ²/ε orders the instances, the limit (M19) does. Their greedy rejection needs "
        "most draws of the three at these sizes. Softmax stays below χ²/ε where χ² is large (M11).",
        "Draws needed for softmax, race and greedy Poisson rejection against KL above and chi-squared below, for "
        "epsilon 0.1 and 0.01, with the limit of every rule.",
    ),
    GalleryEntry(
        "tournaments", plot_tournaments.draw, "Knockout and league",
        "How do tournaments fail as candidates and comparisons grow, and would scoring have used the calls better?",
        "A candidate is correct with probability p, and a comparison finds the correct one of two with q, by K votes. "
        "Along a blue line the candidates grow. A knockout with many votes falls steadily; a league with few votes "
        "gets worse with more candidates. Pink is best-of-n by a score that is right on a pair with probability q, "
        "with the same number of calls.",
        "Chen et al. (arXiv 2411.19477): both bounds hold wherever tried, and the exact failure does fall with N and K "
        "together; but the bound of the league is above one everywhere here, and that of the knockout at four of five "
        "settings. Scoring beats the league at five of six budgets and loses to the knockout at seven of eight.",
        "Failure of knockout and league against calls for three judges and three numbers of votes, with bounds, "
        "best-of-n and soft best-of-n at equal calls.",
    ),
    GalleryEntry(
        "transfer_q", plot_transfer_q.draw, "Transfer Q* against stepwise GSI on trees",
        "Does Transfer Q* decoding earn more reward at its KL than stepwise GSI, and how loose are its bounds?",
        "Left, nearer to the dotted line is better. Then the largest log-ratio to the base, and the reward lost to the "
        "tilt of whole trajectories ρ*; the dotted lines are what the theorem allows.",
        "Transfer Q* (arXiv 2405.20495) is confirmed: with exact Q it is within a hair of the best trade-off, whatever "
        "the aligned policy it starts from. Its two bounds always hold, at best 0.37 of the one on the ratio and 0.13 "
        "of the one on the loss used; for this aligned policy the latter is what the aligned policy itself loses. GSI "
        "needs no Q and pays for that at n = 4, little at n = 32.",
        "Reward against KL for Transfer Q*, GSI and the tilt of trajectories; largest log-ratio to the base, and "
        "reward lost to the tilt, each with its bound against beta.",
    ),
    GalleryEntry(
        "drafter_teams", plot_drafter_teams.draw, "Several drafters, each blind to a third",
        "Can several drafters, each blind to part of the base's support, replace one that sees it all?",
        "The gray lines never fall: one drafter alone keeps the mass it misses. Together they fall like one full "
        "drafter.",
        "The balance heuristic in the form of (M20) is confirmed: the bound of the fixed allocation holds, and is "
        "from four to sixty times too large as n grows, as all bounds of order 1/n on KL are (M18). At n = 192 "
        "together they are 0.003 from π in TV, the best one alone 0.30. Fixed and random allocation differ little.",
        "Total variation against n for three drafters alone and together under two rules, and KL with its bound.",
    ),
    GalleryEntry(
        "uniform_race", plot_uniform_race.draw, "Uniform Race's experiment, exactly",
        "How fast do softmax and race converge on a pool, at every n and without simulation?",
        "The race curves away downwards, geometrically, where softmax goes on like 1/n; simulations (marks) end where "
        "their standard error begins, the exact curves do not.",
        "Uniform Race is confirmed on every pool and at every n: the race is below softmax and below both bounds "
        "(M17). The limit of every rule (M19) reaches zero at finite n, because n draws can show all candidates that "
        "matter.",
        "Total variation against n for softmax and race on three pools, with two bounds, the limit, and simulations.",
    ),
    GalleryEntry(
        "switching", plot_switching.draw, "Start with the base, or with the draft",
        "Is it better to start with the base and hand over to the draft, or to begin every step with the draft?",
        "A curve runs along the threshold. At the same share of steps written by the base, higher is better.",
        "The cascade of SPECS in our reading: that the base's reward is kept with little more than half of its steps "
        "is confirmed; that this takes a start with the base is not: draft first at every step, which is GSI, earns "
        "more at equal share in all four panels.",
        "Expected reward against the share of steps written by the base for three ways to switch, four panels.",
    ),
    GalleryEntry(
        "samplers", plot_samplers.draw, "Every sampler against its exact law",
        "Does every sampler play the exact law of its method?",
        "All marks lie below the dashed bound: the simulations beside the exact lines above are of the same laws.",
        "The laws of schemes with every rule and gate, of all methods, of several drafters, of channel simulation, of "
        "methods on trees and of tournaments are confirmed; the full profile plays a million rounds a cell, in NumPy "
        "or, with --set backend=torch, in torch.",
        "Largest absolute z-score of each cell by kind of sampler, below the Bonferroni bound.",
    ),
)  # fmt: skip


def _artifact(folder: Path, name: str) -> Artifact | None:
    path = folder / f"{name}.json"
    return read_artifact(path, name) if path.exists() else None


def _drawn(entry: GalleryEntry, artifact: Artifact, folder: Path) -> tuple[Row, Files]:
    names = ("worst_abs_z", "bonferroni_bound", "comparisons", "passed")
    with drawing(entry.name), house_style():
        svg, files = figure_files(entry.draw(artifact), folder, entry.name)
        record = artifact.provenance
        row = {"svg": Markup(inline_svg(svg, entry.name, entry.alt)), "checked": scalars(artifact, names),
               "command": record["command"], "commit": record["commit"]}  # fmt: skip
    return row, files


def gallery_files(artifacts: Path, out: Path) -> Files:
    """What goes to out/gallery.html, and its figures as SVG and PDF under out/figures, from the artifacts there are.

    An experiment that has not been run names its command. Raises InputError when an artifact cannot be read or lacks a
    column.
    """
    found: Mapping[str, Artifact | None] = {entry.name: _artifact(artifacts, entry.name) for entry in GALLERY}
    shown: list[Row] = []
    files: Files = {}
    for entry in GALLERY:
        artifact = found[entry.name]
        drawn, made = (None, {}) if artifact is None else _drawn(entry, artifact, out / "figures")
        shown.append({"entry": entry, "drawn": drawn})
        files |= made
    with drawing():
        page = page_bytes("gallery.html.j2", {"shown": shown})
    return files | theory_files(out) | {out / "gallery.html": page}


def build_gallery(artifacts: Path, out: Path) -> Path:
    """Write out/gallery.html and its figures (`gallery_files`), all or none; the page."""
    atomic_write_files(gallery_files(artifacts, out))
    return out / "gallery.html"
