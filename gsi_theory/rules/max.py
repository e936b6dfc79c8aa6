"""The max rule (M5), best-of-n: P(level) = G(F) - G(F_-) over level sets of w, shared in proportion to mass.

F is the mass up to and including a level, F_- the mass below it; a level is a set of exactly equal log-weights.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum
from gsi_theory.arrays.namespace import is_numpy, running_sum
from gsi_theory.laws.draws import Counts
from gsi_theory.types import Array, Namespace

__all__ = ["log_ratio"]


def log_ratio(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M, K); mass, log_weight (B, K), counts (B, M)."""
    xp = array_api_compat.array_namespace(mass, log_weight)
    order = xp.argsort(log_weight, axis=-1, descending=True, stable=False)
    back = xp.argsort(order, axis=-1, stable=False)
    weight = xp.take_along_axis(log_weight, order, axis=-1)
    ranked = xp.take_along_axis(mass, order, axis=-1)
    zero = xp.zeros_like(ranked[:, :1])
    new = xp.concat([zero + 1.0, xp.astype(weight[:, 1:] != weight[:, :-1], xp.float64)], axis=-1) > 0
    last = xp.concat([new[:, 1:], zero == 0.0], axis=-1)
    with np.errstate(divide="ignore"):
        size = xp.exp(_over_level(xp, xp.log(ranked), new, last))
        above = xp.concat([zero, running_sum(ranked)[:, :-1]], axis=-1)
        above = _fill(xp, xp.where(new, above, -xp.inf))
        under = xp.concat([zero, running_sum(xp.flip(ranked, axis=-1))[:, :-1]], axis=-1)
        below = xp.flip(_fill(xp, xp.where(xp.flip(last, axis=-1), under, -xp.inf)), axis=-1) + zero_mass[:, None]
        upto = below + size
        near = above < 0.5
        log_f = xp.where(near, xp.log1p(-xp.where(near, above, 0.0)), xp.log(upto))
        share = xp.where(upto > 0, size / xp.where(upto > 0, upto, 1.0), 0.0)
        small = share < 0.5
        rest = xp.log(below) - xp.log(xp.where(upto > 0, upto, 1.0))
        step = xp.where(small, xp.log1p(-xp.where(small, share, 0.0)), rest)
        step = xp.where(step > 0, 0.0, step)[:, None, :]
        held = (size > 0)[:, None, :]
        log_f = xp.where(size > 0, log_f, 0.0)[:, None, :]
        won = counts.log_fall(log_f, above[:, None, :], step, size[:, None, :])
        won = xp.where(held, won - xp.log(xp.where(size > 0, size, 1.0))[:, None, :], -xp.inf)
    return xp.take_along_axis(won, xp.broadcast_to(back[:, None, :], won.shape), axis=-1)


def _over_level(xp: Namespace, log_mass: Array, new: Array, last: Array) -> Array:
    """log of the mass of each candidate's level: a sum that starts anew at each level, read at its last member."""
    restart = xp.where(new, xp.inf, xp.zeros_like(log_mass))
    total = xp.where(last, decayed_log_cumsum(log_mass, restart), -xp.inf)
    back = xp.flip(xp.where(last, xp.inf, xp.zeros_like(log_mass)), axis=-1)
    return xp.flip(decayed_log_cumsum(xp.flip(total, axis=-1), back), axis=-1)


def _fill(xp: Namespace, marked: Array) -> Array:
    """Each entry's value is that of the nearest marked entry (not -inf) at or before it; marked values ascend."""
    if is_numpy(marked):
        return np.maximum.accumulate(marked, axis=-1)
    return xp.cummax(marked, dim=-1).values
