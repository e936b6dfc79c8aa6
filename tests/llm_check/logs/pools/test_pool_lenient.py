"""Reading a pool with strict=False: bad rows are listed, their prompts left out, everything else untouched."""

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

from gsi_theory.errors import InputError
from llm_check.logs.pools.diagnosis import doctor
from llm_check.logs.pools.pool import read_pool, write_pool
from llm_check.logs.pools.pool_files import METADATA_KEY

PROMPTS, EACH = 6, 3


def columns() -> dict[str, list[Any]]:
    """6 prompts, 3 draft and 3 base candidates each, in order: prompt p{k} has rows 6k to 6k + 5."""
    keys = [(f"p{k}", 0, source, i) for k in range(PROMPTS) for source in ("draft", "base") for i in range(EACH)]
    made: dict[str, list[Any]] = {
        name: [key[i] for key in keys] for i, name in enumerate(("prompt_id", "step", "source", "candidate"))
    }
    for name in ("logp_draft", "logp_base"):
        made[name] = [-1.0 - 0.01 * i for i in range(len(keys))]
    return made | {"reward": [0.5] * len(keys), "n_tokens": [3] * len(keys), "sampling_temperature": [1.0] * len(keys)}


# row, field, value, words of the reason
FAULTS = [
    (1, "logp_draft", math.nan, "log-probability in nats"),
    (7, "logp_base", math.inf, "log-probability in nats"),
    (8, "n_tokens", -4, "at least 0 tokens"),
    (13, "source", "target", "use one of draft, base"),
    (20, "reward", 1.5, r"outside the stated range [0, 1]"),
    (26, "sampling_temperature", 0.7, "other rows have 1.0"),
    (26, "candidate", 1, "already used at row 25"),
]


def bad_file(folder: Path, faults: list[tuple[int, str, Any, str]]) -> Path:
    made = columns()
    for row, field, value, _ in faults:
        made[field][row] = value
    metadata = {METADATA_KEY: json.dumps({"reward": {"low": 0.0, "high": 1.0}}).encode()}
    pq.write_table(pa.table(made).replace_schema_metadata(metadata), folder / "p.parquet")
    return folder / "p.parquet"


def test_bad_rows_are_listed_and_their_prompts_left_out(tmp_path: Path) -> None:
    pool = read_pool(bad_file(tmp_path, FAULTS), strict=False)
    assert pool.keys() == [("p5", 0)]
    assert pool.prompts_left_out == 5
    assert len(pool.left_out) == len(FAULTS)
    for found, (row, field, value, words) in zip(pool.left_out, FAULTS, strict=True):
        assert (found.row, found.field, found.prompt_id) == (row, field, f"p{row // 6}")
        assert found.value == value or math.isnan(value)
        assert words in found.reason
    assert pool.table.num_rows == 2 * EACH
    told = pool.left_out_record()
    assert (told["rows"], told["prompts"]) == (len(FAULTS), 5)
    for fault, (row, field, value, words) in zip(told["faults"], FAULTS, strict=True):
        assert (fault["row"], fault["field"]) == (row, field) and words in fault["said"]
        assert fault["value"] == ("NaN" if value != value else value)  # NaN is no JSON
    good = columns()
    assert pool.table["logp_draft"].to_pylist() == good["logp_draft"][30:]


@pytest.mark.parametrize("row", range(len(FAULTS)))
def test_strict_stops_at_each_fault(tmp_path: Path, row: int) -> None:
    place, field, _, words = FAULTS[row]
    with pytest.raises(InputError, match=rf"row {place}, {field} = ") as caught:
        read_pool(bad_file(tmp_path, FAULTS[row : row + 1]))
    assert words in str(caught.value)


def test_strict_names_the_first_bad_row_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1, logp_draft = NaN"):
        read_pool(bad_file(tmp_path, FAULTS[::-1]))


def test_a_good_pool_leaves_nothing_out(tmp_path: Path) -> None:
    pool = read_pool(bad_file(tmp_path, []), strict=False)
    assert pool.left_out == () and pool.prompts_left_out == 0
    assert pool.table.num_rows == PROMPTS * 2 * EACH


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    faults = [(6 * k, "reward", math.nan, "") for k in range(PROMPTS)]
    with pytest.raises(InputError, match=r"no prompt without a bad row: row 0, reward = NaN.*; 6 of 6 faults"):
        read_pool(bad_file(tmp_path, faults), strict=False)


