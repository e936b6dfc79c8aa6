"""The χ² target π = π_B (1 + β(r - λ))_+ (M41): the largest E_P r - χ²(P‖π_B)/(2β). It is order 2 of `order.py`.

Inference-time pessimism (arXiv 2503.21878) is the same law, its λ written as λ - 1/β.
"""

from __future__ import annotations

from dataclasses import replace

from gsi_theory.targets.order import order
from gsi_theory.targets.target import Target

__all__ = ["CHI2"]

CHI2: Target = replace(order("2"), name="chi2", words="base·(1 + β(reward - λ)), or 0 where that is negative")
