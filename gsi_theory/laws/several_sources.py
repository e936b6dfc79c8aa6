"""The law nearest in TV to a target among those of rules that return one of n_j draws from each of J sources (M37b).

Such laws are the P with P(A) ≤ c(A) = 1 - Π_j (1 - μ_j(A))^{n_j} for every set A, the bases of a submodular function.
Their corners are greedy: in some order of the outcomes, as much as the sets of the first ones allow. We walk to the law
nearest to the target in squares by Wolfe's algorithm, which has the least TV too (Fujishige): of every step the law so
far is attainable and bounds the least TV from above, and the sets of the outcomes of least P - π bound it from below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.namespace import as_arrays, host
from gsi_theory.divergence import log_pair
from gsi_theory.errors import InputError, quoted
from gsi_theory.laws.draws import as_count
from gsi_theory.types import Array, Floats

__all__ = ["SeveralLimit", "as_drafters", "best_tv_several"]

MOST_OUTCOMES = 256  # a corral of so many corners: seconds
STEPS = 1_000


@dataclass(frozen=True)
class SeveralLimit:
    """The least TV lies in [tv, tv + error]; log_prob (K,): an attainable law whose TV lies there too."""

    tv: float
    error: float
    log_prob: Floats


def as_drafters(log_first: Array, log_drafts: Array, ns: Sequence[int]) -> tuple[Floats, Floats, list[int]]:
    """(a vector (K,), log-probabilities (J, K), whole numbers (J,)) of the sources that draw, on the host.

    Raises InputError on shapes, values above 0 or NaN, counts that are none, or no draw at all."""
    _, (first, drafts) = as_arrays(log_first=log_first, log_drafts=log_drafts)
    vector, laws = np.asarray(host(first)), np.asarray(host(drafts))
    if vector.ndim != 1 or laws.ndim != 2 or laws.shape != (len(ns), vector.size):
        raise InputError(
            f"{len(ns)} numbers of draws, vector {vector.shape}, drafters {laws.shape}: give J numbers, (K,), (J, K)"
        )
    counts = [0 if not isinstance(n, bool | np.bool_) and n == 0 else as_count(n, f"ns[{j}]") for j, n in enumerate(ns)]
    used = [j for j, n in enumerate(counts) if n]
    if not used:
        raise InputError(f"ns = {quoted(list(ns))}: draw at least one candidate")
    return vector, laws[used], [counts[j] for j in used]


def _corner(order: np.ndarray, masses: Floats, counts: Floats) -> Floats:
    """The attainable law that gives the first outcomes of `order` as much as can be: P(first k) = c(first k)."""
    upto = np.minimum(np.cumsum(masses[:, order], axis=1), 1.0)
    with np.errstate(divide="ignore"):
        missed = np.exp(counts @ np.log1p(-upto))
    missed[-1] = 0.0  # every draw lies in everything
    law = np.empty(order.size)
    law[order] = -np.diff(missed, prepend=1.0)
    return law


def _nearest_in_hull(corners: Floats) -> Floats:
    """Weights (m,), of sum one, of the point nearest to 0 in the affine hull of corners (m, K)."""
    rest = np.linalg.lstsq((corners[1:] - corners[0]).T, -corners[0], rcond=1e-14)[0]
    return np.concatenate([[1.0 - rest.sum()], rest])


def best_tv_several(log_target: Array, log_drafts: Array, ns: Sequence[int]) -> SeveralLimit:
    """Least TV to the target over all rules that return one of n_j iid draws from each drafter j (M37b).

    max_A π(A) - 1 + Π_j (1 - μ_j(A))^{n_j} over all sets A; no closed form beyond two drafters. log_target (K,),
    log_drafts (J, K) in nats, ns (J,) whole, ≥ 0, not all 0. The error holds what the walk has left (mostly nothing)
    and rounding, a few K units of 1. Memory: K² numbers; time: a second at K = 100. Raises InputError on shapes, NaN,
    bad ns, more than 256 outcomes.
    """
    log_pi, laws, numbers = as_drafters(log_target, log_drafts, ns)
    for row in laws:
        log_pair(log_pi, row)
    if log_pi.size > MOST_OUTCOMES:
        raise InputError(
            f"{quoted(log_pi.size)} outcomes: give at most {MOST_OUTCOMES}; outcomes of equal quotients π/μ_j, all j, "
            "may be added up to one, and those that neither π nor a drafter has left out"
        )
    with np.errstate(under="ignore"):
        pi, masses, counts = np.exp(log_pi), np.exp(laws), np.array(numbers, dtype=np.float64)
        rounding = 2.0 * (pi.size + 8) * float(np.finfo(np.float64).eps)
        start = np.argsort(-pi / np.maximum(counts @ masses, 1e-300), kind="stable")
        corners, weights = (_corner(start, masses, counts) - pi)[None], np.ones(1)
        low, high, nearest = -1.0, 2.0, corners[0]
        for _ in range(STEPS):
            point = weights @ corners
            above = float(np.sum(np.clip(-point, 0.0, None)))
            if above < high:
                high, nearest = above, point
            order = np.argsort(point, kind="stable")
            corner = _corner(order, masses, counts) - pi
            low = max(low, float(np.max(-np.cumsum(corner[order]), initial=0.0)))
            # nothing in the direction of the best corner is nearer: this is the nearest point, but for rounding
            if high - low <= rounding or point @ (point - corner) <= 1e-32:
                break
            corners, weights = np.vstack([corners, corner]), np.append(weights, 0.0)
            while True:
                aim = _nearest_in_hull(corners)
                if np.all(aim > 1e-14):
                    weights = aim
                    break
                falls = aim < weights
                share = np.where(falls, weights / np.where(falls, weights - aim, 1.0), np.inf)
                weights = weights + min(1.0, float(np.min(share[aim <= 1e-14], initial=1.0))) * (aim - weights)
                keep = weights > 1e-14
                if keep.all() or not keep.any():
                    weights = np.clip(weights, 0.0, None)
                    break
                corners, weights = corners[keep], weights[keep] / weights[keep].sum()
            weights = weights / weights.sum()
        with np.errstate(divide="ignore"):
            law = np.log(np.clip(nearest + pi, 0.0, None))
    low = min(max(low, 0.0), 1.0)
    return SeveralLimit(low, max(high - low, 0.0) + rounding, law)
