"""The page and its figures from sample artifacts: complete, escaped, self-contained, and the same bytes each time."""

from __future__ import annotations

import html
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterable, Mapping
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from figures import plot_gate
from figures.figure_table import PageFigure
from figures.mathml import formula
from figures.page import finished
from figures.plot_data import COMMANDS, read_all
from figures.plots import FIGURES, Drawing, Files, draw_figures
from figures.report import build_report
from figures.style import drafts, number, power_of_ten
from gsi_theory.claims import CLAIMS
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.workers import in_this_process
from gsi_theory.types import Json
from tests.figures.browser import driven, needs_browser
from tests.figures.sample_artifacts import HOSTILE, STATEMENTS, write_samples

VOID = {"meta", "br", "link", "img", "input", "hr", "wbr"}


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
    """Its text with plain blanks."""
    return (built / "report" / "index.html").read_text(encoding="utf-8").replace("\u00a0", " ")


def test_every_figure_is_saved_parses_and_is_on_the_page(built: Path, page: str) -> None:
    for entry in FIGURES:
        svg = (built / "report" / "figures" / f"{entry.name}.svg").read_text(encoding="utf-8")
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert (built / "report" / "figures" / f"{entry.name}.pdf").read_bytes().startswith(b"%PDF")
        assert f'<figure id="fig-{entry.name}">' in page
        assert f'aria-label="{entry.alt}"' in page
    inlined = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(inlined) == 2 * len(FIGURES)  # for wide and for narrow screens
    for svg in inlined:
        ElementTree.fromstring(svg)


def test_page_is_well_formed_and_needs_nothing_else(page: str) -> None:
    reader = Reader(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids)), "an id occurs twice"
    assert not {"script", "link", "img", "iframe", "object"} & set(reader.tags)
    # gallery and theory lie beside the page, and the page is complete without them
    outside = {a for _, a in reader.addresses if not a.startswith(("#", "theory.html#M"))}
    assert {a for a in outside if not a.startswith("https://arxiv.org/abs/")} == {"gallery.html", "theory.html"}
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
    for text in ("8.1 × 10¹⁸", "<b>299</b>", "<b>21</b>", "race rule 9"):
        assert text in page
    assert "gsi law instance.json --beta 1.0 --n 2 --threshold 0.1 --rule race" in page
    instance = {"draft": [0.2, 0.3, 0.5], "base": [0.4, 0.2, 0.4], "reward": [0.0, -1.0, 1.0]}
    assert json.dumps(instance) in html.unescape(page)


def test_surprise_is_marked_and_expected_refutation_is_not_one(page: str) -> None:
    rows = {m[1]: m[0] for m in re.findall(r'(<tr class="is-[^"]+"><th[^>]*>(?:<a[^>]*>)?([\w-]+)<)', page)}
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
    assert draw_figures(FIGURES, read_all(tmp_path), tmp_path / "again", in_this_process) == ({}, {})


def test_one_artifact_gives_its_figures_alone(built: Path, tmp_path: Path) -> None:
    (tmp_path / "lm_headline.json").write_bytes((built / "artifacts" / "lm_headline.json").read_bytes())
    _, files = draw_figures(FIGURES, read_all(tmp_path), tmp_path / "out", in_this_process)
    assert list(files) == [tmp_path / "out" / "headline.svg", tmp_path / "out" / "headline.pdf"]


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
    parts = made.split("<wbr>")
    assert all(part.startswith("<math") for part in parts) and "\\" not in made
    roots = [ElementTree.fromstring(part) for part in parts]
    symbols = "".join("".join(root.itertext()) for root in roots)
    # nothing is lost: letters, digits and relations that are no commands
    bare = re.sub(r"\\[A-Za-z]+|\\.|[{}_^'|-]|\s", "", re.sub(r"\\text", "", claim.statement))
    assert set(bare) <= set(symbols)


@pytest.mark.parametrize("latex", [r"\unknown x", "{x", "x}", "x^", r"\frac{1}", r"a_1_2 < \foo{<b>}"])
def test_latex_that_cannot_be_read_is_shown_as_source(latex: str) -> None:
    assert formula(latex) == f"<code>{html.escape(latex)}</code>"


def test_formula_keeps_the_structure_and_ends_lines_at_relations_and_sums() -> None:
    parts = formula(r"\lim_n \frac{a+1}{n} \le \tfrac12 x_i^2 + KL(a+b) = -c").split("<wbr>")
    texts = ["".join(ElementTree.fromstring(part).itertext()) for part in parts]
    assert texts == ["limna+1n", "≤12xi2", "+KL(a+b)", "=−c"]
    root = ElementTree.fromstring(f"<row>{''.join(parts)}</row>")
    assert [m.tag for m in root.iter() if m.tag in ("mfrac", "msubsup", "munder")] == [
        "munder",
        "mfrac",
        "mfrac",
        "msubsup",
    ]
    numerator, denominator = next(root.iter("mfrac"))
    assert ("".join(numerator.itertext()), "".join(denominator.itertext())) == ("a+1", "n")
    assert ["".join(part.itertext()) for part in next(root.iter("msubsup"))] == ["x", "i", "2"]


