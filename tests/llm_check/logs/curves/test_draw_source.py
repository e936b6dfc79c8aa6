"""Curves of logs in files: the same bytes in one file or many, in one process or several."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llm_check
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from gsi_theory.runs.workers import worker_pool
from gsi_theory.samples.beyond_pool import beyond_pass
from llm_check.logs.curves import log_curves
from llm_check.logs.pools import log_files
from llm_check.logs.pools.missing_values import MISSING

PROMPTS, DRAWS = 12, 6


def table(seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = PROMPTS * DRAWS
    reward = rng.random(rows)
    return pa.table(
        {
            "prompt_id": np.repeat([f"p{k:02}" for k in range(PROMPTS)], DRAWS).tolist(),
            "candidate": np.tile(np.arange(DRAWS), PROMPTS),
            "reward": reward,
            "correct": (rng.random(rows) < reward).tolist(),
            "answer": rng.integers(3, size=rows).astype(str).tolist(),
            "n_tokens": rng.integers(1, 9, size=rows).astype(np.int32),
        }
    )


def in_files(folder: Path, rows: pa.Table, lines: bool = False) -> Path:
    folder.mkdir()
    for k in range(3):
        part = rows.take(pa.array(range(k, rows.num_rows, 3)))
        if lines:
            text = "".join(json.dumps(row) + "\n" for row in part.to_pylist())
            (folder / f"{k}.jsonl").write_text(text)
        else:
            pq.write_table(part, folder / f"{k}.parquet", row_group_size=10)
    return folder


def _processes(count: int, jobs: int) -> AbstractContextManager[Executor]:
    return worker_pool(count)


def _close(left: object, right: object) -> bool:
    """Whether two answers agree, floats to rounding."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_close(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_close, left, right))
    return left == (pytest.approx(right, rel=1e-9, abs=1e-12) if isinstance(right, float) else right)


@pytest.mark.parametrize("lines", [False, True])
def test_a_log_in_files_has_the_curves_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bool) -> None:
    pq.write_table(table(), tmp_path / "one.parquet")
    expected = llm_check.curve(tmp_path / "one.parquet").record()
    folder = in_files(tmp_path / "log", table(), lines)
    assert llm_check.curve(folder).record() == expected
    monkeypatch.setattr(log_files, "GROUP_ROWS", 2 * DRAWS)
    told = {"beyond", "notes"}  # of a long log less
    by_processes = []
    for workers in (None, *([] if lines else [1, 2])):
        pool = None if workers is None else partial(_processes, workers)
        found = llm_check.curve(folder, workers=pool).record()
        assert _close(
            {k: v for k, v in found.items() if k not in told}, {k: expected[k] for k in found if k not in told}
        )
        assert _close(found["beyond"], [one for one in expected["beyond"] if one["selector"] == "pass_at_k"])
        by_processes += [] if workers is None else [found]
    assert all(found == by_processes[0] for found in by_processes)
    paired = llm_check.curve(folder, against=tmp_path / "one.parquet").record()
    assert {x for each in paired["against"]["curves"] for x in each["difference"]} <= {0.0, None}


def test_more_draws_than_the_log_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rows_of(table(), tmp_path / "one.parquet")
    found = llm_check.curve(path)
    kinds = [(one["n"], one["selector"], one["value"]) for one in found.beyond]
    assert kinds == [
        (n, selector, value)
        for selector, value in (("pass_at_k", "correct"), ("best_of_n", "reward"), ("best_of_n", "correct"))
        for n in (2 * DRAWS, 4 * DRAWS)
    ]
    last = {(line.key.selector, line.key.value): line.bands.mean[-1] for line in found.lines}
    for one in found.beyond:
        low, high = one["guaranteed_low"], one["guaranteed_high"]
        if one["value"] == "reward":
            assert low is None and high is None  # nobody stated the range
        else:
            assert 0.0 <= low <= high <= 1.0
        if one["estimate"] is not None and one["selector"] == "pass_at_k":
            assert (
                one["low"] <= one["estimate"] <= one["high"] and one["estimate"] >= last["pass_at_k", "correct"] - 0.02
            )
    rows = table().to_pylist()
    right = [sum(row["correct"] for row in rows[k : k + DRAWS]) for k in range(0, len(rows), DRAWS)]
    alone = beyond_pass([DRAWS] * PROMPTS, right, [2 * DRAWS, 4 * DRAWS], np.random.default_rng([0, 0]))
    assert [one for one in found.beyond if one["selector"] == "pass_at_k"] == [one.record() for one in alone]
    assert llm_check.curve(path, ns=[1, 4]).beyond == ()
    assert {one["n"] for one in llm_check.curve(path, ns=[4, 10]).beyond} == {10}
    folder = in_files(tmp_path / "log", table())
    monkeypatch.setattr(log_files, "GROUP_ROWS", 2 * DRAWS)
    far = llm_check.curve(folder, ns=[4, 10])
    assert {one["selector"] for one in far.beyond} == {"pass_at_k"} and any("not of long ones" in n for n in far.notes)


