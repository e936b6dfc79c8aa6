"""Numbers in sentences."""

from __future__ import annotations

__all__ = ["counted", "number"]


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
