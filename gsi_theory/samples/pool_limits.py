"""How far a pool speaks: for which n about the law of a rule, and whether about the tilted policy itself.

*The law at n.* The estimate at n ≤ N is unbiased whatever the weights (M31); none exists beyond. What no draw has shown
can still move it. If an outcome, or a fixed set of them, of probability a_p at prompt p was never seen in N draws each,
with confidence 1 − δ Σ a_p ≤ log(1/δ)/N; it is among n draws with probability at most n a_p, so it moves the mean over
P prompts by at most osc(f)·min(1, n log(1/δ)/(P N)) (`unseen_shift`), with no assumption on law or weights.

*The tilted policy* (limits n → ∞, KL and TV to it, χ², M11) needs the weights' tail. Its Pareto shape k̂ must be at
most min(0.7, 1 − 1/log₁₀ N) (Vehtari et al., JMLR 2024), and the share of the largest weight at most `tolerance`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.estimate import refuse
from gsi_theory.samples.weight_coverage import weight_coverage
from gsi_theory.types import Floats

__all__ = [
    "Answer",
    "Reason",
    "drafts_for_base",
    "furthest_n",
    "khat_limit",
    "speaks",
    "tail_seen",
    "unseen_shift",
]

SEEN = 3.0  # draws expected beyond a level of weights that is called seen: missed with probability e^{-3} = 5 %


class Reason(StrEnum):
    """Why a pool speaks or does not."""

    SPEAKS = "speaks"
    WIDE_ERROR = "wide_error"
    BEYOND_POOL = "beyond_pool"
    UNSEEN = "unseen"
    HEAVY_TAIL = "heavy_tail"
    ONE_CANDIDATE = "one_candidate"


@dataclass(frozen=True)
class Answer:
    """speaks: whether to conclude; reason; evidence: the numbers behind it; advice: what to do.

    drafts_needed: drafts a prompt that would change a refusal (None: unknown or not needed); at_least: whether that
    number is only a lower bound.
    """

    speaks: bool
    reason: Reason
    evidence: str
    advice: str
    drafts_needed: int | None = None
    at_least: bool = False


def khat_limit(size: int) -> float:
    """Largest Pareto k̂ at which weighted means over N draws are reliable: min(0.7, 1 − 1/log₁₀ N), 0 for N ≤ 10.

    N draws hold means of weights of shape k when N ≥ 10^{1/(1−k)} (Vehtari et al., JMLR 2024). N is the number of
    weights that k̂ was fitted to and that the mean is over: a position's own drafts for what is said of that position,
    the drafts of all positions together for a mean over them all. From 2,155 on it is 0.7.
    """
    return float(min(0.7, 1.0 - 1.0 / np.log10(size))) if size > 10 else 0.0


def unseen_shift(n: int, size: int, prompts: int = 1, confidence: float = 0.95) -> float:
    """Bound on what unseen outcomes can add to a mean over prompts, in units of max f − min f; see above.

    Raises InputError for n, size or prompts below 1, or a confidence outside (0, 1).
    """
    if min(n, size, prompts) < 1 or not 0 < confidence < 1:
        raise InputError(
            f"n = {n}, size = {size}, prompts = {prompts}, confidence = {confidence}: give 1 or more, (0, 1)"
        )
    return float(min(1.0, -np.log1p(-confidence) * n / (prompts * size)))


def furthest_n(size: int, prompts: int = 1, tolerance: float = 0.1, confidence: float = 0.95) -> int:
    """Largest n at which a pool of `size` drafts a prompt speaks about the law: n ≤ N and unseen_shift ≤ tolerance; 0
    when no n does."""
    return int(min(size, np.floor(tolerance * prompts * size / -np.log1p(-confidence) * (1 + 1e-12))))


def speaks(n: int, size: int, prompts: int = 1, tolerance: float = 0.1, confidence: float = 0.95) -> Answer:
    """Whether `size` drafts at each of `prompts` prompts tell the mean of f under n draws, to tolerance · osc f."""
    shift = unseen_shift(n, size, prompts, confidence)
    needed = int(np.ceil(max(n, n * -np.log1p(-confidence) / (tolerance * prompts))))
    if n > size:
        evidence = f"n = {n}, but {size} drafts a prompt: no unbiased estimate exists beyond the pool"
        return Answer(False, Reason.BEYOND_POOL, evidence, f"draw {needed} a prompt, or ask for n ≤ {size}", needed)
    if shift > tolerance:
        evidence = (
            f"n = {n}: outcomes unseen in {prompts} × {size} drafts may move the mean by {shift:.2g} of its range"
        )
        furthest = furthest_n(size, prompts, tolerance, confidence)
        advice = f"draw {needed} a prompt, take more prompts, or ask for n ≤ {furthest}"
        return Answer(False, Reason.UNSEEN, evidence, advice, needed)
    if 2 * n > size:
        evidence = f"n = {n} of {size}: unbiased, but few candidates decide it and its standard error is noisy"
        return Answer(True, Reason.WIDE_ERROR, evidence, f"for an error to rely on at each prompt draw {2 * n}")
    return Answer(True, Reason.SPEAKS, f"n = {n} of {size} drafts, {prompts} prompts", "")


def tail_seen(
    log_weight: ArrayLike,
    khat: float,
    tolerance: float = 0.05,
    base_log_ratio: ArrayLike | None = None,
    base_log_weight: ArrayLike | None = None,
) -> Answer:
    """Whether drafts of log-weights βr̃ (N,) tell of the tilted policy, given the Pareto k̂ of their tail.

    With base draws (their ℓ and βr, (N_B,)) the drafts needed are read off them (`drafts_for_base`). Else they follow
    from the tail's shape: for k̂ < 1 the mass beyond the largest weight falls like N^{k̂−1}, so
    N (share/tolerance)^{1/(1−k̂)}, and at least 10^{1/(1−k̂)}; beyond, only N · share/tolerance, which no law
    beats (E w_max does not fall with N).
    """
    seen = weight_coverage(log_weight)
    limit = khat_limit(seen.size)
    tail = f"k̂ = {khat:.2g} (limit {limit:.2g} for {seen.size} drafts)"
    if np.isinf(khat):
        tail = f"no tail fitted ({seen.size} drafts)" if khat > 0 else "no tail (the largest weights are equal)"
    evidence = f"{tail}, largest weight {seen.largest_share:.1%} of all"
    if khat <= limit and seen.largest_share <= tolerance:
        return Answer(True, Reason.SPEAKS, evidence, "")
    needed, at_least = _drafts(seen.size, seen.largest_share, khat, tolerance)
    if base_log_ratio is not None and base_log_weight is not None:
        needed, at_least = drafts_for_base(base_log_ratio, base_log_weight, tolerance), False
    reason = Reason.ONE_CANDIDATE if seen.ess < 2 else Reason.HEAVY_TAIL
    about = "at least" if at_least else "about"
    advice = f"{about} {needed:,} drafts a prompt would be needed to see the tail; or take a smaller β"
    return Answer(False, reason, evidence, advice, needed, at_least)


def _drafts(size: int, share: float, khat: float, tolerance: float) -> tuple[int, bool]:
    """(drafts needed, whether that is only a lower bound) from the shape of the tail."""
    least = size * max(1.0, share / tolerance)
    if khat >= 0.95:  # the powers below are then beyond any count of drafts
        return int(np.ceil(least)), True
    power = 1.0 / (1.0 - max(khat, 0.0))
    found = max(size * max(1.0, share / tolerance) ** power, 10.0**power, least)
    return int(np.ceil(min(found, 1e15))), False


def drafts_for_base(base_log_ratio: ArrayLike, base_log_weight: ArrayLike, tolerance: float = 0.05) -> int:
    """Drafts N with N π_S(w ≥ w_q) = 3, w_q the 1 − tolerance quantile of w = e^{βr}ρ under the tilt, from base draws.

    The tilt weighs base draws by e^{βr}, and π_S(w ≥ w_q) = E_{π_B}[1/ρ; w ≥ w_q] is the mean of a variable that is
    small where drafts are rare, so no tail is extrapolated. With that many, 95 % of pools reach into the last
    `tolerance` of the tilted mass. base_log_ratio = ℓ, base_log_weight = βr (N_B,). At most 10¹⁵.
    Raises InputError on lengths that differ, ℓ = NaN or -inf, weights that are not finite.
    """
    ratio, weight = as_numbers(base_log_ratio, "base_log_ratio"), as_numbers(base_log_weight, "base_log_weight")
    if ratio.shape != weight.shape or ratio.ndim != 1 or ratio.size == 0:
        raise InputError(f"base_log_ratio {ratio.shape} and base_log_weight {weight.shape}: give N_B numbers each")
    refuse(np.isnan(ratio) | (ratio == -np.inf), ratio, "base_log_ratio", "give nats (+inf: out of the draft's reach)")
    refuse(~np.isfinite(weight), weight, "base_log_weight", "give finite nats")
    order = np.argsort(-(ratio + weight))
    mass: Floats = np.cumsum(np.exp(normalize(weight))[order])
    last = int(np.searchsorted(mass, tolerance * (1.0 - 1e-9)))  # equality is meant to count, rounding aside
    total = ratio + weight
    level = float(total[order[min(last, ratio.size - 1)]])
    beyond = total >= level - 1e-9 * max(1.0, abs(level)) if np.isfinite(level) else total == level  # with its ties
    with np.errstate(over="ignore"):
        reached = np.exp(-ratio[beyond]).sum() / ratio.size
    return int(np.ceil(min(SEEN / max(reached, 1e-15), 1e15)))
