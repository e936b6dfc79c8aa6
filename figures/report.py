"""The report: one HTML page that needs no network, no script and no other file, made from the artifacts.

Text from artifacts, that of the language models above all, reaches the page through jinja2's escaping. Only what this
package writes itself is inserted as markup: figures (SVG), formulas (MathML) and links to arXiv.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from figures.figure_table import spoken
from figures.gallery import gallery_files
from figures.mathml import formula
from figures.plot_accuracy import ordered_methods
from figures.plot_asked import asked_table
from figures.plot_data import COMMANDS, Row, distinct, drawing, read_all, rows, scalars, spread
from figures.plot_headline import NEEDS, needs
from figures.plots import FIGURES, draw_figures, inline_svg
from figures.pool_page import pool_page_files
from figures.style import drafts, look, number, superscript
from gsi_theory.runs.artifact import Artifact
from gsi_theory.runs.output import atomic_write_files

__all__ = ["build_report"]

Found = dict[str, Artifact | None]

MOST_ROWS = 12
SPEAKS = tuple(f"half_n_beta_{beta}" for beta in (1, 5, 20))
_MARKS = {
    "HOLDS": ("good", "✓ holds"),
    "REFUTED": ("known", "✗ refuted"),
    "VACUOUS": ("plain", "○ vacuous"),
    "UNDECIDED": ("plain", "? undecided"),
    "NOT_APPLICABLE": ("plain", "– not applicable"),
}
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{4,5})")


def _linked(text: str) -> Markup:
    """Escaped text in which "arXiv 2506.04118" is a link."""
    return Markup(_ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv \1</a>', str(escape(text))))


def _one_line(text: str) -> str:
    """Text of a model on one line, its line ends visible."""
    return text.replace("\n", "↵")


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _headline(artifact: Artifact) -> Row:
    names = ("beta", "epsilon", "problem", "step", "prefix_text", "outcomes", "log10_n_theorem_b", "n_instance",
             "n_exact_softmax", "n_exact_race")  # fmt: skip
    summary = scalars(artifact, names, ("n_limit", "chi2_pair", "chi2_tilt", "coverage", "kl_pair"))
    positions = [needs(row) for row in rows(artifact, "positions", names[6:], may_be_empty=True)]
    ranges = []
    for entry in NEEDS:
        values = [p[entry.column] for p in positions]
        known = sorted(v for v in values if v is not None)
        if known:
            ranges.append((entry.label, drafts(known[0]), drafts(known[-1]), len(known)))
    return summary | {"asked": {k: drafts(v) for k, v in needs(summary).items()}, "ranges": ranges,
                      "count": len(positions)}  # fmt: skip


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


def _percent(share: float | None) -> str:
    """A share as a percentage; what is not zero is not shown as zero."""
    if share is None:
        return "–"
    return "0" if share == 0 else "< 1 %" if share < 0.01 else f"{100.0 * share:.0f} %"


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


def _audit(artifact: Artifact) -> Row:
    counts = ("evaluations", "holds", "refuted", "undecided", "vacuous", "not_applicable", "rejudged", "settled",
              "vacuous_share", "tightness", "tight_beta", "tight_n", *SPEAKS)  # fmt: skip
    others = ("id", "formula", "statement", "source", "expected", "outcome", "surprise", "tight_family")
    claims = rows(artifact, "claims", counts, others)
    for claim in claims:
        claim["mark"] = _mark(claim)
        claim["math"] = Markup(formula(claim["statement"]))
        claim["where"] = _where(claim)
        informs = [claim[name] for name in SPEAKS]
        claim["speaks"] = "limit" if informs == [None] * 3 else ", ".join(map(_ladder, informs))
    statement = {claim["id"]: claim["math"] for claim in claims}
    ends = ("lhs_lower", "lhs_upper", "rhs_lower", "rhs_upper", "certified")
    examples = rows(artifact, "counterexamples", ("beta", "n", "threshold", "lhs", "rhs", "error", "relative_gap"),
                    ("id", "draft", "base", "reward", *ends), ("rule",), may_be_empty=True)  # fmt: skip
    for example in examples:
        example["math"] = statement.get(example["id"], example["id"])
        example["instance"] = json.dumps({name: example[name] for name in ("draft", "base", "reward")})
        example["command"] = _command(example)
        example["columns"] = list(zip(example["draft"], example["base"], example["reward"], strict=True))
    summary = scalars(artifact, ("evaluations", "surprises", "rejudged", "settled", "largest_n", "rate_instances",
                                 "rate_worst", "rate_within_one_percent"),
                      ("rate_fit_factor", "rate_fit_coverage", "rate_fit_chi2", "rate_fit_spread"))  # fmt: skip
    return summary | {
        "largest_n": _ladder(summary["largest_n"]),
        "claims": claims,
        "examples": examples,
        "asked": asked_table(artifact),
    }


def _sampler(artifact: Artifact) -> Row:
    numbers = ("n", "beta", "outcomes", "max_abs_z", "tv_empirical", "p_accept", "acceptance_rate", "acceptance_z")
    cells = rows(artifact, "cells", numbers, ("family", "rule", "gate"))
    summary = scalars(artifact, ("worst_abs_z", "bonferroni_bound", "comparisons", "level", "draws_per_cell", "passed"))
    worst = sorted(cells, key=lambda c: -max(c["max_abs_z"] or 0.0, abs(c["acceptance_z"] or 0.0)))
    return summary | {"worst": worst[:MOST_ROWS], "count": len(cells)}


def _law(artifact: Artifact) -> Row:
    numbers = ("step", "outcomes", "missing_mass", "draws", "cells", "chi2_stat", "dof", "p_value", "max_abs_z", "n",
               "beta")  # fmt: skip
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


def _accuracy(artifact: Artifact) -> Row:
    numbers = ("n", "beta", "threshold", "problems", "accuracy", "accuracy_low", "accuracy_high", "acceptance_rate",
               "acceptance_low", "acceptance_high", "mean_reward")  # fmt: skip
    cells = rows(artifact, "methods", numbers, ("method",))
    order = ordered_methods(cells)
    cells.sort(key=lambda c: (order.index(c["method"]), c["beta"] or 0.0, c["threshold"] or 0.0, c["n"] or 0))
    solutions = rows(artifact, "solutions", (), ("method", "n", "problem", "text", "correct"), may_be_empty=True)
    return {"methods": cells, "solutions": spread(solutions, MOST_ROWS), "count": len(solutions)}


def _speed(artifact: Artifact) -> Row:
    return scalars(
        artifact,
        (
            "seconds_per_step",
            "naive_seconds_per_step",
            "ratio_median",
            "ratio_low",
            "ratio_high",
            "n",
            "batch",
            "batch_seconds_per_step",
            "batch_ratio_median",
            "batch_ratio_low",
            "batch_ratio_high",
        ),
    )


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


def _provenance(found: Found) -> Row:
    made = []
    for name, artifact in found.items():
        if artifact is not None:
            record = artifact.provenance
            versions = ", ".join(f"{k} {v}" for k, v in sorted(record.get("versions", {}).items()))
            named = {key: record.get(key) for key in ("command", "seed", "commit")}
            made.append({"name": name, "versions": versions} | named)
    return {"records": made, "versions": distinct(r["versions"] for r in made)}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("figures"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(
        num=number, exact=repr, linked=_linked, one_line=_one_line, words=lambda text: str(text).replace("_", " "),
        method=lambda name: look(name).label,
        percent=_percent, floor3=lambda value: "–" if value is None else f"{math.floor(1000.0 * value) / 1000.0:.3f}",
        plain=lambda value: "–" if value is None else f"{value:g}",
    )  # fmt: skip
    environment.globals.update(interval=_interval, commands=COMMANDS)
    return environment


def build_report(artifacts: Path, out: Path) -> Path:
    """Write out/index.html, out/gallery.html and, from a pool's artifact, out/pool.html; the first page.

    Their figures go to out/figures as SVG and PDF.
    A section whose artifact is missing names the command that writes it. Raises InputError when the folder does not
    exist, or an artifact exists but cannot be read, lacks a column or is not as its command writes it; then no file is
    written.
    """
    artifacts, out = Path(artifacts), Path(out)
    found = read_all(artifacts)
    context: dict[str, Row | None] = {}
    for name, make in _SECTIONS.items():
        artifact = found[name]
        with drawing(name):
            context[name] = None if artifact is None else make(artifact)
    texts, files = draw_figures(found, out / "figures")
    drawn = {
        entry.name: {
            "entry": spoken(entry, found.get(entry.artifact)),
            "svg": Markup(inline_svg(texts[entry.name], entry.name, entry.alt)) if entry.name in texts else None,
        }
        for entry in FIGURES
    }
    files |= gallery_files(artifacts, out)
    pool = artifacts / "pool_page.json"
    if pool.exists():
        files |= pool_page_files(pool, out / "pool.html")
    page = _environment().get_template("report.html.j2")
    with drawing():
        text = page.render(**context, figures=drawn, provenance=_provenance(found),
                           pool=pool.exists(), bounds_vs_n=found["bounds_vs_n"], steps=found["steps"])  # fmt: skip
    atomic_write_files(files | {out / "index.html": text.encode("utf-8", "backslashreplace")})
    return out / "index.html"
