"""Tutorials: whole programs that end with a picture (a build of the site runs all of them, this the quickest), and what
checks the links of the built site."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from docs import kept_tutorials
from docs.kept_tutorials import KEPT, cells_of, is_current
from docs.links import faults
from docs.repository_links import FILES, site_text
from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.claims import Claim
from gsi_theory.claims.claim import Outcome
from gsi_theory.cli import COMMANDS, load_command
from gsi_theory.rules.rule import Rule
from gsi_theory.runs.user_file import load_member
from sims.experiment_record import Experiment
from tests.test_cli_help import said

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


def test_the_rule_of_the_tutorial_goes_where_a_name_goes(capsys: pytest.CaptureFixture[str]) -> None:
    file = TUTORIALS.parent / "examples" / "three_answers.json"
    line = ["law", str(file), "--beta", "5", "--n", "3", "--rule", f"{MINE}:HALF"]
    code, out, _ = said([*line, "--json"], capsys)
    half = load_member(f"{MINE}:HALF", Rule)
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.6, 0.9])
    assert code == 0
    assert json.loads(out)["law"] == pytest.approx(np.exp(gsi_law(instance, Scheme(5.0, 3, rule=half)).log_prob))
    code, out, err = said([*line, "--certify"], capsys)
    assert (code, out) == (2, "") and "only rules of the table are known exactly" in err


def test_the_claim_and_the_experiment_of_the_tutorial() -> None:
    claim = load_member(f"{MINE}:GREEDY", Claim)
    instance = Instance.from_probabilities(draft=[0.5, 0.5], base=[0.25, 0.75], reward=[1.0, 0.0])
    assert claim.evaluate(instance, Scheme(1.0, 1)).outcome is Outcome.REFUTED
    assert load_member(f"{MINE}:HALVES", Experiment).name == "halves"


@pytest.mark.parametrize("name", KEPT)
def test_kept_outputs_are_those_of_the_page(name: str) -> None:
    """What is shown, NAME.ipynb, holds text and code of NAME.md and for each cell of code what it printed and drew."""
    assert is_current(name), f"the code changed: python -m docs.kept_tutorials {name}"
    notebook = json.loads((TUTORIALS / f"{name}.ipynb").read_text(encoding="utf-8"))
    shown = [(each["cell_type"], "".join(each["source"])) for each in notebook["cells"]]
    assert shown == [(kind, text) for kind, text, _ in cells_of(name)], f"python -m docs.kept_tutorials {name}"
    assert [text for kind, text, _ in cells_of(name) if kind == "code"] == [
        c.strip("\n") for c in cells(TUTORIALS / f"{name}.md")
    ]
    code = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    assert [each["execution_count"] for each in code] == list(range(1, len(code) + 1))
    outputs = [output for each in code for output in each["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "execute_result", "display_data"}
    assert "image/png" in code[-1]["outputs"][-1]["data"]
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    assert printed and not re.search(r"/tmp/|/home/|/root/|/work/|Warning|\bnan\b", printed)


def test_kept_outputs_of_other_code_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("md", "ipynb"):
        shutil.copy(TUTORIALS / f"cluster.{suffix}", tmp_path)
    monkeypatch.setattr(kept_tutorials, "TUTORIALS", tmp_path)
    assert is_current("cluster")
    text = (tmp_path / "cluster.md").read_text(encoding="utf-8")
    (tmp_path / "cluster.md").write_text(text.replace("problems = 1000", "problems = 999"), encoding="utf-8")
    assert not is_current("cluster")


def test_text_alone_is_written_anew_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("md", "ipynb"):
        shutil.copy(TUTORIALS / f"cluster.{suffix}", tmp_path)
    monkeypatch.setattr(kept_tutorials, "TUTORIALS", tmp_path)
    monkeypatch.setattr(kept_tutorials, "_played", lambda name: pytest.fail("it was run"))
    before = (tmp_path / "cluster.ipynb").read_text(encoding="utf-8")
    page = tmp_path / "cluster.md"
    page.write_text(page.read_text(encoding="utf-8").replace("# A sweep on", "# A sweep over"), encoding="utf-8")
    kept_tutorials.main(["cluster"])
    after = (tmp_path / "cluster.ipynb").read_text(encoding="utf-8")
    assert after == before.replace("# A sweep on", "# A sweep over") != before


def test_links_to_files_of_the_repository_lead_to_pages_of_the_site() -> None:
    text = "[a](../gsi_theory/THEORY.md) [b](law.md) [c](../CHANGELOG.md) [d](https://x.org)"
    assert site_text("logs", text) == "[a](theory/index.md) [b](law.md) [c](changelog.md) [d](https://x.org)"
    deeper = site_text("tutorials/law", "[a](../../CONTRIBUTING.md) [b](../choose.md)")
    assert deeper == "[a](../contributing.md) [b](../choose.md)"
    for page in FILES:
        shown = site_text(page, "instead of this")
        assert "instead of this" not in shown and shown.startswith("# ")
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", shown):
            known = target in ("theory/index.md", *(f"{each}.md" for each in FILES))
            assert known or (TUTORIALS.parent / target).exists(), target


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
        name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
        options = {option for parameter in load_command(name).params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help", "--json"}, words
