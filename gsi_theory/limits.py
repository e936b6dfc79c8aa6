"""What no selection rule can beat (M19)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.divergence import _pair
from gsi_theory.law import as_count

__all__ = ["best_tv"]


def best_tv(log_target: ArrayLike, log_proposal: ArrayLike, n: int) -> float:
    """Least TV to the first law over **all** rules that return one of n iid draws from the second (M19).

    max over the superlevel sets A of w = first/second of π(A) - 1 + (1 - μ(A))^n; attained. Both (K,) in nats;
    1 ≤ n ≤ 2^53. Mass that the proposal misses counts in full. Raises InputError on unequal shapes, NaN, bad n.
    """
    p, q = _pair(log_target, log_proposal)
    n = as_count(n, "n")
    with np.errstate(invalid="ignore"):
        log_w = np.where(q == -np.inf, np.where(p == -np.inf, -np.inf, np.inf), p - np.where(q == -np.inf, 0.0, q))
    order = np.argsort(-log_w, kind="stable")
    ranked = log_w[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    target = np.cumsum(np.exp(p[order]))[ends]
    proposal = np.minimum(np.cumsum(np.exp(q[order]))[ends], 1.0)
    with np.errstate(divide="ignore"):
        missed = np.expm1(n * np.log1p(-proposal))
    return float(np.clip(np.max(target + missed), 0.0, 1.0))
