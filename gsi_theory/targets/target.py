"""What a target is: one record, in the target's own file; `target_table.py` finds it by name (M41).

A target is a law π on the outcomes, given the base π_B, the reward r and β ≥ 0: π ∝ π_B e^{log_tilt}. It gives draft
candidates the log-weight log_tilt + ℓ and base candidates log_tilt, and every rule samples it.

Shapes: K outcomes; logs in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gsi_theory.types import Flags, Floats

__all__ = ["Aim", "Target"]


@dataclass(frozen=True)
class Aim:
    """A target at one base, reward and β: log_tilt (K,), log π/π_B up to a constant, -inf for what π leaves out.

    Every target is the KL target of another reward: reward r' (K,) and beta β' ≥ 0 with β' r' = log_tilt + shift.
    order (K,): numbers that ascend with log_tilt and tie where it ties in exact arithmetic. size (K,): log_tilt is off
    by at most 2^-52 size, and shift by 2^-52 offset. vague (K,): outcomes of weight zero and of weights so small that
    rounding may have made them; log_tilt is then the largest that they may have. slack: what their mass under π may be.
    """

    log_tilt: Floats
    reward: Floats
    beta: float
    shift: float
    order: Floats
    size: Floats
    offset: float
    vague: Flags | None = None
    slack: float = 0.0


@dataclass(frozen=True)
class Target:
    """A target: what it aims at, and what it needs to know."""

    # as it is written in schemes and on the command line
    name: str
    # π in words, for the command line
    words: str
    # (log_base (K,) normalized, reward (K,), beta) -> the aim
    aim: Callable[[Floats, Floats, float], Aim]
    # log_tilt is β r, of each candidate alone: all that a pool of candidates, a model or a claim on π can do. Others
    # need the whole law of the base.
    plain: bool = False
    # whether r and β are read
    reads_reward: bool = True

    def __str__(self) -> str:
        return self.name
