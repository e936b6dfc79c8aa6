"""Which rewards lie outside [0, 1], and which is named."""

from __future__ import annotations

import pytest

from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.self_checks import check_rewards


@pytest.mark.parametrize(
    ("rewards", "outside", "named"),
    [
        ([0.0, 1.0, 0.5, 0.25], 0, None),
        ([0.5, -0.5, 0.25, 0.0], 1, -0.5),
        ([0.5, 0.25, 1.5, 1.0], 1, 1.5),
        ([0.5, 1.5, -0.5, 0.0], 2, 1.5),  # the first
    ],
)
def test_rewards_outside_the_unit_interval(rewards: list[float], outside: int, named: float | None) -> None:
    columns = {
        "prompt_id": ["a", "a", "b", "b"],
        "step": [0] * 4,
        "source": ["draft", "base"] * 2,
        "candidate": [0] * 4,
        "logp_draft": [-1.0, -2.0, -1.5, -2.5],
        "logp_base": [-1.1, -2.1, -1.4, -2.4],
        "reward": rewards,
    }
    found = check_rewards(pool_from_columns(columns).arrays)
    assert (found.low, found.high, found.outside) == (min(rewards), max(rewards), outside)
    if named is not None:
        assert found.value == named
