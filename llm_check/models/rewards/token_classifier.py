"""Rewards of reasoning steps: a learned process reward model, and the exact checker as the gold reward.

A reward belongs to one step given everything before it: the prefix is the token ids of the prompt and the earlier
steps, the step is its own token ids. `ProcessRewardModel.score` returns the softmax probability of class 1 ("right")
at the step's last token, a number in [low, high] = [0, 1]; `checker_reward` returns 0.0 or 1.0. Both are float64.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForTokenClassification

from gsi_theory.errors import InputError
from llm_check.models.decoding.positions import Position
from llm_check.models.engines.checkpoint import load_checkpoint, read_config
from llm_check.models.engines.step_encoder import StepEncoder
from llm_check.models.model_types import Module, Tokenizer
from llm_check.models.rewards.checkpoints import architecture_of
from llm_check.models.tasks.arithmetic import ArithmeticProblem, check_step

__all__ = ["ProcessRewardModel", "checker_reward"]

# Rewards remembered before all are forgotten: about 128 MiB.
_REMEMBERED = 1 << 18

_Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class ProcessRewardModel:
    """A token classifier with two labels, read at the last token of a step; rewards lie in [low, high] = [0, 1].

    A (prefix, step) is remembered, so equal candidates have equal rewards to the last bit.
    """

    model: Module
    tokenizer: Tokenizer
    encoder: StepEncoder
    low: float = 0.0
    high: float = 1.0
    _known: dict[_Pair, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], device: str = "cpu") -> ProcessRewardModel:
        """Load a folder with config.json, a tokenizer and safetensors weights; nothing in it is executed.

        Raises InputError as `load_checkpoint`, and when it is no token classifier with two labels.
        """
        folder = Path(path)
        _require_token_classifier(folder)
        model, tokenizer = load_checkpoint(
            AutoModelForTokenClassification, folder, device, "float32", spare=("lm_head.",)
        )
        return cls(model, tokenizer, StepEncoder(model.base_model, str(folder)))

    @property
    def name(self) -> str:
        """Name for records: the checkpoint folder's own name, without the path on this machine."""
        return Path(str(getattr(self.model.config, "_name_or_path", ""))).name or type(self.model).__name__

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The reward (M,) of M steps (token ids), step i at position i.

        Raises InputError when the lists differ in length, a step or a prefix is empty, or an id is not in the
        vocabulary.
        """
        if len(places) != len(steps):
            raise InputError(f"score got {len(places)} positions and {len(steps)} steps: give one position per step")
        pairs = [(place.prefix, tuple(map(int, step))) for place, step in zip(places, steps, strict=True)]
        pieces = {pair: (place.prompt.ids, *place.path, pair[1]) for place, pair in zip(places, pairs, strict=True)}
        missing = [pair for pair in pieces if pair not in self._known]
        self._check(missing)
        if missing:
            hidden = self.encoder.last_hidden([pieces[pair] for pair in missing])
            self._known.update(zip(missing, self._right(hidden), strict=True))
        rewards = np.array([self._known[pair] for pair in pairs], dtype=np.float64)
        if not np.isfinite(rewards).all():
            place = places[int(np.argmin(np.isfinite(rewards)))]
            raise InputError(
                f"reward {self.name} gave nan for step {place.step} of prompt {place.prompt_id}: a reward must be a "
                "number in [0, 1]; check the reward model's weights"
            )
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return rewards

    def forget(self) -> None:
        """Drop all remembered rewards and prefixes."""
        self._known.clear()
        self.encoder.forget()

    def _right(self, hidden: torch.Tensor) -> list[float]:
        """Softmax probability of class 1 at hidden states (M, d)."""
        with torch.inference_mode():
            found: list[float] = self.model.score(hidden).double().softmax(dim=-1)[:, 1].tolist()
            return found

    def _check(self, pairs: list[_Pair]) -> None:
        vocabulary = self.model.config.vocab_size
        for prefix, step in pairs:
            if not prefix or not step:
                raise InputError(f"score got prefix {list(prefix)} and step {list(step)}: neither may be empty")
            if min(prefix + step) < 0 or max(prefix + step) >= vocabulary:
                raise InputError(f"score got token ids {list(prefix + step)}: use ids in 0..{vocabulary - 1}, unpadded")


def _require_token_classifier(folder: Path) -> None:
    cure = "give the folder of a process reward model, or llm_check.models.tiny.checkpoint_path('prm')"
    config = read_config(folder)
    name = architecture_of(folder, config)
    if not name.endswith("ForTokenClassification"):
        raise InputError(f"{folder} holds {name}, no ...ForTokenClassification: {cure}")
    # transformers leaves out the default of two labels
    labels = config.get("id2label", {"0": "", "1": ""})
    if not isinstance(labels, dict) or len(labels) != 2:
        count = f"{len(labels)} labels" if isinstance(labels, dict) else f"id2label = {labels!r}"
        raise InputError(f"the token classifier at {folder} has {count}, a reward needs 2 (wrong, right): {cure}")


def checker_reward(problem: ArithmeticProblem, step_index: int, step_texts: Sequence[str]) -> NDArray[np.float64]:
    """The gold reward (M,) of M candidates for step number `step_index`: 1.0 where the exact checker says right.

    Raises InputError for a step index outside the task's range.
    """
    return np.array([check_step(problem, step_index, text) for text in step_texts], dtype=np.float64)
