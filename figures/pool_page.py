"""The page of a pool, from artifact `pool_page`: answer, explorer, figures, doctor's findings, limits.

One HTML file that needs no network. Its only script is the explorer's, named by hash in the page's content security
policy, so that no other can run; text from the pool is escaped, in the page and in the data of the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from figures import plot_pool
from figures.page import page_bytes, theory_files
from figures.plot_data import Row, distinct, drawing, rows, scalars
from figures.plots import Files, figure_files, inline_svg
from figures.style import house_style, look, number
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["build_pool_page", "pool_page_files"]

_RULES = {
    "softmax": "softmax",
    "race": "race",
    "base softmax": "soft best-of-n on the base",
    "draft softmax": "soft best-of-n on the draft",
}
# Where the explorer starts for a method that it does not show.
_NEAR = {
    "base": "base softmax",
    "soft_bon_base": "base softmax",
    "best_of_n_base": "base softmax",
    "soft_bon_draft": "draft softmax",
    "best_of_n_draft": "draft softmax",
}
_COLUMNS = ("p_accept", "cost", "kl_bound")
KNOWN = (
    *("pool", "rows", "prompts", "positions", "explored", "value_names", "cost_unit", "recommendation", "reason"),
    *("limits", "improve", "assumptions", "over_optimization", "valid", "left_out"),
    *("ratio_mean", "ratio_mean_se", "untested"),
)


@dataclass(frozen=True)
class _Figure:
    name: str
    draw: Callable[[Artifact], Figure]
    title: str
    caption: str
    alt: str


_FIGURES = (
    _Figure(
        "value",
        plot_pool.draw_value,
        "Value against n",
        "Bands are two standard errors. Compare a rule with soft best-of-n on the base (green) at its n.",
        "Predicted value against n for softmax, race, gated softmax and soft best-of-n on the base, by beta.",
    ),
    _Figure(
        "decides",
        plot_pool.draw_decides,
        "Who decides, reward or ratio",
        "What selection gains over one draft: by the reward alone, then by the ratio, then by gate and fallback, in "
        "this order (what both would have gained is counted for the reward). Thick bars: 95 % for these prompts; thin "
        "ones: over prompts. Below: the ratio's share of the spread of the log-weights, and how often the winner has "
        "the best reward, and the best ratio, of its set.",
        "Gains of selection by reward, ratio and gate with intervals, and three shares.",
    ),
    _Figure(
        "front",
        plot_pool.draw_front,
        "Value against cost",
        "Each mark is an option; no other has more value at no more cost than those on the black line. Differences "
        "within the bars are not resolved by this pool.",
        "Scatter plot of predicted value against cost with the Pareto front and the recommended option.",
    ),
    _Figure(
        "acceptance",
        plot_pool.draw_acceptance,
        "Acceptance against u",
        "How often a selected draft passes the gate; the rest is written by the base.",
        "Acceptance probability against the threshold for two gates and several n, by beta.",
    ),
    _Figure(
        "coverage",
        plot_pool.draw_coverage,
        "Coverage by step",
        "Medians and quartiles between positions. Large χ² means that few drafts carry the weight. Lower right: single "
        "positions whose own drafts show the tail of their weights (k̂ below its limit, and no draft with over 5 % of "
        "all weight); the table judges the drafts of all positions together, which are many more.",
        "Four panels by step: chi-squared of base against draft and of the tilt, effective share, and the share of "
        "single positions whose own drafts show the tail.",
    ),
)


def _rule(row: Row) -> str:
    return _NEAR.get(row["method"], str(row["rule"]))


def _key(row: Row) -> tuple[str, str, float]:
    return _rule(row), row["gate"], row["beta"]


def _plain(value: object) -> object:
    """A number with five digits, as JSON can hold it."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else "inf"
    return value


def _group(cells: list[tuple[int, Row]]) -> Row:
    """Thresholds, counts and the index of each cell of one rule, gate and β."""
    cuts = sorted({r["threshold"] for _, r in cells}, key=lambda u: -math.inf if u is None else u)
    counts = sorted({r["n"] for _, r in cells})
    at = {(r["threshold"], r["n"]): i for i, r in cells}
    return {"u": cuts, "n": counts, "cells": [[at[u, n] for n in counts] for u in cuts]}


