"""Pages that are read in the repository too: their links to files outside of this folder, as links of the site.

A page of `FILES` is such a file as a whole, and its text in this folder a line that points to it.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = {"contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md"}
# file of the repository -> page of the site
_PAGES = {"gsi_theory/THEORY.md": "theory/index.md", "README.md": "index.md"}
_PAGES |= {file: f"{page}.md" for page, file in FILES.items()}


def site_text(page: str, text: str) -> str:
    """The text of a page, by name ("tutorials/law"), with links of the site."""
    if page in FILES:
        text = (ROOT / FILES[page]).read_text(encoding="utf-8").replace("](docs/", "](")
        return re.sub(r"\]\(([\w./]+)\)", lambda link: f"]({_PAGES.get(link[1], link[1])})", text)
    up = "../" * (page.count("/") + 1)
    return re.sub(
        rf"\]\({re.escape(up)}([\w./]+)\)",
        lambda link: f"]({'../' * page.count('/')}{_PAGES[link[1]]})" if link[1] in _PAGES else link[0],
        text,
    )
