"""The theory as pages: its chapters with a permalink for each formula, proofs folded, claims beside what they judge."""

from __future__ import annotations

import re
from collections import defaultdict

from docs.claim_audit import audited
from docs.markdown import anchor, joined, label, table, toctree
from gsi_theory.claims import CLAIMS
from gsi_theory.runs.theory_chapters import CHAPTERS, NUMBER, STATEMENT

_PROOF = re.compile(r"\*(Proof[^*]*?)[.:]?\*\s*(.*?∎)", re.DOTALL)
# what no link is made of: formulas, code, links
_KEPT = re.compile(r"(\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\[[^\]]*\]\([^)]*\))", re.DOTALL)
_CLAIM = re.compile(rf"\b{NUMBER}(?:-[a-z0-9]+)+\b")
_NUMBER = re.compile(rf"(?<![\w#(\[-])\(?\b({NUMBER})\b(?![-\w])")


def _claims() -> dict[str, list[str]]:
    """Formula -> ids of the claims on it; those on M42b stand with it, not with M42."""
    numbers, out = _numbers(), defaultdict(list)
    for name, claim in CLAIMS.items():
        number = name.partition("-")[0]
        out[number if number in numbers else claim.formula].append(name)
    return out


def _numbers() -> set[str]:
    return {match[1] for chapter in CHAPTERS.values() for match in STATEMENT.finditer(chapter)}


def _link(name: str) -> str:
    return f"[`{name}`](#{anchor('claim', name)})"


def linked(text: str) -> str:
    """Markdown with links from numbers to statements, and from ids to claims."""
    numbers = _numbers()

    def number(match: re.Match[str]) -> str:
        return match[0].replace(match[1], f"[{match[1]}](#{match[1].lower()})") if match[1] in numbers else match[0]

    def claim(match: re.Match[str]) -> str:
        return _link(match[0]) if match[0] in CLAIMS else match[0]

    parts = _KEPT.split(text)
    for i, part in enumerate(parts):
        if part.startswith("`") and part.strip("`") in CLAIMS:
            parts[i] = _link(part.strip("`"))
        elif i % 2 == 0:
            # a claim's id holds a number: ids first, and numbers in what is left
            pieces = re.split(r"(\[`[^`]*`\]\([^)]*\))", _CLAIM.sub(claim, part))
            parts[i] = "".join(p if p.startswith("[`") else _NUMBER.sub(number, p) for p in pieces)
    return "".join(parts)


def _folded(text: str) -> str:
    """The paragraph with its proofs folded."""
    parts, end = [], 0
    for proof in _PROOF.finditer(text):
        body = f":::{{dropdown}} {proof[1]}\n:class-container: proof\n\n{linked(proof[2].strip())}\n:::"
        parts += [linked(text[end : proof.start()].strip()), body]
        end = proof.end()
    return joined(*parts, linked(text[end:].strip()))


def _judged(names: list[str]) -> str:
    rows = audited()
    return "Judged: " + ", ".join(f"{_link(name)} {rows[name]['expected'].lower()}" for name in names) + "."


def _chapter(text: str) -> str:
    claims, out, due, level = _claims(), [], "", "##"
    for block in re.split(r"\n{2,}", text.strip()):
        statement = STATEMENT.match(block)
        if statement or block.startswith("#"):
            out.append(due)
            due = ""
        level = "###" if block.startswith("## ") else level
        if not statement:
            out.append(block if block.startswith(("#", "|", "$$")) else _folded(block))
            continue
        number, kind, title = statement.groups()
        name = f"{number}-{kind}" if kind else number
        words = " ".join(filter(None, [f"({number}{f', {kind}' if kind else ''})", title.strip(" .")]))
        # a title that goes on as a sentence is said again there
        said = f"**{title.strip()}**" if title.strip() and not title.rstrip().endswith(".") else ""
        out += [label("", name) + f"{level} {words}", _folded(said + block[statement.end() :])]
        due = _judged(claims[number]) if not kind and claims[number] else ""
    return joined(*out, due)


def _index() -> str:
    rows = []
    claims = _claims()
    for chapter, text in CHAPTERS.items():
        title = text.partition("\n")[0].removeprefix("# ")
        for number, kind, words in (match.groups() for match in STATEMENT.finditer(text)):
            if not kind:
                judged = ", ".join(map(_link, claims[number])) or "–"
                rows.append([f"[{number}](#{number.lower()})", words.strip(" ."), f"[{title}]({chapter}.md)", judged])
    rows.sort(key=lambda row: [int(re.findall(r"\d+", row[0])[0]), row[0]])
    return joined(
        "# Theory",
        "The formulas that the code, the claims and the figures cite, numbered once. Proofs are folded; a claim leads "
        "to its verdict, its tightness and, where it is false, to a counterexample.",
        toctree(CHAPTERS),
        "## By number",
        "[Where each is computed, tested and drawn](../formulas.md)",
        table(["formula", "name", "chapter", "claims"], rows),
    )


def theory_pages() -> dict[str, str]:
    """Name -> Markdown: the chapters, and "index", the list of formulas."""
    return {name: _chapter(text) for name, text in CHAPTERS.items()} | {"index": _index()}
