"""An engine around a service that takes token ids and returns token ids: vLLM in this process, or servers of it.

The service keeps no state that we rely on: prefixes are token ids (`TokenPrefixes`), and it is asked two things, for
steps drawn from a seed (`SampleRequest`) and for the log-probabilities of given steps (`ScoreRequest`). Here is all
that does not depend on how it is asked: ids and lengths checked before anything is sent, one seed for each prefix
(candidate i uses seed + i, so the first n of a larger n are these n), equal steps scored once, steps cut by the rule
on token ids. Nothing a service says is believed: `checked_completion` and `checked_scores` judge each answer.

Shapes: B prefixes, n candidates, T tokens (see `llm_check.models.decoding.reasoning_steps`). No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import PAD, StepRule, Steps, pad_steps, require_candidates
from llm_check.models.engines.engine import LogProbContract
from llm_check.models.model_types import Tokenizer

__all__ = [
    "Completion",
    "SampleRequest",
    "ScoreRequest",
    "Service",
    "TokenEngine",
    "TokenPrefixes",
    "WrongAnswer",
    "checked_completion",
    "checked_scores",
]

# Candidates asked for at once: bounds an answer to a few megabytes, and lets several servers share one prompt.
MAX_CANDIDATES = 1024
# Rounding may lift the logarithm of a probability near one a little above zero; more is no log-probability.
ABOVE_ZERO = 1e-3
# vLLM's servers write -9999 for a log-probability of minus infinity.
CLAMPED = -9999.0


class WrongAnswer(ValueError):
    """An answer that cannot be right, with the reason; a service may ask again before it gives up."""


@dataclass(frozen=True)
class SampleRequest:
    """n draws after `prompt`, draw i from the integer seed + i, each until one of `stop_ids` or `max_tokens` tokens.
    `place` names the prompt in errors."""

    prompt: tuple[int, ...]
    n: int
    seed: int
    max_tokens: int
    stop_ids: tuple[int, ...]
    place: str


@dataclass(frozen=True)
class ScoreRequest:
    """The token log-probabilities of `step` after `prefix`; `place` names the prefix in errors."""

    prefix: tuple[int, ...]
    step: tuple[int, ...]
    place: str


@dataclass(frozen=True)
class Completion:
    """One draw: its tokens and their log-probabilities, nats."""

    tokens: tuple[int, ...]
    logp: tuple[float, ...]


class Service(Protocol):
    """Where token ids go. Raises InputError, naming `place`, when no right answer is to be had."""

    def sample(self, requests: Sequence[SampleRequest]) -> list[list[Completion]]:
        """For each request its n draws in order."""
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[list[float]]:
        """For each request the log-probabilities of the tokens of its step."""
        ...


def _checked_logp(values: Sequence[Json]) -> tuple[float, ...]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise WrongAnswer(f"log-probability {value!r} is not a finite number")
        if not CLAMPED < value <= ABOVE_ZERO:
            raise WrongAnswer(f"log-probability {value!r} is outside ({CLAMPED:.0f}, 0]")
    return tuple(min(float(value), 0.0) for value in values)


def checked_completion(
    tokens: Sequence[Json], logp: Sequence[Json], finish: Json, request: SampleRequest, vocabulary: int
) -> Completion:
    """One draw, or WrongAnswer: ids of the vocabulary, a finite log-probability for each, an end that was asked for."""
    if not len(tokens) or len(tokens) > request.max_tokens:
        raise WrongAnswer(f"{len(tokens)} tokens where 1 to {request.max_tokens} were asked for")
    if len(logp) != len(tokens):
        raise WrongAnswer(f"{len(logp)} log-probabilities for {len(tokens)} tokens")
    for token in tokens:
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < vocabulary:
            raise WrongAnswer(f"token id {token!r} is outside the vocabulary of {vocabulary}")
    stops = [t for t, token in enumerate(tokens) if token in request.stop_ids]
    if stops and stops[0] != len(tokens) - 1:
        raise WrongAnswer(f"token {stops[0]} of {len(tokens)} is the stop id {tokens[stops[0]]}, yet the text goes on")
    if not stops and len(tokens) < request.max_tokens:
        raise WrongAnswer(
            f"a draw of {len(tokens)} tokens ended ({finish!r}) without a stop id, under its cap {request.max_tokens}"
        )
    return Completion(tuple(tokens), _checked_logp(logp))


def checked_scores(logp: Sequence[Json], request: ScoreRequest) -> list[float]:
    """The log-probabilities of a step, or WrongAnswer: one finite value for each token."""
    if len(logp) != len(request.step):
        raise WrongAnswer(f"{len(logp)} log-probabilities for the {len(request.step)} tokens of the step")
    return list(_checked_logp(logp))


@dataclass(frozen=True)
class TokenPrefixes:
    """B prefixes as token ids."""

    ids: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        """B, the number of prefixes."""
        return len(self.ids)


@dataclass(frozen=True)
class TokenEngine:
    """The Engine protocol (`engines.contract`) over a `Service`.

    vocabulary: number of logits. context: longest sequence in tokens that can be scored.
    """

    service: Service
    tokenizer: Tokenizer
    contract: LogProbContract
    vocabulary: int
    context: int

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> TokenPrefixes:
        """The prefixes as they are. InputError for none, an empty one, an id outside the vocabulary, or one longer
        than the context."""
        if not len(prefixes):
            raise InputError("prefill got no token sequences: give at least one")
        return TokenPrefixes(tuple(self._checked_ids(ids, "prefill", row) for row, ids in enumerate(prefixes)))

    def extend(self, prefixes: TokenPrefixes, steps: Sequence[Sequence[int]]) -> TokenPrefixes:
        """Each prefix with one more step after it. Errors as `prefill`."""
        if len(steps) != prefixes.rows:
            raise InputError(f"extend got {len(steps)} steps for {prefixes.rows} prefixes: give one step for each")
        grown = []
        for row, (ids, step) in enumerate(zip(prefixes.ids, steps, strict=True)):
            self._require_room(len(ids) + len(step), "extend")
            grown.append((*ids, *self._checked_ids(step, "extend", row)))
        return TokenPrefixes(tuple(grown))

    def select(self, prefixes: TokenPrefixes, rows: Sequence[int] | NDArray[np.integer]) -> TokenPrefixes:
        """The prefixes `rows`, in that order, repeats allowed."""
        return TokenPrefixes(tuple(prefixes.ids[int(row)] for row in rows))

    def sample(self, prefixes: TokenPrefixes, n: int, streams: Sequence[PositionStream], rule: StepRule) -> Steps:
        """n iid steps after each prefix: candidate i of row b from the integer `streams[b].integer() + i` alone.

        A rule that cannot be told by single tokens lets the service go on to the next closing token, or to the cap;
        the step is cut here, so its law is the rule's. Raises InputError as `prefill`, unless there is one stream for
        each prefix, and where a step of `rule.max_tokens` may not fit the context.
        """
        if len(streams) != prefixes.rows or n < 1:
            raise InputError(
                f"sample got n = {n} and {len(streams)} streams for {prefixes.rows} prefixes: give one each"
            )
        require_candidates(n, prefixes.rows, rule)
        stop_ids = tuple(rule.closing_ids.tolist())
        requests, owner = [], []
        for row, (ids, stream) in enumerate(zip(prefixes.ids, streams, strict=True)):
            self._require_room(len(ids) + rule.max_tokens, "sample")
            seed, place = stream.integer(), f"prompt {stream.prompt_id!r}, step {stream.step}"
            for start in range(0, n, MAX_CANDIDATES):
                count = min(MAX_CANDIDATES, n - start)
                requests.append(SampleRequest(ids, count, seed + start, rule.max_tokens, stop_ids, place))
                owner.append((row, start))
        shape = (prefixes.rows, n, rule.max_tokens)
        tokens, logp = np.full(shape, PAD, dtype=np.int32), np.zeros(shape)
        finish = np.full(shape[:2], "", dtype="<U6")
        for (row, start), drawn in zip(owner, self.service.sample(requests), strict=True):
            for i, one in enumerate(drawn, start):
                kept, finish[row, i] = rule.cut(one.tokens)
                tokens[row, i, : len(kept)] = kept
                logp[row, i, : len(kept)] = one.logp[: len(kept)]
        longest = int((tokens != PAD).sum(axis=-1).max())
        return Steps(tokens[..., :longest], logp[..., :longest], finish)

    def score(
        self, prefixes: TokenPrefixes, steps: Sequence[Sequence[Sequence[int]]] | NDArray[np.integer]
    ) -> NDArray[np.float64]:
        """Token log-probabilities (B, n, T) of given steps, nats; padding holds 0.0; equal steps are scored once.

        Raises InputError for an id outside the vocabulary, or a prefix and step longer than the context.
        """
        tokens = pad_steps(steps)
        if tokens.ndim != 3 or tokens.shape[0] != prefixes.rows:
            raise InputError(f"score got steps of shape {tokens.shape} for {prefixes.rows} prefixes: give (B, n, T)")
        lengths = (tokens != PAD).sum(axis=-1)
        index: dict[tuple[int, tuple[int, ...]], int] = {}
        requests: list[ScoreRequest] = []
        where: list[tuple[int, int, int]] = []
        for row, ids in enumerate(prefixes.ids):
            self._require_room(len(ids) + int(lengths[row].max(initial=0)), "score")
            place = self._place(row, ids)
            for i, length in enumerate(lengths[row].tolist()):
                if not length:
                    continue
                key = (row, tuple(tokens[row, i, :length].tolist()))
                if key not in index:
                    self._checked_ids(key[1], "score", i)
                    index[key] = len(requests)
                    requests.append(ScoreRequest(ids, key[1], place))
                where.append((row, i, index[key]))
        result = np.zeros(tokens.shape)
        if not requests:
            return result
        values = self.service.score(requests)
        for row, i, at in where:
            result[row, i, : len(values[at])] = values[at]
        return result

    def _place(self, row: int, ids: tuple[int, ...]) -> str:
        """A prefix as errors name it; its text is escaped."""
        return f"prefix {row} of {len(ids)} tokens ending {self.tokenizer.decode(list(ids[-16:]))!r}"

    def _checked_ids(self, ids: Sequence[int], place: str, row: int) -> tuple[int, ...]:
        checked = tuple(int(token) for token in ids)
        if not checked:
            raise InputError(f"{place}: sequence {row} is empty, give at least one token")
        for token in checked:
            if not 0 <= token < self.vocabulary:
                raise InputError(
                    f"{place} got token id {token}, outside the {self.vocabulary} ids of {self.contract.model}: "
                    "draft and base need one tokenizer"
                )
        self._require_room(len(checked), place)
        return checked

    def _require_room(self, longest: int, place: str) -> None:
        if longest > self.context:
            raise InputError(
                f"{place} got a sequence of {longest} tokens, longer than the {self.context} that "
                f"{self.contract.model} can score (its context less one token): "
                "shorten the prompt, or take fewer or shorter steps"
            )
