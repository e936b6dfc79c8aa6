"""The article as a page of the site, from the kept artifacts, with its figures."""

from __future__ import annotations

from docs.article.artifacts import find
from docs.article.text import SOURCE, figure_names, fill, svg


def article_pages() -> dict[str, str]:
    """Name -> text: "index", and the figures as NAME.svg."""
    sources = find()
    figures = figure_names(SOURCE.read_text(encoding="utf-8"))
    return {"index": fill(sources, page=True)} | {f"{name}.svg": svg(name, sources) for name in figures}
