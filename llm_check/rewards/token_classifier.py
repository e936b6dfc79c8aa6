"""Rewards of reasoning steps: a learned process reward model, and the exact checker as the gold reward.

A reward belongs to one step given everything before it: the prefix is the token ids of the prompt and the earlier
steps, the step is its own token ids. `ProcessRewardModel.score` returns the softmax probability of class 1 ("right")
at the step's last token, a number in [low, high] = [0, 1]; `checker_reward` returns 0.0 or 1.0. Both are float64.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForTokenClassification, AutoTokenizer

from gsi_theory.errors import InputError
from llm_check.engines.step_encoder import StepEncoder
from llm_check.positions import Position
from llm_check.tasks.arithmetic import Problem, check_step

__all__ = ["ProcessRewardModel", "checker_reward"]

_Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class ProcessRewardModel:
    """A token classifier with two labels, read at the last token of a step; rewards lie in [low, high] = [0, 1].

    Every (prefix, step) is scored once and remembered, so equal candidates have equal rewards to the last bit.
    """

    model: Any
    tokenizer: Any
    encoder: StepEncoder
    low: float = 0.0
    high: float = 1.0
    _known: dict[_Pair, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], device: str = "cpu") -> ProcessRewardModel:
        """Load a folder with config.json, a tokenizer and safetensors weights; nothing in it is executed.

        Raises InputError when the folder, its config.json or its weights are missing, or when it is no token
        classifier with two labels.
        """
        folder = Path(path)
        _require_token_classifier(folder)
        model = AutoModelForTokenClassification.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
        model = model.to(device).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return cls(model, tokenizer, StepEncoder(model.base_model, str(folder)))

    @property
    def name(self) -> str:
        """Name for records."""
        return str(getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__)

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
        return np.array([self._known[pair] for pair in pairs], dtype=np.float64)

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
    cure = "give the folder of a process reward model, or llm_check.tiny.checkpoint_path('prm')"
    if not folder.is_dir():
        raise InputError(f"no process reward model at {folder}: there is no such folder; {cure}")
    if not (folder / "config.json").is_file():
        raise InputError(f"no process reward model at {folder}: it has no config.json; {cure}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / 'config.json'} is not JSON ({error}): download the checkpoint again") from error
    names = config.get("architectures") or []
    if not any(name.endswith("ForTokenClassification") for name in names):
        raise InputError(
            f"{folder} holds {', '.join(names) or 'no architecture'}, no ...ForTokenClassification: {cure}"
        )
    labels = len(config.get("id2label", {"0": "", "1": ""}))  # transformers leaves out the default of two labels
    if labels != 2:
        raise InputError(
            f"the token classifier at {folder} has {labels} labels, a reward needs 2 (wrong, right): {cure}"
        )
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"no *.safetensors weights at {folder}: convert the checkpoint, pickled weights are not read")


def checker_reward(problem: Problem, step_index: int, step_texts: Sequence[str]) -> NDArray[np.float64]:
    """The gold reward (M,) of M candidates for step number `step_index`: 1.0 where the exact checker says right.

    Raises InputError for a step index outside the task's range.
    """
    return np.array([check_step(problem, step_index, text) for text in step_texts], dtype=np.float64)
