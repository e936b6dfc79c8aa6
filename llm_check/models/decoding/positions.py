"""Prompts and positions: where a step is drawn, in token ids that draft, base and reward model share. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gsi_theory.errors import InputError
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.model_types import TaskProblem, Tokenizer

__all__ = ["Position", "Prompt", "encode_text"]


@dataclass(frozen=True)
class Prompt:
    """One prompt: `ids` are the token ids both policies are given, `problem` what a task grades by."""

    prompt_id: str
    ids: tuple[int, ...]
    problem: TaskProblem = None


@dataclass(frozen=True)
class Position:
    """Before step number len(path): the prompt, and `path`, the token ids of the steps taken so far."""

    prompt: Prompt
    path: tuple[tuple[int, ...], ...] = ()

    @property
    def prompt_id(self) -> str:
        """The prompt's name."""
        return self.prompt.prompt_id

    @property
    def problem(self) -> Any:
        """What the task grades by."""
        return self.prompt.problem

    @property
    def step(self) -> int:
        """Number of the next step, from 0."""
        return len(self.path)

    @cached_property
    def solution(self) -> tuple[int, ...]:
        """The token ids of the steps taken so far."""
        return tuple(token for step in self.path for token in step)

    @cached_property
    def prefix(self) -> tuple[int, ...]:
        """The token ids under which the next step is drawn."""
        return (*self.prompt.ids, *self.solution)

    def after(self, step: tuple[int, ...]) -> Position:
        """The position one step on."""
        return Position(self.prompt, (*self.path, step))

    def stream(self, seed: int, purpose: int) -> PositionStream:
        """The random stream of this position."""
        return PositionStream(seed, self.prompt_id, self.step, purpose)


def encode_text(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """The token ids of `text`, without special tokens. InputError for text that the tokenizer has no tokens for."""
    try:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
    except Exception as error:  # tokenizers raises plain exceptions
        shown = text if len(text) <= 60 else f"{text[:60]}..."
        raise InputError(
            f"the tokenizer cannot write {shown!r} in its tokens ({' '.join(str(error).split())}): it is of a model of "
            "another kind of text, give a model that reads this task"
        ) from error
