"""A language model of nine next steps, in NumPy: an engine for tests that need many processes or many crashes.

The law of the next step depends on the prefix (through a digest) and on the engine's name: draft and base differ.
Step k has the tokens [k + 1] * (1 + k % 3); step 0 ends the solution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.reasoning_steps import PAD, Steps
from llm_check.models.engines.engine import LogProbContract

STEPS, WIDTH = 9, 3
TOKENS = np.full((STEPS, WIDTH), PAD, dtype=np.int32)
for _k in range(STEPS):
    TOKENS[_k, : 1 + _k % 3] = _k + 1


class ToyTokenizer:
    eos_token_id = bos_token_id = 1

    def get_vocab(self) -> dict[str, int]:
        return {chr(97 + i): i for i in range(STEPS + 1)}

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(97 + i) for i in ids)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) - 97 for c in text]}


@dataclass(frozen=True)
class ToyPrefixes:
    ids: tuple[tuple[int, ...], ...]

    @property
    def rows(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ToyEngine:
    name: str
    vocabulary: int = STEPS + 1

    @property
    def contract(self) -> LogProbContract:
        return LogProbContract("toy", "1", self.name, "float64")

    @property
    def tokenizer(self) -> ToyTokenizer:
        return ToyTokenizer()

    def law(self, prefix: Sequence[int]) -> np.ndarray:
        """Log-probabilities (STEPS,) of the next step."""
        seed = hashlib.sha256(f"{self.name} {tuple(prefix)}".encode()).digest()[:8]
        logits = np.random.default_rng(int.from_bytes(seed, "big")).normal(size=STEPS)
        return np.asarray(logits - np.log(np.exp(logits).sum()))

    def prefill(self, prefixes: Sequence[Sequence[int]]) -> ToyPrefixes:
        return ToyPrefixes(tuple(tuple(p) for p in prefixes))

    def extend(self, prefixes: ToyPrefixes, steps: Sequence[Sequence[int]]) -> ToyPrefixes:
        return ToyPrefixes(tuple((*p, *s) for p, s in zip(prefixes.ids, steps, strict=True)))

    def select(self, prefixes: ToyPrefixes, rows: Any) -> ToyPrefixes:
        return ToyPrefixes(tuple(prefixes.ids[int(r)] for r in rows))

    def sample(self, prefixes: ToyPrefixes, n: int, streams: Any, rule: Any) -> Steps:
        laws = [self.law(p) for p in prefixes.ids]
        u = [stream.generator().random(n) for stream in streams]
        cdf = [np.cumsum(np.exp(law)) for law in laws]
        chosen = np.stack(
            [np.minimum(np.searchsorted(c, v, side="right"), STEPS - 1) for c, v in zip(cdf, u, strict=True)]
        )
        logp = np.zeros((*chosen.shape, WIDTH))
        logp[..., 0] = np.stack([law[c] for law, c in zip(laws, chosen, strict=True)])
        return Steps(TOKENS[chosen], logp, np.where(chosen == 0, "eos", "stop"))

    def score(self, prefixes: ToyPrefixes, steps: Any) -> np.ndarray:
        tokens = np.asarray(steps)
        logp = np.zeros(tokens.shape)
        for row, prefix in enumerate(prefixes.ids):
            logp[row, :, 0] = self.law(prefix)[tokens[row, :, 0] - 1]
        return logp


class ToyReward:
    name, low, high = "toy", 0.0, 1.0

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> np.ndarray:
        return np.array(
            [
                ((3 * sum(place.prefix) + 5 * step[0] + len(step)) % 11) / 10
                for place, step in zip(places, steps, strict=True)
            ]
        )
