"""Reasoning steps: where a step ends, and the record of many sampled steps.

A step is a run of token ids that closes with a delimiter token ("stop"), with the end-of-sequence token ("eos"), or
because it reached the cap on its length ("length"). A step cut by the cap is an outcome of its own: the law of a
step gives it the mass of all its continuations, and nothing here calls it complete.

Shapes: B prompts, n candidates for each, T = longest step. Steps travel as int32 arrays (B, n, T) padded at the
right with `PAD` = -1. Log-probabilities are natural logarithms of the untruncated law at sampling temperature 1;
padding holds 0.0, so a sum over the last axis is the log-probability of the whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError

__all__ = ["PAD", "StepRule", "Steps", "finish_reasons", "pad_steps", "step_rule"]

PAD = -1


@dataclass(frozen=True)
class StepRule:
    """Ends a step at any id of `step_end_ids`, at `eos_id`, or after `max_tokens` tokens."""

    step_end_ids: frozenset[int]
    eos_id: int
    max_tokens: int

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"StepRule.max_tokens is {self.max_tokens}: give at least 1 token per step")
        if not self.step_end_ids:
            raise InputError("StepRule.step_end_ids is empty: name at least one token that ends a step")

    @cached_property
    def closing_ids(self) -> NDArray[np.int64]:
        """Every id that closes a step, eos included, sorted."""
        return np.array(sorted(self.step_end_ids | {self.eos_id}), dtype=np.int64)


def step_rule(tokenizer: Any, delimiter: str = "\n\n", max_tokens: int = 128) -> StepRule:
    """The rule under which every vocabulary token whose own text contains `delimiter` ends a step.

    A delimiter that a model spells with several tokens, none of which contains it whole, is not seen.
    Raises InputError when no token contains the delimiter or the tokenizer has no end-of-sequence token.
    """
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no eos token: set eos_token in its tokenizer_config.json")
    ids = sorted(set(tokenizer.get_vocab().values()))
    texts = tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
    ends = frozenset(i for i, text in zip(ids, texts, strict=True) if delimiter in text and i != tokenizer.eos_token_id)
    if not ends:
        raise InputError(f"no token contains the delimiter {delimiter!r} whole: give a delimiter that one token spells")
    return StepRule(ends, int(tokenizer.eos_token_id), max_tokens)


def pad_steps(steps: Sequence[Sequence[Sequence[int]]] | NDArray[np.integer]) -> NDArray[np.int32]:
    """Nested lists [prompt][candidate][token] as one int32 array (B, n, T), padded with `PAD`; arrays pass through."""
    if isinstance(steps, np.ndarray):
        return steps.astype(np.int32, copy=False)
    width = max((len(group) for group in steps), default=0)
    depth = max((len(step) for group in steps for step in group), default=0)
    padded = np.full((len(steps), width, depth), PAD, dtype=np.int32)
    for b, group in enumerate(steps):
        for i, step in enumerate(group):
            padded[b, i, : len(step)] = step
    return padded


def finish_reasons(tokens: NDArray[np.integer], rule: StepRule) -> NDArray[np.str_]:
    """The finish reason of every step of `tokens` (..., T): "stop", "eos" or "length", same leading shape.

    Raises InputError for a step that neither closes nor fills the cap: the rule would have gone on.
    """
    length = (tokens != PAD).sum(axis=-1)
    last = np.take_along_axis(tokens, np.maximum(length - 1, 0)[..., None], axis=-1)[..., 0]
    reasons = np.where(last == rule.eos_id, "eos", np.where(np.isin(last, rule.closing_ids), "stop", "length"))
    unfinished = (reasons == "length") & (length < rule.max_tokens)
    if unfinished.any():
        where = tuple(int(i) for i in np.argwhere(unfinished)[0])
        raise InputError(
            f"the step at index {where} has {int(length[where])} tokens and no closing token, below the cap of "
            f"{rule.max_tokens}: give whole steps, or the rule they were sampled under"
        )
    return reasons


@dataclass(frozen=True)
class Steps:
    """Sampled steps: `tokens` (B, n, T) int32, `token_logp` (B, n, T) nats, `finish` (B, n) strings."""

    tokens: NDArray[np.int32]
    token_logp: NDArray[np.float64]
    finish: NDArray[np.str_]

    @cached_property
    def logp(self) -> NDArray[np.float64]:
        """Log-probability of each whole step, (B, n), nats."""
        return self.token_logp.sum(axis=-1)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each step, (B, n)."""
        return (self.tokens != PAD).sum(axis=-1)

    @property
    def token_ids(self) -> list[list[list[int]]]:
        """The steps as nested lists [prompt][candidate][token]."""
        return [
            [row[:length].tolist() for row, length in zip(group, lengths, strict=True)]
            for group, lengths in zip(self.tokens, self.lengths, strict=True)
        ]
