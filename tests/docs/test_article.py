"""The article: every number from an artifact, every statement numbered and proved, nothing said that is not shown."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs.article.artifacts import KEPT, NEEDS, Source, find
from docs.article.numbers import Study, num, power, signed, within
from docs.article.references import REFERENCES
from docs.article.text import LABEL, SOURCE, figure_names, fill
from figures.mathml import formula
from gsi_theory.errors import InputError
from gsi_theory.runs.theory_chapters import CHAPTERS, FORMULA, STATEMENT
from tests.figures.test_captions import WORDS

TEXT = SOURCE.read_text(encoding="utf-8")
SOURCES = find()
CALL = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
# names that hold digits
NAMES = re.compile(r"SmolLM2(-135M-Instruct)?")
# where numbers are mathematics: statements, proofs, and the appendix, which is nothing else
EXACT = re.compile(r"^(\{\{ statement|\*Proof|\*Moreover)")


def changed(name: str, **fields: Any) -> dict[str, Source]:
    """The sources with fields of one artifact replaced."""
    return SOURCES | {name: replace(SOURCES[name], artifact=replace(SOURCES[name].artifact, **fields))}


def typed_numbers(source: str) -> list[str]:
    """Numbers that stand in the text as such: outside of formulas any, inside of them those with decimals."""
    body = source.partition("## References")[0]
    found = []
    for paragraph in re.split(r"\n{2,}", body):
        shown = NAMES.sub("", CALL.sub("x", paragraph))
        prose = FORMULA.sub("", shown)
        found += re.findall(r"\S*\d\S*", prose) + [match[0] for match in re.finditer(WORDS, prose)]
        if not EXACT.match(paragraph.strip()):
            found += [f[0] for f in FORMULA.finditer(shown) if re.search(r"\d\.\d|\d{3}", f[0])]
    for caption in re.findall(r'figure\("\w+", (.*?), \d+\) \}\}', source):
        found += [text for text in re.findall(r'"([^"]*)"', caption) if re.search(r"\d", text)]
    return found


def test_no_number_is_typed() -> None:
    assert typed_numbers(TEXT) == []


@pytest.mark.parametrize(
    "slip", ["It took 3 drafts.", "It gained $0.41$ on average.", "Ten drafts were enough, or twenty."]
)
def test_a_typed_number_is_seen(slip: str) -> None:
    assert typed_numbers(TEXT.replace("## The gate", f"{slip}\n\n## The gate"))


@pytest.mark.parametrize("page", [False, True])
def test_everything_is_filled(page: bool) -> None:
    text = fill(SOURCES, page=page)
    assert not re.search(r"\{\{|\{%|None\b(?! of)|Fields|\bnan\b|Undefined", text)
    assert text.count("$") % 2 == 0 and text.count("*Proof") == TEXT.count("*Proof")


@pytest.mark.parametrize("name", NEEDS)
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}.*(has|lacks)"):
        fill(changed(name, summary={}), page=False)


def test_a_missing_field_deep_in_an_artifact_is_named() -> None:
    summary = dict(SOURCES["gate_ablation"].artifact.summary)
    summary["findings"] = summary["findings"] | {"gate_helps": {"holds": True}}
    with pytest.raises(InputError, match=r"reads 'n|world' of artifact 'gate_ablation'\.findings\.gate_helps"):
        fill(changed("gate_ablation", summary=summary), page=False)


def test_a_missing_table_or_row_is_named() -> None:
    with pytest.raises(InputError, match="table 'points' of artifact 'rule_limits'"):
        fill(changed("rule_limits", tables={}), page=False)
    points = {column: values[:-8] for column, values in SOURCES["rule_limits"].artifact.tables["points"].items()}
    points["n"] = [n if n != 16 else 17 for n in points["n"]]
    with pytest.raises(InputError, match=r"row with world = .* of table 'points' of artifact 'rule_limits'"):
        fill(changed("rule_limits", tables={"points": points}), page=False)


def test_a_row_that_is_there_twice_is_named() -> None:
    gains = {column: values * 2 for column, values in SOURCES["lm_study"].artifact.tables["gains"].items()}
    tables = SOURCES["lm_study"].artifact.tables | {"gains": gains}
    with pytest.raises(InputError, match=r"table 'gains' of artifact 'lm_study', which has 2"):
        fill(changed("lm_study", tables=tables), page=False)


def test_what_is_no_longer_shown_is_not_said() -> None:
    summary = dict(SOURCES["bounds_vs_n"].artifact.summary)
    summary["findings"] = summary["findings"] | {
        "gated_at_limit": summary["findings"]["gated_at_limit"] | {"holds": False}
    }
    with pytest.raises(InputError, match="gated_at_limit of artifact bounds_vs_n"):
        fill(changed("bounds_vs_n", summary=summary), page=False)


@pytest.mark.parametrize(
    "call", ['ref("nothing")', 'cite("nobody")', 'figure_ref("none")', "nowhere", "lm_headline.none"]
)
def test_a_name_of_nothing_is_refused(call: str) -> None:
    with pytest.raises(InputError, match=r"no|reads"):
        fill(SOURCES, page=False, source=f"{TEXT}\n{{{{ {call} }}}}\n")


def test_every_statement_is_proved() -> None:
    labels = [label for _, label in LABEL.findall(TEXT)]
    assert len(labels) > 12 and [label for label, count in Counter(labels).items() if count > 1] == []
    body, _, appendix = TEXT.partition("{{ appendix_place }}")
    parts = re.split(r"\{\{ statement\(", body)[1:]
    for part in parts:
        label = re.match(r'"\w+", "([\w-]+)"', part)
        assert label, part[:60]
        here = re.search(r"\*Proof\.\*.*?∎", part, re.DOTALL)
        later = f'*Proof of {{{{ ref("{label[1]}") }}}}' in appendix
        assert here or later, label[1]
        if "{{ appendix }}" in part.split("∎")[0] or not here:
            assert later and (part.count("{{ appendix }}") or label[1] == "fixed"), label[1]
    assert appendix.count("*Proof of") == appendix.count("∎") == len(re.findall(r"\*Proof of", TEXT))


def test_every_number_of_the_theory_exists() -> None:
    known = {match[1] for text in CHAPTERS.values() for match in STATEMENT.finditer(text)}
    groups = re.findall(r'statement\("\w+", "[\w-]+", "(M[^"]*)"|\bm\("(M[^"]*)"\)', TEXT)
    named = [n for group in groups for n in re.findall(r"M\d+b?\b", "".join(group))]
    assert len(set(named)) > 12 and set(named) <= known
    for label in LABEL.findall(TEXT):
        assert re.search(rf'statement\("{label[0]}", "{label[1]}", "M\d', TEXT), label


def test_references_are_cited_and_links_lead_somewhere() -> None:
    assert set(re.findall(r'cite\("(\w+)"\)', TEXT)) == set(REFERENCES)
    page = fill(SOURCES, page=True)
    places = set(re.findall(r"^\(([\w-]+)\)=$", page, re.MULTILINE))
    assert {link for link in re.findall(r"\]\(#(article-[\w-]+)\)", page)} <= places
    assert set(figure_names(TEXT)) == set(re.findall(r'figure_ref\("(\w+)"\)', TEXT)) | {"lm_study_lengths", "lm_study"}


def test_every_formula_can_be_set() -> None:
    for match in FORMULA.finditer(fill(SOURCES, page=True)):
        assert "<math" in formula(match[1] or match[2], strict=True)


def test_what_is_kept_is_what_is_read_and_can_be_made_again(tmp_path: Path) -> None:
    assert {path.stem for path in KEPT.glob("*.json")} == set(NEEDS)
    for name, need in NEEDS.items():
        kept = SOURCES[name].artifact
        assert set(kept.tables) == set(need.tables)
        assert kept.provenance["command"].startswith(
            f"gsi {' '.join(need.command[:2])}" if name != "audit" else "gsi audit"
        )
        assert re.fullmatch(r"[0-9a-f]{40}", kept.provenance["commit"])


def test_artifacts_of_a_folder_come_first(tmp_path: Path) -> None:
    text = (KEPT / "exact_vs_mc.json").read_text(encoding="utf-8")
    (tmp_path / "exact_vs_mc.json").write_text(re.sub(r'"comparisons": \d+', '"comparisons": 77123', text))
    found = find([tmp_path])
    assert not found["exact_vs_mc"].kept and found["lm_study"].kept
    assert "77,123" in fill(found, page=False) and "| computed |" in fill(found, page=False)


def test_the_split_adds_up() -> None:
    study = Study(SOURCES["lm_study"].artifact)
    for draft in study.drafts:
        parts = study.split(draft, max(study.ns), max(study.betas))
        assert parts["first"] + parts["reward"] + parts["ratio"] + parts["gate"] == pytest.approx(parts["gsi"])
        assert parts[study.largest_part(draft, max(study.ns), max(study.betas))] >= max(parts["reward"], parts["gate"])


def test_how_numbers_are_written() -> None:
    assert [num(3.0), num(31119), num(0.1), num(0.0963), num(-2.5), num(0.5, 2)] == [
        "3", "31,119", "0.100", "0.0963", "−2.50", "0.50",
    ]  # fmt: skip
    assert num(6.5e-7) == r"$6.5 \times 10^{-7}$"
    assert [power(18.5563), power(6.0), power(0.4771)] == [r"3.6 \times 10^{18}", "10^{6}", "3"]
    assert [signed(0.4), signed(-0.031), signed(-0.001), within(None, 1024)] == [
        "+0.40",
        "−0.03",
        "+0.00",
        "more than 1,024",
    ]


@pytest.mark.slow
def test_the_pdf_has_ten_pages_at_most_and_the_same_bytes_twice(tmp_path: Path) -> None:
    pytest.importorskip("pypandoc")
    typst = pytest.importorskip("typst")
    from docs.article.pdf import write_pdf

    first, second = (write_pdf(SOURCES, tmp_path / name).read_bytes() for name in "ab")
    assert first == second and first.startswith(b"%PDF")
    pages = typst.compile(str(tmp_path / "a" / "article.typ"), format="svg")
    assert 4 < len(pages) <= 10
