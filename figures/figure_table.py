"""The table of figures: a figure is a file `plot_NAME.py` that exports FIGURE (or FIGURES), and is found by itself.

A caption is a template over the summary of the artifact that the figure is drawn from, so that its numbers and its
findings are of that profile and seed: figures compute nothing. Each line that begins with [NAME] tells a finding:

    Compare the blue line with the green one at n = {largest_n}.
    [blue_above] Blue is above green everywhere. | Blue is not above green in {exceptions}.
    [] Bands are two standard errors.

Which of the two sentences is said, the artifact knows (summary["findings"][NAME]["holds"]); neither where it was not
judged. {Fields} are the finding's numbers, and those of the summary. A line that begins with [] goes on in plain text.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from matplotlib.figure import Figure

from figures.style import number
from gsi_theory.runs.artifact import Artifact
from gsi_theory.types import Record

__all__ = ["FindingText", "PageFigure", "figures_of", "findings_in", "said", "spoken"]

MOST_LISTED = 4


@dataclass(frozen=True)
class FindingText:
    """What is said if the artifact's finding `name` holds, and what otherwise; {fields} are its numbers."""

    name: str
    true: str
    false: str


@dataclass(frozen=True)
class PageFigure:
    """A figure of a page.

    name      of its files; `artifact` is what it is drawn from
    page      "report" (placed by its template) or "gallery" (in the order of `order`, then by name)
    draw      the artifact's figure
    caption   what to see; `question` stands before it and `claim`, what the literature says and is found, after it;
              caption and claim are templates as above
    alt       alternative text
    command   that writes the artifact (empty: gsi simulate NAME)
    """

    name: str
    artifact: str
    page: str
    draw: Callable[[Artifact], Figure]
    title: str
    caption: str
    alt: str
    question: str = ""
    claim: str = ""
    order: int = 100
    command: str = ""


def findings_in(caption: str) -> list[FindingText]:
    """The parts of a caption; plain text is a finding without a name, said in any case."""
    parts = []
    for name, text in re.findall(r"(?:^\s*\[(\w*)\]|\A)(.*?)(?=^\s*\[\w*\]|\Z)", caption, re.DOTALL | re.MULTILINE):
        true, _, false = " ".join(text.split()).partition(" | ")
        if true:
            parts.append(FindingText(name, true, false))
    return parts


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


def said(caption: str, summary: Record) -> str:
    """The caption's text. KeyError for a finding or number that the summary lacks; an older artifact, without
    findings, has none said."""
    findings, sentences = summary.get("findings"), []
    for part in findings_in(caption):
        if not part.name:
            sentences.append(_Words().vformat(part.true, (), summary))
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
