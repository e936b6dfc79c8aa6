"""The page and its figures from sample artifacts: complete, escaped, self-contained, and the same bytes each time."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from figures import plot_gate
from figures.mathml import formula
from figures.plot_data import COMMANDS, read_all
from figures.plots import FIGURES, save_figures
from figures.report import build_report
from figures.style import drafts, number, power_of_ten
from gsi_theory.claims import CLAIMS
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from tests.figures.sample_artifacts import HOSTILE, write_samples

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Reader(HTMLParser):
    """Tags, ids, addresses and unclosed elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._note(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
                self.addresses.append((tag, value or ""))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `artifacts`, and the report built from them in `report`."""
    folder = tmp_path_factory.mktemp("page")
    write_samples(folder / "artifacts")
    assert build_report(folder / "artifacts", folder / "report") == folder / "report" / "index.html"
    return folder


@pytest.fixture(scope="module")
def page(built: Path) -> str:
    return (built / "report" / "index.html").read_text(encoding="utf-8")


def test_every_figure_is_saved_parses_and_is_on_the_page(built: Path, page: str) -> None:
    for entry in FIGURES:
        svg = (built / "report" / "figures" / f"{entry.name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert (built / "report" / "figures" / f"{entry.name}.pdf").read_bytes().startswith(b"%PDF")
        assert f'<figure id="fig-{entry.name}">' in page
        assert f'aria-label="{entry.alt}"' in page
    inlined = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(inlined) == len(FIGURES)
    for svg in inlined:
        ElementTree.fromstring(svg)


def test_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "an id occurs twice"
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    # the gallery lies beside the page, and the page is complete without it
    outside = [a for _, a in reader.addresses if not a.startswith("#") and a != "gallery.html"]
    assert all(a.startswith("https://arxiv.org/abs/") for a in outside), outside
    assert all(tag == "a" for tag, address in reader.addresses if not address.startswith("#"))
    targets = {address[1:] for _, address in reader.addresses if address.startswith("#")}
    targets |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert targets <= set(reader.ids)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_model_text_is_escaped(page: str) -> None:
    assert "<script" not in page
    assert html.escape(HOSTILE, quote=False).split("alert")[0] in page
    assert "sample &lt;source&gt; &amp; more" in page


def test_numbers_of_the_headline_and_of_the_counterexample_are_readable(page: str) -> None:
    for text in ("8.1 × 10¹⁸", "<b>299</b>", "<b>21</b>", "race rule\n9"):
        assert text in page
    assert "gsi law instance.json --beta 1.0 --n 2 --threshold 0.1 --rule race" in page
    instance = {"draft": [0.2, 0.3, 0.5], "base": [0.4, 0.2, 0.4], "reward": [0.0, -1.0, 1.0]}
    assert json.dumps(instance) in html.unescape(page)


def test_surprise_is_marked_and_expected_refutation_is_not_one(page: str) -> None:
    rows = {m[1]: m[0] for m in re.findall(r'(<tr class="is-\w+"><th scope="row">([\w-]+)</th>)', page)}
    assert "is-surprise" in rows["M11-chi2"]
    assert "is-known" in rows["M7-vanishes"]
    assert "is-good" in rows["M19"]
    assert page.count("proved in ball arithmetic") == 1 and "0.1599999" in page
    assert "4, 16, never" in page and ">limit<" in page


def test_same_bytes_from_the_same_artifacts(built: Path, page: str, tmp_path: Path) -> None:
    build_report(built / "artifacts", tmp_path)
    first = {p.relative_to(built / "report"): p.read_bytes() for p in (built / "report").rglob("*") if p.is_file()}
    again = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert first == again


def test_without_artifacts_each_section_names_its_command(tmp_path: Path) -> None:
    page = build_report(tmp_path, tmp_path / "report").read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        assert f"<code>{name}.json</code>" in page
        assert f"<code>{command}</code>" in page
    assert Reader(page).open == []
    assert save_figures(read_all(tmp_path), tmp_path / "again") == ({}, [])


def test_one_artifact_gives_its_figures_alone(built: Path, tmp_path: Path) -> None:
    (tmp_path / "lm_headline.json").write_bytes((built / "artifacts" / "lm_headline.json").read_bytes())
    _, paths = save_figures(read_all(tmp_path), tmp_path / "out")
    assert paths == [tmp_path / "out" / "headline.svg", tmp_path / "out" / "headline.pdf"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: "{", "lm_law.json"),
        (lambda body: json.dumps({"format": 1}), "lm_law.json"),
        (lambda body: json.dumps(body | {"format": 99}), "lm_law.json"),
        (lambda body: json.dumps(body | {"tables": {}}), "'prompts'"),
        (lambda body: json.dumps(body | {"summary": {}}), "'worst_p'"),
        (lambda body: json.dumps(body | {"tables": {"prompts": {"p_value": ["low"]}}}), "'prompts'"),
        (lambda body: json.dumps(body | {"tables": {"prompts": body["tables"]["prompts"] | {"n": 3}}}), "'prompts'"),
        (lambda body: json.dumps(body | {"tables": {"prompts": body["tables"]["prompts"] | {"n": []}}}), "unequal"),
        (lambda body: json.dumps(body | {"tables": [1]}), "tables = [1] is no object"),
        (lambda body: json.dumps(body | {"summary": "good"}), 'summary = "good" is no object'),
        (lambda body: json.dumps(body | {"summary": body["summary"] | {"level": "low"}}), "rerun gsi check lm_law"),
        (lambda body: json.dumps(body | {"provenance": {"versions": 3}}), "rerun gsi report"),
    ],
)
def test_unreadable_artifact_is_bad_input_and_leaves_no_file(built: Path, tmp_path: Path, change, words: str) -> None:
    """Nor of the figures of another artifact, which are drawn first."""
    (tmp_path / "lm_headline.json").write_bytes((built / "artifacts" / "lm_headline.json").read_bytes())
    body = json.loads((built / "artifacts" / "lm_law.json").read_text(encoding="utf-8"))
    (tmp_path / "lm_law.json").write_text(change(body), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(words)):
        build_report(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("factor", [0.0, -8.0])
def test_a_rate_that_no_log_scale_shows_is_bad_input(built: Path, tmp_path: Path, factor: float) -> None:
    body = json.loads((built / "artifacts" / "audit.json").read_text(encoding="utf-8"))
    body["summary"]["rate_fit_factor"] = factor
    (tmp_path / "audit.json").write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(InputError, match="is not positive"):
        build_report(tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_missing_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        build_report(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_every_statement_becomes_mathml(claim) -> None:
    made = formula(claim.statement)
    for part in re.findall(r"<math.*?</math>", made):
        ElementTree.fromstring(part)
    assert made.startswith("<math")
    assert "\\" not in made


@pytest.mark.parametrize("latex", [r"\unknown x", "{x", "x}", "x^", r"\frac{1}", r"a_1_2 < \foo{<b>}"])
def test_latex_outside_the_subset_is_shown_as_source(latex: str) -> None:
    assert formula(latex) == f"<code>{html.escape(latex)}</code>"


def test_formula_keeps_the_structure() -> None:
    made = formula(r"\frac{a+1}{n} \le \tfrac12 x_i^2")
    root = ElementTree.fromstring(made)
    assert [m.tag for m in root.iter() if m.tag in ("mfrac", "msubsup")] == ["mfrac", "mfrac", "msubsup"]
    numerator, denominator = next(root.iter("mfrac"))
    assert ("".join(numerator.itertext()), "".join(denominator.itertext())) == ("a+1", "n")
    assert ["".join(part.itertext()) for part in next(root.iter("msubsup"))] == ["x", "i", "2"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (True, "yes"), (0.0, "0"), (12345, "12\u202f345"), (0.12345, "0.123"), (-2.5, "−2.50"),
     (1.5e-7, "1.50 × 10⁻⁷"), (float("inf"), "∞"), (-7, "−7"), (9.999e-4, "1.00 × 10⁻³")],
)  # fmt: skip
def test_numbers(value: object, text: str) -> None:
    assert number(value) == text


def test_powers_of_ten() -> None:
    assert power_of_ten(17.0) == "1.0 × 10¹⁷"
    assert power_of_ten(17.9999) == "1.0 × 10¹⁸"
    assert power_of_ten(400.0) == "1.0 × 10⁴⁰⁰"
    assert [drafts(x) for x in (0.0, np.log10(20.2), None, 5.0)] == ["1", "21", "–", "1.0 × 10⁵"]


def test_gate_curve_is_the_limit_the_artifact_states(built: Path) -> None:
    gate = read_artifact(built / "artifacts" / "bounds_vs_n.json").tables["gate"]
    for name in ("tv", "kl_forward", "kl_reverse"):
        np.testing.assert_allclose(plot_gate.limit_curve(name, np.array(gate["a"])), gate[f"limit_{name}"], atol=1e-15)
