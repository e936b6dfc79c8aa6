"""How many draws a method needs for a given closeness to the tilted policy, against what no rule can beat (M19)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.divergence import tv
from gsi_theory.errors import InputError
from gsi_theory.limits import best_tv
from gsi_theory.types import Floats

__all__ = ["best_n", "efficiency", "needed_n"]

LARGEST_N = 2**40


def _smallest(distance: Callable[[int], float], epsilon: float, n_max: int) -> float:
    """Smallest n ≤ n_max with distance(n) ≤ epsilon among those that doubling and bisection visit; inf if none.

    The answer n is verified: distance(n) ≤ epsilon < distance(n - 1).
    """
    if not 0.0 <= epsilon <= 1.0:
        raise InputError(f"epsilon = {epsilon!r}: give a total variation in [0, 1]")
    if n_max < 1:
        raise InputError(f"n_max = {n_max!r}: give a whole number ≥ 1")
    low, high = 0, 1
    while distance(high) > epsilon:
        if high >= n_max:
            return float("inf")
        low, high = high, min(2 * high, n_max)
    # Invariant: distance(high) ≤ epsilon, and distance(low) > epsilon or low = 0, both evaluated.
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if distance(middle) <= epsilon else (middle, high)
    return float(high)


def needed_n(law_of_n: Callable[[int], Floats], log_pi: ArrayLike, epsilon: float, n_max: int = LARGEST_N) -> float:
    """Smallest n with TV(law_of_n(n), π) ≤ epsilon; inf when n_max draws do not suffice. law_of_n: n -> log-probs (K,).

    TV is assumed not to increase in n: a theorem for the race rule (M17), the rule for softmax, false for
    rule max and for clipped weights. Where it fails the answer is still a crossing, TV(n) ≤ epsilon < TV(n - 1), but
    an earlier one may exist, and inf means only that no power of two up to n_max, nor n_max, suffices.
    """
    return _smallest(lambda n: tv(law_of_n(n), log_pi), epsilon, n_max)


def best_n(log_target: ArrayLike, log_proposal: ArrayLike, epsilon: float, n_max: int = LARGEST_N) -> float:
    """Smallest n at which some rule on n iid draws reaches TV ≤ epsilon (M19); inf beyond n_max. Decreases in n."""
    return _smallest(lambda n: best_tv(log_target, log_proposal, n), epsilon, n_max)


def efficiency(best: float, needed: float) -> float | None:
    """best/needed in [0, 1]; 0 where only the method fails to get there, None where no rule does."""
    if np.isinf(best):
        return None
    return 0.0 if np.isinf(needed) else best / needed
