"""The bench beyond a log's draws: its rows on one small log of each kind."""

from __future__ import annotations

from tests.benches.beyond_pool import RANKED, WORLDS, measured_best, measured_pass


def test_rows_of_a_log() -> None:
    rows = measured_pass(WORLDS[0], 40, 16, 1, 0, lambda done, total: None)
    assert [r["kind"] for r in rows] == ["sure, 2 N", "sure, 4 N", "half", "quarter"]
    assert all(r["covered"] for r in rows[:2])
    rows = measured_best(next(iter(RANKED)), 40, 16, 1, 0, lambda done, total: None)
    assert [r["kind"] for r in rows] == ["sure, 2 N", "half", "quarter"] and rows[0]["covered"]
