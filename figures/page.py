"""What all pages share: the templates' environment and the finishing of a page's text.

Text from artifacts, that of the language models above all, reaches a page through jinja2's escaping. Only what this
package writes itself is inserted as markup: figures (SVG), formulas (MathML), and the links and labels added here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from figures.plot_data import COMMANDS
from figures.plots import Files
from figures.style import look, number
from figures.theory_page import STATED, theory_body
from gsi_theory.runs.terminal import kept_together

__all__ = ["finished", "page_bytes", "page_environment", "theory_files"]

# What is left as it is: an element whose content is no prose, or a tag; and what is prose.
_PARTS = re.compile(r"<(script|style|svg|math|pre|code|a|title)\b.*?</\1>|<[^>]*>|([^<]+)", re.DOTALL)
_NAMED = re.compile(r"\b(M\d+)[a-z]?(?:-[a-z0-9]+)*\b|arXiv (\d{4}\.\d{4,5})")
_TABLE = re.compile(r"<table.*?</table>", re.DOTALL)


def _link(match: re.Match[str], theory: str) -> str:
    if match[2]:
        return f'<a href="https://arxiv.org/abs/{match[2]}">{match[0]}</a>'
    return f'<a href="{theory}#{match[1]}">{match[0]}</a>' if match[1] in STATED else match[0]


def _prose(text: str, theory: str) -> str:
    """Escaped text with links, and with no line end inside an equation or between a number and its unit."""
    joined = re.sub(r"(?<=\S)\s*\n\s*(?=\S)", " ", unescape(text))
    joined = re.sub(r"(?<=\de)-(?=\d)", "−", joined)  # a line may end after a hyphen
    return _NAMED.sub(lambda match: _link(match, theory), escape(kept_together(joined), quote=False))


def _labeled(table: str) -> str:
    """A table whose cells are labeled with the header of their column: narrow screens show it beside the cell."""
    head, end, body = table.partition("</thead>")
    labels = [escape(unescape(re.sub(r"<[^>]*>", "", text))) for text in re.findall(r"<th\b.*?>(.*?)</th>", head)]

    def row(match: re.Match[str]) -> str:
        names = iter(labels)
        return re.sub(r"<t[hd]\b", lambda cell: f'{cell[0]} data-label="{next(names, "")}"', match[0])

    return head + end + re.sub(r"<tr.*?</tr>", row, body, flags=re.DOTALL)


def finished(page: str, theory: str = "theory.html") -> bytes:
    """The page's bytes: formula numbers linked to the page `theory`, arXiv numbers to arXiv, numbers kept together,
    cells labeled."""
    linked = _PARTS.sub(lambda part: _prose(part[2], theory) if part[2] else part[0], page)
    return _TABLE.sub(lambda table: _labeled(table[0]), linked).encode("utf-8", "backslashreplace")


def _percent(share: float | None) -> str:
    """A share as a percentage; what is not zero is not shown as zero."""
    if share is None:
        return "–"
    return "0" if share == 0 else "< 1 %" if share < 0.01 else f"{100.0 * share:.0f} %"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def page_environment() -> Environment:
    """The environment that every page is rendered in."""
    environment = Environment(
        loader=PackageLoader("figures"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        num=number,
        exact=repr,
        one_line=lambda text: text.replace("\n", "↵"),
        words=lambda text: str(text).replace("_", " "),
        sentence=_sentence,
        method=lambda name: look(name).label,
        percent=_percent,
        floor3=lambda value: "–" if value is None else f"{math.floor(1000.0 * value) / 1000.0:.3f}",
        plain=lambda value: "–" if value is None else f"{value:g}",
    )
    environment.globals.update(interval=_interval, commands=COMMANDS)
    return environment


def page_bytes(template: str, context: Mapping[str, object], theory: str = "theory.html") -> bytes:
    """The finished page of a template of figures/templates; theory: the page that formula numbers lead to."""
    return finished(page_environment().get_template(template).render(context), theory)


def theory_files(folder: Path) -> Files:
    """The theory as folder/theory.html, where the links of the pages beside it lead."""
    body, anchors = theory_body()
    return {folder / "theory.html": page_bytes("theory.html.j2", {"body": Markup(body), "anchors": anchors}, "")}
