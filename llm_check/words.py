"""Numbers in sentences."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """`count` and `noun`, with the plural's s where there are several or none: 1 prompt, 2,000 prompts."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
