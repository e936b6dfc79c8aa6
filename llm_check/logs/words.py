"""Numbers in sentences, and what all commands say of rows left out."""

from __future__ import annotations

from gsi_theory.types import Record

__all__ = ["counted", "left_out_lines", "number"]

FAULTS_SHOWN = 10


def counted(count: int, noun: str) -> str:
    """`count` and `noun`, with the plural's s where there are several or none: 1 prompt, 2,000 prompts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """A value of a table: four decimals, or three digits where these would show none of it or too many; inf in
    words."""
    if value == float("inf"):
        return "unknown"
    if value == 0 or 5e-5 <= abs(value) < 1e5:
        return f"{value + 0.0:.4f}"
    return f"{value:.2e}"


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
