"""Every JSON answer of a command, and every artifact, says which schema it follows; what has none yet is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gsi_theory.cli import COMMANDS, load_command, main
from gsi_theory.errors import UnknownName
from gsi_theory.runs.artifact import read_artifact, write_artifact, write_parquet_artifact
from gsi_theory.runs.artifact_tables import METADATA
from gsi_theory.runs.json_output import SCHEMAS, answer, plain, with_schema
from llm_check.models.tiny import checkpoint_path

RECORD = {"command": "gsi x", "seed": 0, "versions": {}, "commit": None}
SMALL_AUDIT = ["--set", "claims=M7-tv", "--set", "families=few", "--set", "rewards=signed", "--set", "instances=2"]
# kind of answer -> command line; FILE, POOL and OUT are places of the test
ANSWERS = {
    "law": ["law", "FILE"],
    "audit": ["audit", *SMALL_AUDIT, "--workers", "1", "--out", "OUT"],
    "claims": ["refute"],
    "conform_lists": ["conform"],
    "conform_lm": ["conform", "lm", str(checkpoint_path("base")), "--draws", "20"],
    "refute": ["refute", "M12a", "--seconds", "0.2"],
    "mutants": ["refute", "M7-tv", "--mutants", "--out", "OUT/mutants.json"],
    "import": ["import", "POOL", "--out", "OUT.parquet"],
    "doctor": ["doctor", "POOL"],
    "curve": ["curve", "POOL", "--source", "draft", "--n", "1,2"],
    "predict": ["predict", "POOL", "--n", "1,2"],
    "plan": ["plan", "POOL", "--n", "1,2", "--beta", "1"],
    "decode": ["decode", "--method", "draft", "--problems", "1"],
}


def test_every_command_that_answers_in_json_is_tried_here() -> None:
    commands = {name for name in COMMANDS if any("--json" in option.opts for option in load_command(name).params)}
    lines = ((" ".join(line[:2]), line[0]) for line in ANSWERS.values())
    assert commands == {two if two in COMMANDS else one for two, one in lines}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answers_begin_with_their_schema(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "instance.json").write_text('{"draft": [0.5, 0.5], "base": [0.2, 0.8], "reward": [0, 1]}')
    rows = [
        {"prompt_id": p, "step": 0, "source": source, "candidate": i}
        | {"logp_draft": -1.0 - i, "logp_base": -1.5, "reward": reward}
        for p in ("a", "b")
        for source in ("draft", "base")
        for i, reward in enumerate((0.0, 0.5, 1.0))
    ]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    places = {"FILE": tmp_path / "instance.json", "POOL": tmp_path / "pool.jsonl", "OUT": tmp_path / "out"}
    line = ANSWERS[kind]
    for name, place in places.items():
        line = [str(place) + word.removeprefix(name) if word.startswith(name) else word for word in line]
    with pytest.raises(SystemExit) as ended:
        main([*line, "--json"])
    said = capsys.readouterr()
    assert ended.value.code in (0, None), said.err
    record = json.loads(said.out)
    assert record["schema"] == SCHEMAS[kind] and next(iter(record)) == "schema"


def test_artifacts_carry_their_schema_and_their_tables_too(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    tables = {"t": {"x": [1, 2], "y": [0.5, float("inf")]}}
    one = write_artifact(tmp_path / "a.json", "a", RECORD, {"n": 1}, tables)
    two = write_parquet_artifact(tmp_path / "b.json", "b", RECORD, {"n": 1}, tables)
    assert [json.loads(path.read_text())["schema"] for path in (one, two)] == [1, 2]
    assert json.loads(pq.read_schema(tmp_path / "b.t.parquet").metadata[METADATA])["schema"] == 2


@pytest.mark.parametrize("write", [write_artifact, write_parquet_artifact])
def test_artifacts_of_before_schemas_are_read(write, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", "a", RECORD, {"n": 1}, {"t": {"x": [1, 2]}})
    now = read_artifact(path, "a")
    body = json.loads(path.read_text())
    path.write_text(json.dumps({"format" if key == "schema" else key: value for key, value in body.items()}))
    assert read_artifact(path, "a") == now


def test_an_answer_is_strict_json_with_its_number_in_front() -> None:
    text = answer("law", {"x": float("inf"), "y": float("nan"), "z": (-0.0, Path("p"))})
    assert json.loads(text) == {"schema": 1, "x": "inf", "y": None, "z": [0.0, "p"]} and text.startswith('{"schema": 1')
    assert plain(with_schema("pool", {"a": 1})) == {"schema": 1, "a": 1}
    with pytest.raises(UnknownName, match="no schema 'lw'"):
        answer("lw", {})