def test_every_formula_number_leads_to_its_statement(built: Path, page: str) -> None:
    text = (built / "report" / "theory.html").read_text(encoding="utf-8")
    theory, reader = Reader(text), Reader(page)
    assert theory.open == [] and len(theory.ids) == len(set(theory.ids))
    assert {claim.formula for claim in CLAIMS.values()} <= set(theory.ids)
    anchors = re.findall(r'<p id="(M\d+)[^"]*"><strong>\(<a href="#(M\d+)"', text)
    assert len(anchors) > 40 and all(anchor == told for anchor, told in anchors)
    targets = {a.partition("#")[2] for _, a in (*reader.addresses, *theory.addresses) if "#M" in a}
    assert targets <= set(theory.ids) and {"M7", "M11", "M12", "M19"} <= targets
    prose = re.sub(r"<(svg|code|pre|a|script)\b.*?</\1>|<[^>]*>", "", page, flags=re.DOTALL)
    assert re.findall(r"\bM\d+", prose) == []
    # the statement itself, not what sharpens it, bears the plain number
    assert '<p id="M26-sharper">' in text and '<p id="M26"><strong>(<a href="#M26">M26</a>) Transfer Q*' in text


def test_numbers_do_not_break_and_cells_know_their_column() -> None:
    page = "<table><thead><tr><th>n &lt; 4</th><th><b>m</b></th></tr></thead><tr><td>95 %</td><td>1</td></tr></table>"
    text = finished(
        page + "<p>at n = 4\n± 2 see M7-tv, M99 and arXiv 2506.04118, 1e-5</p><code>n = 4 M7</code>"
    ).decode()
    assert '<td data-label="n\u00a0&lt;\u00a04">95\u00a0%</td><td data-label="m">' in text
    assert "n\u00a0=\u00a04\u00a0±\u00a02" in text and "<code>n = 4 M7</code>" in text
    assert ", 1e−5</p>" in text
    assert '<a href="theory.html#M7">M7-tv</a>, M99\u00a0and <a href="https://arxiv.org/abs/2506.04118">' in text


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without drawings, for tests of their words: drawing takes nine tenths of the time."""
    blank = Drawing("<svg></svg>", "<svg></svg>")

    def draw(
        figures: Iterable[PageFigure], artifacts: Mapping[str, Json], *_: object
    ) -> tuple[dict[str, Drawing], Files]:
        return {entry.name: blank for entry in figures if artifacts.get(entry.artifact) is not None}, {}

    for page in ("report", "gallery"):
        monkeypatch.setattr(f"figures.{page}.draw_figures", draw)


def changed(built: Path, tmp_path: Path, name: str, change: Callable[[Json], None]) -> str:
    """The page from the artifacts of which the one of this name was changed."""
    shutil.copytree(built / "artifacts", tmp_path / "artifacts")
    body = json.loads((built / "artifacts" / f"{name}.json").read_text(encoding="utf-8"))
    change(body)
    (tmp_path / "artifacts" / f"{name}.json").write_text(json.dumps(body), encoding="utf-8")
    text = build_report(tmp_path / "artifacts", tmp_path / "report").read_text(encoding="utf-8")
    return " ".join(re.sub("<[^>]*>", "", html.unescape(text)).replace("\u00a0", " ").split())


@pytest.mark.usefixtures("undrawn")
def test_the_audit_says_how_many_published_statements_fail(built: Path, page: str, tmp_path: Path) -> None:
    told = " ".join(re.sub("<[^>]*>", "", page).split())
    assert (
        "Published statements that fail as published: 1 of 2 (M11-chi2). Of the 2 refuted claims 1 are readings; of"
        in told
    )

    def all_hold(body: Json) -> None:
        body["tables"]["claims"]["outcome"] = ["HOLDS"] * len(STATEMENTS)

    told = changed(built, tmp_path, "audit", all_hold)
    assert (
        "fail as published: 0 of 2. Of the 0 refuted claims 0 are readings; of the statements proved here none" in told
    )


def test_origins_of_the_claims() -> None:
    """Each source says whose words a statement is in; what is expected to fail is no statement of ours."""
    kinds = {claim.id: claim.origin for claim in CLAIMS.values()}
    assert (kinds["M10"], kinds["M12a"], kinds["M16-equality"], kinds["M13-cv"]) == (
        "ours", "reading", "published", "published",
    )  # fmt: skip
    assert "ours" not in {claim.origin for claim in CLAIMS.values() if str(claim.expected) == "REFUTED"}


FALL = (
    "from n = 1 to n = 4 the accuracy of GSI falls by 0.20 (95 %: 0.10 to 0.30, on the same 9 problems), while the "
    "learned reward of its steps "
)


@pytest.mark.parametrize(
    ("differences", "rewards", "high", "words"),
    [
        ([-0.2, 0.1], [0.5, 0.6], -0.1, FALL + "rises by 0.10: over-optimization of the reward; 1"),
        ([-0.2, -0.1], [0.5, 0.4], -0.1, FALL + "does not rise: this is not over-optimization of the reward; 1"),
        (
            [-0.2, 0.1],
            [0.5, 0.6],
            0.1,
            "over-optimization of the reward, which these problems are too few to tell from",
        ),
        ([0.2, 0.1], [0.5, 0.6], 0.4, "No method solves fewer of these problems at its largest n than at a smaller"),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_more_candidates_do_is_said_as_it_is(
    differences: list[float], rewards: list[float], high: float, words: str, built: Path, tmp_path: Path
) -> None:
    def change(body: Json) -> None:
        tables = body["tables"]
        keep = [i for i, row in enumerate(zip(tables["methods"]["method"], tables["methods"]["n"], strict=True))
                if row in (("gsi", 1), ("gsi", 4))]  # fmt: skip
        tables["methods"] = {name: [column[i] for i in keep] for name, column in tables["methods"].items()}
        tables["methods"]["mean_reward"] = rewards
        tables["growth"] = {"method": ["gsi", "gsi"], "n": [1, 2], "pairs": [9, 9], "difference": differences,
                            "low": [-0.3, -0.3], "high": [high, high]}  # fmt: skip
        tables["methods"]["n"] = [1, 4]

    told = changed(built, tmp_path, "lm_accuracy", change)
    assert words in told


def test_solutions_show_one_problem_across_methods_and_failures(page: str) -> None:
    part = page[page.index("One problem, every method") : page.index("<h3>Speed</h3>")]
    same, failures = part.split("<h3>Failures</h3>")
    assert (
        same.count("<article>") == 2 and same.count("48-5-7+4</code>") == 2 and "✓ correct" in same and "1 of 2" in same
    )
    assert failures.count("<article>") == failures.count("✗ wrong") == 1


# log: the width of the window, and what is wider than its place on the page with everything unfolded
OVERFLOW = """
  for (const part of page.querySelectorAll("details")) part.open = true;
  const wide = (element) => {
    const style = view.getComputedStyle(element);
    const scrolls = style.display !== "inline" && style.overflowX !== "visible" && !element.closest("svg") &&
      element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1;
    return scrolls || element.getBoundingClientRect().right > view.innerWidth + 1;
  };
  log.push(Math.max(page.documentElement.scrollWidth, view.innerWidth));
  log.push([...page.querySelectorAll("body *")].filter(wide).map((e) => e.outerHTML.slice(0, 80)));
