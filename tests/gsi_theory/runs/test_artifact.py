"""Artifacts: round trip, refusal of NaN and broken files, same bytes, and the test for resuming."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.runs.artifact import is_current, read_artifact, write_artifact

RECORD = {"command": "gsi x", "seed": 0, "versions": {"python": "3"}, "commit": "abc"}


def test_round_trip_and_same_bytes(tmp_path) -> None:
    tables = {"t": {"a": np.array([1.5, math.inf, -math.inf]), "b": ["x", None, "y"]}}
    one = write_artifact(tmp_path / "one.json", "x", RECORD, {"k": np.int64(3)}, tables)
    two = write_artifact(tmp_path / "two.json", "x", RECORD, {"k": np.int64(3)}, tables)
    assert one.read_bytes() == two.read_bytes()
    found = read_artifact(one, "x")
    assert found.tables["t"] == {"a": [1.5, math.inf, -math.inf], "b": ["x", None, "y"]}
    assert found.summary == {"k": 3}


def test_nan_is_refused_and_nothing_stays(tmp_path) -> None:
    with pytest.raises(InputError, match=r"NaN at x.tables.t.a\[1\]"):
        write_artifact(tmp_path / "x.json", "x", RECORD, {}, {"t": {"a": [1.0, math.nan]}})
    with pytest.raises(InputError, match="unequal length"):
        write_artifact(tmp_path / "x.json", "x", RECORD, {}, {"t": {"a": [1.0], "b": []}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 9}'])
def test_broken_files_are_named(text: str, tmp_path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"broken\.json"):
        read_artifact(path)


def test_is_current_only_for_the_same_run(tmp_path) -> None:
    path = write_artifact(tmp_path / "x.json", "x", RECORD, {}, {})
    assert is_current(path, "x", RECORD)
    assert not is_current(path, "x", RECORD | {"seed": 1})
    assert not is_current(path, "y", RECORD)
    assert not is_current(tmp_path / "none.json", "x", RECORD)
    changed = RECORD | {"commit": "abc+changes"}
    path = write_artifact(tmp_path / "x.json", "x", changed, {}, {})
    assert not is_current(path, "x", changed)
