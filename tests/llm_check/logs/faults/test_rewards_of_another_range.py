"""Rewards that are not bound to [0, 1] are no fault; a few far from it are error codes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from llm_check.logs.formats.log_import import read_log
from llm_check.logs.pools.diagnosis import doctor


def _found(rewards: np.ndarray) -> set[str]:
    rows = rewards.size
    table = pa.table({"prompt_id": np.repeat([f"p{k}" for k in range(rows // 20)], 20).tolist(), "reward": rewards})
    return {
        finding.id
        for finding in doctor(
            read_log(table.append_column("candidate", pa.array(np.tile(np.arange(20), rows // 20))))
        ).findings
    }


@pytest.mark.parametrize("seed", range(5))
def test_rewards_that_reach_beyond_one_are_of_another_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert "reward_range" not in _found(rng.normal(0.5, 0.25, size=400))  # some 2 % on either side
    assert "reward_range" not in _found(rng.normal(0.0, 4.0, size=400))  # logits
    assert "reward_range" not in _found(rng.beta(2.0, 2.0, size=400))


@pytest.mark.parametrize("code", [-1.0, 2.0, 999.0, -9999.0])
def test_a_few_codes_far_from_the_others_are_no_rewards(code: float) -> None:
    rng = np.random.default_rng(1)
    rewards = rng.beta(2.0, 2.0, size=400)
    rewards[rng.choice(400, size=12, replace=False)] = code
    assert "reward_range" in _found(rewards)