"""


@needs_browser
@pytest.mark.parametrize("name", ["index", "theory", "gallery"])
def test_nothing_is_wider_than_a_telephone(built: Path, name: str) -> None:
    """Nothing is hidden by scrolling sideways, with all details unfolded."""
    assert driven(built / "report", f"{name}.html", OVERFLOW)["log"] == [400, []]


@needs_browser
def test_every_statement_fits_a_telephone(tmp_path: Path) -> None:
    """In the narrowest place that holds one, a counterexample."""
    style = resources.files("figures").joinpath("templates/style.css").read_text(encoding="utf-8")
    statements = "".join(f'<article><p class="statement">{formula(c.statement)}</p></article>' for c in CLAIMS.values())
    page = f'<!DOCTYPE html><meta charset="utf-8"><style>{style}</style>{statements}'
    (tmp_path / "statements.html").write_text(page, encoding="utf-8")
    assert driven(tmp_path, "statements.html", OVERFLOW)["log"] == [400, []]


_FILTERS = """
  const count = () => [...page.querySelectorAll("#claims tbody tr")].filter((r) => r.getClientRects().length).length;
  page.getElementById("claims").open = true;
  for (const id of ["origin-all", "origin-published", "found-refuted", "origin-reading", "found-true", "origin-all",
                    "found-tight", "found-vacuous"]) { page.getElementById(id).click(); log.push(count()); }
"""


@needs_browser
@pytest.mark.parametrize("width", [400, 1280])
def test_the_audit_can_be_filtered(built: Path, width: int) -> None:
    assert driven(built / "report", "index.html", _FILTERS, width)["log"] == [5, 2, 1, 1, 0, 3, 0, 0]


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
