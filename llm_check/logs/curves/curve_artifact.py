"""Artifact `curve`: the curves of a log for the page of `gsi curve --page`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.types import Json, Record
from llm_check.logs.curves.curve_lines import CurveLine
from llm_check.logs.curves.curve_words import curve_name, difference_words, rests_on
from llm_check.logs.curves.log_curves import Curves

__all__ = ["NAME", "write_curves"]

NAME = "curve"
_COLUMNS = ("selector", "beta", "value", "title", "needs_key", "n", "mean", "low", "high", "low_fixed", "high_fixed")


def _rows(lines: Sequence[CurveLine], ns: Sequence[int]) -> dict[str, list[Json]]:
    """A row a curve and n that has a mean."""
    rows: list[Record] = []
    for line in lines:
        key, band = line.key, line.bands
        known = {"selector": key.selector, "beta": key.beta, "value": key.value, "title": curve_name(line)}
        for m in np.flatnonzero(np.isfinite(band.mean)).tolist():
            numbers = {name: float(getattr(band, name)[m]) for name in _COLUMNS[-5:]}
            plain = {name: None if np.isnan(value) else value for name, value in numbers.items()}
            rows.append({**known, "needs_key": line.needs_key, "n": ns[m], **plain})
    return {name: [row[name] for row in rows] for name in _COLUMNS}


def _all_rows(curves: Curves) -> dict[str, list[Json]]:
    """Those of every curve, and of the one from labels."""
    rows = _rows(curves.lines, curves.ns)
    more = {} if curves.labelled is None else _rows((curves.labelled.line,), curves.labelled.ns)
    return {name: [*column, *more.get(name, [])] for name, column in rows.items()}


def write_curves(out: Path, curves: Curves, log: Path) -> Path:
    """Write the artifact: tables `curves`, `same` (the same prompts at every n), `differences`; these may be empty."""
    line = f"gsi curve {shlex.quote(log.name)} --n {','.join(map(str, curves.ns))} --seed {curves.seed}"
    line += f" --against {shlex.quote(curves.other)}" if curves.other else ""
    if curves.labelled is not None and curves.labelled.chance is not None:
        line += f" --label-chance {curves.labelled.chance:g}"
    paired = curves.against
    peaks = [
        {"value": each.key.value, "peak": each.turn.peak, "turns": each.turn.turns, "last": each.turn.last}
        for each in curves.turnings
    ]
    summary: Record = {
        "log": curves.about.name,
        "other": curves.other,
        "prompts": curves.prompts,
        "draws": curves.about.draws,
        "same_prompts": curves.same_prompts,
        "shared_prompts": None if paired is None else paired.prompts,
        "words": rests_on(curves),
        "difference_words": [] if paired is None else difference_words(paired.lines, curves.ns),
        "peaks": peaks,
    }
    tables = {
        "curves": _all_rows(curves),
        "same": _rows(curves.same or (), curves.same_ns),
        "differences": _rows(() if paired is None else paired.lines, curves.ns),
    }
    return write_artifact(out, NAME, provenance(f"{line} --page FOLDER", curves.seed), summary, tables)
