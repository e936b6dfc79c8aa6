"""Pareto k̂ of importance weights (arviz-stats) and the coverage of a pool, by prompt and step.

The only module that needs arviz-stats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import ArrayLike

from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.instance import log_weight
from gsi_theory.samples.pool_limits import Answer, tail_seen
from gsi_theory.samples.weight_coverage import Coverage, chi2_from_base, weight_coverage
from gsi_theory.types import Floats
from llm_check.logs.pools.pool import Pool

__all__ = ["PositionCoverage", "pareto_khat", "pool_coverage", "position_coverage"]

FEWEST = 25  # a fifth of the draws is the tail, and a Pareto fit needs five
# M draws of a Pareto tail of shape k span about k log M nats: 300 or more mean k > 30, and the fit would underflow.
WIDEST = 300.0
EQUAL = 1e-9  # nats: log-weights this close are one weight, recomputed


@dataclass(frozen=True)
class PositionCoverage:
    """Coverage at one position: of ρ = π_B/π_S, of the tilt at beta, their k̂, and whether the tilt's tail was seen.

    base_chi2: (χ²(π_B‖π_S), lower bound) from the base draws, None where there are none.
    """

    prompt_id: str
    step: int
    ratio: Coverage
    ratio_khat: float
    base_chi2: tuple[float, float] | None
    tilted: Coverage
    tilted_khat: float
    tail: Answer


def pareto_khat(log_weight: ArrayLike) -> float:
    """Pareto shape k̂ of the tail of weights, log_weight (N,) in nats: Vehtari et al., JMLR 2024, by arviz-stats.

    +inf below 25 draws of positive weight, where no tail can be fitted; -inf where all draws of the tail (3√N, or N/5
    below 225) have one weight: then the largest weight has been seen often.
    """
    weight = as_numbers(log_weight, "log_weight")
    if weight.ndim != 1 or weight.size == 0 or np.isnan(weight).any() or (weight == np.inf).any():
        raise InputError(f"log_weight of shape {weight.shape}: give N ≥ 1 numbers in nats, without NaN or +inf")
    used = np.sort(weight[weight > -np.inf])
    if used.size < FEWEST:
        return np.inf
    tail = int(3 * np.sqrt(used.size)) if used.size > 225 else used.size // 5
    if used[-1] - used[-tail] < EQUAL:
        return -np.inf
    if used[-1] - used[-tail] > WIDEST:
        return np.inf
    used = _spread(used)
    # psislw takes log-likelihoods, the negative of log-weights. (pareto_khat of arviz-stats 0.8 does not pass its flag
    # log_weights on, so it would fit the tail of the logarithms.)
    _, khat = array_stats.psislw(-used)
    return float(khat) if np.isfinite(khat) else np.inf


def _spread(ranked: Floats) -> Floats:
    """Equal log-weights spread evenly up to the next larger one: the fit divides by gaps (discrete policies tie)."""
    distinct, first, group, count = np.unique(ranked, return_index=True, return_inverse=True, return_counts=True)
    gap = np.diff(distinct, append=distinct[-1])
    return ranked + gap[group] * (np.arange(ranked.size) - first[group]) / count[group]


def position_coverage(pool: Pool, prompt_id: str, step: int, beta: float) -> PositionCoverage:
    """Coverage at one position. Raises InputError where the pool has no drafts there."""
    draft = pool.draft_candidates(prompt_id, step)
    weight = log_weight(draft, beta)
    khat = pareto_khat(weight)
    base_chi2, base_ratio, base_weight = None, None, None
    if pool.has(prompt_id, step, "base"):
        base = pool.base_candidates(prompt_id, step)
        base_chi2 = chi2_from_base(base.log_ratio)
        base_ratio, base_weight = base.log_ratio, beta * base.reward
    return PositionCoverage(
        prompt_id,
        step,
        ratio=weight_coverage(draft.log_ratio, known_mean=True),
        ratio_khat=pareto_khat(draft.log_ratio),
        base_chi2=base_chi2,
        tilted=weight_coverage(weight),
        tilted_khat=khat,
        tail=tail_seen(weight, khat, base_log_ratio=base_ratio, base_log_weight=base_weight),
    )


def pool_coverage(pool: Pool, beta: float) -> list[PositionCoverage]:
    """Coverage of every position of a pool that has drafts, in the pool's order."""
    return [position_coverage(pool, prompt_id, step, beta) for prompt_id, step in pool.positions("draft")]
