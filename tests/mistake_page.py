"""The catalogue of mistakes as a page, docs/mistakes.md: `python -m tests.mistake_page` writes it, a test holds it."""

from __future__ import annotations

from pathlib import Path

from gsi_theory.conform import MISTAKES
from gsi_theory.conformance.smallest import smallest
from gsi_theory.types import Floats

PAGE = Path(__file__).resolve().parents[1] / "docs" / "mistakes.md"
HEAD = """# Mistakes of samplers

What samplers do instead of what they say, as far as `gsi conform` knows it by name, each with the smallest problem that
exposes it: few outcomes, small decimals. In [THEORY.md](../gsi_theory/THEORY.md) M50. Draws: about how many of this
problem refute the sampler at level 1 %. Written by `python -m tests.mistake_page`; `gsi conform --explain MISTAKE`
prints one.

| mistake | what it does | method | problem | law as stated | law with the mistake | TV | draws |
|---|---|---|---|---|---|---|---|
"""


def row(name: str) -> str:
    """The line of one mistake."""
    shown = smallest(name)

    def law(values: Floats) -> str:
        return ", ".join(f"{x:.3f}" for x in values)

    return (
        f"| `{name}` | {MISTAKES[name].words.replace('|', chr(92) + '|')} | {shown.method} | {shown.words} "
        f"| {law(shown.right)} | {law(shown.wrong)} | {shown.tv:.3f} | {shown.draws:.0f} |\n"
    )


def page() -> str:
    """The text of docs/mistakes.md."""
    return HEAD + "".join(map(row, MISTAKES))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
