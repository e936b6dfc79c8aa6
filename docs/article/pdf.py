"""The article as PDF: pandoc turns the filled Markdown into typst's language, typst sets it. Same text, same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from docs.article.artifacts import Source
from docs.article.text import SOURCE, figure_names, fill, svg
from gsi_theory.runs.output import atomic_write_files

__all__ = ["write_pdf"]

TEMPLATE = Path(__file__).parent / "template.typ"
# superscripts, footnotes and the like of pandoc's Markdown would read formulas and names as marks
MARKDOWN = "markdown_strict+tex_math_dollars+pipe_tables+implicit_figures+link_attributes+smart"


def typst_source(sources: Mapping[str, Source]) -> str:
    """The article in typst's language."""
    import pypandoc

    text = fill(sources, page=False)
    title, _, body = text.partition("\n\n")
    made: str = pypandoc.convert_text(
        body,
        "typst",
        format=MARKDOWN,
        extra_args=[
            f"--template={TEMPLATE}",
            f"--metadata=title:{title.strip().removeprefix('# ')}",
            # tables with longer lines would get columns of widths by their dashes
            "--columns=9999",
            "--fail-if-warnings",
        ],
    )
    return made


def write_pdf(sources: Mapping[str, Source], folder: Path) -> Path:
    """Write folder/article.pdf, and beside it what it was set from. Raises InputError as `fill`."""
    import typst

    files = {folder / "article.typ": typst_source(sources).encode()}
    for name in figure_names(SOURCE.read_text(encoding="utf-8")):
        files[folder / f"{name}.svg"] = svg(name, sources).encode()
    atomic_write_files(files)
    path = folder / "article.pdf"
    atomic_write_files({path: typst.compile(str(folder / "article.typ"), root=str(folder))})
    return path
