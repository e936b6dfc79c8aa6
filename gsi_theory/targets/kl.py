"""The KL target, the tilted policy π ∝ π_B e^{βr} (M1): the largest E_P r - KL(P‖π_B)/β."""

from __future__ import annotations

import numpy as np

from gsi_theory.targets.target import Aim, Target
from gsi_theory.types import Floats

__all__ = ["KL"]


def _aim(log_base: Floats, reward: Floats, beta: float) -> Aim:
    tilt = beta * reward
    return Aim(tilt, reward, beta, 0.0, reward if beta > 0 else np.zeros(reward.size), np.abs(tilt), 0.0)


KL = Target("kl", "base·e^(β·reward), normalized", _aim, plain=True)
