"""The index of formulas, docs/formulas.md: `python -m tests.formula_index` writes it, a test keeps it true.

A formula is an M-number of gsi_theory/theory. Its statement opens a paragraph there with the number in bold; code,
tests and figures are the files that name it, claims those of `CLAIMS` that say they judge it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from gsi_theory.claims import CLAIMS
from gsi_theory.runs.theory_chapters import CHAPTERS

ROOT = Path(__file__).resolve().parents[1]
INDEX = ROOT / "docs" / "formulas.md"
NUMBER = re.compile(r"\bM(\d+)(?:[-–]M?(\d+)\b)?")
SENTENCE_END = re.compile(r"(?<=[\w)$]\.)(?<!al\.)\s|\n\n|\*Proof|:\n")
LONGEST = 110  # characters of a sentence in the index
HEAD = """# Formulas

Every formula of [THEORY.md](../gsi_theory/THEORY.md) by its number: where it is computed, which claims judge it, which
tests hold it, which figures show it. Written by `python -m tests.formula_index`; a test keeps it true. Folders without
a name before them are those of gsi_theory, tests and figures.

| formula | statement | code | claims | tests | figures |
|---|---|---|---|---|---|
"""


def statements() -> dict[int, str]:
    """Number -> the first sentence after it in the theory, cut between its words and formulas."""
    text = "\n\n".join(CHAPTERS.values())
    out: dict[int, str] = {}
    for match in re.finditer(r"^\*\*\(M(\d+)\)", text, re.MULTILINE):
        sentence = SENTENCE_END.split(text[match.end() :].lstrip("* "), maxsplit=1)[0]
        bare = re.sub(r"(\$[^$]*\$)|\\?\*", r"\1", sentence)  # no stress, but the stars of formulas
        parts = re.findall(r"[^\s$]*\$[^$]*\$[^\s$]*|\S+", bare)
        words = [" ".join(part.replace(r"\|", r"\Vert ").replace("|", r"\vert ").split()) for part in parts]
        while len(words) > 1 and len(" ".join(words)) > LONGEST:
            words = [*words[: -2 if words[-1] == "…" else -1], "…"]
        out[int(match[1])] = " ".join(words).strip(" .:;")
    return out


def named(text: str) -> set[int]:
    """The formulas that a text names; "M2-M5" names four."""
    return {n for a, b in NUMBER.findall(text) for n in range(int(a), int(b or a) + 1) if int(b or a) - int(a) < 40}


def _files(*patterns: str) -> dict[int, list[str]]:
    out = defaultdict(list)
    for pattern in patterns:
        for path in sorted(set(ROOT.glob(pattern)) - {ROOT / "tests" / "test_formula_index.py"}):
            for number in named(path.read_text(encoding="utf-8")):
                out[number].append(path.relative_to(ROOT).with_suffix("").as_posix())
    return out


def index() -> str:
    """The text of docs/formulas.md."""
    sentences = statements()
    code, tests, figures = (
        _files("gsi_theory/**/*.py", "sims/**/*.py", "llm_check/**/*.py"),
        _files("tests/**/test_*.py", "tests/oracles/*.py"),
        _files("figures/*.py"),
    )
    rows = []
    for number in sorted(sentences):
        claims = sorted(claim for claim, record in CLAIMS.items() if number in named(record.formula))
        rows.append(
            f"| M{number} | {sentences[number]} | {_short(code[number], 'gsi_theory/')} | {', '.join(claims) or '–'} "
            f"| {_short(tests[number], 'tests/')} | {_short(figures[number], 'figures/')} |\n"
        )
    return HEAD + "".join(rows)


def _short(paths: list[str], folder: str) -> str:
    return ", ".join(path.removeprefix(folder) for path in paths) or "–"


if __name__ == "__main__":
    INDEX.parent.mkdir(exist_ok=True)
    INDEX.write_text(index(), encoding="utf-8")
