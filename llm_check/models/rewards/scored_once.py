"""What every reward model does around its own arithmetic: score each (position, step) once, and refuse bad rewards.

Equal candidates get equal rewards to the last bit, whatever is scored beside them. The memory is bounded: the least
recently used rewards are forgotten and, when asked for again, computed again. No torch here.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.types import Floats
from llm_check.models.decoding.positions import Position

__all__ = ["RewardMemory", "ScoredOnce", "require_context", "score_once"]

# An entry takes about 250 bytes: 64 MiB.
_ENTRIES = 1 << 18

Pair = tuple[Position, tuple[int, ...]]
_Key = tuple[bytes, tuple[int, ...]]


@dataclass(frozen=True)
class RewardMemory:
    """Rewards by (prompt id, prefix with its step boundaries, step); at most `entries` of them."""

    entries: int = _ENTRIES
    known: OrderedDict[_Key, float] = field(default_factory=OrderedDict, repr=False)

    def keep(self, key: _Key, reward: float) -> None:
        """Remember one reward and forget the least recently used beyond the bound."""
        self.known[key] = reward
        self.known.move_to_end(key)
        while len(self.known) > self.entries:
            self.known.popitem(last=False)

    def forget(self) -> None:
        """Forget every reward."""
        self.known.clear()


def _digest(place: Position) -> bytes:
    """A name of the position: a step boundary at another place is another position to a process reward model."""
    parts = [np.asarray(ids, dtype=np.int64).tobytes() for ids in (place.prompt.ids, *place.path)]
    hashed = hashlib.blake2b(place.prompt_id.encode(), digest_size=16)
    for part in parts:
        hashed.update(len(part).to_bytes(8, "big") + part)
    return hashed.digest()


def score_once(
    memory: RewardMemory,
    name: str,
    bounds: tuple[float, float],
    places: Sequence[Position],
    steps: Sequence[Sequence[int]],
    compute: Callable[[list[Pair]], Sequence[float] | Floats],
) -> Floats:
    """Rewards (M,) float64 of M steps, step i at position i; `compute` is given the distinct pairs not yet known.

    Raises InputError when the lists differ in length, a step is empty, or a reward is NaN or outside `bounds`: the
    message names the reward model, the prompt, the step and the value.
    """
    if len(places) != len(steps):
        raise InputError(f"score got {len(places)} positions and {len(steps)} steps: give one position per step")
    digests: dict[int, bytes] = {}
    missing: dict[_Key, Pair] = {}
    keys: list[_Key] = []
    rewards: dict[_Key, float] = {}
    for place, step in zip(places, steps, strict=True):
        if len(step) == 0:
            raise InputError(f"score got an empty step at step {place.step} of prompt {place.prompt_id}: give its ids")
        if id(place) not in digests:
            digests[id(place)] = _digest(place)
        key = (digests[id(place)], tuple(int(token) for token in step))
        keys.append(key)
        if key in memory.known:
            memory.known.move_to_end(key)
            rewards[key] = memory.known[key]
        else:
            missing[key] = (place, key[1])
    if missing:
        pairs = list(missing.values())
        computed = compute(pairs)
        if len(computed) != len(pairs):
            raise InputError(f"reward {name} gave {len(computed)} values for {len(pairs)} steps: return one per step")
        for key, (place, _), value in zip(missing, pairs, computed, strict=True):
            rewards[key] = _checked(value, name, bounds, place)
            memory.keep(key, rewards[key])
    return np.array([rewards[key] for key in keys], dtype=np.float64)


def _checked(value: object, name: str, bounds: tuple[float, float], place: Position) -> float:
    try:
        # A text that reads as a number is a mistake of the function all the same.
        reward = math.nan if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        reward = math.nan
    low, high = bounds
    if not math.isfinite(reward) or not low <= reward <= high:
        raise InputError(
            f"reward {name} gave {_shown(value)} for step {place.step} of prompt {place.prompt_id}: a reward must be a "
            f"finite number in [{low:g}, {high:g}]; check the reward model's weights, dtype and stated range"
        )
    return reward


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to write very long ones
        return f"an integer of {value.bit_length()} bits"
    return f"{value}" if isinstance(value, float | int | np.number) else f"{type(value).__name__} {str(value)[:40]!r}"


class ScoredOnce:
    """`score` and `forget` of a reward model, over what it has of its own: name, low, high, memory, and
    `compute(pairs)`, the rewards of M distinct (position, step) pairs."""

    name: str
    low: float
    high: float
    memory: RewardMemory

    def compute(self, pairs: list[Pair]) -> Sequence[float] | Floats:
        """The rewards of distinct pairs, in order."""
        raise NotImplementedError

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> Floats:
        """The reward (M,) of M steps (token ids of the policies), step i at position i.

        Raises InputError for lists of unequal lengths, an empty step, a reward that is no number in [low, high], and
        what `compute` raises: a problem without a question or an answer, a text longer than the model's context.
        """
        return score_once(self.memory, self.name, (self.low, self.high), places, steps, self.compute)

    def forget(self) -> None:
        """Drop remembered rewards."""
        self.memory.forget()


def require_context(name: str, place: Position, length: int, context: float) -> None:
    """Raise InputError where what a reward model would read of a step is longer than its context."""
    if length > context:
        raise InputError(
            f"prompt {place.prompt_id} with its {place.step + 1} steps has {length} tokens for the reward "
            f"model {name}, whose context holds {context}: allow fewer or shorter steps, or leave it out"
        )
