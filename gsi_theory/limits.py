"""What nothing that draws so many candidates can beat: in total variation to a target, in expected reward.

The target π, the draft μ and the base π_B are log-probabilities over the same K outcomes, in nats, NumPy or torch,
-inf for what has no mass; leading axes are a batch.

    one of n drafts, fixed n             best_tv (M19)             best_of_n_reward (M38)
    drafts until a stop, n expected      best_tv_adaptive (M36)    best_reward (M38)
    n drafts and m base draws, fixed     best_tv_two (M37)         laws.fallback_limits with q = 1
    n_j of each of several drafters      best_tv_several (M37b)    best_reward_several (M37b)

A draw from either source, the source chosen from the past, with n and m expected: `best_tv_adaptive` and `best_reward`
for n + m draws from the mixture (nμ + mπ_B)/(n + m) (M37). Laws that attain them, and the reward under a bound on KL or
TV: `laws.attaining_laws`, `laws.reward_within`. A fallback of given probability: `laws.fallback_limits`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gsi_theory.arrays.namespace import plain_number
from gsi_theory.divergence import log_pair
from gsi_theory.laws.draws import as_counts, as_means
from gsi_theory.laws.half_plane_sets import as_sources, largest_over_sets, log_missed
from gsi_theory.laws.reward_levels import reward_levels, some_above
from gsi_theory.laws.several_sources import as_drafters, best_tv_several
from gsi_theory.types import Array

__all__ = [
    "best_of_n_reward",
    "best_reward",
    "best_reward_several",
    "best_tv",
    "best_tv_adaptive",
    "best_tv_several",
    "best_tv_two",
    "fixed_n_loss",
]


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


def best_tv_adaptive(log_target: Array, log_proposal: Array, n: Array) -> Array:
    """Least TV to the first law over all rules that stop after n expected draws from the second: Σ(π - nμ)_+ (M36).

    Whether to draw again may depend on all draws so far and on chance, and any of them may be returned. Both (..., K)
    in nats; n real, 1 to 2^53, an array of them that broadcasts with the leading axes. Attained by `adaptive_law`. A
    sum of positive terms: relative error a few log₂ K roundings, and the absolute error of the log-probabilities. A
    float for one pair of NumPy laws and one n, else an array. Raises InputError on unequal shapes, NaN, n below 1.
    """
    xp, p, q = log_pair(log_target, log_proposal)
    log_n = xp.log(as_means(n, p))[..., None]
    reached = (p > -xp.inf) & (q > -xp.inf)
    room = xp.where(reached, log_n + xp.where(reached, q - xp.where(reached, p, 0.0), 0.0), -xp.inf)
    terms = xp.exp(p) * -xp.expm1(xp.where(room < 0.0, room, 0.0))
    return plain_number(xp.clip(xp.sum(terms, axis=-1), 0.0, 1.0))


def best_tv_two(log_target: Array, log_draft: Array, log_base: Array, n: int, m: int) -> Array:
    """Least TV to the target over all rules that return one of n iid drafts and m iid base draws (M37).

    max_A π(A) - 1 + (1 - μ(A))^n (1 - π_B(A))^m over all sets A; a maximizer is {π > aμ + bπ_B} with a, b ≥ 0, and all
    O(K²) such sets are tried, in O(K² log K) time on the CPU. All (..., K) in nats; n, m whole, ≥ 0, not both 0. The
    masses are sums of positive terms, so the error is a few K units of rounding of 1 at every n. A float for single
    NumPy laws, else an array. Raises InputError on unequal shapes, NaN, bad n or m, or more than 20,000 outcomes that
    need comparing.
    """
    xp, sources = as_sources(log_target, log_draft, log_base, n, m)
    rows = [
        largest_over_sets(*laws, n, m, lambda p, q, b: p + np.expm1(log_missed(q, n) + log_missed(b, m)))[0]
        for laws in sources.rows()
    ]
    return sources.shaped(xp, rows)


def best_reward(reward: Array, log_proposal: Array, n: Array) -> Array:
    """Largest expected reward over all rules that stop after n expected draws: the upper CVaR at level 1/n (M38).

    The mean of the best 1/n of the mass of μ, ∫ min(1, nS(x)) dx with S(x) = P(r > x); n real, 1 to 2^53, an array of
    them that broadcasts with the leading axes. reward and log_proposal (..., K); rewards finite, in their own unit.
    Attained by `reward_law`. Error: a few K units of rounding of osc r. Raises InputError on unequal shapes, NaN,
    infinite rewards, n below 1.
    """
    xp, levels = reward_levels(reward, log_proposal)
    means = as_means(n, levels.lowest)[..., None]
    return levels.mean(xp.clip(means * levels.above[0], None, 1.0))


def best_of_n_reward(reward: Array, log_proposal: Array, n: Array) -> Array:
    """Largest expected reward of rules that return one of n iid draws: best-of-n, E max r = ∫ 1 - (1-S)^n dx (M38).

    Arguments and errors as `best_reward`; n ≥ 1 need not be whole, though then it is no rule's.
    """
    _, levels = reward_levels(reward, log_proposal)
    return levels.mean(some_above(levels.above[0], as_means(n, levels.lowest)))


def best_reward_several(reward: Array, log_drafts: Array, ns: Sequence[int]) -> float:
    """Largest expected reward over rules that return one of n_j iid draws from each drafter j: the best of all (M37b).

    E max r = ∫ 1 - Π_j (1 - S_j)^{n_j} dx, S_j(x) = P_{μ_j}(r > x). reward (K,) finite, log_drafts (J, K), ns (J,)
    whole, ≥ 0, not all 0. Error: a few K units of rounding of osc r. Raises InputError on shapes, NaN, bad ns.
    """
    values, laws, counts = as_drafters(reward, log_drafts, ns)
    _, levels = reward_levels(values, *laws)
    with np.errstate(divide="ignore"):
        log_none = sum(n * np.log1p(-above) for n, above in zip(counts, levels.above, strict=True))
    return float(levels.mean(-np.expm1(log_none)))


def fixed_n_loss(reward: Array, log_proposal: Array, n: Array) -> Array:
    """best_reward - best_of_n_reward = ∫ min(1, nS) - 1 + (1-S)^n dx ≥ 0, what a fixed number of draws costs (M38).

    At most (1 - 1/n)^n osc r. Arguments and errors as `best_reward`.
    """
    xp, levels = reward_levels(reward, log_proposal)
    means, above = as_means(n, levels.lowest), levels.above[0]
    lost = xp.clip(means[..., None] * above, None, 1.0) - some_above(above, means)
    return plain_number(xp.sum(levels.steps * xp.clip(lost, 0.0, None), axis=-1))
