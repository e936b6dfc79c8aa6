"""Finding `failed_rewards`: calls of the reward model that failed, recorded as exactly 0.0 (or -1, or another atom)."""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Floats, Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView

__all__ = ["FAILED_REWARDS", "zero_atom"]

LEAST_ROWS, LEAST_SHARE = 3, 0.005
CONTINUOUS = 0.5  # distinct values among the other rewards, over their number


def zero_atom(reward: Floats) -> int:
    """Rows whose reward is exactly 0.0 where the others are continuous; else 0.

    Of a continuous law no value comes twice, but rounding may make zeros: of rewards with k digits, where others crowd
    within a hundred units of the last one, zeros are of the crowd.
    """
    zero = reward == 0.0
    others, count = reward[~zero], int(zero.sum())
    if count < max(LEAST_ROWS, LEAST_SHARE * reward.size) or others.size < 2 * LEAST_ROWS:
        return 0
    if np.unique(others).size < max(CONTINUOUS * others.size, 8):
        return 0
    grid = next((10.0**-k for k in range(1, 12) if np.allclose(others, np.round(others, k), rtol=0.0, atol=1e-13)), 0.0)
    crowd = int(np.count_nonzero(np.abs(others) < 100.0 * grid))
    return count if count > 10 * crowd else 0


def _failed(view: LogView) -> Record | None:
    reward = view.values("reward")
    if reward is None:
        return None
    reward = reward[~np.isnan(reward)]
    count = zero_atom(reward)
    return {"rows": count, "share": count / reward.size, "value": 0.0} if count else None


FAILED_REWARDS = LogRule(
    "failed_rewards",
    "error",
    "rewards of exactly 0.0 among continuous ones are calls that failed: score these rows again, or make them null and "
    "choose with gsi import --missing",
    Explanation(
        "A reward call that timed out or was refused was recorded as 0.0, which is a reward like any other to whoever "
        "selects: best-of-n avoids these draws for no fault of theirs.",
        "0.231 0.0 0.344 0.582 0.0 0.0 0.119      one value again and again, the others never twice",
        "the client of the reward model: retries and time limits; vLLM and SGLang pooling servers answer an error, not "
        "0.0 (encode, /classify, /pooling); transformers: an exception caught around the forward pass.",
    ),
    _failed,
)
