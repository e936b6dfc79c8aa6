"""Where a pool does not bear an answer, neither prediction nor plan gives one: they say why, and what would help."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory.cli import main
from llm_check.logs import prediction
from llm_check.logs.planner import recommendation, step_lengths
from llm_check.logs.planner.goal import Choice
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.pools.pool import Pool, read_pool, write_pool
from tests.benches.plan import WORLDS

FAULT = "one draft decides"


def _few(pool: Pool, beta: float, n: int) -> str:
    return FAULT if n > 1 else ""


@pytest.fixture
def pool() -> Pool:
    return WORLDS["plain"](np.random.default_rng(0), 40).pool(30, 32, 1)


def test_nothing_is_predicted_that_the_pool_does_not_bear(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prediction, "supports", _few)
    found = prediction.predict(pool, betas=(2.0,), ns=(1, 4), threshold=0.5)
    for row in found.rows:
        silent = row["n"] > 1
        assert (row["reward"] is None, row["p_accept_se"] is None, row["reason"]) == (
            silent, silent, FAULT if silent else "",
        )  # fmt: skip
    write_pool(tmp_path / "pool.parquet", pool.table, {})
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tmp_path / "pool.parquet"), "--beta", "2", "--n", "1,4"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and f"no prediction at β = 2, n = 4: {FAULT}" in said
    assert "would help: more drafts a prompt, shorter steps, a smaller β, or a draft nearer the base" in said


def test_no_plan_rests_on_weights_that_the_pool_does_not_bear(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = recommendation.choose_option
    grid = {"betas": (4.0,), "ns": (1, 4), "thresholds": (0.6,)}
    method = "gsi"

    def choose(table: PlanTable, *asked: Any) -> tuple[Choice, int | None]:
        chosen = next(s for s, o in enumerate(table.options) if o.method == method)
        return replace(real(table, *asked)[0], chosen=chosen), None

    monkeypatch.setattr(recommendation, "choose_option", choose)
    free = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert free.recommendation is not None and free.command is not None and free.decides is not None
    monkeypatch.setattr(recommendation, "supports", lambda *_: FAULT)
    held = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert held.recommendation is None and held.command is None and held.record()["recommendation"] is None
    assert held.reason.endswith(FAULT) and "a draft nearer the base" in held.improve[0]
    # what selects by the reward alone rests on no weights of drafts
    method = "best_of_n_draft"
    plain = recommendation.plan(pool, **grid)  # type: ignore[arg-type]
    assert plain.recommendation is not None and plain.table.options[plain.recommendation].method == method


def test_step_lengths_are_compared_by_coverage(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = pool.table.to_pydict()
    near = [d + 0.2 * (b - d) for d, b in zip(columns["logp_draft"], columns["logp_base"], strict=True)]
    write_pool(tmp_path / "whole.parquet", pool.table, {"step": "answer"})
    write_pool(
        tmp_path / "short.parquet", columns | {"logp_base": near, "n_tokens": [8] * len(near)}, {"step": "tokens:8"}
    )
    other = columns | {"prompt_id": [f"q{name}" for name in columns["prompt_id"]]}
    write_pool(tmp_path / "other.parquet", other, {})
    monkeypatch.setattr(step_lengths, "supports", lambda pool, beta, n: FAULT if n > 4 else "")
    asked = ["plan", str(tmp_path / "whole.parquet"), "--beta", "2", "--n", "1,2,8", "--tolerance", "0.3"]
    with pytest.raises(SystemExit):
        main([*asked, "--also", str(tmp_path / "short.parquet"), "--json"])
    answer = json.loads(capsys.readouterr().out)
    short, whole = answer["lengths"]
    assert (short["tokens"], short["whole"], short["n_max"], short["mean_tokens"]) == (8, False, 2, 8.0)
    assert (whole["tokens"], whole["whole"], whole["fault"], whole["drafts"]) == (None, True, FAULT, 32)
    assert short["ess"] > whole["ess"] and answer["recommendation"]["tokens"] is None
    assert not any("value" in row for row in answer["lengths"])
    with pytest.raises(SystemExit):
        main([*asked, "--also", str(tmp_path / "short.parquet")])
    said = " ".join(capsys.readouterr().out.split())
    assert "short.parquet: steps 8 tokens" in said and "values of steps of different lengths are not compared" in said
    with pytest.raises(SystemExit) as ended:
        main([*asked, "--also", str(tmp_path / "other.parquet")])
    assert ended.value.code == 2 and "--also other.parquet" in capsys.readouterr().err
    assert step_lengths.step_tokens(read_pool(tmp_path / "short.parquet")) == 8
