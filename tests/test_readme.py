"""The README and the pages that it leads to: examples run as printed, and commands print what stands below them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.kept_tutorials import KEPT
from gsi_theory.cli import COMMANDS
from llm_check.logs.pools.pool import write_pool
from tests.docs.test_tutorials import TUTORIALS, cells
from tests.plants.pool_faults import Sampling, TokenWorld

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# page -> what its Python prints, or its comments promise
PRINTED = {
    "README.md": ["HOLDS", "REFUTED"],
    "docs/features.md": ["(256,)", "False beta_missing True"],
    "docs/models.md": ["the numbers belong to the draws: True", "\\boxed{40}"],
}


@pytest.mark.parametrize("page", PRINTED)
def test_examples_run_and_print_what_they_say(
    page: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plain = Sampling()
    write_pool(tmp_path / "drafts.parquet", TokenWorld(positions=12).columns(0, 16, plain, plain), {})
    monkeypatch.chdir(tmp_path)  # where the pool that one of them reads is
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), {})
    printed = capsys.readouterr().out
    assert [each for each in PRINTED[page] if each not in printed] == []


CONSOLE = re.findall(r"```console\n\$ (gsi [^\n]*)\n(.*?)\n```", README, re.S)


@pytest.mark.parametrize(("line", "shown"), CONSOLE, ids=[line.split()[1] for line, _ in CONSOLE])
def test_a_command_prints_what_stands_below_it(line: str, shown: str) -> None:
    words = [sys.executable, "-m", "gsi_theory.cli", *shlex.split(line)[1:]]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = "\n".join(row.rstrip() for row in done.stdout.splitlines())
    head, cut, rest = shown.partition("\n...")
    assert not rest
    assert printed.startswith(f"{head}\n") if cut else printed == head


def test_there_are_three_commands_and_ten_lines() -> None:
    assert len(CONSOLE) == 3
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in block.splitlines() if line]) <= 10


def test_the_log_of_the_readme_is_drawn_by_the_tutorial() -> None:
    names: dict[str, object] = {}
    exec(compile(cells(TUTORIALS / "which_n.md")[0], "which_n.md", "exec"), names)
    drawn = names["draw"](questions=40, answers=16, seed=0)  # type: ignore[operator]
    lines = (ROOT / "docs" / "examples" / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [row | {"reward": round(row["reward"], 3)} for row in drawn]


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff"])
def test_pictures_and_files_they_name_exist(page: str) -> None:
    for target in re.findall(r"\]\((?!http|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


def test_the_readme_leads_to_every_page_that_is_written_by_hand() -> None:
    tutorials = {path.stem for path in (ROOT / "docs" / "tutorials").glob("*.md")}
    pages = {f"docs/tutorials/{name}.{'ipynb' if name in KEPT else 'md'}" for name in tutorials}
    written = ("choose", "features", "logs", "models", "command_line", "machines", "mistakes", "formulas")
    pages |= {f"docs/{name}.md" for name in written}
    assert {page for page in pages if f"]({page})" not in README} == set()


def test_the_table_of_commands_has_every_command_once() -> None:
    text = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `gsi ([a-z]+(?: lm)?)\b", text, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
