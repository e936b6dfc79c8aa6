"""Process reward models read at a step token: Qwen2.5-Math-PRM and Skywork-o1 PRM, one table.

A Qwen2 decoder reads a header (the question), then every step followed by the step token; a small head on the hidden
state at the last step token gives the reward. Their published code does not run on present transformers, and remote
code is not run anyway: the weights are loaded, under the names they have in the checkpoints, into native classes.

    Qwen2.5-Math-PRM   chat template with the system turn below, steps joined by <extra_0>; head Linear, ReLU, Linear
                       (score.0, score.2) to two classes; reward: softmax probability of class 1 (model card)
    Skywork-o1 PRM     bos, question, line break, steps ended by a step token; head Linear (v_head.summary) to one
                       number; reward: its sigmoid. Users disagree on the step token ("\\n" or "\\n\\n"): a setting
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.positions import Position, encode_text
from llm_check.models.decoding.prompting import chat_ids, plain_text
from llm_check.models.engines.checkpoint import load_tokenizer, read_config
from llm_check.models.engines.step_encoder import Pieces, StepEncoder
from llm_check.models.model_types import Tokenizer
from llm_check.models.rewards.checkpoints import architecture_of, load_backbone, read_weights
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce, require_context
from llm_check.models.rewards.text import encode_literally, question_text, step_texts

__all__ = ["STEP_TOKEN_FAMILIES", "StepTokenFamily", "StepTokenReward", "load_step_token_reward"]

# The system turn of the model card of Qwen2.5-Math-PRM.
QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."
RIGHT_CLASS = 1


@dataclass(frozen=True)
class StepTokenFamily:
    """`layers` are the head's linear layers by their names in the checkpoint (ReLU between them), `outputs` the size of
    the last; `reward` maps its output (M, outputs) to rewards (M,) in [0, 1]; `header` gives the question's ids."""

    layers: tuple[str, ...]
    outputs: int
    reward: Callable[[Tensor], Tensor]
    header: Callable[[Tokenizer, str], tuple[int, ...]]
    step_token: str


def _qwen_header(tokenizer: Tokenizer, question: str) -> tuple[int, ...]:
    return chat_ids(tokenizer, [{"role": "system", "content": QWEN_SYSTEM}, {"role": "user", "content": question}])


def _skywork_header(tokenizer: Tokenizer, question: str) -> tuple[int, ...]:
    start = () if tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
    return start + encode_text(tokenizer, question + "\n")


STEP_TOKEN_FAMILIES: dict[str, StepTokenFamily] = {
    "Qwen2ForProcessRewardModel": StepTokenFamily(
        layers=("score.0", "score.2"),
        outputs=2,
        reward=lambda logits: logits.softmax(dim=-1)[:, RIGHT_CLASS],
        header=_qwen_header,
        step_token="<extra_0>",
    ),
    "Qwen2ForPrmModel": StepTokenFamily(
        layers=("v_head.summary",),
        outputs=1,
        reward=lambda logits: logits[:, 0].sigmoid(),
        header=_skywork_header,
        step_token="\n",
    ),
}


