"""Are the links of the built site good? `python -m docs.links FOLDER`: every link to a page of ours, its anchor too,
and nothing on a page that the browser would fetch from elsewhere."""

from __future__ import annotations

import re
import sys
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

# what a browser loads by itself; an <a href> to elsewhere is a link that a reader may follow
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=\"([^\"]+)\"|<link\b[^>]*?\bhref=\"([^\"]+)\""
)
_CANONICAL = re.compile(r"<link\b[^>]*\brel=\"(?:canonical|index|search|next|prev|author|copyright)\"[^>]*>")
_LINK = re.compile(r"<a\b[^>]*?\bhref=\"([^\"]+)\"")
_REMOTE = re.compile(r"(?:https?:)?//|mailto:|data:")


@cache
def _anchors(page: Path) -> frozenset[str]:
    return frozenset(unescape(name) for name in re.findall(r"\bid=\"([^\"]+)\"", page.read_text(encoding="utf-8")))


def faults(site: Path) -> list[str]:
    """What is wrong, a line each."""
    out = []
    for page in sorted(site.rglob("*.html")):
        text = _CANONICAL.sub("", page.read_text(encoding="utf-8"))
        name = page.relative_to(site)
        loaded = [first or second for first, second in _LOADED.findall(text)]
        out += [f"{name}: loads {link}" for link in loaded if re.match(r"(?:https?:)?//", link)]
        for link in [*loaded, *_LINK.findall(text)]:
            if _REMOTE.match(link):
                continue
            path, fragment = urlsplit(unescape(link))[2::2]
            target = (page.parent / unquote(path)).resolve() if path else page
            if not target.exists():
                out.append(f"{name}: {link}: no such file")
            elif fragment and target.suffix == ".html" and unquote(fragment) not in _anchors(target):
                out.append(f"{name}: {link}: no such place")
    return out


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]))
    print("\n".join(wrong) or "every link of the site is good")
    sys.exit(bool(wrong))
