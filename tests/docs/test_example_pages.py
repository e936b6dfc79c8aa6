"""The example pages of the site: their logs and commands (a build of the site runs the commands themselves)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import docs.example_pages as examples
from llm_check import doctor, read_log, read_pool

PAGE = Path(examples.__file__).with_name("made_pages.md").read_text(encoding="utf-8")


def test_the_page_shows_the_commands_that_made_the_examples() -> None:
    for command in examples.COMMANDS:
        log, folder = command.split()[2], command.split()[-1]
        assert f"```console\n$ {command}\n```" in PAGE
        assert f'href="examples/{log}"' in PAGE and f'href="examples/{folder}/index.html"' in PAGE


def test_the_logs_are_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(examples.subprocess, "run", lambda words, **_: called.append(words))
    examples.write_examples(tmp_path)
    assert [words[:3] for words in called] == [[sys.executable, "-m", "gsi_theory.cli"]] * 2
    place = tmp_path / "examples"
    assert len(read_log(place / "answers.jsonl").table) == 60 * 48
    pool = read_pool(place / "drafts.jsonl")
    assert len(pool.table) == 40 * 2 * 24 and doctor(pool).valid
    first = {name: (place / name).read_bytes() for name in ("answers.jsonl", "drafts.jsonl")}
    examples.write_examples(tmp_path)
    assert first == {name: (place / name).read_bytes() for name in first}
    assert json.loads(first["drafts.jsonl"].splitlines()[0])["source"] == "draft"
