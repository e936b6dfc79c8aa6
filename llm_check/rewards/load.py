"""Load a reward model by name: a checkpoint folder, whose config.json says which kind it is, or a kind by its name."""

from __future__ import annotations

from typing import Any

from llm_check.rewards.contract import RewardModel
from llm_check.rewards.token_classifier import ProcessRewardModel

__all__ = ["load_reward"]


def load_reward(spec: str, tokenizer: Any, *, device: str = "cpu", dtype: str = "float32") -> RewardModel:
    """The reward model named by `spec`; `tokenizer` is the policies'."""
    return ProcessRewardModel.from_pretrained(spec, device)
