"""Figures of a pool's page, from artifact `pool_page`: coverage by step, value against n, acceptance, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows, scalars, spread
from figures.style import WIDTH, log_ticks, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw_acceptance", "draw_coverage", "draw_decides", "draw_front", "draw_value"]

_SHADES = ("#56b4e9", "#0072b2", "#882255", "#d55e00", "#000000")
INK = "#1c1c1c"
_QUANTITIES = (
    ("chi2_pair", "χ²(π_B‖π_S)", False),
    ("chi2_tilt", "χ²(π‖π_S), from drafts", True),
    ("ess_share", "effective share of drafts", True),
)


def _betas(values: Sequence[Row], most: int = 3) -> list[float]:
    """At most so many β, first and last among them."""
    return spread(sorted(distinct(r["beta"] for r in values)), most)


def _columns(lines: Sequence[Row], *names: str) -> list[list[float]]:
    return [[r[name] for r in lines] for name in names]


def _band(axes: Axes, lines: Sequence[Row], name: str, color: str, label: str | None) -> None:
    """Median and quartiles by step, where they are finite; bars where there is one step."""
    fields = ("step", *(f"{name}_{q}" for q in ("q1", "median", "q3")))
    shown = [r for r in lines if all(r[f] is not None and math.isfinite(r[f]) for f in fields)]
    if not shown:
        return
    at, low, middle, high = _columns(shown, *fields)
    axes.plot(at, middle, color=color, marker="o", markersize=3, label=label)
    if len(shown) > 1:
        axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
    else:
        axes.errorbar(at, middle, yerr=[[middle[0] - low[0]], [high[0] - middle[0]]], color=color, elinewidth=0.9)


def draw_coverage(artifact: Artifact) -> Figure:
    """Four panels by step: median and quartiles between positions of χ² of the pair and of the tilt, and of the
    effective share; share of single positions whose own drafts show the tail of their weights."""
    fields = [f"{name}_{q}" for name, _, _ in _QUANTITIES for q in ("q1", "median", "q3")]
    lines = rows(artifact, "coverage", ("step", "beta", "chi2_pair_low", "tail_seen", *fields))
    betas = _betas(lines)
    figure = Figure(figsize=(WIDTH, 4.4))
    panels = figure.subplots(2, 2, sharex=True).ravel()
    of_beta = {beta: [r for r in lines if r["beta"] == beta] for beta in betas}
    for axes, (name, title, by_beta) in zip(panels, _QUANTITIES, strict=False):
        for beta, color in zip(betas if by_beta else betas[:1], _SHADES, strict=False):
            _band(axes, of_beta[beta], name, color if by_beta else INK, f"β = {beta:g}" if by_beta else None)
        axes.set_title(title)
    bound: Row = {"linestyle": ":", "marker": "_", "markersize": 7, "label": "proved lower bound, 95 %, median"}
    panels[0].plot(*_columns(of_beta[betas[0]], "step", "chi2_pair_low"), color=INK, **bound)
    panels[0].legend(loc="best")
    panels[1].legend(loc="best")
    panels[2].set_ylim(0.0, 1.02)
    for beta, color in zip(betas, _SHADES, strict=False):
        panels[3].plot(*_columns(of_beta[beta], "step", "tail_seen"), color=color, marker="o", markersize=3)
    panels[3].set(title="single positions whose own drafts show the tail", ylim=(-0.02, 1.02))
    for axes in panels[2:]:
        axes.set_xlabel("step")
        axes.set_xticks(spread(sorted(distinct(r["step"] for r in lines)), 12))
    return figure


def _lines(cells: Sequence[Row], beta: float) -> list[tuple[str, str, list[Row]]]:
    """(look, label, rows by n) of the curves of one panel."""
    here = [r for r in cells if r["beta"] == beta]
    gates = sorted(distinct(r["threshold"] for r in here if r["gate"] == "tilted_reward"))
    middle = gates[len(gates) // 2] if gates else None
    chosen = (
        ("soft_bon_base", "soft best-of-n, base", ("soft_bon_base",), "softmax", None),
        ("soft_bon_draft", "soft best-of-n, draft", ("draft", "soft_bon_draft"), "softmax", None),
        ("softmax", "softmax, no gate", ("draft", "gsi_ungated"), "softmax", None),
        ("race", "race, no gate", ("draft", "gsi_ungated_race"), "race", None),
        ("gsi_ungated", "softmax, gate in the middle", ("gsi",), "softmax", middle),
    )
    curves = []
    for key, label, methods, rule, cut in chosen:
        curve = [r for r in here if r["method"] in methods and (r["rule"], r["threshold"]) == (rule, cut)]
        curves.append((key, label, sorted(curve, key=lambda r: r["n"])))
    return curves


def draw_value(artifact: Artifact) -> Figure:
    """Value against n with two standard errors, a panel for each of up to three β (and a row for each value)."""
    names = scalars(artifact, ("value_names",))["value_names"]
    fields = [f for name in names for f in (name, f"{name}_se")]
    cells = rows(artifact, "explorer", ("n", "beta", "threshold", *fields), ("rule", "gate", "method"))
    betas = _betas(cells)
    figure = Figure(figsize=(WIDTH, 2.1 + 1.9 * (len(names) - 1)))
    panels = figure.subplots(len(names), len(betas), sharex=True, sharey="row", squeeze=False)
    for line, name in zip(panels, names, strict=True):
        for axes, beta in zip(line, betas, strict=True):
            for key, label, curve in _lines(cells, beta):
                at, mean, error = _columns(curve, "n", name, f"{name}_se")
                style = look(key)
                shape: Row = {"color": style.color, "linestyle": style.line, "marker": style.marker, "markersize": 3.5}
                if curve:
                    axes.plot(at, mean, label=label, **shape)
                low, high = ([m + s * e for m, e in zip(mean, error, strict=True)] for s in (-2.0, 2.0))
                axes.fill_between(at, low, high, color=style.color, alpha=0.12, linewidth=0)
            log_ticks(axes, sorted(distinct(r["n"] for r in cells)))
        line[0].set_ylabel(name.replace("_", " "))
    for axes, beta in zip(panels[0], betas, strict=True):
        axes.set_title(f"β = {beta:g}")
    for axes in panels[-1]:
        axes.set_xlabel("n")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def draw_acceptance(artifact: Artifact) -> Figure:
    """Acceptance against the threshold: a panel for each of up to three β, lines for n, both gates."""
    cells = rows(artifact, "explorer", ("n", "beta", "threshold", "p_accept"), ("rule", "gate", "method"))
    gated = [r for r in cells if r["threshold"] is not None]
    betas = _betas(gated)
    figure = Figure(figsize=(WIDTH, 2.5))
    panels = figure.subplots(1, len(betas), sharey=True, squeeze=False)[0]
    counts = spread(sorted(distinct(r["n"] for r in gated)), 3)
    gates = (
        ("tilted_reward", "softmax", "-", "gate on the tilted reward"),
        ("score", "race", "--", "gate on the score"),
    )
    for axes, beta in zip(panels, betas, strict=True):
        for gate, rule, line, title in gates:
            for n, color in zip(counts, _SHADES, strict=False):
                curve = [r for r in gated if (r["gate"], r["rule"], r["beta"], r["n"]) == (gate, rule, beta, n)]
                curve.sort(key=lambda r: r["threshold"])
                shape: Row = {"linestyle": line, "marker": "o", "markersize": 2.5, "label": f"n = {n}, {title}"}
                axes.plot(*_columns(curve, "threshold", "p_accept"), color=color, **shape)
        axes.set(title=f"β = {beta:g}", xlabel="threshold u", ylim=(-0.03, 1.03))
    panels[0].set_ylabel("P(accept)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(counts) < 3 else 3, fontsize=7.5)
    return figure


def draw_decides(artifact: Artifact) -> Figure:
    """Gains over one draft of reward, ratio and gate with both intervals; below, three shares with two errors."""
    found = scalars(artifact, (), ("decides",))["decides"]
    figure = Figure(figsize=(WIDTH, 3.0))
    gains, shares = figure.subplots(2, 1, height_ratios=(3, 3))
    names = [name for name in ("reward", "ratio", "gate") if found[f"gain_{name}"] is not None]
    labels = {"reward": "reward alone", "ratio": "ratio", "gate": "gate, fallback"}
    for at, name in enumerate(names):
        for end, width in (("", 0.9), ("_these", 3.0)):
            low, high = (found[f"gain_{name}_{side}{end}"] for side in ("low", "high"))
            if low is not None and math.isfinite(low) and math.isfinite(high):
                gains.plot([low, high], [at, at], color=INK, linewidth=width, solid_capstyle="butt")
        gains.plot([found[f"gain_{name}"]], [at], marker="o", color="#d55e00", linestyle="", zorder=5)
    gains.axvline(0.0, color=INK, linewidth=0.6)
    gains.set(
        yticks=range(len(names)), yticklabels=[labels[n] for n in names], xlabel="gain", ylim=(len(names) - 0.5, -0.5)
    )
    kinds = {
        "ratio_share": "ratio's share of the spread",
        "by_reward": "winner: best reward",
        "by_ratio": "winner: best ratio",
    }
    shown = [name for name in kinds if found[name] is not None]
    for at, name in enumerate(shown):
        error = found[f"{name}_se"] or 0.0
        shares.errorbar([found[name]], [at], xerr=[2.0 * error], marker="o", color="#0072b2", elinewidth=0.9)
    shares.set(
        yticks=range(len(shown)), yticklabels=[kinds[n] for n in shown], xlabel="share", ylim=(len(shown) - 0.5, -0.5)
    )
    return figure


def draw_front(artifact: Artifact) -> Figure:
    """Value against cost of every option, the Pareto front with two standard errors, and the recommended option."""
    known = scalars(artifact, ("value_names", "cost_unit"), ("chosen",))
    value = known["value_names"][0]
    options = rows(artifact, "options", ("cost", "beta", value, f"{value}_se"), ("method", "rule", "gate", "on_front"))
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.subplots()
    kinds = (
        ("gsi", "GSI, softmax rule", ("gsi", "gsi_ungated")),
        ("gsi_race", "GSI, race rule", ("gsi_race", "gsi_ungated_race", "gsi_score_gate")),
        ("soft_bon_draft", "draft alone, by reward", ("draft", "soft_bon_draft", "best_of_n_draft")),
        ("rsd", "RSD", ("rsd",)),
        ("soft_bon_base", "base alone", ("base", "soft_bon_base", "best_of_n_base")),
    )
    for key, label, methods in kinds:
        marks = [r for r in options if r["method"] in methods]
        shape: Row = {"marker": look(key).marker, "markersize": 3, "alpha": 0.35, "markeredgewidth": 0, "linestyle": ""}
        axes.plot(*_columns(marks, "cost", value), color=look(key).color, label=label, **shape)
    front = sorted((r for r in options if r["on_front"]), key=lambda r: r["cost"])
    bars = [2.0 * r[f"{value}_se"] for r in front]
    shape = {"linewidth": 1.1, "elinewidth": 0.7, "marker": "o", "markersize": 3.5}
    at, height = _columns(front, "cost", value)
    axes.errorbar(at, height, yerr=bars, color=INK, label="front", **shape)
    if known["chosen"] is not None:
        star: Row = {"linestyle": "", "marker": "*", "markersize": 13, "markeredgecolor": INK, "zorder": 5}
        axes.plot(*_columns([options[known["chosen"]]], "cost", value), color="#d55e00", label="recommended", **star)
    axes.set(xscale="log", xlabel=f"cost of a step ({known['cost_unit']})", ylabel=value.replace("_", " "))
    axes.legend(loc="lower right")
    return figure
