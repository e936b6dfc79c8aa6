"""Speculative sampling (M22): accept the one draft with probability min(1, π_B/π_S), otherwise draw from the residual.

The residual law is (π_B - π_S)_+ / TV(π_B, π_S). The parts add up to π_B exactly, whatever the draft; acceptance is
1 - TV(π_B, π_S). Log-probabilities are (K,) in nats. Source: Leviathan et al. 2023, arXiv 2211.17192.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.logscale import log1mexp, log_sum
from gsi_theory.instance import Instance
from gsi_theory.types import Floats

__all__ = ["SpeculativeLaw", "speculative_law"]


@dataclass(frozen=True)
class SpeculativeLaw:
    """accepted_log_mass (K,) = log min(π_S, π_B); residual_log_prob (K,); log_prob (K,), assembled from both.

    p_accept = Σ min(π_S, π_B); log_p_reject = log TV(π_B, π_S), accurate for nearly equal policies.
    """

    log_prob: Floats
    accepted_log_mass: Floats
    residual_log_prob: Floats
    p_accept: float
    log_p_reject: float


def speculative_law(instance: Instance) -> SpeculativeLaw:
    """The law of speculative sampling from its parts (M22); log_prob equals log π_B up to rounding.

    Where draft and base agree nothing is rejected; the residual is then π_B by convention.
    """
    draft, base = instance.log_draft, instance.log_base
    more = base > draft
    top = np.where(more, base, 0.0)
    residual = np.where(more, top + log1mexp(np.where(more, draft, -1.0) - top), -np.inf)
    # Both sides of Σ(π_B - π_S)_+ = Σ(π_S - π_B)_+ are sums of positive terms; rounding of the inputs makes them differ
    # by a unit, so the residual's own total is taken and its parts add up.
    log_reject = min(float(log_sum(residual)), 0.0)
    accepted = np.minimum(draft, base)
    residual_prob = residual - log_reject if log_reject > -np.inf else base
    return SpeculativeLaw(
        log_prob=np.logaddexp(accepted, log_reject + residual_prob),
        accepted_log_mass=accepted,
        residual_log_prob=residual_prob,
        p_accept=min(float(np.exp(log_sum(accepted))), 1.0),
        log_p_reject=log_reject,
    )