def test_curves_with_a_beta_are_of_some_draws_of_a_large_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_curves, "tilted_draws", lambda prompts: 4)
    rewards = []
    for seed in range(20):
        found = llm_check.curve(rows_of(table(seed), tmp_path / "one.parquet"), ns=[1, 2], select=["soft_best_of_n"])
        rewards.append([line.bands.mean[1] for line in found.lines if line.key.value == "reward"])
    monkeypatch.undo()
    exact = []
    for seed in range(20):
        found = llm_check.curve(rows_of(table(seed), tmp_path / "one.parquet"), ns=[1, 2], select=["soft_best_of_n"])
        exact.append([line.bands.mean[1] for line in found.lines if line.key.value == "reward"])
    gap = np.array(rewards) - exact
    assert np.abs(gap).max() > 1e-4  # not the same draws
    assert (np.abs(gap.mean(axis=0)) < 3.5 * gap.std(axis=0, ddof=1) / np.sqrt(20)).all()


def test_a_bad_row_costs_its_prompt_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    kept = llm_check.curve(rows_of(rows.slice(DRAWS), tmp_path / "kept.parquet")).record()
    rewards = rows["reward"].to_pylist()
    rewards[2] = float("nan")
    folder = in_files(tmp_path / "log", rows.set_column(2, "reward", pa.array(rewards)))
    monkeypatch.setattr(log_files, "GROUP_ROWS", DRAWS)  # the first group is of bad rows alone
    found = llm_check.curve(folder).record()
    assert found["left_out"] == 1 and found["curves"] == kept["curves"] and found["prompts"] == PROMPTS - 1
    with pytest.raises(InputError, match=r"2\.parquet, row 0, reward = NaN"):
        llm_check.curve(folder, strict=True)
    lines = in_files(tmp_path / "lines", rows, lines=True)
    with (lines / "1.jsonl").open("a") as stream:
        stream.write('{"prompt_id": "p00", "candidate": "seven", "reward": 1}\n')
    found = llm_check.curve(lines).record()
    assert found["left_out"] == 1 and found["curves"] == kept["curves"]


def test_worst_needs_a_stated_range_where_no_group_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table()
    rewards = [None if k == 0 else r for k, r in enumerate(rows["reward"].to_pylist())]
    bad = rows.set_column(2, "reward", pa.array(rewards))
    monkeypatch.setattr(log_files, "GROUP_ROWS", 2 * DRAWS)
    with pytest.raises(InputError, match="--missing worst of a log that is read in groups"):
        llm_check.curve(in_files(tmp_path / "log", bad), missing="worst")
    stated = {"gsi_pool": json.dumps({"reward": {"low": -1.0, "high": 1.0}})}
    folder = in_files(tmp_path / "stated", bad.replace_schema_metadata(stated))
    line = llm_check.curve(folder, ns=[1], select=["best_of_n"], missing="worst").lines[0]
    assert line.bands.mean[0] == pytest.approx(np.mean([-1.0 if r is None else r for r in rewards]))


def rows_of(rows: pa.Table, path: Path) -> Path:
    pq.write_table(rows, path)
    return path


def test_missing_rewards_are_told_under_each_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table()
    rewards = [None if k in (0, 3) else r for k, r in enumerate(rows["reward"].to_pylist())]
    path = rows_of(rows.set_column(2, "reward", pa.array(rewards)), tmp_path / "null.parquet")
    found = llm_check.curve(path, ns=[1, 2]).record()
    for choice in MISSING:
        alone = llm_check.curve(path, ns=[1, 2], missing=choice).record()
        assert found["missing"][choice] == alone["curves"] and alone["missing"] is None
    with pytest.raises(SystemExit):
        main(["curve", str(path), "--n", "1,2"])
    out = " ".join(capsys.readouterr().out.split())
    assert "rewards are missing, and best-of-n's depends on what is done about it (--missing): drop-row: " in out
    with pytest.raises(SystemExit):
        main(["plan", str(path), "--n", "1,2", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert set(answer["missing"]) == set(MISSING) and answer["doctor"]["valid"]


def test_missing_rewards_are_as_chosen(tmp_path: Path) -> None:
    rows = table()
    rewards = [None if k in (0, 3) else r for k, r in enumerate(rows["reward"].to_pylist())]
    path = rows_of(rows.set_column(2, "reward", pa.array(rewards)), tmp_path / "null.parquet")
    worst = min(r for r in rewards if r is not None)
    expected = {
        "worst": np.mean([worst if r is None else r for r in rewards[:DRAWS]]),
        "drop-row": np.mean([r for r in rewards[:DRAWS] if r is not None]),
    }
    rest = [np.mean(rewards[k * DRAWS : (k + 1) * DRAWS]) for k in range(1, PROMPTS)]
    for choice, first in expected.items():
        line = llm_check.curve(path, ns=[1], select=["best_of_n"], missing=choice).lines[0]
        assert line.bands.mean[0] == pytest.approx(np.mean([first, *rest]))
    line = llm_check.curve(path, ns=[1], select=["best_of_n"], missing="drop-prompt").lines[0]
    assert line.bands.mean[0] == pytest.approx(np.mean(rest))
