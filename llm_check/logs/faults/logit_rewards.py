"""Finding `logit_rewards`: rewards without bounds, most of them negative or spread over both sides: logits."""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Record
from llm_check.logs.pools.finding import Explanation, LogRule
from llm_check.logs.pools.log_view import LogView
from llm_check.logs.pools.pool import reward_range

__all__ = ["LOGIT_REWARDS"]

LEAST_NEGATIVE = 0.05
LEAST_SPAN = 2.0  # a score in [-1, 1] is one with bounds


def _logits(view: LogView) -> Record | None:
    reward = view.values("reward")
    if reward is None or np.isfinite(reward_range(view.metadata)).all():
        return None
    reward = reward[~np.isnan(reward)]
    if reward.size < 10 or np.unique(reward).size < max(8, 0.2 * reward.size):
        return None
    negative, span = float(np.mean(reward < 0)), float(reward.max() - reward.min())
    if negative < LEAST_NEGATIVE or span <= LEAST_SPAN or reward.min() >= -1.0:
        return None
    return {"low": float(reward.min()), "high": float(reward.max()), "share_negative": negative}


LOGIT_REWARDS = LogRule(
    "logit_rewards",
    "warning",
    "rewards look like logits: β multiplies them as they are, and means follow the extremes; use their sigmoid, or "
    "state the range (gsi import --reward-range LOW HIGH) if they are meant so",
    Explanation(
        "The head of a reward model gives a logit; most papers use its sigmoid, in [0, 1]. Votes weighted with "
        "negative rewards, products and last-step scores of logits mean nothing.",
        "-4.1 0.7 -2.2 3.9 -6.0      no bounds, both signs",
        "vLLM: --override-pooler-config / PoolerConfig(activation=True), older softmax=True; SGLang: /classify "
        "returns raw values; transformers: outputs.logits, take sigmoid() or softmax().",
    ),
    _logits,
)
