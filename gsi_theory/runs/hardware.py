"""What a step costs on fixed hardware (M33): FLOPs, and seconds by the larger of arithmetic and memory traffic.

Writing is bound by memory bandwidth: each token of a batch reads the weights once. Scoring reads them once a step.
Sizes are those of the GSI paper's models (draft 1.5 B, base and process reward model 7 B, 16-bit weights, steps of 64
tokens), the hardware is one accelerator of 3.35 TB/s and 400 TFLOP/s of usable arithmetic. Cache traffic is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance
from gsi_theory.methods import MethodLaw
from gsi_theory.types import Floats

__all__ = ["HARDWARE", "Hardware", "flops", "seconds", "value_of"]


@dataclass(frozen=True)
class Hardware:
    """Parameters of the three models, tokens a step, bytes/s, FLOP/s, bytes a parameter."""

    draft: float = 1.5e9
    base: float = 7e9
    reward: float = 7e9
    tokens: float = 64.0
    bandwidth: float = 3.35e12
    arithmetic: float = 4e14
    width: float = 2.0


HARDWARE = Hardware()


def flops(law: MethodLaw, h: Hardware = HARDWARE) -> float:
    """Expected FLOPs of a round: 2·parameters·tokens for every candidate written or scored."""
    per = 2.0 * h.tokens
    drafts = h.draft * (law.draft_samples + law.draft_scored)
    return per * (drafts + h.base * (law.base_samples + law.base_scored) + h.reward * law.reward_calls)


def _write(size: float, batch: float, h: Hardware) -> float:
    return h.tokens * max(h.width * size / h.bandwidth, 2.0 * size * batch / h.arithmetic)


def _score(size: float, batch: float, h: Hardware) -> float:
    return max(h.width * size / h.bandwidth, 2.0 * size * batch * h.tokens / h.arithmetic)


def seconds(law: MethodLaw, h: Hardware = HARDWARE) -> float:
    """Expected seconds of a round in which candidates of one model are written together; a fallback follows the drafts.

    Where base samples are expected only after a rejection, the batch is what a rejection asks for.
    """
    rejected = 1.0 if law.p_accept is None else 1.0 - law.p_accept
    total = 0.0
    if law.draft_samples:
        total += _write(h.draft, law.draft_samples, h)
    if law.base_scored:
        total += _score(h.base, law.base_scored, h)
    after = law.base_samples / rejected if rejected > 0 else 0.0
    first_calls = law.reward_calls - (law.base_samples if law.p_accept is not None else 0.0)
    if first_calls > 0:
        total += _score(h.reward, first_calls, h)
    if after > 0:
        total += rejected * _write(h.base, after, h)
        if law.p_accept is not None and law.reward_calls > first_calls:
            total += rejected * _score(h.reward, after, h)
    return total


def value_of(instance: Instance, beta: float, log_prob: Floats) -> float:
    """E r - KL(law‖base)/β in reward units, which the tilted policy maximizes; there it is β⁻¹ log Z."""
    return float(np.exp(log_prob) @ instance.reward) - divergence.kl(log_prob, instance.log_base) / beta