def test_lines_that_are_no_rows_are_left_out_by_number(tmp_path: Path) -> None:
    made = columns()
    lines = [json.dumps(dict(zip(made, row, strict=True))) for row in zip(*made.values(), strict=True)]
    lines[2] = lines[2][:-1]  # not JSON: nothing says whose it is
    lines[9] = lines[9].replace('"reward"', '"rewards"')
    lines[14] = lines[14].replace('"step": 0', '"step": "x"')
    path = tmp_path / "p.jsonl"
    path.write_text("\n\n" + "\n".join(lines) + "\n")
    pool = read_pool(path, strict=False)
    assert [(f.row, f.field, f.prompt_id) for f in pool.left_out] == [
        (5, "", None),
        (12, "reward", "p1"),
        (17, "step", "p2"),
    ]
    assert [key[0] for key in pool.arrays.names] == ["p0", "p3", "p4", "p5"]
    assert len(pool.rows("p0", 0, "draft")) == 2
    with pytest.raises(InputError, match=r"line 5, column \d+"):
        read_pool(path)


def test_groups_are_the_rows_of_each_position_and_source(tmp_path: Path) -> None:
    made = columns()
    order = np.random.default_rng(0).permutation(len(made["reward"]))
    shuffled = {name: [values[i] for i in order] for name, values in made.items()}
    pool = write_pool(tmp_path / "p.parquet", shuffled, {})
    arrays = pool.arrays
    assert len(arrays.starts) == 2 * PROMPTS + 1
    first_seen = list(dict.fromkeys(shuffled["prompt_id"]))
    assert [key[0] for key in arrays.names] == first_seen
    seen = 0
    for g, (position, base) in enumerate(zip(arrays.set_position, arrays.set_is_base, strict=True)):
        rows = arrays.order[arrays.starts[g] : arrays.starts[g + 1]]
        taken = pool.table.take(pa.array(rows))
        assert set(taken["prompt_id"].to_pylist()) == {arrays.names[position][0]}
        assert set(taken["source"].to_pylist()) == {"base" if base else "draft"}
        assert taken["candidate"].to_pylist() == list(range(EACH))
        seen += len(rows)
    assert seen == pool.table.num_rows


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("strict", [True, False])
def test_a_large_pool_is_read_in_two_gibibytes(tmp_path: Path, strict: bool) -> None:
    """250,000 rows with one bad one (strict=False), in a process of its own: a quarter of the million that the bar
    names (measured there: 0.53 GiB), held to a quarter of its bound."""
    n, each = 250_000, 250
    prompts = np.repeat([f"problem-{i}" for i in range(n // (2 * each))], 2 * each)
    table = pa.table({
        "prompt_id": pa.array(prompts), "step": np.zeros(n, np.int32),
        "source": pa.array(np.tile(np.repeat(["draft", "base"], each), n // (2 * each))),
        "candidate": np.tile(np.arange(each, dtype=np.int32), n // each),
        "logp_draft": np.full(n, -1.0), "logp_base": np.full(n, -1.0),
        "reward": np.r_[np.nan if not strict else 0.5, np.full(n - 1, 0.5)], "sampling_temperature": np.ones(n),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "p.parquet")
    code = (
        "import sys; from llm_check.logs.pools.pool import read_pool;"
        f"pool = read_pool(sys.argv[1], strict={strict}); [pool.draft_candidates(*k) for k in pool.keys()];"
        "status = open('/proc/self/status').read().split();"
        "print(status[status.index('VmHWM:') + 1], len(pool.left_out))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "p.parquet")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4],
    )  # fmt: skip
    peak, left_out = done.stdout.split()
    assert int(peak) < 512 * 1024  # KiB
    assert int(left_out) == (0 if strict else 1)


def test_the_doctor_is_lenient_unless_told(tmp_path: Path) -> None:
    path = bad_file(tmp_path, FAULTS[:1])
    assert doctor(path).left_out["rows"] == 1
    with pytest.raises(InputError, match="row 1, logp_draft"):
        doctor(path, strict=True)


def test_where_no_prompt_is_left_the_first_fault_is_named_and_the_others_counted(tmp_path: Path) -> None:
    def rows(*values: float | str) -> str:
        made = [
            {"prompt_id": "a", "step": 0, "source": "draft", "candidate": k, "logp_draft": -1.0, "logp_base": -1.0}
            | ({"reward": value} if isinstance(value, float) else {"reward": 0.5, "logp_base": 1.0})
            for k, value in enumerate(values)
        ]
        return "".join(json.dumps(row) + "\n" for row in made)

    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    for text, more in ((rows(2e100, 0.5), ""), (rows(2e100, 3e100), "; 2 of 2 faults are of that field"),
                       (rows(2e100, "b"), "; 1 of 2 faults are of that field")):  # fmt: skip
        one.write_text(text)
        with pytest.raises(InputError) as error:
            read_pool(one, strict=False)
        assert str(error.value).startswith(f"{one} has no prompt without a bad row: line 1, reward = 2e+100")
        assert str(error.value).endswith(more) and ("of that field" in str(error.value)) == bool(more)
    two.write_text(rows("b"))
    with pytest.raises(InputError, match=f"^{one} has no prompt without a bad row: .*one.jsonl, row or line 1, "):
        read_pool([one, two], strict=False)
