"""The ends of what a number in a pool may be: the last one that fits, and the next float."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsi_theory import InputError
from llm_check.logs.pools.pool import Pool, pool_from_columns, read_pool
from llm_check.logs.pools.row_checks import checked_range

COLUMNS: dict[str, list[Any]] = {
    "prompt_id": ["a", "a"],
    "step": [0, 0],
    "source": ["draft", "base"],
    "candidate": [0, 0],
    "logp_draft": [-1.0, -2.0],
    "logp_base": [-1.5, -2.5],
    "reward": [0.5, 0.25],
}


def pool(**changed: Any) -> Pool:
    return pool_from_columns(COLUMNS | changed)


@pytest.mark.parametrize(
    ("column", "last", "towards", "words"),
    [
        ("logp_draft", -1e9, -np.inf, r"no step is below -1e\+09 nats"),
        ("logp_base", -1e9, -np.inf, r"no step is below -1e\+09 nats"),
        ("logp_draft", 1e-6, np.inf, "at most 0"),
        ("logp_base", 1e-6, np.inf, "at most 0"),
        ("reward", 1e100, np.inf, r"within ±1e\+100"),
        ("reward", -1e100, -np.inf, r"within ±1e\+100"),
        ("gold_reward", 1e100, np.inf, r"within ±1e\+100"),
    ],
)
def test_the_last_number_that_fits(column: str, last: float, towards: float, words: str) -> None:
    assert pool(**{column: [last, -0.5]}).arrays.floats(column)[0] == last
    with pytest.raises(InputError, match=words):
        pool(**{column: [float(np.nextafter(last, towards)), -0.5]})


@pytest.mark.parametrize(
    ("last", "towards", "words"), [(-1e9, -np.inf, "no token is below"), (1e-6, np.inf, "at most 0, for each token")]
)
def test_the_last_number_of_a_token_that_fits(last: float, towards: float, words: str) -> None:
    ids = {"token_ids": [[3], [4]]}
    pool(token_logp_draft=[[last], [-2.0]], **ids)
    with pytest.raises(InputError, match=words):
        pool(token_logp_draft=[[float(np.nextafter(last, towards))], [-2.0]], **ids)


def test_a_range_has_two_ends_in_order() -> None:
    assert checked_range(None, 1, "range") == (-np.inf, 1.0)
    assert checked_range(-0.5, None, "range") == (-0.5, np.inf)
    for low, high in ((1.0, 1.0), (2.0, 1.0), (True, 2.0), ("0", 1.0), (float("nan"), 1.0), (None, -np.inf)):
        with pytest.raises(InputError, match=r"range .*give the lowest"):
            checked_range(low, high, "range")


def test_a_column_of_several_types_is_named_with_its_lines(tmp_path: Path) -> None:
    row = {"prompt_id": "a", "step": 0, "logp_draft": -1.0, "logp_base": -1.5, "reward": 0.5}
    rows = [row | {"source": s, "candidate": c, "note": n} for s, c, n in (("draft", 0, 1), ("draft", 1, "x"))]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in [*rows, rows[0] | {"candidate": 2}]), encoding="utf-8")
    with pytest.raises(InputError, match=r"pool\.jsonl, lines 1 to 3, column note: several types"):
        read_pool(path)


def test_columns_are_read_strictly() -> None:
    """A bad row of one prompt is an error, though another prompt is good."""
    two = {name: column * 2 for name, column in COLUMNS.items()} | {"prompt_id": ["a", "a", "b", "b"]}
    assert pool_from_columns(two).keys() == [("a", 0), ("b", 0)]
    with pytest.raises(InputError, match="row 2, reward = NaN"):
        pool_from_columns(two | {"reward": [0.5, 0.25, float("nan"), 0.25]})
