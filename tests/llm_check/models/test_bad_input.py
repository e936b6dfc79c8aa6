"""What `gsi pool` and `gsi check` refuse: one line that names value, place and cure, status 2, and no file left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gsi_theory.cli import main
from llm_check.models.tiny import checkpoint_path

POOL = ["pool", "{}/out.parquet", "--problems", "2", "--candidates", "8"]
CHECK = ["check", "lm_prediction", "--out", "{}/out", "--set", "problems=2", "--set", "exact=0"]
CASES = {
    "no folder": (["--draft", "{}/absent"], ["no model folder at", "absent", "give a folder with config.json"]),
    "tokenizers": (["--draft", "{}/other"], ["differ at id 14", "'}'", "use two models of one family"]),
    "no prompts": (["--task", "jsonl:{}/empty.jsonl"], ["empty.jsonl holds no problems", "give a file"]),
    "no JSON": (["--task", "jsonl:{}/broken.jsonl"], ["broken.jsonl, line 2 is not JSON", "write one JSON object"]),
    "reward": (["--reward", "python:{}/judge.py:judge?low=0&high=1"], ["2.0", "[0, 1]", "judge.py"]),
    "too long": (
        ["--task", "jsonl:{}/long.jsonl", "--template", "bare", "--max-tokens", "16"],
        ["prompt long has 82 tokens", "context holds 64", "leave this problem out"],
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(checkpoint_path("draft"), tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    known = tokenizer["model"]["vocab"]
    known["}"], known["\\boxed{"] = known["\\boxed{"], known["}"]
    file.write_text(json.dumps(tokenizer))
    (tmp_path / "empty.jsonl").touch()
    good = {"id": "short", "question": "1+1", "answer": "2"}
    (tmp_path / "broken.jsonl").write_text(json.dumps(good) + '\n{"question": 1+\n')
    long = {"id": "long", "question": "1" + "+1" * 40, "answer": "41"}
    (tmp_path / "long.jsonl").write_text(json.dumps(good) + "\n" + json.dumps(long) + "\n")
    (tmp_path / "judge.py").write_text("def judge(questions, solutions):\n    return [2.0] * len(questions)\n")
    (tmp_path / "file").touch()
    return tmp_path


def refused(arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([text.replace("{}", str(folder)) for text in arguments])
    assert ended.value.code == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    assert not list(folder.glob("out/*")) and not list(folder.glob("out.parquet"))
    return found.err


@pytest.mark.parametrize("command", [POOL, CHECK], ids=["pool", "check"])
@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, expected = CASES[case]
    said = refused([*command, *given], folder, capsys)
    for words in expected:
        assert words in said


@pytest.mark.parametrize("command", [POOL, CHECK], ids=["pool", "check"])
@pytest.mark.parametrize("place", ["{}/file/sub", "/proc/none"])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    command: list[str], place: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [text.replace("{}", place) for text in command]
    # Were it refused after the models are read, their absence would be named.
    said = refused([*given, "--draft", "{}/absent"], folder, capsys)
    assert "cannot write" in said
    assert "name a file in a folder you may write to" in said


def test_a_pool_is_not_written_over_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(["pool", "{}/other"], folder, capsys)
    assert "/other (Is a directory)" in said


def test_methods_without_their_drafters_are_refused_before_others_are_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the journal of those that were run would stay."""
    before = sorted(folder.rglob("*"))
    said = refused(
        ["decode", "--problems", "1", "--method", "pooled", "--method", "drafters", "--out", "{}/o.json"],
        folder,
        capsys,
    )
    assert "give further drafters (--drafter)" in said
    assert sorted(folder.rglob("*")) == before
