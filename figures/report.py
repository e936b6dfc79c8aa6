"""The report: HTML pages that need no network, no script and no other file, made from the artifacts.

Text from artifacts, that of the language models above all, reaches the page through jinja2's escaping. Only what this
package writes itself is inserted as markup: figures (SVG), formulas (MathML) and links. Every finding in words is
computed from an artifact, with what is said where it is not so.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from markupsafe import Markup

from figures.figure_table import spoken
from figures.gallery import gallery_files
from figures.mathml import formula
from figures.page import page_bytes
from figures.plot_accuracy import ordered_methods
from figures.plot_asked import asked_table
from figures.plot_data import Row, distinct, drawing, read_all, rows, scalars, spread
from figures.plot_headline import NEEDS, needs
from figures.plots import FIGURES, Files, draw_figures, inline_svg
from figures.pool_page import pool_page_files
from figures.style import drafts, look, number, superscript
from gsi_theory.runs.artifact import Artifact
from gsi_theory.runs.output import atomic_write_files
from gsi_theory.runs.workers import WORKERS, Pool, lasting_pool

__all__ = ["build_report"]

MOST_ROWS = 12
TIGHT = 0.99  # of the right side, attained by some instance
SPEAKS = tuple(f"half_n_beta_{beta}" for beta in (1, 5, 20))
_MARKS = {
    "HOLDS": ("good", "✓ holds"),
    "REFUTED": ("known", "✗ refuted"),
    "VACUOUS": ("plain", "○ vacuous"),
    "UNDECIDED": ("plain", "? undecided"),
    "NOT_APPLICABLE": ("plain", "– not applicable"),
}
# The two filters of the audit: class of a row and label.
ORIGINS = (
    ("all", "of every origin"),
    ("published", "as published"),
    ("reading", "readings"),
    ("ours", "proved here"),
)
FINDINGS = (
    ("all", "whatever was found"),
    ("true", "true"),
    ("refuted", "refuted"),
    ("vacuous", "vacuous in half of all cases or more"),
    ("tight", "tight to 1 %"),
)


def _headline(artifact: Artifact) -> Row:
    asked = ("log10_n_theorem_b", "n_instance", "n_exact_softmax", "n_exact_race")
    names = ("beta", "epsilon", "problem", "step", "prefix_text", "outcomes", *asked)
    summary = scalars(artifact, names, ("n_limit", "chi2_pair", "chi2_tilt", "coverage", "kl_pair"))
    positions = [needs(row) for row in rows(artifact, "positions", asked, may_be_empty=True)]
    ranges = []
    for entry in NEEDS:
        values = [p[entry.column] for p in positions]
        numbers = sorted(v for v in values if v is not None)
        if numbers:
            ranges.append((entry.label, drafts(numbers[0]), drafts(numbers[-1]), len(numbers)))
    return summary | {"asked": {k: drafts(v) for k, v in needs(summary).items()}, "ranges": ranges}


def _mark(claim: Row) -> tuple[str, str]:
    if claim["surprise"]:
        return "surprise", "‼ refuted"
    if claim["expected"] == "REFUTED" and claim["outcome"] != "REFUTED":
        return "plain", "○ no counterexample found"
    return _MARKS.get(claim["outcome"], ("plain", str(claim["outcome"])))


def _command(example: Row) -> str:
    words = ["gsi", "law", "instance.json", "--beta", repr(example["beta"]), "--n", str(example["n"])]
    if example["threshold"] is not None:
        words += ["--threshold", repr(example["threshold"])]
    if example["rule"] is not None:
        words += ["--rule", example["rule"]]
    return shlex.join(words)


def _where(claim: Row) -> str:
    """Where the tightest evaluation was found."""
    if claim["tight_family"] is None:
        return ""
    return f"{claim['tight_family'].replace('_', ' ')}, β = {claim['tight_beta']:g}, n = {_ladder(claim['tight_n'])}"


def _ladder(n: float | None) -> str:
    """A number of candidates of the audit's ladder: in full up to 1024, then as a power of two."""
    if n is None:
        return "–"
    if math.isinf(n):
        return "never"
    return f"{n:.0f}" if n <= 1024 else f"2{superscript(round(math.log2(n)))}"


