"""What no selection rule can beat (M19)."""

from __future__ import annotations

import numpy as np

from gsi_theory.arrays.namespace import plain_number
from gsi_theory.divergence import log_pair
from gsi_theory.laws.draws import as_counts
from gsi_theory.types import Array

__all__ = ["best_tv"]


def best_tv(log_target: Array, log_proposal: Array, n: Array) -> Array:
    """Least TV to the first law over **all** rules that return one of n iid draws from the second (M19).

    max over the superlevel sets A of w = first/second of π(A) - 1 + (1 - μ(A))^n; attained. Both (..., K) in nats,
    NumPy or torch; n a whole number from 1 to 2^53, an array of them that broadcasts with the leading axes, or `Draws`
    (the least TV over rules that return one of a random number of draws: (1 - μ(A))^n becomes its mean, given at least
    one). Mass that the proposal misses counts in full. A float for one pair of NumPy laws and one n, else an array.
    Raises InputError on unequal shapes, NaN, bad n.
    """
    xp, p, q = log_pair(log_target, log_proposal)
    fixed, poisson = as_counts(n, p)
    none = q == -xp.inf
    reached = xp.where(p == -xp.inf, -xp.inf, xp.where(none, xp.inf, p - xp.where(none, 0.0, q)))
    order = xp.argsort(reached, axis=-1, descending=True)
    p, q = xp.broadcast_arrays(p, q)
    target = xp.cumulative_sum(xp.exp(xp.take_along_axis(p, order, axis=-1)), axis=-1)
    proposal = xp.clip(xp.cumulative_sum(xp.exp(xp.take_along_axis(q, order, axis=-1)), axis=-1), 0.0, 1.0)
    # A set that cuts a level of w in two is also a lower bound, hence never above the maximum over superlevel sets.
    fixed, poisson = fixed[..., None], poisson[..., None]
    with np.errstate(divide="ignore"):
        log_missed = fixed * xp.log1p(-xp.where(proposal < 1.0, proposal, 0.0)) - poisson * proposal
    some = xp.where(fixed > 0, 1.0, -xp.expm1(-xp.where(fixed > 0, 1.0, poisson)))
    # 1 - P(A is missed, given a draw) = (1 - e^{log missed}) / P(a draw), and everything is seen where μ(A) = 1.
    seen = xp.where((proposal < 1.0) | (fixed == 0), -xp.expm1(log_missed) / some, 1.0)
    return plain_number(xp.clip(xp.max(target - seen, axis=-1), 0.0, 1.0))
