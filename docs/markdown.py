"""Pieces of Markdown that generated pages are made of."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path


def plain(text: str) -> str:
    """Text as it stands: no character of it is a mark of Markdown, but `names` stay names."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(p if p[:1] == "`" and p[-1:] == "`" and len(p) > 1 else re.sub(r"[\\`*_{}\[\]<>$|#]", r"\\\g<0>", p)
                   for p in parts)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown in which a bar is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("\n", " ") or "–" for cell in line) + " |\n" for line in lines)


def code(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```\n"


def joined(*parts: str) -> str:
    """Blocks, parted by blank lines; empty ones are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def listed(items: Iterable[str]) -> str:
    """A list of points."""
    return "".join(f"- {item}\n" for item in items)


def toctree(names: Iterable[str], *, hidden: bool = False) -> str:
    """A list of contents."""
    return "```{toctree}\n:maxdepth: 1\n" + ":hidden:\n" * hidden + "\n" + "\n".join(names) + "\n```\n"


def label(kind: str, name: str) -> str:
    """A permalink's target: `(claim-m12-osc)=` before what it names."""
    return f"({anchor(kind, name)})=\n"


def anchor(kind: str, name: str) -> str:
    """The name of that target."""
    return f"{kind}-{re.sub(r'[^a-z0-9.]+', '-', name.lower()).strip('-')}".strip("-")


def text_of(module: str) -> str:
    """A module's docstring as Markdown: its paragraphs, indented blocks as code. The module is not imported."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    words = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    paragraphs = re.split(r"\n[ \t]*\n", words)
    return "\n\n".join(
        code("\n".join(line.removeprefix("    ") for line in part.split("\n")), "text")
        if all(line.startswith("    ") for line in part.split("\n"))
        else "\n".join(plain(line) for line in part.split("\n"))
        for part in paragraphs
    ) + "\n"  # fmt: skip
