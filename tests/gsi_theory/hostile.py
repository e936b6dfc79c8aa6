"""Random hostile candidate sets: log-weights to ±1e4 and ±1e6, masses to 1e-300, ties, zero masses, zero weights."""

from __future__ import annotations

import numpy as np

__all__ = ["hostile_candidates"]


def hostile_candidates(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """(log-masses (K,) summing to one, log-weights (K,), n), K from 1 to 7, n from 1 to 1e9."""
    size = int(rng.integers(1, 8))
    mass = rng.uniform(-rng.choice([0.0, 1.0, 50.0, 690.0]), 0.0, size)
    mass[rng.random(size) < 0.15] = -np.inf
    if not np.isfinite(mass).any():
        mass[0] = 0.0
    mass -= np.logaddexp.reduce(mass)
    kind = rng.integers(7)
    reward, ratio = rng.normal(size=size), rng.normal(size=size)
    weight = (
        np.zeros(size),  # all tied
        rng.choice([0.0, 1.0], size),  # ties
        float(rng.choice([1.0, 20.0, 400.0, 1e6])) * reward,  # beta times reward
        ratio * rng.choice([1.0, 5.0, 30.0]) + 20.0 * reward,
        rng.uniform(-1e4, 1e4, size),
        np.where(np.isfinite(mass), -mass, 0.0) * rng.uniform(0.5, 1.5) + ratio,  # light candidates weigh more
        ratio * 10.0 ** rng.uniform(-12, 0),  # almost constant
    )[kind]
    weight = np.where(rng.random(size) < 0.1, -np.inf, weight)
    n = int(rng.choice([1, 2, 3, 16, 1000, 10**6, 10**9]))
    return mass, weight, n
