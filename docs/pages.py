"""Pages that tables and docstrings decide: `python -m docs.pages` writes them, and so does every build of the site.

They are in folders of their own, which git ignores: docs/catalogue, docs/claims, docs/reference, docs/theory; the
article's stands beside its source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.article_pages import article_pages
from docs.catalogue_pages import catalogue_pages
from docs.claim_pages import claim_pages
from docs.reference_pages import reference_pages
from docs.theory_pages import theory_pages

DOCS = Path(__file__).parent
FOLDERS: Mapping[str, Callable[[], dict[str, str]]] = {
    "article": article_pages,
    "catalogue": catalogue_pages,
    "claims": claim_pages,
    "reference": reference_pages,
    "theory": theory_pages,
}


def write_pages() -> None:
    """Write every generated page that changed, and remove those that no table has any more."""
    for folder, make in FOLDERS.items():
        place = DOCS / folder
        place.mkdir(exist_ok=True)
        pages = {place / (name if name.endswith(".svg") else f"{name}.md"): text for name, text in make().items()}
        for path in {*place.glob("*.md"), *place.glob("*.svg")} - set(pages):
            path.unlink()
        for path, text in pages.items():
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_pages()
