"""Reasoning steps: where a step ends on token ids alone, and the record of many sampled steps.

A step is a run of token ids. It closes with "eos" at an end-of-sequence id (which ends the solution), with "stop" at
the token in which its delimiter is completed, or because it holds `max_tokens` tokens. The last is "length", an outcome
of its own: the law of a step gives it the mass of all its continuations, and nothing here calls it complete. Only a
rule that counts tokens calls it "stop". The delimiter is followed over tokens by `llm_check.models.decoding.delimiter`,
so it is found inside a larger token and across several; it is looked for within the step, never across the border to
what came before.

Shapes: B prompts, n candidates for each, T = longest step. Steps travel as int32 arrays (B, n, T) padded at the
right with `PAD` = -1. Log-probabilities are natural logarithms of the untruncated law at the sampling temperature;
padding holds 0.0, so a sum over the last axis is the log-probability of the whole step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gsi_theory.arrays.memory import require_memory
from gsi_theory.errors import InputError
from llm_check.models.decoding.delimiter import delimiter_table, end_of_sequence_ids
from llm_check.models.model_types import Tokenizer

__all__ = [
    "PAD",
    "StepRule",
    "Steps",
    "finish_reasons",
    "pad_steps",
    "parse_step_rule",
    "require_candidates",
    "step_rule",
]

PAD = -1
# Of a candidate while it is drawn and scored: ids, uniforms and two log-probabilities of each token; finish, reward,
# weight and index of the step.
_TOKEN_BYTES, _STEP_BYTES = 28, 72


@dataclass(frozen=True)
class StepRule:
    """Ends a step at any id of `step_end_ids` or `eos_ids`, where `transitions` completes a delimiter, or after
    `max_tokens` tokens ("stop" there if `counts`, otherwise "length").

    transitions (S, V) holds the state after a token in a state, -1 where the delimiter is complete; None when a
    step's end shows in single tokens. A single end-of-sequence id may be given as an int. `spec` is the text that
    `parse_step_rule` reads, for records.
    """

    step_end_ids: frozenset[int]
    eos_ids: frozenset[int]
    max_tokens: int
    transitions: NDArray[np.int16] | None = field(default=None, repr=False, compare=False)
    counts: bool = False
    spec: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise InputError(f"StepRule.max_tokens is {self.max_tokens}: give at least 1 token per step")
        if isinstance(self.eos_ids, int | np.integer):
            object.__setattr__(self, "eos_ids", frozenset({int(self.eos_ids)}))
        if not self.eos_ids:
            raise InputError("StepRule.eos_ids is empty: name at least one token that ends a solution")

    @property
    def start_state(self) -> int:
        """The state at the start of every step."""
        return 0

    @cached_property
    def closing_ids(self) -> NDArray[np.int64]:
        """Every id that closes a step whatever came before, eos included, sorted."""
        return np.array(sorted(self.step_end_ids | self.eos_ids), dtype=np.int64)

    @cached_property
    def table(self) -> NDArray[np.int16]:
        """The state (S, W) after a token in a state, -1 where the step closes; ids from W on are as id W - 1."""
        width = int(self.closing_ids[-1]) + 2
        if self.transitions is None:
            table = np.zeros((1, width), dtype=np.int16)
        else:
            table = self.transitions.copy()
            if table.shape[1] < width:  # ids beyond the tokenizer's, where models pad their vocabulary
                table = np.pad(table, ((0, 0), (0, width - table.shape[1])))
        table[:, self.closing_ids] = -1
        return table

    def advance(
        self, states: NDArray[np.integer], tokens: NDArray[np.integer]
    ) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """States after one more token each, and whether the step closed there (the cap on length is not counted)."""
        table = self.table
        after = table[states, np.minimum(tokens, table.shape[1] - 1)]
        closed = after < 0
        return np.where(closed, np.int16(0), after), closed

    def finish_at(
        self, tokens: NDArray[np.integer], closed: NDArray[np.bool_], filled: bool | NDArray[np.bool_]
    ) -> NDArray[np.str_]:
        """Finish reasons of steps by their last token: `closed` as `advance` says, `filled` where the cap is reached;
        "" where a step goes on."""
        capped = np.where(filled, "stop" if self.counts else "length", "")
        eos = np.fromiter(self.eos_ids, dtype=np.int64)
        return np.where(closed, np.where(np.isin(tokens, eos), "eos", "stop"), capped)

    def cut(self, token_ids: Sequence[int]) -> tuple[tuple[int, ...], str]:
        """The first step of `token_ids` and its finish reason. Ids that run out before the step closes are "length":
        a step that was truncated, wherever that happened, is not complete. Raises InputError for no ids."""
        if not len(token_ids):
            raise InputError("StepRule.cut got no token ids: give at least one")
        table, state = self.table, 0
        for count, token in enumerate(token_ids, 1):
            state = int(table[state, min(int(token), table.shape[1] - 1)])
            if state < 0 or count == self.max_tokens:
                break
        kept = tuple(int(token) for token in token_ids[:count])
        if state < 0:
            return kept, "eos" if kept[-1] in self.eos_ids else "stop"
        return kept, "stop" if self.counts and count == self.max_tokens else "length"


def step_rule(
    tokenizer: Tokenizer, delimiter: str = "\n\n", max_tokens: int = 128, eos_ids: Iterable[int] | None = None
) -> StepRule:
    """The rule under which `delimiter` ends a step, however the tokenizer spells it.

    eos_ids default to the tokenizer's eos and those of the generation_config.json beside it. Raises InputError when
    there is none, when the delimiter is empty, or when the tokens' bytes cannot be told from this tokenizer.
    """
    ends = frozenset(end_of_sequence_ids(tokenizer) if eos_ids is None else map(int, eos_ids))
    table = delimiter_table(tokenizer, delimiter)
    everywhere = frozenset(np.flatnonzero((table < 0).all(axis=0)).tolist())
    spec = f"delimiter:{delimiter.encode('unicode_escape').decode()}"
    return StepRule(everywhere - ends, ends, max_tokens, None if len(table) == 1 else table, spec=spec)


def parse_step_rule(
    spec: str, tokenizer: Tokenizer, max_tokens: int = 128, eos_ids: Iterable[int] | None = None
) -> StepRule:
    """The rule that `spec` names: "delimiter:TEXT" (default "\\n\\n"; escapes \\n, \\t, \\\\ are read), "tokens:N" (a
    step is N tokens; the last of a solution may be shorter), or "answer" (the whole answer is one step).

    Raises InputError for another spec, for N not in 1..max_tokens, and as `step_rule`.
    """
    kind, colon, value = spec.partition(":")
    ends = frozenset(end_of_sequence_ids(tokenizer) if eos_ids is None else map(int, eos_ids))
    if kind == "delimiter":
        text = value.replace("\\\\", "\0").replace("\\n", "\n").replace("\\t", "\t").replace("\0", "\\")
        return step_rule(tokenizer, text if colon else "\n\n", max_tokens, ends)
    if kind == "answer" and not colon:
        return StepRule(frozenset(), ends, max_tokens, spec=spec)
    if kind == "tokens" and value.isdecimal():
        count = int(value[:20])
        if not 1 <= count <= max_tokens:
            raise InputError(f"step {spec!r}: give 1 to {max_tokens} tokens (the cap on a step), or raise max_tokens")
        return StepRule(frozenset(), ends, count, counts=True, spec=spec)
    raise InputError(f"step {spec!r}: give delimiter:TEXT (such as 'delimiter:\\n\\n'), tokens:N, or answer")


def require_candidates(n: int, prefixes: int, rule: StepRule, named: str = "") -> None:
    """Raise InputError unless memory holds n candidates after each of so many prefixes; for before any is drawn.
    `named` says by which of a user's numbers they are so many ("n = 4"; empty: by n itself)."""
    require_memory(
        float(n) * prefixes * (_TOKEN_BYTES * rule.max_tokens + _STEP_BYTES),
        f"{named or f'n = {n}'}: {n} candidates of up to {rule.max_tokens} tokens at {prefixes} "
        f"position{'s' * (prefixes != 1)}",
        "take fewer candidates, shorter steps, or fewer positions at once",
    )


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

    Raises InputError for a step that neither closes nor fills the cap (the rule would have gone on), and for one that
    goes on after it closed.
    """
    length = (tokens != PAD).sum(axis=-1)
    states, ended = np.zeros(length.shape, dtype=np.int16), np.zeros(length.shape, dtype=bool)
    reasons = np.full(length.shape, "", dtype="<U6")
    for depth in range(tokens.shape[-1]):
        here = depth < length
        beyond = here & ended
        if beyond.any():
            where = tuple(int(i) for i in np.argwhere(beyond)[0])
            raise InputError(
                f"the step at index {where} has {int(length[where])} tokens but ended after {depth}: "
                "give steps cut by the rule they were sampled under"
            )
        token = np.where(here, tokens[..., depth], 0)
        states, closed = rule.advance(states, token)
        reason = rule.finish_at(token, closed, depth + 1 >= rule.max_tokens)
        reasons = np.where(here, reason, reasons)
        ended |= here & (reason != "")
    if not ended.all():
        where = tuple(int(i) for i in np.argwhere(~ended)[0])
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
