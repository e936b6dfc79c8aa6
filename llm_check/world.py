"""Two policies, a reward model and a step rule, loaded together: the embedded world, or folders of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from llm_check.engines.contract import require_same_vocabulary
from llm_check.engines.transformers_engine import TransformersEngine
from llm_check.rewards.token_classifier import ProcessRewardModel
from llm_check.steps import StepRule, step_rule
from llm_check.tiny import STEP_MAX_TOKENS, checkpoint_path, step_delimiter

__all__ = ["World", "load_world"]


@dataclass(frozen=True)
class World:
    """draft, base: engines with one vocabulary; reward_model; rule: where a step ends."""

    draft: TransformersEngine
    base: TransformersEngine
    reward_model: ProcessRewardModel
    rule: StepRule


def load_world(
    draft: Path | None = None,
    base: Path | None = None,
    reward: Path | None = None,
    max_tokens: int = STEP_MAX_TOKENS,
    device: str = "cpu",
    dtype: str = "float32",
) -> World:
    """Load checkpoints; None takes the embedded one. Raises InputError for what cannot be loaded or does not match.

    With the embedded pair torch is set to one thread: on models this small, threads wait for each other (on two cores
    the same work took five times as long).
    """
    if draft is None and base is None:
        torch.set_num_threads(1)
    engines = [
        TransformersEngine.load(path or checkpoint_path(name), device, dtype)
        for name, path in (("draft", draft), ("base", base))
    ]
    require_same_vocabulary(*engines)
    reward_model = ProcessRewardModel.from_pretrained(reward or checkpoint_path("prm"), device)
    return World(engines[0], engines[1], reward_model, step_rule(engines[0].tokenizer, step_delimiter(), max_tokens))