def _grid(artifact: Artifact, known: Row) -> Row:
    """What the explorer's script reads."""
    names = known["value_names"]
    fields = [*_COLUMNS, *(f for name in names for f in (name, f"{name}_se"))]
    cells = rows(artifact, "explorer", ("n", "beta", "threshold", *fields), ("rule", "gate", "method"))
    grouped: dict[tuple[str, str, float], list[tuple[int, Row]]] = {}
    for i, row in enumerate(cells):
        grouped.setdefault(_key(row), []).append((i, row))
    gates: dict[str, list[str]] = {}
    for rule, gate, _ in grouped:
        gates.setdefault(rule, [])
        if gate not in gates[rule]:
            gates[rule].append(gate)
    tails = {f"{t['beta']:g}": {k: _plain(t[k]) for k in ("khat", "seen", "speaks")} for t in _tails(artifact)}
    plain = {"rule": "softmax", "gate": "none", "n": 4, "beta": 5.0, "threshold": None, "method": "gsi_ungated"}
    chosen = known["recommendation"] or plain
    chosen = plain if chosen["gate"] == "reward" else chosen  # one draft, judged: not in the explorer
    start = {key: chosen[key] for key in ("gate", "n", "beta")} | {"u": chosen["threshold"], "value": names[0]}
    start["rule"] = _rule(chosen)
    return {
        "pool": shlex.quote(known["pool"]),
        "values": names,
        "unit": known["cost_unit"],
        "betas": sorted(distinct(r["beta"] for r in cells)),
        "tails": tails,
        "gates": gates,
        "ruleNames": {rule: _RULES.get(rule, rule) for rule in gates},
        "start": start,
        "groups": {f"{rule}|{gate}|{beta:g}": _group(group) for (rule, gate, beta), group in grouped.items()},
        **{name: [_plain(r[name]) for r in cells] for name in fields},
    }


def _tails(artifact: Artifact) -> list[Row]:
    """What was seen of the tail at each β, by all positions together and, `alone`, by which share of them."""
    tails = rows(artifact, "tails", ("beta", "khat", "unseen", "ess"), ("seen", "speaks"))
    steps = rows(artifact, "coverage", ("beta", "positions", "tail_seen"))
    for tail in tails:
        counts = [(r["positions"], r["tail_seen"]) for r in steps if r["beta"] == tail["beta"]]
        total = sum(count for count, _ in counts)
        tail["alone"] = sum(count * share for count, share in counts) / total if total else None
    return tails


def _tails_told(tails: list[Row]) -> str:
    """What the table and the figure of tails say together."""
    seen, hidden = ([f"{t['beta']:g}" for t in tails if bool(t["seen"]) is shown] for shown in (True, False))
    told = []
    if seen:
        told.append(
            f"At β = {', '.join(seen)} the drafts of all positions together show the tail of their weights: means over "
            "the pool can be told, though not what happens at a single position whose own drafts do not show it."
        )
    if hidden:
        told.append(
            f"At β = {', '.join(hidden)} they do not show it even together: what no draw has shown may move the means, "
            "whatever single positions show."
        )
    return " ".join(told)


def _text(evidence: object) -> str:
    if isinstance(evidence, dict):
        return ", ".join(f"{str(k).replace('_', ' ')} {_text(v)}" for k, v in evidence.items())
    if isinstance(evidence, list):
        return "[" + ", ".join(map(_text, evidence)) + "]"
    return number(evidence)


def _chosen(known: Row) -> Row | None:
    one = known["recommendation"]
    if one is None:
        return None
    return one | {"method_text": look(one["method"]).label}


def pool_page_files(artifact: Path, out: Path) -> Files:
    """What goes to the file `out`, the page, and to the folder figures/pool beside it, its figures as SVG and PDF.

    Raises InputError when the artifact cannot be read, lacks a column, or is not as its command writes it.
    """
    with drawing("pool_page"):
        return _pool_page(read_artifact(artifact, "pool_page"), out)


def _pool_page(artifact: Artifact, out: Path) -> Files:
    known = scalars(artifact, KNOWN, ("reward_range", "decides"))
    data = json.dumps(_grid(artifact, known), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    script = resources.files("figures").joinpath("templates/explorer.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    findings = rows(artifact, "findings", (), ("id", "severity", "evidence", "advice"), may_be_empty=True)
    drawn: list[Row] = []
    files: Files = {}
    with house_style():
        for f in _FIGURES:
            if f.name == "decides" and known["decides"] is None:
                continue
            svg, made = figure_files(f.draw(artifact), out.parent / "figures" / "pool", f.name)
            drawn.append(vars(f) | {"svg": Markup(inline_svg(svg, f"pool-{f.name}", f.alt))})
            files |= made
    tails = _tails(artifact)
    context = {
        "known": known,
        "chosen": _chosen(known),
        "figures": drawn,
        "tails": tails,
        "tails_told": _tails_told(tails),
        "record": artifact.provenance,
        "findings": [f | {"text": _text(f["evidence"])} for f in findings],
        "grid": Markup(data),
        "script": Markup(script),
        "script_hash": f"sha256-{digest}",
    }
    return files | theory_files(out.parent) | {out: page_bytes("pool.html.j2", context)}


def build_pool_page(artifact: Path, out: Path) -> Path:
    """Write the page to the file `out` with its figures beside it (`pool_page_files`), all or none; the page."""
    atomic_write_files(pool_page_files(artifact, out))
    return out
