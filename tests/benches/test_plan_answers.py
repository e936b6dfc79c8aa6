"""The bench of answers: its worlds are as they say, and its counts by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_check.logs.pools.pool import write_pool
from tests.benches.plan_answers import ATOMS, CASES, Case, dealt, outcome, real_world, summary


def test_worlds_have_the_spread_the_correlation_and_the_atoms_they_state() -> None:
    assert len(CASES) >= 20 and {c.spread for c in CASES} >= {1.0, 5.0}
    for spread, correlation in ((1.0, 0.2), (3.0, 0.6)):
        world = real_world(np.random.default_rng(1), spread, correlation)
        mass, ratio = np.exp(world.log_base), world.log_base - world.log_draft
        assert set(np.unique(world.reward)) == set(ATOMS)
        apart = ratio - (mass * ratio).sum(axis=1, keepdims=True)
        reward = world.reward - (mass * world.reward).sum(axis=1, keepdims=True)
        size, other = (np.sqrt((mass * x**2).sum(axis=1)) for x in (apart, reward))
        assert np.mean(size) == pytest.approx(spread, rel=0.15)
        assert np.mean((mass * apart * reward).sum(axis=1) / (size * other)) == pytest.approx(correlation, abs=0.1)


def test_no_option_of_a_pool_is_better_than_its_best() -> None:
    pool, truth = Case(1.0, 0.2, 12, 16).pools(3)
    assert set(pool.arrays.names) == set(truth.arrays.names)
    same = outcome(pool, pool, (2.0, 20.0), (1, 4))
    assert same["naive_regret"] == pytest.approx(0.0, abs=1e-12) and same["gain"] > 0
    fresh = outcome(pool, truth, (2.0, 20.0), (1, 4))
    assert fresh["gain"] == same["gain"] and fresh["naive_regret"] >= 0.0
    assert fresh["regret"] is None or fresh["regret"] >= 0.0


def test_shares_by_hand() -> None:
    rows = [
        {"shown": True, "answered": True, "regret": 0.01, "regret_se": 0.02, "kept": True},
        {"shown": True, "answered": False, "regret": None, "regret_se": None, "kept": None},
        {"shown": False, "answered": True, "regret": 0.2, "regret_se": 0.01, "kept": False},
    ]
    assert summary(rows) == {  # type: ignore[arg-type]
        "cases": 3, "shown": 2, "answered_of_shown": 0.5, "answers": 2, "small_regret": 0.5, "largest_regret": 0.2,
        "largest_regret_se": 0.02, "promises": 2, "promises_kept": 1,
    }  # fmt: skip


def test_of_the_cheaper_half_only_those_options_count(tmp_path: Path) -> None:
    pool, truth = Case(1.0, 0.6, 12, 16).pools(3)
    whole, cheap = (outcome(pool, truth, (2.0, 20.0), (1, 4), cheap=c) for c in (False, True))
    assert cheap["gain"] < whole["gain"]
    write_pool(tmp_path / "large.parquet", pool.table, {})
    cases = list(dealt(tmp_path / "large.parquet", 5, 0))
    assert len(cases) == 2
    for _, planned, rest in cases:
        inside, outside = ({key[0] for key in part.positions("draft")} for part in (planned, rest))
        assert (
            len(inside) == 5 and len(outside) == 7 and inside | outside == {key[0] for key in pool.positions("draft")}
        )
