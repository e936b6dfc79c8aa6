"""Means over the levels of a reward: E f = least + ∫ P(f > x) dx, a finite sum of positive terms (M38)."""

from __future__ import annotations

from dataclasses import dataclass

from gsi_theory.arrays.namespace import as_arrays, plain_number, running_sum
from gsi_theory.divergence import log_pair
from gsi_theory.errors import InputError
from gsi_theory.types import Array, Namespace

__all__ = ["LARGEST", "RewardLevels", "reward_levels", "some_above"]

LARGEST = 1e300  # so that differences of rewards are numbers


@dataclass(frozen=True)
class RewardLevels:
    """Rewards in descending order (..., K): `steps` (..., K-1) from each to the next, `lowest` (...), the least reward
    that has mass, and for each law of the outcomes `above` (..., K-1), its P(r > x) for x on each step.
    """

    values: Array
    lowest: Array
    steps: Array
    above: tuple[Array, ...]

    def mean(self, chance: Array) -> Array:
        """least + Σ step · chance, chance (..., K-1) that the outcome's reward exceeds x on each step."""
        return plain_number(self.lowest + (self.steps * chance).sum(-1))


def reward_levels(reward: Array, *log_masses: Array) -> tuple[Namespace, RewardLevels]:
    """Levels of reward (..., K) under one law or two, log-probabilities (..., K); broadcast.

    Outcomes that none of them has count for nothing. Raises InputError on shapes that do not fit, NaN, infinite
    rewards.
    """
    named = {f"log_mass_{i}": mass for i, mass in enumerate(log_masses)}
    xp, (values, *masses) = as_arrays(reward=reward, **named)
    for mass in masses:
        log_pair(masses[0], mass)
    fits = values.ndim > 0 and values.shape[-1] == masses[0].shape[-1]
    if not fits or not bool(xp.all(xp.abs(values) <= LARGEST)):
        what = (
            f"with NaN or beyond {LARGEST:g}" if fits else f"beside log-probabilities of shape {tuple(masses[0].shape)}"
        )
        raise InputError(
            f"reward of shape {tuple(values.shape)} {what}: give a finite number for each of the K outcomes"
        )
    values, *masses = xp.broadcast_arrays(values, *masses)
    seen = xp.max(xp.stack(masses), axis=0) > -xp.inf
    lowest = xp.min(xp.where(seen, values, xp.inf), axis=-1)
    lowest = xp.where(xp.isfinite(lowest), lowest, 0.0)
    values = xp.where(seen, values, lowest[..., None])
    order = xp.argsort(values, axis=-1, descending=True)
    values = xp.take_along_axis(values, order, axis=-1)
    above = tuple(
        xp.clip(running_sum(xp.take_along_axis(xp.exp(mass), order, axis=-1))[..., :-1], None, 1.0) for mass in masses
    )
    return xp, RewardLevels(values, lowest, values[..., :-1] - values[..., 1:], above)


def some_above(above: Array, n: Array) -> Array:
    """1 - (1 - S)^n, that one of n (...) draws exceeds x, from S (..., K-1)."""
    xp, (above, n) = as_arrays(above=above, n=n)
    some = above < 1.0
    return xp.where(some, -xp.expm1(n[..., None] * xp.log1p(-xp.where(some, above, 0.0))), 1.0)
