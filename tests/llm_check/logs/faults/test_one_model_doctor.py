"""The doctor reads logs of one model: told so, the checks that apply, no number of a pair; the verdict in a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gsi_theory.cli import main
from llm_check.logs.log import Log, log_of_file
from llm_check.logs.pools.diagnosis import diagnose, doctor
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.pool_files import TableFile
from llm_check.logs.pools.verdict_line import verdict_line
from tests.plants.log_faults import LongWorld, drafts_only, one_log
from tests.plants.pool_faults import Columns, drop_tokens


def _jsonl(path: Path, columns: Columns) -> Path:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def _log(columns: Columns, metadata: dict[str, object] | None = None) -> Log:
    return log_of_file(Path("log"), TableFile(pa.table(columns), dict(metadata or {}), None, ()), strict=True)


def _run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code
    return capsys.readouterr().out


def test_a_log_of_one_model_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _jsonl(tmp_path / "one.jsonl", one_log(0))
    record = json.loads(_run(["doctor", str(path), "--json"], capsys))
    assert record["valid"] and record["models"] == 1 and record["findings"] == []
    assert record["ratio_mean"] is None and record["coverage"] is None and record["balance"] is None
    supports = record["supports"]
    assert not supports["usable"] and supports["ess"] is None and "one model" in supports["reason"]
    out = " ".join(_run(["doctor", str(path)], capsys).split())
    assert "of one model" in out and "nothing wrong found" in out and "untested:" in out and "mean ratio" not in out


def test_rows_that_stand_for_many_draws_are_read() -> None:
    columns: Columns = {
        "prompt_id": ["a", "a", "b", "b"], "candidate": [0, 7, 0, 2], "correct": [True, False, True, False],
        "count": [7, 9_993, 2, 9_998],
    }  # fmt: skip
    found = doctor(_log(columns))
    assert found.valid and found.record()["drafts"] == 20_000 and any("order is lost" in u for u in found.untested)


def test_filled_in_log_probs_are_a_log_of_one_model() -> None:
    columns = drop_tokens(drafts_only(LongWorld(6, 8).columns(1)))
    for value in (0.0, -100.0):
        rows = len(columns["prompt_id"])
        found = doctor(pool_from_columns(columns | {"logp_draft": [value] * rows, "logp_base": [value] * rows}))
        assert [f.id for f in found.findings] == ["one_model"] and found.valid and found.models == 1
        assert found.ratio_mean is None and found.supports is not None and found.supports.ess is None
        assert found.record()["sampling"] == {}


def test_a_log_of_drafts_only_says_what_nothing_can_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _jsonl(tmp_path / "drafts.jsonl", drop_tokens(drafts_only(LongWorld(6, 8).columns(1))))
    out = " ".join(_run(["doctor", str(path)], capsys).split())
    assert "drafts only" in out and "a log of drafts only: base log-probabilities of another prompt" in out


def test_no_impossible_number_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = drop_tokens(drafts_only(LongWorld(6, 8).columns(1)))
    columns["logp_base"] = [0.0 if k % 10 == 0 else value for k, value in enumerate(columns["logp_base"])]
    path = _jsonl(tmp_path / "padded.jsonl", columns)
    record = json.loads(_run(["doctor", str(path), "--json"], capsys))
    assert not record["valid"] and record["ratio_mean"] is None and record["coverage"] is None
    out = _run(["doctor", str(path)], capsys)
    assert "e+" not in out and "no right log has that" in out


def test_facts_are_read() -> None:
    columns = drop_tokens(LongWorld(6, 8).columns(1))
    rows = len(columns["prompt_id"])

    def ids(extra: Columns, facts: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> list[str]:
        file = TableFile(pa.table(columns | extra), {"facts": dict(facts)} | dict(metadata or {}), None, ())
        return [f.id for f in diagnose(log_of_file(Path("log"), file, strict=True)).findings]

    cold = {"sampling_temperature": [0.7] * rows}
    assert ids(cold, {"logprobs": "raw"}) == ["recorded_temperature"] == ids({}, {"temperature": 0.7})
    assert ids(cold, {"logprobs": "processed"}) == ["tempered_law"]
    scored = {model: {"sampling_temperature": 0.7} for model in ("draft", "base")}
    assert ids(cold, {}, scored) == ["tempered_law"]
    limits: tuple[dict[str, Any], ...] = ({"top_p": 0.9}, {"top_k": 50}, {"min_p": 0.05})
    for fact in limits:
        assert ids({}, fact) == ["declared_truncation"]
        assert ids({}, fact | {"kept": {"mean_mass": 0.9}}) == []
    assert ids({}, {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "temperature": 1.0}) == []
    assert ids({}, {}, {"left_out": {"rows": 9, "prompts": 1}}) == ["prompts_left_out"]


def test_the_verdict_in_a_line() -> None:
    clean = verdict_line(_log(one_log(0)))
    assert clean == {"valid": True, "errors": [], "warnings": [], "line": "doctor: nothing wrong found"}
    failed = one_log(0) | {"reward": [0.0 if k % 9 == 0 else r for k, r in enumerate(one_log(0)["reward"])]}
    wrong = verdict_line(_log(failed))
    assert not wrong["valid"] and wrong["errors"] == ["failed_rewards"] and "failed_rewards" in wrong["line"]
    columns = drop_tokens(LongWorld(6, 8).columns(1))
    assert verdict_line(pool_from_columns(columns))["valid"]
    noisy = columns | {"reward": np.full(len(columns["reward"]), 0.5).tolist()}
    assert verdict_line(_log(noisy))["warnings"] == ["equal_rewards"]
