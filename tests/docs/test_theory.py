"""The theory: every number and every claim stands once, every formula can be set, every citation resolves."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from docs.markdown import anchor
from docs.theory_pages import linked, theory_pages
from figures.mathml import formula
from gsi_theory.claims import CLAIMS
from gsi_theory.runs.theory_chapters import CHAPTERS, FORMULA, NUMBER, STATEMENT

ROOT = Path(__file__).parents[2]
PAGES = theory_pages()
STATEMENTS = [match.groups() for text in CHAPTERS.values() for match in STATEMENT.finditer(text)]
NUMBERS = [number for number, kind, _ in STATEMENTS if not kind]
# in prose these are mathematics that somebody forgot to put between dollar signs
SIGNS = re.compile(r"[α-ωΓΔΘΛΞΠΣΦΨΩℓ≤≥∈∞∫√‖½¼¾ⁿ₀-₉⁰-⁹]|[A-Za-z]_[A-Za-z{]|\^")


def test_every_number_once() -> None:
    assert [number for number, count in Counter(NUMBERS).items() if count > 1] == []
    assert sorted(int(number[1:]) for number in NUMBERS if number[-1] != "b") == list(range(1, 51))
    names = [f"{number}-{kind}" for number, kind, _ in STATEMENTS]
    assert len(names) == len(set(names))


def test_what_sharpens_follows_what_it_sharpens() -> None:
    for text in CHAPTERS.values():
        order = [match.groups()[:2] for match in STATEMENT.finditer(text)]
        late = [f"{number}, {kind}" for i, (number, kind) in enumerate(order) if kind and number in
                {after for after, plain in order[i:] if not plain}]  # fmt: skip
        assert not late


def test_the_contents_name_every_chapter() -> None:
    assert set(CHAPTERS) == {path.stem for path in (ROOT / "gsi_theory" / "theory").glob("*.md")}
    assert all(text.startswith("# ") for text in CHAPTERS.values())


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_formula_can_be_set(chapter: str) -> None:
    text = CHAPTERS[chapter]
    assert text.count("$") % 2 == 0
    formulas = [match[1] or match[2] for match in FORMULA.finditer(text)]
    assert formulas
    for latex in formulas:
        assert "<math" in formula(latex, strict=True), latex
        assert not re.search(r"[^\x00-\x7f−]", latex), f"give LaTeX: {latex}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_mathematics_outside_of_formulas(chapter: str) -> None:
    prose = re.sub(r"`[^`]*`", "", FORMULA.sub("", CHAPTERS[chapter]))
    assert [word for word in prose.split() if SIGNS.search(word) and not word.startswith("pass@")] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_proof_ends(chapter: str) -> None:
    assert CHAPTERS[chapter].count("*Proof") == CHAPTERS[chapter].count("∎")
    page = PAGES[chapter]
    assert page.count(":::{dropdown}") == CHAPTERS[chapter].count("∎") and "*Proof" not in page


def test_every_citation_resolves() -> None:
    cited: dict[str, set[str]] = {}
    for folder in ("gsi_theory", "sims", "llm_check", "figures"):
        for path in (ROOT / folder).rglob("*.py"):
            for number in re.findall(rf"\(({NUMBER})\)", path.read_text(encoding="utf-8")):
                cited.setdefault(number, set()).add(path.name)
    assert len(cited) > 40
    assert {number: files for number, files in cited.items() if number not in NUMBERS} == {}
    assert {claim.formula for claim in CLAIMS.values()} <= set(NUMBERS)


def test_claims_that_the_theory_names_exist() -> None:
    text = "\n".join(CHAPTERS.values())
    named = set(re.findall(rf"`({NUMBER}(?:-[a-z0-9-]+)?)`", text))
    assert len(named) > 50 and named <= set(CLAIMS)


def test_pages_have_a_place_for_every_statement_and_link_every_claim_once() -> None:
    places = re.findall(r"^\((m[^)]*)\)=$", "\n".join(PAGES.values()), re.MULTILINE)
    assert sorted(places) == sorted(f"{n}-{kind}".lower() if kind else n.lower() for n, kind, _ in STATEMENTS)
    judged = re.findall(r"Judged: (.*)\.", "\n".join(PAGES.values()))
    links = Counter(re.findall(r"#(claim-[^)]*)", " ".join(judged)))
    assert links == Counter(anchor("claim", name) for name in CLAIMS)
    # those on few particles stand there, not with the walk of the same number
    assert [line for line in judged if "claim-m42b" in line and "claim-m42-" in line] == []


def test_links_are_made_of_prose_alone() -> None:
    assert linked("(M7) and $M7$, `M7`, M99, M2–M5, M10-tv") == (
        "([M7](#m7)) and $M7$, `M7`, M99, [M2](#m2)–[M5](#m5), [`M10-tv`](#claim-m10-tv)"
    )
