"""The power target π ∝ π_B^α, α ≥ 1 (M41), arXiv 2510.14901: the KL target of r = log π_B at β = α - 1, in nats.

Written "power:α". Neither the reward nor β of a scheme is read; a threshold is in nats of r = log π_B.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.targets.target import Aim, Target
from gsi_theory.types import Floats

__all__ = ["power"]

LARGEST = 1e6


def _aim(alpha: float, log_base: Floats, reward: Floats, beta: float) -> Aim:
    live = log_base > -np.inf
    if alpha == 1.0:
        zero = np.zeros(reward.size)
        return Aim(zero, log_base, 0.0, 0.0, zero, zero, 0.0)
    tilt = np.where(live, (alpha - 1.0) * np.where(live, log_base, 0.0), -np.inf)
    size = 2.0 * np.abs(np.where(live, tilt, 0.0))
    return Aim(tilt, log_base, alpha - 1.0, 0.0, log_base, size, 0.0)


def power(parameter: str) -> Target:
    """The target of α, a number from 1 to LARGEST as text. Raises InputError otherwise."""
    try:
        alpha = float(parameter)
    except ValueError:
        alpha = np.nan
    if not 1.0 <= alpha <= LARGEST:
        raise InputError(f"target 'power:{parameter}': give a number α from 1 to {LARGEST:g} after the colon")
    return Target(f"power:{parameter}", f"base^{parameter}, normalized", partial(_aim, alpha), reads_reward=False)
