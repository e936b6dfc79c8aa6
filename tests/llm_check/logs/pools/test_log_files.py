"""Logs in many files: the same log however its rows are spread, in groups that fit in memory."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llm_check
from gsi_theory.errors import InputError
from llm_check.logs.log import group_log
from llm_check.logs.pools import log_files
from llm_check.logs.pools.log_files import LogFiles
from llm_check.logs.pools.pool import read_pool

PROMPTS, DRAWS = 30, 8


def one_model(seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    rows = PROMPTS * DRAWS
    return pa.table(
        {
            "prompt_id": np.repeat([f"p{k}" for k in range(PROMPTS)], DRAWS).tolist(),
            "candidate": np.tile(np.arange(DRAWS), PROMPTS),
            "reward": rng.random(rows),
            "correct": (rng.random(rows) < 0.5).tolist(),
            "text": ["t"] * rows,
        }
    )


def two_models() -> pa.Table:
    rng, rows = np.random.default_rng(1), 2 * PROMPTS * DRAWS
    logp = -1.0 - rng.random((2, rows))
    return pa.table(
        {
            "prompt_id": np.repeat([f"p{k}" for k in range(PROMPTS)], 2 * DRAWS).tolist(),
            "step": np.zeros(rows, dtype=np.int64),
            "source": np.tile(np.repeat(["draft", "base"], DRAWS), PROMPTS).tolist(),
            "candidate": np.tile(np.arange(DRAWS), 2 * PROMPTS),
            "logp_draft": logp[0],
            "logp_base": logp[1],
            "reward": rng.random(rows),
        }
    )


def contiguous(folder: Path, table: pa.Table) -> Path:
    """Files of some prompts each, in row groups that cut prompts."""
    folder.mkdir()
    per = table.num_rows // 3
    for k in range(3):
        pq.write_table(table.slice(k * per, per), folder / f"part-{k}.parquet", row_group_size=37)
    return folder


def scattered(folder: Path, table: pa.Table) -> Path:
    """Files of some draws of every prompt each."""
    folder.mkdir()
    for k in range(4):
        pq.write_table(table.take(pa.array(np.arange(k, table.num_rows, 4))), folder / f"part-{k}.parquet")
    return folder


def lines(folder: Path, table: pa.Table) -> Path:
    folder.mkdir()
    rows = table.to_pylist()
    for k in range(2):
        text = "".join(json.dumps(row) + "\n" for row in rows[k::2])
        (folder / f"part-{k}.jsonl").write_text(text)
    return folder


def ordered(table: pa.Table) -> pa.Table:
    return table.select(sorted(table.column_names)).sort_by([("prompt_id", "ascending"), ("candidate", "ascending")])


@pytest.mark.parametrize("spread", [contiguous, scattered, lines])
def test_groups_are_the_log_whole_prompts_at_a_time(
    spread: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "_BATCH", 13)
    table = one_model()
    source = spread(tmp_path / "log", table)  # type: ignore[operator]
    whole = llm_check.read_log(source)
    assert ordered(whole.table.select(table.column_names)) == ordered(
        table.cast(whole.table.select(table.column_names).schema)
    )
    with LogFiles(source) as files:
        assert files.rows == table.num_rows and files.prompt_rows.tolist() == [DRAWS] * PROMPTS
        groups = files.groups(3 * DRAWS + 1)
        assert [group.rows for group in groups] == [3 * DRAWS] * (PROMPTS // 3)
        parts = [group_log(pickle.loads(pickle.dumps(group)), ["candidate", "prompt_id", "reward"]) for group in groups]
    assert "text" not in parts[0].table.column_names
    seen = [name for part in parts for name in part.table["prompt_id"].unique().to_pylist()]
    assert sorted(seen) == sorted(f"p{k}" for k in range(PROMPTS))
    together = pa.concat_tables([part.table for part in parts])
    assert ordered(together)["reward"].to_pylist() == ordered(table)["reward"].to_pylist()


def test_a_contiguous_log_reads_each_part_for_its_own_prompts_alone(tmp_path: Path) -> None:
    with LogFiles(contiguous(tmp_path / "log", one_model())) as files:
        groups = files.groups(5 * DRAWS)
        assert max(len(group.parts) for group in groups) <= 3 and sum(len(group.parts) for group in groups) <= 18


def test_pools_in_folders_globs_lists_and_urls(tmp_path: Path) -> None:
    import fsspec

    table = two_models()
    folder = scattered(tmp_path / "pool", table)
    whole = read_pool(folder)
    assert whole.whole == (table.num_rows, PROMPTS) and len(whole.arrays.names) == PROMPTS
    expected = {key: whole.draft_candidates(*key).reward.tolist() for key in whole.arrays.names}
    pq.write_table(table, tmp_path / "one.parquet")
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe(f"/logs/{path.name}", path.read_bytes())
    sources = [
        str(folder / "*.parquet"),
        sorted(folder.iterdir()),
        tmp_path / "one.parquet",
        "memory://logs",
        "memory://logs/part-*.parquet",
    ]
    for source in sources:
        pool = read_pool(source)
        assert {key: pool.draft_candidates(*key).reward.tolist() for key in pool.arrays.names} == expected
    some = read_pool(folder, most_rows=5 * 2 * DRAWS)
    assert some.whole == (table.num_rows, PROMPTS)
    assert [name for name, _ in some.arrays.names] == ["p0", "p7", "p14", "p21", "p29"]
    with pytest.raises(InputError, match=r"no log at s3x://|cannot be listed"):
        read_pool("s3x://user:secret@bucket/x/*.parquet")
    with pytest.raises(InputError) as refused:
        read_pool("memory://user:secret@nowhere/*.parquet?token=abc")
    assert "secret" not in str(refused.value) and "abc" not in str(refused.value)


def test_a_fault_names_its_file_and_row(tmp_path: Path) -> None:
    table = two_models()
    rewards = table["reward"].to_pylist()
    rewards[100] = float("nan")
    bad = table.set_column(6, "reward", pa.array(rewards))
    folder = contiguous(tmp_path / "pool", bad)
    with pytest.raises(InputError, match=r"part-0\.parquet, row 100, reward = NaN"):
        read_pool(folder)
    pool = read_pool(folder, strict=False)
    record = pool.left_out_record()
    assert pool.prompts_left_out == 1 and record["faults"][0]["place"].endswith("part-0.parquet, row or line 100")
    folder = scattered(tmp_path / "twice", pa.concat_tables([table, table.slice(0, 4)]))
    with pytest.raises(InputError, match=r"part-\d\.parquet, row \d+, candidate = 0: already used at .*part-\d.*row 0"):
        read_pool(folder)


def test_what_a_sample_leaves_out_is_checked_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = two_models()
    rewards = table["reward"].to_pylist()
    for row in (100, 3 * 16 + 2):  # of p6 and of p3, neither in the sample of 5
        rewards[row] = float("nan")
    folder = scattered(tmp_path / "pool", table.set_column(6, "reward", pa.array(rewards)))
    monkeypatch.setattr(log_files, "GROUP_ROWS", 16)  # a group of one bad prompt alone
    pool = read_pool(folder, strict=False, most_rows=5 * 2 * DRAWS)
    assert [fault.prompt_id for fault in pool.left_out] == ["p6", "p3"] and pool.prompts_left_out == 2
    assert {name for name, _ in pool.arrays.names}.isdisjoint({"p3", "p6"}) and len(pool.arrays.names) == 5
    with pytest.raises(InputError, match=r"reward = NaN"):
        read_pool(folder, most_rows=5 * 2 * DRAWS)


def test_files_that_contradict_each_other_are_no_log(tmp_path: Path) -> None:
    from llm_check.logs.log import write_log

    for k, temperature in enumerate((0.7, 1.0)):
        write_log(tmp_path / f"{k}.parquet", one_model(k).slice(k * 8, 8), {"facts": {"temperature": temperature}})
    with pytest.raises(InputError, match=r"1\.parquet says other facts of its draws than .*0\.parquet"):
        llm_check.read_log(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no log at .*empty: give a \.parquet or \.jsonl file, a folder"):
        llm_check.read_log(tmp_path / "empty")
    with pytest.raises(InputError, match=r"no log at .*\*\.parquet"):
        llm_check.read_log(str(tmp_path / "empty" / "*.parquet"))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "a.parquet").write_bytes((tmp_path / "0.parquet").read_bytes()[:200])
    with pytest.raises(InputError, match=r"a\.parquet is not a whole Parquet file"):
        llm_check.read_log(tmp_path / "cut")
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.jsonl").write_text('{"prompt_id": "a", "candidate": 0, "reward": 1}\n')
    (tmp_path / "lines" / "b.jsonl").write_text('{"prompt_id": "a", "candidate": 1}\n{"prompt_id": 3, "reward": 1}\n')
    with pytest.raises(InputError, match=r"b\.jsonl, line 2: no field 'candidate'"):
        llm_check.read_log(tmp_path / "lines")


@pytest.mark.parametrize("name", ["prompt_id", "source", "text"])
def test_text_that_is_not_utf8_is_refused_by_column(name: str, tmp_path: Path) -> None:
    table = two_models().append_column("text", pa.array(["t"] * (2 * PROMPTS * DRAWS)))
    bytes_ = pa.array([b"\xff\xfe" if k == 3 else b"draft" for k in range(table.num_rows)], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), len(bytes_), bytes_.buffers())
    bad = table.set_column(table.column_names.index(name), name, broken)
    pq.write_table(bad, tmp_path / "a.parquet")
    (tmp_path / "many").mkdir()
    pq.write_table(bad, tmp_path / "many" / "a.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "many" / "b.parquet")
    for source in (tmp_path / "a.parquet", tmp_path / "many"):
        for read in (read_pool, llm_check.curve, llm_check.doctor, llm_check.plan):
            with pytest.raises(InputError, match=rf"a\.parquet, column {name}: text that is not UTF-8"):
                read(source)


@pytest.mark.parametrize("where", [0.05, 0.3, 0.6])
def test_broken_pages_are_refused_by_file(where: float, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    pq.write_table(one_model(1), tmp_path / "log" / "a.parquet")
    path = tmp_path / "log" / "b.parquet"
    pq.write_table(one_model().replace_schema_metadata({}), path, row_group_size=40, compression="snappy")
    content = bytearray(path.read_bytes())
    begin = int(where * len(content))
    content[begin : begin + 400] = b"\xff" * 400  # the footer, and so the schema, stays whole
    path.write_bytes(bytes(content))
    for read in (llm_check.read_log, llm_check.curve, llm_check.doctor, llm_check.plan):
        with pytest.raises(InputError, match=r"b\.parquet"):
            read(tmp_path / "log")


def test_provenance_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    pq.write_table(two_models().replace_schema_metadata({b"gsi_pool": b"\xff"}), tmp_path / "a.parquet")
    for read in (read_pool, llm_check.read_log, llm_check.doctor, llm_check.plan):
        with pytest.raises(InputError, match=r"a\.parquet has provenance that is not UTF-8"):
            read(tmp_path / "a.parquet")


def test_memory_is_asked_for_before_a_log_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gsi_theory.arrays.memory.available_memory", lambda: 1000.0)
    with pytest.raises(InputError, match=r"240 rows: about .* of memory are needed"):
        llm_check.read_log(contiguous(tmp_path / "log", one_model()))
