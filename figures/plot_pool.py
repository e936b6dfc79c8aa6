"""Figures of a pool's page, from artifact `pool_page`: coverage by step, value against n, acceptance, Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from figures.plot_data import Row, distinct, rows, scalars, spread
from figures.style import WIDTH, log_ticks, look
from gsi_theory.runs.artifact import Artifact

__all__ = ["draw_acceptance", "draw_coverage", "draw_front", "draw_value"]

_SHADES = ("#56b4e9", "#0072b2", "#882255", "#d55e00", "#000000")
_QUANTITIES = (
    ("chi2_pair", "χ²(π_B‖π_S)", False),
    ("chi2_tilt", "χ²(π‖π_S), from drafts", True),
    ("ess_share", "effective share of drafts", True),
)


def _betas(values: Sequence[Row], most: int = 3) -> list[float]:
    """At most so many β, first and last among them."""
    return spread(sorted(distinct(r["beta"] for r in values)), most)


def _clipped(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _band(axes: Any, own: Sequence[Row], x: str, name: str, color: str, label: str | None) -> None:
    shown = [r for r in own if all(_clipped(r[f"{name}_{q}"]) is not None for q in ("q1", "median", "q3"))]
    if not shown:
        return
    at = [r[x] for r in shown]
    axes.plot(at, [r[f"{name}_median"] for r in shown], color=color, marker="o", markersize=3, label=label)
    if len(shown) > 1:
        low, high = ([r[f"{name}_{q}"] for r in shown] for q in ("q1", "q3"))
        axes.fill_between(at, low, high, color=color, alpha=0.15, linewidth=0)
    else:
        low, high = ([abs(r[f"{name}_median"] - r[f"{name}_{q}"]) for r in shown] for q in ("q1", "q3"))
        axes.errorbar(at, [r[f"{name}_median"] for r in shown], yerr=[low, high], color=color, elinewidth=0.9)


def draw_coverage(artifact: Artifact) -> Figure:
    """Four panels by step: median and quartiles between positions of χ² of the pair and of the tilt, and of the
    effective share; share of positions where the tail of the weights was seen."""
    fields = [f"{name}_{q}" for name, _, _ in _QUANTITIES for q in ("q1", "median", "q3")]
    found = rows(artifact, "coverage", ("step", "beta", "chi2_pair_low", "tail_seen", *fields))
    betas = _betas(found)
    figure = Figure(figsize=(WIDTH, 4.4))
    panels = figure.subplots(2, 2, sharex=True).ravel()
    for axes, (name, title, by_beta) in zip(panels, _QUANTITIES, strict=False):
        for beta, color in zip(betas if by_beta else betas[:1], _SHADES, strict=False):
            own = [r for r in found if r["beta"] == beta]
            _band(axes, own, "step", name, color if by_beta else "#1c1c1c", f"β = {beta:g}" if by_beta else None)
        axes.set_title(title)
    lower = [r for r in found if r["beta"] == betas[0]]
    panels[0].plot([r["step"] for r in lower], [r["chi2_pair_low"] for r in lower], color="#1c1c1c", linestyle=":",
                   marker="_", markersize=7, label="proved lower bound, 95 %, median")  # fmt: skip
    panels[0].legend(loc="best")
    panels[1].legend(loc="best")
    panels[2].set_ylim(0.0, 1.02)
    for beta, color in zip(betas, _SHADES, strict=False):
        own = [r for r in found if r["beta"] == beta]
        panels[3].plot([r["step"] for r in own], [r["tail_seen"] for r in own], color=color, marker="o", markersize=3)
    panels[3].set(title="single positions whose own drafts show the tail", ylim=(-0.02, 1.02))
    for axes in panels[2:]:
        axes.set_xlabel("step")
        axes.set_xticks(spread(sorted(distinct(r["step"] for r in found)), 12))
    return figure


def _lines(found: Sequence[Row], beta: float) -> list[tuple[str, str, list[Row]]]:
    """(look, label, rows by n) of the curves of one panel."""
    own = [r for r in found if r["beta"] == beta]
    gates = sorted(distinct(r["threshold"] for r in own if r["gate"] == "tilted_reward"))
    middle = gates[len(gates) // 2] if gates else None
    chosen = (
        ("soft_bon_base", "soft best-of-n, base", lambda r: r["method"] == "base" and r["rule"] == "softmax"),
        ("softmax", "softmax, no gate", lambda r: (r["method"], r["rule"], r["gate"]) == ("gsi", "softmax", "none")),
        ("race", "race, no gate", lambda r: (r["method"], r["rule"], r["gate"]) == ("gsi", "race", "none")),
        ("gsi_ungated", "softmax, gate in the middle",
         lambda r: (r["rule"], r["gate"], r["threshold"]) == ("softmax", "tilted_reward", middle)),
    )  # fmt: skip
    return [(key, label, sorted((r for r in own if keep(r)), key=lambda r: r["n"])) for key, label, keep in chosen]


def draw_value(artifact: Artifact) -> Figure:
    """Value against n with two standard errors, a panel for each of up to three β (and a row for each value)."""
    names = scalars(artifact, ("value_names",))["value_names"]
    fields = [f for name in names for f in (name, f"{name}_se")]
    found = rows(artifact, "explorer", ("n", "beta", "threshold", *fields), ("rule", "gate", "method"))
    betas = _betas(found)
    figure = Figure(figsize=(WIDTH, 2.1 + 1.9 * (len(names) - 1)))
    panels = figure.subplots(len(names), len(betas), sharex=True, sharey="row", squeeze=False)
    for line, name in zip(panels, names, strict=True):
        for axes, beta in zip(line, betas, strict=True):
            for key, label, own in _lines(found, beta):
                if own:
                    at, mean, error = ([r[k] for r in own] for k in ("n", name, f"{name}_se"))
                    style = look(key)
                    axes.plot(at, mean, color=style.color, linestyle=style.line, marker=style.marker, markersize=3.5,
                              label=label)  # fmt: skip
                    low, high = ([m + s * e for m, e in zip(mean, error, strict=True)] for s in (-2.0, 2.0))
                    axes.fill_between(at, low, high, color=style.color, alpha=0.12, linewidth=0)
            log_ticks(axes, sorted(distinct(r["n"] for r in found)))
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
    found = rows(artifact, "explorer", ("n", "beta", "threshold", "p_accept"), ("rule", "gate", "method"))
    gated = [r for r in found if r["threshold"] is not None]
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
                own = [r for r in gated if (r["gate"], r["rule"], r["beta"], r["n"]) == (gate, rule, beta, n)]
                own.sort(key=lambda r: r["threshold"])
                axes.plot([r["threshold"] for r in own], [r["p_accept"] for r in own], color=color, linestyle=line,
                          marker="o", markersize=2.5, label=f"n = {n}, {title}")  # fmt: skip
        axes.set(title=f"β = {beta:g}", xlabel="threshold u", ylim=(-0.03, 1.03))
    panels[0].set_ylabel("P(accept)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(counts) < 3 else 3, fontsize=7.5)
    return figure


def draw_front(artifact: Artifact) -> Figure:
    """Value against cost of every option, the Pareto front with two standard errors, and the recommended option."""
    known = scalars(artifact, ("value_names", "cost_unit"), ("chosen",))
    value = known["value_names"][0]
    found = rows(artifact, "options", ("cost", "beta", value, f"{value}_se"), ("method", "rule", "gate", "on_front"))
    figure = Figure(figsize=(WIDTH, 3.1))
    axes = figure.subplots()
    kinds = (("gsi", "softmax", "softmax rule"), ("gsi_race", "race", "race rule"),
             ("soft_bon_base", None, "soft best-of-n on the base"))  # fmt: skip
    for key, rule, label in kinds:
        own = [r for r in found if (r["method"] == "base") == (rule is None) and rule in (None, r["rule"])]
        axes.plot([r["cost"] for r in own], [r[value] for r in own], linestyle="", marker=look(key).marker,
                  markersize=3, color=look(key).color, alpha=0.35, markeredgewidth=0, label=label)  # fmt: skip
    front = sorted((r for r in found if r["on_front"]), key=lambda r: r["cost"])
    bars = [2.0 * r[f"{value}_se"] for r in front]
    axes.errorbar([r["cost"] for r in front], [r[value] for r in front], yerr=bars, color="#1c1c1c", linewidth=1.1,
                  elinewidth=0.7, marker="o", markersize=3.5, label="front")  # fmt: skip
    if known["chosen"] is not None:
        one = found[known["chosen"]]
        axes.plot([one["cost"]], [one[value]], linestyle="", marker="*", markersize=13, color="#d55e00",
                  markeredgecolor="#1c1c1c", label="recommended", zorder=5)  # fmt: skip
    axes.set(xscale="log", xlabel=f"cost of a step ({known['cost_unit']})", ylabel=value.replace("_", " "))
    axes.legend(loc="lower right")
    return figure
