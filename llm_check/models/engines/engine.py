"""What an engine is: a language model as the law of the next reasoning step, token ids in, token ids out.

Contract of every log-probability (recorded in `LogProbContract`): natural logarithm of the very law the steps are drawn
from, at the stated sampling temperature, without truncation, log-softmax in float32 or better over the whole
vocabulary. The law that is sampled is the law that is scored; two policies are a pair only if their contracts agree
(`require_pair`). Shapes: B prefixes, n candidates, T tokens (see `llm_check.models.decoding.reasoning_steps`). No torch
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.types import Array
from llm_check.models.decoding.random_streams import PositionStream
from llm_check.models.decoding.reasoning_steps import StepRule, Steps
from llm_check.models.model_types import Encoded, Tokenizer

__all__ = ["Engine", "LogProbContract", "Prefixes", "require_pair", "require_same_vocabulary"]


@dataclass(frozen=True)
class LogProbContract:
    """Under which conditions log-probabilities were computed; two policies are a pair only if these agree.

    engine, engine_version: who computed
    model: its name, without paths of this machine
    dtype: of the weights
    sampling_temperature: of the law that is drawn and scored
    truncation: "none"
    logprobs: "raw"
    model_hash: sha256 over the safetensors files; "" where an engine cannot know
    revision: the commit of the hub they came from; "" where there is none
    forward: the code that computed ("lean", "module (reason)", or the engine's own)
    quantization: how the weights of the files were rounded when they were loaded; "" where they were not
    """

    engine: str
    engine_version: str
    model: str
    dtype: str
    sampling_temperature: float = 1.0
    truncation: str = "none"
    logprobs: str = "raw"
    model_hash: str = ""
    revision: str = ""
    forward: str = ""
    quantization: str = ""


class Prefixes(Protocol):
    """B encoded prefixes of one engine; what is inside is the engine's own (a cache, or just token ids)."""

    @property
    def rows(self) -> int:
        """B, the number of prefixes."""
        ...


class Engine(Protocol):
    """A causal language model. Calls never change the `Prefixes` they are given."""

    @property
    def contract(self) -> LogProbContract:
        """Conditions of every log-probability that leaves this engine."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer (transformers)."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of logits, V."""
        ...

    @property
    def context(self) -> int | None:
        """Tokens that a prompt and its steps may have together; None where it is not known."""
        ...

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> Encoded:
        """Encode prefixes of any lengths. InputError for none, an empty one, an id outside the vocabulary, or one
        longer than the model's context."""
        ...

    def extend(self, prefixes: Encoded, steps: Sequence[Sequence[int]]) -> Encoded:
        """The prefixes with one more step after each (B steps)."""
        ...

    def select(self, prefixes: Encoded, rows: Sequence[int] | NDArray[np.integer]) -> Encoded:
        """The prefixes `rows`, in that order, repeats allowed."""
        ...

    def sample(self, prefixes: Encoded, n: int, streams: Sequence[PositionStream], rule: StepRule) -> Steps:
        """n iid steps after each prefix, row b from `streams[b]` alone: whatever the batch, equal streams give equal
        steps, and the first n candidates of a larger n are these."""
        ...

    def score(self, prefixes: Encoded, steps: Sequence[Sequence[Sequence[int]]] | NDArray[np.integer]) -> Array:
        """Token log-probabilities (B, n, T) float64 of given steps, nats; padding holds 0.0."""
        ...


def require_same_vocabulary(a: Engine, b: Engine) -> None:
    """Raise InputError naming the first difference between two tokenizers: an id's token or a special id.

    Log-ratios of the two models mean nothing unless both read the same ids in the same way.
    """
    names = f"{a.contract.model} and {b.contract.model}"
    ours, theirs = ({i: token for token, i in engine.tokenizer.get_vocab().items()} for engine in (a, b))
    for i in sorted(ours.keys() | theirs.keys()):
        if ours.get(i) != theirs.get(i):
            raise InputError(
                f"the tokenizers of {names} differ at id {i}: {ours.get(i)!r} against {theirs.get(i)!r}: "
                "use two models of one family"
            )
    for field in ("eos_token_id", "bos_token_id"):
        left, right = getattr(a.tokenizer, field), getattr(b.tokenizer, field)
        if left != right:
            raise InputError(f"the tokenizers of {names} differ in {field}: {left} against {right}: make them agree")


def require_pair(a: Engine, b: Engine) -> None:
    """Raise InputError unless the log-probabilities of two engines may be subtracted: one tokenizer, and the same
    temperature, truncation and kind of log-probabilities."""
    require_same_vocabulary(a, b)
    for field in ("sampling_temperature", "truncation", "logprobs"):
        left, right = getattr(a.contract, field), getattr(b.contract, field)
        if left != right:
            raise InputError(
                f"{a.contract.model} has {field} {left!r} and {b.contract.model} {right!r}: an importance weight needs "
                "both log-probabilities under the same conditions"
            )
