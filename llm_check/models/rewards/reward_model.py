"""What a reward model is: one number for a step, given the position before it. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gsi_theory.types import Record
from llm_check.models.decoding.positions import Position

__all__ = ["RewardModel", "reward_record", "unjudged"]


class RewardModel(Protocol):
    """Judges steps; `name` says which model, rewards lie in [low, high] (reward units)."""

    @property
    def name(self) -> str:
        """Name for records."""
        ...

    @property
    def low(self) -> float:
        """Smallest possible reward; -inf where there is no bound."""
        ...

    @property
    def high(self) -> float:
        """Largest possible reward; +inf where there is no bound."""
        ...

    def score(self, places: Sequence[Position], steps: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Rewards (M,) of M steps (token ids), step i taken at position i; finite, within [low, high]."""
        ...

    def forget(self) -> None:
        """Drop what was remembered, so that the next scores are those of a freshly loaded model, to the last bit."""
        ...


def reward_record(model: RewardModel) -> Record:
    """What a run records of its reward model: name, range (null where unbounded), and its settings."""
    bounds = {
        key: value if abs(value) < float("inf") else None for key, value in (("low", model.low), ("high", model.high))
    }
    return {"name": model.name, **getattr(model, "settings", {}), **bounds}


def unjudged(reward: RewardModel) -> str:
    """What the model could not judge and gave its lowest reward, in words by reason; empty where nothing was."""
    failures = getattr(reward, "failures", {})
    if not failures:
        return ""
    listed = "; ".join(f"{count} × {reason}" for reason, count in sorted(failures.items()))
    return f"{reward.name} could not judge {sum(failures.values())} steps, rewarded {reward.low:g}: {listed}"
