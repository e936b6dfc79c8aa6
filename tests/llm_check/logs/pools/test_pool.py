"""Pools: the round trip, the candidates they give, and one clear refusal for each kind of bad file."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llm_check
from gsi_theory.errors import InputError
from llm_check.logs.pools import checked_rows, independence, position_arrays, row_checks
from llm_check.logs.pools.pool import read_pool, write_pool
from llm_check.logs.pools.position_arrays import row_order
from tests.plants.pool_faults import Sampling, TokenWorld

PROVENANCE = {"command": "test", "seed": 3}


def columns(**changes: Any) -> dict[str, Any]:
    """Two positions; position ("a", 0) has 3 draft and 2 base candidates, ("b", 1) two of each, rows shuffled."""
    keys = [("a", 0, "draft", i) for i in (2, 0, 1)] + [("a", 0, "base", i) for i in (0, 1)]
    keys += [("b", 1, source, i) for source in ("base", "draft") for i in (1, 0)]
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {
        name: [key[i] for key in keys] for i, name in enumerate(("prompt_id", "step", "source", "candidate"))
    }
    made["logp_draft"] = (-rng.exponential(size=len(keys))).tolist()
    made["logp_base"] = (-rng.exponential(size=len(keys))).tolist()
    made["reward"] = rng.random(len(keys)).tolist()
    made["token_ids"] = [[int(i), 13] for i in range(len(keys))]
    made["correct"] = [i % 2 == 0 for i in range(len(keys))]
    made["text"] = [f"{i}\n\n" for i in range(len(keys))]
    return made | changes


def replaced(name: str, row: int, value: Any) -> dict[str, Any]:
    made = columns()
    made[name] = [*made[name][:row], value, *made[name][row + 1 :]]
    return made


def write_jsonl(path: Path, made: dict[str, Any]) -> Path:
    rows = [dict(zip(made, values, strict=True)) for values in zip(*made.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_round_trip(tmp_path: Path, kind: str) -> None:
    made = columns()
    path = tmp_path / f"pool.{kind}"
    if kind == "parquet":
        write_pool(path, made, PROVENANCE)
        assert [p.name for p in tmp_path.iterdir()] == ["pool.parquet"]
    else:
        write_jsonl(path, made)
    pool = read_pool(path)
    assert pool.metadata == (PROVENANCE if kind == "parquet" else {})
    assert pool.keys() == [("a", 0), ("b", 1)]
    assert {name: pool.table[name].to_pylist() for name in made} == made
    draft = pool.draft_candidates("a", 0)
    order = [1, 2, 0]
    np.testing.assert_allclose(draft.log_mass, -math.log(3), rtol=1e-15)
    np.testing.assert_array_equal(draft.reward, np.array(made["reward"])[order])
    np.testing.assert_array_equal(draft.log_ratio, (np.array(made["logp_base"]) - np.array(made["logp_draft"]))[order])
    np.testing.assert_array_equal(pool.base_candidates("a", 0).reward, made["reward"][3:5])
    assert pool.column("a", 0, "draft", "token_ids") == [[1, 13], [2, 13], [0, 13]]
    assert pool.column("a", 0, "draft", "correct").tolist() == [False, True, True]  # type: ignore[union-attr]


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(9)))
def test_candidates_do_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    made = columns()
    shuffled = {name: [values[i] for i in order] for name, values in made.items()}
    pool = write_pool(tmp_path_factory.mktemp("pool") / "p.parquet", shuffled, {})
    plain = write_pool(tmp_path_factory.mktemp("pool") / "p.parquet", made, {})
    for key in plain.keys():  # noqa: SIM118
        np.testing.assert_array_equal(pool.draft_candidates(*key).log_ratio, plain.draft_candidates(*key).log_ratio)
        np.testing.assert_array_equal(pool.base_candidates(*key).reward, plain.base_candidates(*key).reward)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_pool(tmp_path / f"{name}.parquet", columns(), PROVENANCE)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_support_misses_of_the_other_model_are_legal(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", replaced("logp_base", 0, -math.inf), {})
    assert pool.draft_candidates("a", 0).log_ratio[2] == -math.inf
    made = replaced("logp_draft", 3, -math.inf)
    ratio = write_pool(tmp_path / "q.parquet", made, {}).base_candidates("a", 0).log_ratio
    assert ratio[0] == math.inf and np.isfinite(ratio[1])
    made["logp_draft"][3] = "-inf"
    assert read_pool(write_jsonl(tmp_path / "q.jsonl", made)).table["logp_draft"][3].as_py() == -math.inf


BAD = {
    "nan log-prob": (replaced("logp_base", 4, math.nan), r"(row 4|line 5), logp_base = NaN"),
    "positive log-prob": (replaced("logp_draft", 2, 0.5), r"(row 2|line 3), logp_draft = 0\.5"),
    "own support miss": (replaced("logp_draft", 1, -math.inf), r"(row 1|line 2), logp_draft = -Infinity"),
    "plus infinity": (replaced("logp_base", 1, math.inf), r"(row 1|line 2), logp_base = Infinity"),
    "infinite reward": (replaced("reward", 8, math.inf), r"(row 8|line 9), reward = Infinity"),
    "null reward": (replaced("reward", 8, None), r"(row 8|line 9), reward = null"),
    "unknown source": (replaced("source", 5, "target"), r'(row 5|line 6), source = "target"'),
    "negative step": (replaced("step", 0, -1), r"(row 0|line 1), step = -1"),
    "duplicate": (replaced("candidate", 2, 0), r"(row 2|line 3), candidate = 0: already used at (row 1|line 2)"),
    "mixed temperature": (
        columns(sampling_temperature=[1.0] * 7 + [0.7, 1.0]),
        r"(row 7|line 8), sampling_temperature = 0\.7: other rows have 1\.0",
    ),
    "partly missing temperature": (
        columns(sampling_temperature=[1.0] * 8 + [None]),
        r"(row 8|line 9), sampling_temperature = null",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused_by_place(tmp_path: Path, name: str) -> None:
    made, message = BAD[name]
    with pytest.raises(InputError, match=message):
        write_pool(tmp_path / "p.parquet", made, {})
    assert not list(tmp_path.iterdir())
    pa.parquet.write_table(pa.table(made), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=message):
        read_pool(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=message):
        read_pool(write_jsonl(tmp_path / "p.jsonl", made))


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pool at"):
        read_pool(tmp_path / "absent.parquet")
    (tmp_path / "p.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"ends in '\.csv'"):
        read_pool(tmp_path / "p.csv")
    write_pool(tmp_path / "p.parquet", columns(), {})
    whole = (tmp_path / "p.parquet").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 3):
        (tmp_path / "cut.parquet").write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.parquet is not a whole Parquet file"):
            read_pool(tmp_path / "cut.parquet")
    made = columns()
    del made["reward"], made["logp_base"]
    with pytest.raises(InputError, match=r"lacks the column\(s\) logp_base, reward"):
        write_pool(tmp_path / "q.parquet", made, {})
    with pytest.raises(InputError, match="column reward: not double"):
        write_pool(tmp_path / "q.parquet", replaced("reward", 0, "high"), {})
    with pytest.raises(InputError, match="unequal length"):
        write_pool(tmp_path / "q.parquet", columns(reward=[1.0]), {})
    with pytest.raises(InputError, match="no rows"):
        write_pool(tmp_path / "q.parquet", {name: [] for name in columns()}, {})
    assert not (tmp_path / "q.parquet").exists()


def test_bad_jsonl_is_refused_by_line_and_column(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "p.jsonl", columns())
    lines = path.read_text().splitlines()
    cases = {
        lines[0][:-1]: r"line 3, column \d+",
        "[1, 2]": r"line 3, column 1: \[1, 2\] is not an object",
        lines[0].replace('"reward"', '"rewards"'): "line 3: no field 'reward'",
        lines[0].replace('"step": 0', '"step": "x"'): 'line 3, step = "x"',
        lines[0].replace('"step": 0', '"step": 3000000000'): "line 3, step = 3000000000",
    }
    for bad, message in cases.items():
        assert bad != lines[0]
        path.write_text("\n".join([lines[1], "", bad, *lines[2:]]) + "\n")
        with pytest.raises(InputError, match=message):
            read_pool(path)


def test_unknown_positions_and_columns(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", columns(), {})
    with pytest.raises(InputError, match="no draft candidates at 'c', step 0"):
        pool.draft_candidates("c", 0)
    with pytest.raises(InputError, match="no column 'gold_reward'"):
        pool.column("a", 0, "draft", "gold_reward")
    with pytest.raises(InputError, match="source 'target'"):
        pool.column("a", 0, "target", "reward")


def test_the_pool_imports_no_torch() -> None:
    code = "import sys, llm_check.logs.pools.pool; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_pool_is_flattened_once_for_all_that_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = Sampling(), []
    write_pool(tmp_path / "p.parquet", TokenWorld(positions=10).columns(0, 16, plain, plain), {})
    for module in (checked_rows, independence, position_arrays, row_checks):
        monkeypatch.setattr(module, "row_order", lambda table: calls.append(table) or row_order(table))
    read = llm_check.read_pool(tmp_path / "p.parquet")
    llm_check.doctor(read)
    llm_check.predict(read, betas=(2.0,), ns=(1, 2), threshold=0.3)
    llm_check.plan(read, betas=(2.0,), ns=(1, 2))
    assert len(calls) == 1
    reward = read.arrays.floats("reward")
    assert reward is read.arrays.floats("reward") and not reward.flags.writeable


def test_a_parquet_file_with_its_source_twice_is_refused_by_name(tmp_path: Path) -> None:
    names = ["prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward", "source"]
    values = [["a"], [0], ["draft"], [0], [-1.0], [-1.0], [0.5], ["draft"]]
    double = pa.Table.from_arrays([pa.array(value) for value in values], names=names)
    pq.write_table(double, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match=r"has a column twice among prompt_id, .*, reward, source: keep one of each"):
        read_pool(tmp_path / "twice.parquet")
