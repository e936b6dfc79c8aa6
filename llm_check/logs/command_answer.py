"""What `gsi doctor`, `predict` and `plan` answer with --json, and what all three say of rows left out."""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Json, Record
from llm_check.logs.pools.schema import ANSWER_SCHEMA
from llm_check.logs.words import counted

__all__ = ["answer", "left_out_lines", "plain"]

FAULTS_SHOWN = 10


def plain(value: Json) -> Json:
    """`value` as JSON can hold it: NumPy to Python, infinities to "inf" and "-inf", NaN (of bad rows) to "NaN"."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else str(value)
    return value


def answer(fields: Record) -> Record:
    """The JSON object of a command: its fields, plain, and the number of their format."""
    return {"schema": ANSWER_SCHEMA} | {name: plain(value) for name, value in fields.items()}


def left_out_lines(left: Record) -> list[str]:
    """What was left out, in words: the count and the first bad rows; no line when nothing was."""
    if not left["rows"]:
        return []
    faults = [f"  row or line {fault['row']}{fault['said']}" for fault in left["faults"][:FAULTS_SHOWN]]
    more = left["rows"] - len(faults)
    return [
        f"left out: {counted(left['prompts'], 'prompt')} for {counted(left['rows'], 'bad row')}",
        *faults,
        *([f"  and {more:,} more: --json lists them all"] if more else []),
    ]
