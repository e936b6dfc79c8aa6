"""A reward model that reads question and solution so far as one text: any sequence classifier of transformers.

One label: its number as it is ("raw", no bounds) or its sigmoid ("sigmoid", in [0, 1]). Two labels: the softmax
probability of class 1 ("softmax", in [0, 1]). Which of these a reward is decides what beta means, so it is a setting,
stated and recorded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.prompting import chat_ids, closing_ids
from llm_check.models.engines.checkpoint import load_model, load_tokenizer
from llm_check.models.model_types import Module, Tokenizer
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce, require_context
from llm_check.models.rewards.text import encode_literally, question_text, step_texts

__all__ = ["ACTIVATIONS", "Activation", "SequenceClassifierReward", "load_sequence_classifier"]

# Tokens in one forward, padding included.
_TOKENS = 1 << 15


@dataclass(frozen=True)
class Activation:
    """From logits (M, labels) to rewards (M,) in [low, high]."""

    labels: int
    reward: Callable[[Tensor], Tensor]
    low: float
    high: float


ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": Activation(1, lambda logits: logits[:, 0].sigmoid(), 0.0, 1.0),
    "raw": Activation(1, lambda logits: logits[:, 0], -math.inf, math.inf),
    "softmax": Activation(2, lambda logits: logits.softmax(dim=-1)[:, 1], 0.0, 1.0),
}


@dataclass(frozen=True)
class SequenceClassifierReward(ScoredOnce):
    """A loaded classifier; steps are joined by a blank line, in the assistant's turn where there is a chat template.

    name: for records
    model: the classifier of transformers
    activation: from its logits to rewards
    low, high: the activation's range
    tokenizer: the classifier's own
    policy_tokenizer: decodes the steps
    settings: what a run records: architecture, activation, dtype
    memory: rewards already computed
    """

    name: str
    model: Module
    activation: Activation
    low: float
    high: float
    tokenizer: Tokenizer
    policy_tokenizer: Tokenizer
    settings: Mapping[str, Json]
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def ids(self, place: Position, step: Sequence[int]) -> tuple[int, ...]:
        """What the model reads, as ids."""
        question = question_text(place)
        solution = "\n\n".join(step_texts(place, step, self.policy_tokenizer))
        if getattr(self.tokenizer, "chat_template", None):
            asked = chat_ids(self.tokenizer, [{"role": "user", "content": question}])
            return asked + encode_literally(self.tokenizer, solution) + closing_ids(self.tokenizer)
        return tuple(self.tokenizer(f"{question}\n\n{solution}", split_special_tokens=True)["input_ids"])

    def compute(self, pairs: list[Pair]) -> list[float]:
        sequences = [self.ids(place, step) for place, step in pairs]
        context = getattr(self.model.config, "max_position_embeddings", None) or math.inf
        for (place, _), ids in zip(pairs, sequences, strict=True):
            require_context(self.name, place, len(ids), context)
        # Equal lengths together: no padding, so no classifier's own idea of padding matters.
        rewards: dict[int, float] = {}
        for length in sorted(set(map(len, sequences))):
            same = [i for i, ids in enumerate(sequences) if len(ids) == length]
            block = max(1, _TOKENS // length)
            for start in range(0, len(same), block):
                part = same[start : start + block]
                rewards |= zip(part, self._rewards([sequences[i] for i in part]), strict=True)
        return [rewards[i] for i in range(len(sequences))]

    @torch.inference_mode()
    def _rewards(self, sequences: list[tuple[int, ...]]) -> list[float]:
        ids = torch.tensor(sequences, device=self.model.device)
        logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return [float(reward) for reward in self.activation.reward(logits.double()).cpu()]


def load_sequence_classifier(
    folder: Path, policy_tokenizer: Tokenizer, device: str, dtype: str, *, activation: str | None = None
) -> SequenceClassifierReward:
    """Load a ...ForSequenceClassification folder; `activation` defaults to sigmoid for one label, softmax for two.

    Raises InputError for a folder or weights that will not do, or an activation that does not fit the labels.
    """
    from transformers import AutoModelForSequenceClassification

    model = load_model(AutoModelForSequenceClassification, folder, device, dtype, spare=("lm_head.",))
    labels = int(model.config.num_labels)
    chosen = activation or ("softmax" if labels == 2 else "sigmoid")
    if chosen not in ACTIVATIONS or ACTIVATIONS[chosen].labels != labels:
        fitting = [name for name, entry in ACTIVATIONS.items() if entry.labels == labels]
        advice = f"use activation={' or '.join(fitting)}" if fitting else "a reward needs one label or two"
        raise InputError(f"activation {chosen!r} for the {labels} labels of {folder}: {advice}")
    tokenizer = load_tokenizer(folder)
    if model.config.get_text_config().pad_token_id is None:
        # Rows of equal length hold no padding; transformers only wants to hear of an id that is never met.
        model.config.get_text_config().pad_token_id = -1
    settings = {"architecture": type(model).__name__, "activation": chosen, "dtype": dtype}
    entry = ACTIVATIONS[chosen]
    name = folder.resolve().name
    return SequenceClassifierReward(name, model, entry, entry.low, entry.high, tokenizer, policy_tokenizer, settings)