@dataclass(frozen=True)
class StepTokenReward(ScoredOnce):
    """A loaded model of one family; rewards lie in [0, 1].

    name: for records
    family: how its head is read
    encoder: its decoder, with the prefixes of the last call
    head: (weight, bias) of the head's linear layers
    tokenizer: its own
    policy_tokenizer: decodes the steps it is given
    step_token_id: the token at which a step's reward is read
    settings: what a run records: the architecture, the step token and its id, the dtype
    low, high: 0 and 1
    memory: rewards already computed
    """

    name: str
    family: StepTokenFamily
    encoder: StepEncoder
    head: tuple[tuple[Tensor, Tensor], ...]
    tokenizer: Tokenizer
    policy_tokenizer: Tokenizer
    step_token_id: int
    settings: Mapping[str, Json]
    low: float = 0.0
    high: float = 1.0
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    def forget(self) -> None:
        """Drop remembered rewards and encoded prefixes: what follows is computed as by a freshly loaded model."""
        super().forget()
        self.encoder.forget()

    def pieces(self, place: Position, step: Sequence[int]) -> Pieces:
        """What the model reads: the header's ids, then each step's with the step token; the last is the one judged."""
        header = self.family.header(self.tokenizer, question_text(place))
        texts = step_texts(place, step, self.policy_tokenizer)
        parts = ((*encode_literally(self.tokenizer, text), self.step_token_id) for text in texts)
        return (header, *parts)

    def room(self, place: Position) -> int:
        """Tokens that a step after `place` may have in this model's context, its step token apart."""
        texts = [plain_text(self.policy_tokenizer, ids).strip() for ids in place.path]
        read = sum(len(encode_literally(self.tokenizer, text)) + 1 for text in texts if text)
        header = self.family.header(self.tokenizer, question_text(place))
        return self.encoder.forward.context - len(header) - read - 1

    def compute(self, pairs: list[Pair]) -> NDArray[np.float64]:
        sequences = [self.pieces(place, step) for place, step in pairs]
        for (place, _), pieces in zip(pairs, sequences, strict=True):
            require_context(self.name, place, sum(map(len, pieces)), self.encoder.forward.context)
        distinct = list(dict.fromkeys(sequences))
        rewards = dict(zip(distinct, self._rewards(distinct), strict=True))
        return np.array([rewards[pieces] for pieces in sequences])

    @torch.inference_mode()
    def _rewards(self, sequences: list[Pieces]) -> list[float]:
        state = self.encoder.last_hidden(sequences).float()
        for depth, (weight, bias) in enumerate(self.head):
            state = torch.nn.functional.linear(state.relu() if depth else state, weight, bias)
        return [float(reward) for reward in self.family.reward(state.double()).cpu()]


def load_step_token_reward(
    folder: Path, policy_tokenizer: Tokenizer, device: str, dtype: str, *, step_token: str | None = None
) -> StepTokenReward:
    """Load a checkpoint whose config.json names one of STEP_TOKEN_FAMILIES.

    Raises InputError for a folder or weights that will not do, another architecture, or a step token that is not one
    token of the reward model's tokenizer.
    """
    config = read_config(folder)
    name = architecture_of(folder, config)
    if name not in STEP_TOKEN_FAMILIES:
        known = ", ".join(STEP_TOKEN_FAMILIES)
        raise InputError(f"{folder} holds {name}: a reward read at a step token needs one of {known}")
    family = STEP_TOKEN_FAMILIES[name]
    tokenizer = load_tokenizer(folder)
    text = family.step_token if step_token is None else step_token
    ids = encode_text(tokenizer, text)
    if len(ids) != 1:
        raise InputError(
            f"step token {text!r} is {len(ids)} tokens for the reward model at {folder}: give the one token that ends "
            "its steps, with ?step_token=..."
        )
    names = [f"{layer}.{part}" for layer in family.layers for part in ("weight", "bias")]
    weights = read_weights(folder, names)
    head = tuple((weights[f"{layer}.weight"], weights[f"{layer}.bias"]) for layer in family.layers)
    backbone = load_backbone(folder, config, device, dtype, family.layers)
    _require_head(folder, family, head, int(backbone.config.hidden_size))
    return StepTokenReward(
        name=folder.resolve().name,
        family=family,
        encoder=StepEncoder(backbone, str(folder)),
        head=tuple((weight.to(device), bias.to(device)) for weight, bias in head),
        tokenizer=tokenizer,
        policy_tokenizer=policy_tokenizer,
        step_token_id=ids[0],
        settings={"architecture": name, "step_token": text, "step_token_id": ids[0], "dtype": dtype},
    )


def _require_head(folder: Path, family: StepTokenFamily, head: tuple[tuple[Tensor, Tensor], ...], width: int) -> None:
    """Raise InputError unless the head's layers fit one on the other, on hidden states of `width` numbers, and end in
    the family's outputs."""
    for name, (weight, bias) in zip(family.layers, head, strict=True):
        last = name == family.layers[-1]
        rows = family.outputs if last else int(weight.shape[0])
        if tuple(weight.shape) != (rows, width) or tuple(bias.shape) != (rows,):
            raise InputError(
                f"{folder}: weight and bias of {name} have the shapes {tuple(weight.shape)} and {tuple(bias.shape)}, "
                f"where ({rows}, {width}) and ({rows},) are needed: download the checkpoint again"
            )
        width = rows
