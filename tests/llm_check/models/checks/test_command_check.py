"""`gsi check` and `gsi pool` on bad input: named with a cure before a model is loaded, exit 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from gsi_theory.cli import main
from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import atomic_write_text, require_writable

SMALL_POOL = ["--problems", "1", "--candidates", "4"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    for arguments in (
        ["check", "lm_law", "--out", str(tmp_path / "file" / "folder")],
        ["pool", str(tmp_path / "file" / "pool.parquet"), *SMALL_POOL],
    ):
        message = refused(arguments, capsys)
        assert "cannot write" in message
        assert "name a file in a folder you may write to" in message
        assert len(message.splitlines()) == 1
    with pytest.raises(InputError, match="cannot write"):
        atomic_write_text(tmp_path / "file" / "a.json", "{}")
    require_writable(tmp_path / "new" / "a.json")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file"]


def test_bad_input_of_a_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "broken.jsonl").write_text('{"problem": "1+1", "answer": "2"}\n{"problem": \n')
    (tmp_path / "there.parquet").write_text("mine")
    out = str(tmp_path / "o.parquet")
    cases = {
        "no model folder at": [out, "--draft", str(tmp_path / "none")],
        "holds no problems": [out, "--task", f"jsonl:{tmp_path / 'empty.jsonl'}"],
        "line 2 is not JSON": [out, "--task", f"jsonl:{tmp_path / 'broken.jsonl'}"],
        "is there and is no pool": [str(tmp_path / "there.parquet")],
        "a pool is written as .parquet": [str(tmp_path / "o.csv")],
        "holds a name or password": [out, "--draft", "http://user:sesame@localhost:1"],
    }
    before = sorted(path.name for path in tmp_path.iterdir())
    for expected, arguments in cases.items():
        message = refused(["pool", *arguments, *SMALL_POOL], capsys)
        assert expected in message, message
        assert "sesame" not in message
    assert "no log at" in refused(["import", str(tmp_path / "none.jsonl"), "--out", out], capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "there.parquet").read_text() == "mine"


def test_bad_input_of_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "no check 'lm_none'": ["lm_none"],
        "no model folder at": ["lm_noise", "--draft", str(tmp_path / "none")],
        "setting 'drafts'": ["lm_law", "--set", "drafts=3"],
        "give a whole number from 1": ["lm_law", "--set", "draws=0"],
    }
    for expected, arguments in cases.items():
        assert expected in refused(["check", *arguments, "--out", str(tmp_path / "out")], capsys)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
