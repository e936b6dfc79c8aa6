"""Tutorials: whole programs that end with a picture (a build of the site runs all of them, this the quickest), and what
checks the links of the built site."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from docs.links import faults
from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.claims import Claim
from gsi_theory.claims.claim import Outcome
from gsi_theory.cli import load_command
from gsi_theory.rules.rule import Rule
from gsi_theory.runs.user_file import load_member
from sims.experiment_record import Experiment

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
PAGES = sorted(TUTORIALS.glob("*.md"))
MINE = TUTORIALS / "mine.py"


def cells(page: Path) -> list[str]:
    """The code of a page, cell by cell."""
    blocks = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^:tags:.*\n", "", block) for block in blocks]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_is_a_program_that_ends_with_a_picture(page: Path) -> None:
    code = cells(page)
    assert len(code) > 3
    for cell in code:
        compile(cell, page.name, "exec")
    assert "figure.tight_layout()" in code[-1]
    text = page.read_text(encoding="utf-8")
    assert text.index("```{code-cell}", text.index(code[-1]) - 200) > text.rindex("\n## ", 0, text.index(code[-1]))
    index = (TUTORIALS.parent / "index.md").read_text(encoding="utf-8")
    assert f"tutorials/{page.stem}.md" in index and f"\ntutorials/{page.stem}\n" in index


def test_the_first_tutorial_runs(capsys: pytest.CaptureFixture[str]) -> None:
    matplotlib.use("Agg")
    names: dict[str, object] = {}
    for cell in cells(TUTORIALS / "law.md"):
        exec(compile(cell, "law.md", "exec"), names)
    printed = capsys.readouterr().out
    simulated, exact = (
        np.array(re.search(rf"{word} *\[([\d. ]+)\]", printed)[1].split(), dtype=float)
        for word in ("simulated", "exact")
    )
    assert np.abs(simulated - exact).max() < 5 * np.sqrt(0.25 / 100_000)
    assert names["gate"][-1] == pytest.approx(names["a"] * (1 - names["a"]), rel=0.02)  # the gate's distance stays
    assert names["plain"][-1] < 1e-3


def test_the_rule_of_the_tutorial_has_the_law_that_it_says() -> None:
    """Against all sequences of three drafts, each picked in proportion to the root of its weight."""
    draft, base, reward = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.9])
    root = np.sqrt(np.exp(5.0 * reward) * base / draft)
    expected = np.zeros(3)
    for drawn in np.ndindex(3, 3, 3):
        for place in drawn:
            expected[place] += draft[list(drawn)].prod() * root[place] / root[list(drawn)].sum()
    half = load_member(f"{MINE}:HALF", Rule)
    law = gsi_law(Instance.from_probabilities(draft, base, reward), Scheme(5.0, 3, rule=half))
    assert np.exp(law.log_prob) == pytest.approx(expected, abs=1e-12)


def test_the_claim_and_the_experiment_of_the_tutorial() -> None:
    claim = load_member(f"{MINE}:GREEDY", Claim)
    instance = Instance.from_probabilities(draft=[0.5, 0.5], base=[0.25, 0.75], reward=[1.0, 0.0])
    assert claim.evaluate(instance, Scheme(1.0, 1)).outcome is Outcome.REFUTED
    assert load_member(f"{MINE}:HALVES", Experiment).name == "halves"


def test_links_that_lead_nowhere_and_pages_that_ask_the_network_are_found(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for site in (good, bad):
        site.mkdir()
        (site / "a.html").write_text('<p id="here"><a href="b.html#there">b</a><a href="#here">a</a>', encoding="utf-8")
    (good / "b.html").write_text('<p id="there"><a href="https://arxiv.org">x</a>', encoding="utf-8")
    (bad / "b.html").write_text('<a href="c.html"></a><script src="https://cdn.example/x.js">', encoding="utf-8")
    assert faults(good) == []
    assert faults(bad) == [
        "a.html: b.html#there: no such place",
        "b.html: loads https://cdn.example/x.js",
        "b.html: c.html: no such file",
    ]


def test_commands_on_the_pages_exist_with_their_options() -> None:
    pages = [*TUTORIALS.glob("*.md"), *TUTORIALS.parent.glob("*.md")]
    commands = {
        " ".join(command.split())
        for page in pages
        for command in re.findall(
            r"(?:`|^\$ )gsi ([a-z][^`#]*?)(?:`|$)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert len(commands) > 15
    for words in (command.split() for command in commands):
        options = {option for parameter in load_command(words[0]).params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help", "--json"}, words
