"""Pareto k̂ of importance weights (arviz-stats) and the coverage of a pool, by prompt and step.

The only module that needs arviz-stats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.instance import log_weight
from gsi_theory.samples.pool_limits import Answer, tail_seen
from gsi_theory.samples.weight_coverage import Coverage, chi2_from_base, weight_coverage
from gsi_theory.types import Floats
from llm_check.logs.pools.pool import SOURCES, Pool

__all__ = [
    "PairCoverage",
    "PositionCoverage",
    "chi2_of",
    "fitted_khat",
    "pair_renyi2",
    "pareto_khat",
    "pool_coverage",
    "position_coverage",
]

FEWEST = 25  # a fifth of the draws is the tail, and a Pareto fit needs five
# M draws of a Pareto tail of shape k span about k log M nats: 300 or more mean k > 30, and the fit would underflow.
WIDEST = 300.0
LARGEST_LOG = 709.0  # nats, of a float
EQUAL = 1e-9  # nats: log-weights this close are one weight, recomputed


@dataclass(frozen=True)
class PairCoverage:
    """π_B from π_S, of both sources: χ² with its lower bound at 95 %, D₂ = log(1 + χ²), log of the largest ratio there
    must be, and KL(π_S‖π_B), KL(π_B‖π_S) in nats (of base draws: None without).

    E_S ρ² − 1 over drafts and E_B ρ − 1 over base draws are the same number, and both come out too small where their
    draws missed a tail: the larger is χ² (`pair_renyi2`). No number contradicts another: each source's bound is below
    its own estimate; KL(π_B‖π_S) is below the base draws' D₂ (Jensen); χ² ≤ sup ρ − 1, so χ² is no larger than the
    largest ratio, and that is at least what the bound on χ² asks for. Two bounds at 97.5 % hold together at 95 %. Noise
    below zero is 0.
    """

    chi2: float
    chi2_low: float
    renyi2: float
    log_largest: float
    kl_draft: float
    kl_base: float | None


@dataclass(frozen=True)
class PositionCoverage:
    """Coverage at one position: of ρ = π_B/π_S, of the tilt at beta, their k̂, and whether the tilt's tail was seen.

    base_chi2: (χ²(π_B‖π_S), lower bound) from the base draws, None where there are none; pair: of both sources; tokens:
    mean tokens of the drafts and of the base draws, None where the pool has no lengths; log_ratio, log_weight (N,): of
    the drafts, that of the tilt relative to its mean.
    """

    prompt_id: str
    step: int
    ratio: Coverage
    ratio_khat: float
    base_chi2: tuple[float, float] | None
    tilted: Coverage
    tilted_khat: float
    tail: Answer
    pair: PairCoverage
    tokens: tuple[float, float] | None
    log_ratio: Floats
    log_weight: Floats


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


def fitted_khat(log_weight: ArrayLike) -> float | None:
    """`pareto_khat` where a tail was fitted, None below 25 draws of positive weight: nothing was."""
    weight = as_numbers(log_weight, "log_weight")
    return pareto_khat(weight) if np.count_nonzero(weight > -np.inf) >= FEWEST else None


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
    level = 0.95
    if pool.has(prompt_id, step, "base"):
        base = pool.base_candidates(prompt_id, step)
        level = 0.975
        base_chi2 = chi2_from_base(base.log_ratio, level)
        base_ratio, base_weight = base.log_ratio, beta * base.reward
    ratio = weight_coverage(draft.log_ratio, known_mean=True, level=level)
    return PositionCoverage(
        prompt_id,
        step,
        ratio=ratio,
        ratio_khat=pareto_khat(draft.log_ratio),
        base_chi2=base_chi2,
        tilted=weight_coverage(weight),
        tilted_khat=khat,
        tail=tail_seen(weight, khat, base_log_ratio=base_ratio, base_log_weight=base_weight),
        pair=_pair(ratio, draft.log_ratio, base_chi2, base_ratio),
        tokens=_tokens(pool, prompt_id, step),
        log_ratio=draft.log_ratio,
        log_weight=weight - logsumexp(weight) + np.log(weight.size),
    )


def pair_renyi2(draft: Floats, base: Floats | None = None) -> float:
    """log(1 + χ²(π_B‖π_S)), nats, from log-ratios of drafts (N,) and of base draws (N_B,): the larger of the two
    sources' estimates, 0 at least, and at most the log of the largest ratio seen (χ² ≤ sup ρ − 1)."""
    moments, top = [0.0], 0.0
    for ratio, order in ((draft, 2.0), (base, 1.0)):
        if ratio is not None and ratio.size:
            moments.append(float(logsumexp(order * ratio)) - np.log(ratio.size))
            top = max(top, float(ratio.max()))
    return min(max(moments), top)


def _pair(ratio: Coverage, draft: Floats, base_chi2: tuple[float, float] | None, base: Floats | None) -> PairCoverage:
    low = max(ratio.chi2_low, base_chi2[1] if base_chi2 else 0.0)
    top = max(ratio.log_largest, -np.inf if base is None else float(base.max()), float(np.log1p(low)))
    renyi2 = max(pair_renyi2(draft, base), float(np.log1p(low)))
    kl_base = None if base is None else max(float(base.mean()), 0.0)
    return PairCoverage(chi2_of(renyi2), low, renyi2, top, max(-float(draft.mean()), 0.0), kl_base)


def chi2_of(renyi2: float) -> float:
    """e^D₂ − 1, infinite beyond the range of numbers."""
    return float(np.expm1(renyi2)) if renyi2 < LARGEST_LOG else np.inf


def _tokens(pool: Pool, prompt_id: str, step: int) -> tuple[float, float] | None:
    """Mean tokens of the position's drafts and of its base draws (0 without any)."""
    tokens, sets = pool.arrays.tokens, pool.arrays.sets
    if tokens is None:
        return None
    means = [float(tokens[sets[prompt_id, step, s]].mean()) if pool.has(prompt_id, step, s) else 0.0 for s in SOURCES]
    return means[0], means[1]


def pool_coverage(pool: Pool, beta: float) -> list[PositionCoverage]:
    """Coverage of every position of a pool that has drafts, in the pool's order."""
    return [position_coverage(pool, prompt_id, step, beta) for prompt_id, step in pool.positions("draft")]
