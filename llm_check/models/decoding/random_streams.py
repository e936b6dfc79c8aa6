"""Random streams: one for each position and purpose, so that no prompt's numbers depend on the prompts beside it.

Engines that take numbers (transformers) draw uniforms from `PositionStream.generator`; engines that take an integer
seed (vLLM) get `PositionStream.integer`. Row i of what a stream gives is the same for every n > i: the first n
candidates of a pool of N are the pool of n. No torch here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from gsi_theory.errors import InputError

__all__ = ["PositionStream", "Purpose", "draw_purpose", "select_purpose"]


class Purpose(IntEnum):
    """What a stream is for. Selection noise has purposes of its own: draws stay the same under every rule."""

    DRAFT = 0
    BASE = 1
    PATH = 2
    SELECT_DRAFT = 10
    SELECT_BASE = 11
    ACCEPT = 12
    ALLOCATE = 13
    NUMBER = 14
    RESIDUAL = 15
    CHECK = 20
    PICK = 21
    # Drafter j ≥ 1 beside the draft draws with purpose DRAFTER + j, and its candidates' noise is SELECT_DRAFTER + j.
    DRAFTER = 1000
    SELECT_DRAFTER = 2000
    # Candidate k of a search that draws one at a time has purpose CANDIDATE + k.
    CANDIDATE = 1 << 20


def draw_purpose(policy: str) -> int:
    """The purpose of the candidates of a policy: "draft", "base", "drafter1", "drafter2", ..."""
    return _purpose(policy, Purpose.DRAFT, Purpose.BASE, Purpose.DRAFTER)


def select_purpose(policy: str) -> int:
    """The purpose of the selection noise of those candidates."""
    return _purpose(policy, Purpose.SELECT_DRAFT, Purpose.SELECT_BASE, Purpose.SELECT_DRAFTER)


def _purpose(policy: str, draft: int, base: int, further: int) -> int:
    named = {"draft": draft, "base": base}
    return int(named[policy]) if policy in named else further + int(policy.removeprefix("drafter"))


@dataclass(frozen=True)
class PositionStream:
    """The stream of (prompt_id, step) for one purpose under the seed of a run. InputError for a negative seed."""

    seed: int
    prompt_id: str
    step: int
    purpose: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: give an integer of at least 0")

    def _words(self) -> list[int]:
        name = hashlib.blake2b(self.prompt_id.encode(), digest_size=16).digest()
        return [self.seed, int.from_bytes(name, "big"), self.step, int(self.purpose)]

    def generator(self) -> np.random.Generator:
        """A fresh generator at the start of the stream."""
        return np.random.default_rng(self._words())

    def integer(self, bits: int = 62) -> int:
        """A seed of at most `bits` bits for engines that take an integer."""
        words = np.random.SeedSequence(self._words()).generate_state(2, np.uint64)
        return int(words[0]) % (1 << bits)
