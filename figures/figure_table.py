"""The table of figures: a figure is a file `plot_NAME.py` that exports FIGURE (or FIGURES), and is found by itself.

A caption is a template over the summary of the artifact that the figure is drawn from, so that its numbers and its
findings are of that profile and seed: figures compute nothing. A finding is a pair of sentences; the artifact says
which of the two is true (summary["findings"][name]["holds"]), and neither is said where it was not judged.
"""

from __future__ import annotations

import importlib
import pkgutil
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

from matplotlib.figure import Figure

from figures.style import number
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

__all__ = ["Caption", "Finding", "PageFigure", "figures_of", "finding", "said", "spoken"]

MOST_LISTED = 4


@dataclass(frozen=True)
class Finding:
    """What is said if the artifact's finding `name` holds, and what otherwise; {fields} are its numbers."""

    name: str
    true: str
    false: str


# Text, or sentences and findings one after the other.
Caption: TypeAlias = str | tuple[str | Finding, ...]


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    name      of its files; `artifact` is what it is drawn from
    page      "report" (placed by its template) or "gallery" (in the order of `order`, then by name)
    draw      the artifact's figure
    caption   what to see; `question` stands before it and `claim`, what the literature says and is found, after it
    alt       alternative text
    """

    name: str
    artifact: str
    page: str
    draw: Callable[[Artifact], Figure]
    title: str
    caption: Caption
    alt: str
    question: str = ""
    claim: Caption = ""
    order: int = 100


def finding(name: str, true: str, otherwise: str) -> Finding:
    """A finding of a caption: the sentence if it holds, and what was found otherwise."""
    return Finding(name, true, otherwise)


class _Words(string.Formatter):
    """Fields as the page writes them: numbers with three digits unless a format is given, lists with commas."""

    def format_field(self, value: object, format_spec: str) -> str:
        if isinstance(value, Mapping):
            pairs = (
                f"{self.format_field(v, format_spec)} for {str(k).replace('_', ' ')}"
                for k, v in value.items()
                if v is not None
            )
            return ", ".join(pairs) or "–"
        if isinstance(value, list):
            texts = [self.format_field(v, format_spec) for v in value[:MOST_LISTED]]
            more = [f"{len(value) - MOST_LISTED} more"] if len(value) > MOST_LISTED else []
            *first, last = texts + more or ["none"]
            comma = "; " if any("," in text for text in texts) else ", "
            return f"{comma.join(first)} and {last}" if first else last
        plain = not format_spec or value is None or isinstance(value, str)
        return number(value).replace("_", " ") if plain else format(value, format_spec)


def said(caption: Caption, summary: Record) -> str:
    """The caption's text. KeyError for a finding or number that the summary lacks; an older artifact, without
    findings, has none said."""
    findings, sentences = summary.get("findings"), []
    for part in (caption,) if isinstance(caption, str) else caption:
        if isinstance(part, str):
            sentences.append(_Words().vformat(part, (), summary))
        elif findings is not None and findings[part.name]["holds"] is not None:
            numbers = findings[part.name]
            sentences.append(_Words().vformat(part.true if numbers["holds"] else part.false, (), summary | numbers))
    return " ".join(sentences)


def spoken(entry: PageFigure, artifact: Artifact | None) -> PageFigure:
    """The figure with caption and claim as texts; without an artifact there is nothing to say."""
    if artifact is None:
        return replace(entry, caption="", claim="")
    return replace(entry, caption=said(entry.caption, artifact.summary), claim=said(entry.claim, artifact.summary))


@cache
def figures_of(page: str) -> tuple[PageFigure, ...]:
    """The figures of a page, from every file of this folder that exports one."""
    entries: list[PageFigure] = []
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("plot_"):
            loaded = vars(importlib.import_module(f"figures.{module.name}"))
            entries += loaded.get("FIGURES", (loaded["FIGURE"],) if "FIGURE" in loaded else ())
    return tuple(sorted((entry for entry in entries if entry.page == page), key=lambda e: (e.order, e.name)))