def _kinds(claim: Row) -> str:
    """The classes that the filters of the audit select a claim by."""
    kinds = {
        "true": claim["outcome"] == "HOLDS",
        "refuted": claim["outcome"] == "REFUTED",
        "vacuous": (claim["vacuous_share"] or 0.0) >= 0.5,
        "tight": (claim["tightness"] or 0.0) >= TIGHT,
    }
    return " ".join([f"origin-{claim['origin']}", *(f"found-{name}" for name, holds in kinds.items() if holds)])


def _verdict(claims: list[Row]) -> str:
    """How many published statements fail as published, and how many of the refuted claims are readings."""
    refuted = {
        kind: [c["id"] for c in claims if (c["origin"], c["outcome"]) == (kind, "REFUTED")] for kind, _ in ORIGINS
    }
    count, failed = sum(c["origin"] == "published" for c in claims), refuted["published"]
    named = f" ({', '.join(failed)})" if 0 < len(failed) <= 5 else ""
    return (
        f"Published statements that fail as published: {len(failed)} of {count}{named}. Of the "
        f"{sum(map(len, refuted.values()))} refuted claims {len(refuted['reading'])} are readings; of the statements "
        f"proved here {len(refuted['ours']) or 'none'} is refuted."
    )


def _audit(artifact: Artifact) -> Row:
    counts = ("evaluations", "refuted", "undecided", "vacuous_share", "tightness", "tight_beta", "tight_n", *SPEAKS)
    others = ("id", "statement", "source", "origin", "expected", "outcome", "surprise", "tight_family")
    claims = rows(artifact, "claims", counts, others)
    for claim in claims:
        informs = [claim[name] for name in SPEAKS]
        claim |= {
            "mark": _mark(claim),
            "math": Markup(formula(claim["statement"])),
            "where": _where(claim),
            "kinds": _kinds(claim),
            "speaks": "limit" if informs == [None] * 3 else ", ".join(map(_ladder, informs)),
        }
    statement = {claim["id"]: claim["math"] for claim in claims}
    numbers = ("beta", "n", "threshold", "lhs", "rhs", "error", "relative_gap")
    texts = ("id", "draft", "base", "reward", "certified", "lhs_lower", "rhs_upper")
    examples = rows(artifact, "counterexamples", numbers, texts, ("rule",), may_be_empty=True)
    for example in examples:
        instance = {name: example[name] for name in ("draft", "base", "reward")}
        example |= {
            "math": statement.get(example["id"], example["id"]),
            "instance": json.dumps(instance),
            "command": _command(example),
            "columns": list(zip(*instance.values(), strict=True)),
        }
    names = ("evaluations", "surprises", "rejudged", "settled", "largest_n")
    rate = ("rate_instances", "rate_worst", "rate_within_one_percent")
    fit = ("rate_fit_factor", "rate_fit_coverage", "rate_fit_chi2", "rate_fit_spread")
    summary, asked = scalars(artifact, (*names, *rate), fit), asked_table(artifact)
    return summary | {
        "largest_n": _ladder(summary["largest_n"]),
        "claims": claims,
        "verdict": _verdict(claims),
        "origins": ORIGINS,
        "findings": FINDINGS,
        "examples": examples,
        "asked": asked,
        "asked_columns": [f">{what}, β = {beta:g}" for beta in asked[0]["betas"] for what in ("asked", "needed")],
    }


def _sampler(artifact: Artifact) -> Row:
    numbers = ("n", "beta", "outcomes", "max_abs_z", "tv_empirical", "p_accept", "acceptance_rate", "acceptance_z")
    cells = rows(artifact, "cells", numbers, ("family", "rule", "gate"))
    summary = scalars(artifact, ("worst_abs_z", "bonferroni_bound", "comparisons", "level", "draws_per_cell", "passed"))
    worst = sorted(cells, key=lambda c: -max(c["max_abs_z"] or 0.0, abs(c["acceptance_z"] or 0.0)))
    return summary | {"worst": worst[:MOST_ROWS], "count": len(cells)}


