"""The catalogue and the claims' pages show every member of every table, and nothing that no table has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import docs.catalogue_pages as catalogue_module
from docs import pages as site
from docs.catalogue_pages import catalogue_pages
from docs.claim_audit import audited
from docs.claim_pages import claim_pages
from docs.docstrings import as_rst
from docs.markdown import anchor, plain
from figures.mathml import formula
from gsi_theory.claims import CLAIMS, Claim
from gsi_theory.cli import COMMANDS, load_command
from gsi_theory.conform import MISTAKES
from gsi_theory.methods import METHODS
from gsi_theory.rules.table import rule_names
from gsi_theory.targets.target_table import target_names
from llm_check.logs.curves.selectors import SELECTORS
from llm_check.logs.formats.load_format import FORMATS
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.schema import SCHEMA
from llm_check.models.engines.load_engine import LOADERS
from sims.experiments import EXPERIMENTS
from tests.sims.tiny_runs import run_tiny

PAGES = catalogue_pages()
ROWS = {"methods": METHODS, "selectors": SELECTORS, "mistakes": MISTAKES, "formats": [field.name for field in SCHEMA]}
SECTIONS = {
    "command": ("commands", tuple(COMMANDS)),
    "rule": ("rules", rule_names()),
    "target": ("targets", target_names()),
    "experiment": ("experiments", tuple(EXPERIMENTS)),
    "finding": ("findings", [rule.id for rule in FINDINGS]),
    "format": ("formats", tuple(FORMATS)),
    "engine": ("engines", [name for name in LOADERS if name != "https"]),  # as http
}


@pytest.mark.parametrize("page", ROWS)
def test_a_row_for_each_member(page: str) -> None:
    rows = re.findall(r"^\| `([^`]+)`", PAGES[page], re.MULTILINE)
    assert set(ROWS[page]) <= set(rows)
    assert [name for name in ROWS[page] if rows.count(name) != 1 and page != "selectors"] == []


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_section_for_each_member(kind: str) -> None:
    page, names = SECTIONS[kind]
    assert re.findall(rf"^\(({kind}-.*)\)=$", PAGES[page], re.MULTILINE) == [anchor(kind, name) for name in names]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_its_help_and_every_option(name: str) -> None:
    section = PAGES["commands"].split(f"({anchor('command', name)})=\n")[1].split("\n(command-")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    shown = [parameter for parameter in load_command(name).params if not parameter.hidden]
    assert len(rows) == len(shown)
    for parameter, (spelled, words) in zip(shown, rows, strict=True):
        assert spelled.split()[0].split("/")[0] == (
            parameter.opts[0] if parameter.opts[0][0] == "-" else parameter.metavar
        )
        assert words.startswith(plain(parameter.help))
    assert plain(load_command(name).help.split("\n\n")[0]) in section


def test_an_experiment_that_was_run_shows_its_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_tiny("best_of_n_limit", 0, tmp_path)
    monkeypatch.setattr(catalogue_module, "ARTIFACTS", tmp_path)
    pages = catalogue_pages()
    assert pages["best_of_n_limit.svg"].count("<svg") == 1
    assert pages["experiments"].count("(best_of_n_limit.svg)") == 1 and pages["experiments"].count(".svg)") == 1


def test_every_page_is_in_the_contents() -> None:
    assert {name for name in PAGES if not name.endswith(".svg")} - {"index"} == set(
        re.findall(r"^(\w+)$", PAGES["index"].partition("```")[2], re.MULTILINE)
    )


def test_each_claim_once_with_verdict_and_command() -> None:
    pages, rows = claim_pages(), audited()
    assert set(rows) == set(CLAIMS), "run it anew: python -m docs.claim_audit"
    text = "\n".join(page for name, page in pages.items() if name != "index")
    assert re.findall(r"^\((claim-.*)\)=$", text, re.MULTILINE) == [anchor("claim", name) for name in CLAIMS]
    assert len({anchor("claim", name) for name in CLAIMS}) == len(CLAIMS)
    for name, claim in CLAIMS.items():
        assert text.count(f"gsi refute {name}\n") == 1
        assert pages["index"].count(f"(#{anchor('claim', name)})") == 1
        assert rows[name]["expected"] == claim.expected
    missed = [name for name, row in rows.items() if row["outcome"] != row["expected"]]
    assert text.count("It is false all the same") == len(missed)
    assert [name for name in missed if rows[name]["expected"] != "REFUTED"] == []


def test_a_refuted_claim_shows_its_counterexample() -> None:
    rows = audited()
    refuted = [name for name, row in rows.items() if row["outcome"] == "REFUTED" and CLAIMS[name].certifiable]
    assert len(refuted) > 20
    text = "\n".join(claim_pages().values())
    assert text.count("Counterexample, ") == len(refuted)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_statements_are_typeset(claim: Claim) -> None:
    assert "<math" in formula(claim.statement, strict=True)


def test_latex_that_is_not_understood_stops_a_build() -> None:
    with pytest.raises(ValueError, match=r"\\nonsense"):
        formula(r"\nonsense{x", strict=True)


def test_marks_of_markdown_are_shown_as_they_stand() -> None:
    assert plain("P_n(y) * `a_b` [x] <u> |r|") == r"P\_n(y) \* `a_b` \[x\] \<u\> \|r\|"


def test_docstrings_as_restructured_text() -> None:
    lines = ["Sum of `x`, |r| and P_n* (**all** of it).", "", "    a  b", "", "- one", "- two_"]
    assert as_rst(lines) == [
        r"Sum of ``x``, \|r\| and P\_n\* (**all** of it).", "", "::", "", "        a  b", "", "- one", r"- two\_", "",
    ]  # fmt: skip


def test_written_pages_follow_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "DOCS", tmp_path)
    monkeypatch.setattr(site, "FOLDERS", {"catalogue": lambda: {"one": "1", "two": "2"}})
    site.write_pages()
    monkeypatch.setattr(site, "FOLDERS", {"catalogue": lambda: {"two": "3"}})
    site.write_pages()
    assert {path.name: path.read_text() for path in (tmp_path / "catalogue").iterdir()} == {"two.md": "3"}
