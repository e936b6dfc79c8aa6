"""One model of a long pool is planned from all of it, not from the part that was looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsi_theory.cli import main
from llm_check.logs.planner import recommendation
from llm_check.logs.pools import log_files
from tests.plants.pool_faults import Sampling, TokenWorld


def test_a_plan_of_one_source_uses_every_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Sampling()
    table = pa.table(TokenWorld(positions=12).columns(1, 24, plain, plain))
    (tmp_path / "pool").mkdir()
    for k in range(2):
        pq.write_table(table.take(pa.array(range(k, table.num_rows, 2))), tmp_path / "pool" / f"{k}.parquet")
    monkeypatch.setattr(recommendation, "PLAN_ROWS", 200)
    monkeypatch.setattr(log_files, "GROUP_ROWS", 100)
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(tmp_path / "pool"), "--source", "draft", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (
        not stop.value.code
        and answer["kind"] == "one_model"
        and answer["prompts"] == len(set(table["prompt_id"].to_pylist()))
    )
