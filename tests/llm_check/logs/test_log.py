"""Logs of one model: what they need, what stands for several draws, and who reads them."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llm_check
from gsi_theory.cli import main
from gsi_theory.errors import InputError
from llm_check.logs.formats.log_import import ImportChoices
from llm_check.logs.log import draw_counts, write_log

ROWS: list[dict[str, Any]] = [
    {"prompt_id": p, "candidate": k, "reward": k / 4, "correct": k > 1, "answer": None if k == 3 else str(k)}
    for p in ("a", "b")
    for k in range(4)
]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_log_is_written_and_read_from_everywhere(tmp_path: Path) -> None:
    import pandas as pd

    log = llm_check.read_log(lines(tmp_path / "l.jsonl", ROWS))
    assert (log.models, log.values, log.draws, log.prompts) == (1, ("reward", "correct", "answer"), 8, 2)
    assert log.table["source"].unique().to_pylist() == ["one"] and log.table["step"].unique().to_pylist() == [0]
    write_log(tmp_path / "l.parquet", log.table, {"facts": {"iid": True}})
    again = llm_check.read_log(str(tmp_path / "l.parquet"))
    assert again.table.equals(log.table) and again.facts == {"iid": True}
    table = pa.Table.from_pylist(ROWS)
    for source in (table, pd.DataFrame(ROWS), ROWS):
        assert llm_check.read_log(source).table.equals(log.table)
    pq.write_table(table, tmp_path / "bare.parquet")
    assert llm_check.read_log(tmp_path / "bare.parquet").table.equals(log.table)
    lines(tmp_path / "c.jsonl", [row | {"prompt_id": row["prompt_id"] * 2} for row in ROWS])
    assert llm_check.read_log([tmp_path / "l.jsonl", tmp_path / "c.jsonl"]).prompts == 4
    frame = pd.DataFrame({"q": [1, 1], "s": [0.5, math.nan]})
    from llm_check.logs.formats.field_maps import parse_maps

    choices = ImportChoices(maps=tuple(parse_maps(["prompt_id=q", "reward=s"])), missing="drop-row")
    assert llm_check.read_log(frame, choices).table["prompt_id"].to_pylist() == ["1"]
    for nothing in (3, [], None, [1, 2], {"a": 1}):
        with pytest.raises(InputError, match=r"a log given as|no log"):
            llm_check.read_log(nothing)


def test_a_datasets_table_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_list(ROWS).select([5, 0])
    assert llm_check.read_log(made).table["prompt_id"].to_pylist() == ["b", "a"]


FAULTS = [
    ({"candidate": -1}, "line 2, candidate = -1: count from 0"),
    ({"candidate": 0}, "line 2, candidate = 0: already used at line 1"),
    ({"reward": None}, "line 2, reward = null"),
    ({"reward": math.inf}, "line 2, reward = Infinity: give a finite reward"),
    ({"source": "draft"}, 'source "one" beside others|use one of one'),
    ({"logp_draft": 0.5}, "line 2, logp_draft = 0.5: .*at most 0"),
    ({"count": 0}, "line 2, count = 0: a row stands for at least 1 draw"),
    ({"prompt_id": None}, "line 2, prompt_id = null"),
    ({"correct": "yes"}, 'line 2, correct = "yes": write it as bool'),
]


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=[w for _, w in FAULTS])
def test_bad_rows(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    rows[1] |= change
    if "source" in change:
        rows = [{"source": "one", **row} for row in rows]
    with pytest.raises(InputError, match=words):
        llm_check.read_log(lines(tmp_path / "l.jsonl", rows))


def test_a_log_needs_something_to_choose_by(tmp_path: Path) -> None:
    bare = [{"prompt_id": "a", "candidate": k} for k in range(3)]
    with pytest.raises(InputError, match="has no reward, correct or answer: a log of one model needs one of them"):
        llm_check.read_log(lines(tmp_path / "l.jsonl", bare))
    drawn = llm_check.read_log(lines(tmp_path / "d.jsonl", [row | {"text": "x"} for row in bare]))
    assert drawn.values == ()
    with pytest.raises(
        InputError, match=r"lacks the column.* candidate: a log of one model needs prompt_id, candidate"
    ):
        write_log(tmp_path / "x.parquet", pa.table({"prompt_id": ["a"], "reward": [1.0]}), {})


def test_counts_give_pass_at_k_of_ten_thousand_draws(tmp_path: Path) -> None:
    """Two rows a prompt; the same numbers as from rows that stand for one draw each, by all subsets."""
    few = [{"prompt_id": "a", "candidate": 0, "correct": True, "count": 2},
           {"prompt_id": "a", "candidate": 2, "correct": False, "count": 3}]  # fmt: skip
    log = llm_check.read_log(lines(tmp_path / "l.jsonl", few))
    assert (log.draws, log.table.num_rows) == (5, 2)
    counts = draw_counts(log.table)
    right = int(counts[log.table["correct"].to_numpy(zero_copy_only=False)].sum())
    draws = [True] * right + [False] * (log.draws - right)
    for k in range(1, 6):
        subsets = list(combinations(draws, k))
        exact = sum(map(any, subsets)) / len(subsets)
        assert 1 - math.comb(log.draws - right, k) / math.comb(log.draws, k) == pytest.approx(exact, abs=1e-15)
    few[1]["candidate"] = 1
    with pytest.raises(InputError, match="line 2, candidate = 1: already used at line 1"):
        llm_check.read_log(lines(tmp_path / "l.jsonl", few))


def test_a_pool_has_no_counts(tmp_path: Path) -> None:
    row = {"prompt_id": "a", "step": 0, "source": "draft", "candidate": 0, "logp_draft": -1.0, "logp_base": -1.0}
    with pytest.raises(InputError, match="count = 2: logs of one model alone have counts"):
        llm_check.read_pool(lines(tmp_path / "p.jsonl", [row | {"reward": 1.0, "count": 2}]))
    log = llm_check.read_log(lines(tmp_path / "p.jsonl", [row | {"reward": 1.0}]))
    assert log.models == 2 and log.pool().keys() == [("a", 0)]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("source", [{}, {"source": "one"}])
def test_what_reads_pools_says_what_it_is(
    suffix: str, source: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**source, **row} for row in ROWS]
    path = lines(tmp_path / "l.jsonl", rows)
    if suffix == "parquet":
        path = tmp_path / "l.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
    for strict in (True, False):
        with pytest.raises(InputError, match="is a log of one model: gsi curve reads it"):
            llm_check.read_pool(path, strict)
    with pytest.raises(InputError, match="a log of one model is no pool"):
        llm_check.read_log(path).pool()
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(path)])
    assert not ended.value.code and "of one model" in capsys.readouterr().out
