"""What the doctor says that it did not test."""

from __future__ import annotations

import pytest

from llm_check.logs.pools import evidence
from llm_check.logs.pools.diagnosis import diagnose
from llm_check.logs.pools.pool import pool_from_columns
from tests.plants.pool_faults import Sampling, TokenWorld


def test_a_part_that_was_checked_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that fits is checked whole, and nothing is said."""
    pool = pool_from_columns(TokenWorld(4).columns(6, 16, Sampling(), Sampling()))
    rows, positions = pool.arrays.order.size, len(pool.arrays.names)
    monkeypatch.setattr(evidence, "MOST_ROWS", rows)
    assert not [line for line in diagnose(pool).untested if "were checked" in line]
    monkeypatch.setattr(evidence, "MOST_ROWS", rows // positions * 2)
    assert f"draws and ratios of 2 of {positions} positions were checked" in diagnose(pool).untested