def _law(artifact: Artifact) -> Row:
    numbers = ("n", "outcomes", "missing_mass", "draws", "chi2_stat", "dof", "p_value", "max_abs_z")
    tests = rows(artifact, "prompts", numbers, ("problem_id", "prefix_text", "sampler"))
    names = ("worst_p", "comparisons", "level", "passed")
    summary = scalars(artifact, names, ("max_logp_difference", "ratio_mean", "ratio_mean_se"))
    worst = sorted(tests, key=lambda t: 1.0 if t["p_value"] is None else t["p_value"])
    return summary | {"worst": worst[:MOST_ROWS], "count": len(tests)}


def _prediction(artifact: Artifact) -> Row:
    numbers = ("beta", "n", "problems", "predicted", "predicted_se", "measured", "measured_se", "z")
    cells = rows(artifact, "cells", numbers, ("rule", "gate", "quantity"), ("exact",))
    summary = scalars(artifact, ("worst_abs_z", "bonferroni_bound", "comparisons", "passed", "calibration"))
    worst = sorted(cells, key=lambda c: -abs(c["z"] or 0.0))
    return summary | {"worst": worst[:MOST_ROWS], "count": len(cells)}


def _growth(artifact: Artifact) -> str:
    """What more candidates do to accuracy: the largest fall to a method's largest n, or that there is none."""
    paired = rows(artifact, "growth", ("n", "pairs", "difference", "low", "high"), ("method",), may_be_empty=True)
    reward = {
        (c["method"], c["n"]): c["mean_reward"] for c in rows(artifact, "methods", ("n", "mean_reward"), ("method",))
    }
    last = {c["method"]: max(n for method, n in reward if method == c["method"]) for c in paired}
    falls = [row for row in paired if (row["difference"] or 0.0) < 0.0]
    if not falls:
        return "No method solves fewer of these problems at its largest n than at a smaller one."
    worst = min(falls, key=lambda row: row["difference"])
    method, most = worst["method"], last[worst["method"]]
    rise = reward[method, most] - reward[method, worst["n"]]
    text = (
        f"More candidates are not always better: from n = {worst['n']} to n = {most} the accuracy of "
        f"{look(method).label} falls by {number(-worst['difference'], 2)} (95 %: {number(-worst['high'], 2)} to "
        f"{number(-worst['low'], 2)}, on the same {worst['pairs']} problems)"
    )
    if rise > 0.0:
        text += f", while the learned reward of its steps rises by {number(rise, 2)}: over-optimization of the reward"
    else:
        text += ", while the learned reward of its steps does not rise: this is not over-optimization of the reward"
    if worst["high"] >= 0.0:
        text += ", which these problems are too few to tell from chance"
    count = len({row["method"] for row in falls})
    return f"{text}; {count} of {len(last)} methods are less accurate at their largest n than at a smaller one."


def _shown(artifact: Artifact) -> list[tuple[str, str, list[Row]]]:
    """Solutions in groups of a title and a note: one problem across methods, failures, or what there is."""
    texts = rows(artifact, "solutions", ("n",), ("method", "problem", "text", "correct"), may_be_empty=True)
    contested = scalars(artifact, (), ("contested",))["contested"]
    last = {s["method"]: max(t["n"] for t in texts if t["method"] == s["method"]) for s in texts}
    texts = [s for s in texts if s["n"] == last[s["method"]]]
    same = [s for s in texts if s["problem"] == contested]
    failed = [s for s in texts if s["problem"] != contested and not s["correct"]]
    solved = sum(s["correct"] for s in same)
    groups = [
        ("One problem, every method", f"{solved} of {len(same)} methods solve it. Text as generated.", same),
        ("Failures", "The first other problem that each of these methods fails. Text as generated.", failed),
    ]
    return [(title, note, spread(group, MOST_ROWS)) for title, note, group in groups if group]


