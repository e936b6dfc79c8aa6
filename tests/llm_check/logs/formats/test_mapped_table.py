"""Logs of other engines as pools: names, units and values are mapped, and bad lines are named."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llm_check.logs.pools.importer import import_log, parse_maps

from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import read_pool

MAPS = [
    "prompt_id=problem.id",
    "step=@0",
    "source=model:small=draft,large=base",
    "candidate=@count",
    "n_tokens=len",
    "logp_draft=small.mean_nll:negative,mean",
    "logp_base=large:log10",
    "reward=score",
    "sampling_temperature=@1.0",
    "text=out",
]


def log(path: Path, changes: dict[int, dict[str, Any]] | None = None) -> Path:
    rows = []
    for i in range(8):
        row = {
            "problem": {"id": f"q{i // 4}"}, "model": "small" if i % 4 < 2 else "large", "len": i + 1,
            "small": {"mean_nll": 0.5}, "large": -1.0 - i, "score": 0.125 * i, "out": f"answer {i}", "extra": [1],
        }  # fmt: skip
        rows.append(row | (changes or {}).get(i, {}))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_names_units_and_values_are_mapped(tmp_path: Path) -> None:
    import_log(log(tmp_path / "log.jsonl"), tmp_path / "p.parquet", parse_maps(MAPS), (0.0, 1.0))
    pool = read_pool(tmp_path / "p.parquet")
    assert pool.keys() == [("q0", 0), ("q1", 0)]
    assert pool.table["source"].to_pylist() == ["draft", "draft", "base", "base"] * 2
    assert pool.table["candidate"].to_pylist() == [0, 1] * 4
    np.testing.assert_allclose(pool.table["logp_draft"].to_numpy(), [-0.5 * (i + 1) for i in range(8)], rtol=1e-15)
    np.testing.assert_allclose(pool.table["logp_base"].to_numpy(), [(-1.0 - i) * math.log(10) for i in range(8)])
    assert pool.table["text"].to_pylist() == [f"answer {i}" for i in range(8)]
    assert set(pool.table["sampling_temperature"].to_pylist()) == {1.0}
    assert pool.metadata["reward"] == {"low": 0.0, "high": 1.0}
    assert "--map logp_draft=small.mean_nll:negative,mean" in pool.metadata["command"]
    assert str(tmp_path) not in json.dumps(pool.metadata)


def test_conversions(tmp_path: Path) -> None:
    changes: dict[int, dict[str, Any]] = {i: {"tokens": [-0.25, -0.5], "p": 0.25, "bits": -3.0} for i in range(8)}
    changes[0]["p"] = 0  # the base cannot draw it
    path = log(tmp_path / "log.jsonl", changes)
    maps = [m for m in MAPS if not m.startswith("logp_")]
    pool = import_log(path, tmp_path / "p.parquet", parse_maps([*maps, "logp_draft=tokens:sum", "logp_base=p:prob"]))
    assert pool.table["logp_draft"].to_pylist() == [-0.75] * 8
    assert pool.table["logp_base"].to_pylist() == [-math.inf] + [math.log(0.25)] * 7
    pool = import_log(path, tmp_path / "q.parquet", parse_maps([*maps, "logp_draft=bits:log2", "logp_base=bits:log2"]))
    np.testing.assert_allclose(pool.table["logp_base"].to_numpy(), -3 * math.log(2))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "not a number": ({"large": "low"}, r'line 4, logp_base = "low": log10 does not take it'),
    "absent": ({"problem": {}}, r"line 4: no field 'problem\.id', correct the map of prompt_id"),
    "unknown model": ({"model": "medium"}, r'line 4, source = "medium": use one of draft, base'),
    "not finite": ({"score": math.nan}, r"line 4, reward = NaN: give a finite reward"),
    "outside its range": ({"score": 2.0}, r"line 4, reward = 2\.0: outside the stated range \[0, 1\]"),
    "probability as log-probability": ({"large": 0.5}, r"line 4, logp_base = 1\.15.*at most 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_lines_are_named(tmp_path: Path, name: str) -> None:
    changes, message = BAD[name]
    with pytest.raises(InputError, match=message):
        import_log(log(tmp_path / "log.jsonl", {3: changes}), tmp_path / "p.parquet", parse_maps(MAPS), (0.0, 1.0))
    assert not (tmp_path / "p.parquet").exists()


def test_bad_maps_are_refused() -> None:
    for text, message in (
        ("logp_small=x", "write FIELD=THEIRS"),
        ("reward", "write FIELD=THEIRS"),
        ("logp_base=x:ln", "no conversion 'ln'"),
    ):
        with pytest.raises(InputError, match=message):
            parse_maps([text])
    with pytest.raises(InputError, match="reward is mapped twice"):
        parse_maps(["reward=a", "reward=b"])


def test_the_command(tmp_path: Path) -> None:
    log(tmp_path / "log.jsonl")
    given = [text for item in MAPS for text in ("--map", item)]
    call = [sys.executable, "-m", "gsi_theory.cli", "pool", str(tmp_path / "p.parquet")]
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [*call, "--import", str(tmp_path / "log.jsonl"), *given], capture_output=True, text=True, cwd=root
    )
    assert done.returncode == 0, done.stderr
    assert "8 candidates at 2 positions" in " ".join(done.stdout.split())
    done = subprocess.run([*call, *given], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--map and --reward-range without --import" in done.stderr