def _accuracy(artifact: Artifact) -> Row:
    shares = ("accuracy", "accuracy_low", "accuracy_high", "acceptance_rate", "acceptance_low", "acceptance_high")
    cells = rows(artifact, "methods", ("n", "beta", "threshold", "problems", *shares, "mean_reward"), ("method",))
    order = ordered_methods(cells)
    cells.sort(key=lambda c: (order.index(c["method"]), c["beta"] or 0.0, c["threshold"] or 0.0, c["n"] or 0))
    return {"methods": cells, "shown": _shown(artifact), "growth": _growth(artifact)}


def _speed(artifact: Artifact) -> Row:
    once = ("n", "seconds_per_step", "naive_seconds_per_step", "ratio_median", "ratio_low", "ratio_high")
    batch = ("batch", "batch_seconds_per_step", "batch_ratio_median", "batch_ratio_low", "batch_ratio_high")
    return scalars(artifact, (*once, *batch))


def _methods(artifact: Artifact) -> Row:
    return scalars(artifact, ("worst_abs_z", "bonferroni_bound", "comparisons", "level", "passed"))


_SECTIONS = {
    "lm_headline": _headline,
    "audit": _audit,
    "methods": _methods,
    "exact_vs_mc": _sampler,
    "lm_law": _law,
    "lm_prediction": _prediction,
    "lm_accuracy": _accuracy,
    "lm_speed": _speed,
}


def _provenance(artifacts: Mapping[str, Artifact | None]) -> Row:
    made = []
    for name, artifact in artifacts.items():
        if artifact is not None:
            record = artifact.provenance
            versions = ", ".join(f"{k} {v}" for k, v in sorted(record.get("versions", {}).items()))
            named = {key: record.get(key) for key in ("command", "seed", "commit")}
            made.append({"name": name, "versions": versions} | named)
    return {"records": made, "versions": distinct(r["versions"] for r in made)}


def build_report(artifacts: Path, out: Path, pool: Pool | None = None) -> Path:
    """Write out/index.html, theory.html, gallery.html and, from a pool's artifact, pool.html; the first page.

    Their figures go to out/figures as SVG and PDF; they are drawn by `pool` (None: by processes of this machine).
    A section whose artifact is missing names the command that writes it. Raises InputError when the folder does not
    exist, or an artifact exists but cannot be read, lacks a column or is not as its command writes it; then no file is
    written.
    """
    artifacts, out = Path(artifacts), Path(out)
    with nullcontext(pool) if pool is not None else lasting_pool(WORKERS) as workers:
        files = _pages(artifacts, out, workers)
    atomic_write_files(files)
    return out / "index.html"


def _pages(artifacts: Path, out: Path, pool: Pool) -> Files:
    read = read_all(artifacts)
    context: dict[str, object] = {}
    for name, make in _SECTIONS.items():
        artifact = read[name]
        with drawing(name):
            context[name] = None if artifact is None else make(artifact)
    texts, files = draw_figures(FIGURES, read, out / "figures", pool)
    drawn = {
        entry.name: {
            "entry": spoken(entry, read.get(entry.artifact)),
            "svg": Markup(inline_svg(texts[entry.name], entry.name, entry.alt)) if entry.name in texts else None,
        }
        for entry in FIGURES
    }
    files |= gallery_files(artifacts, out, pool)
    plan = artifacts / "pool_page.json"
    if plan.exists():
        files |= pool_page_files(plan, out / "pool.html")
    with drawing():
        context |= {
            "figures": drawn,
            "provenance": _provenance(read),
            "pool": plan.exists(),
            "bounds_vs_n": read["bounds_vs_n"],
            "steps": read["steps"],
        }
        page = page_bytes("report.html.j2", context)
    return files | {out / "index.html": page}
