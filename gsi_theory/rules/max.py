"""The max rule (M5), best-of-n: P(level) = G(F) - G(F_-) over level sets of w, shared in proportion to mass.

F is the mass up to and including a level, F_- the mass below it; a level is a set of exactly equal log-weights.

Subsets (M31). Ranks m = 1..N ascend with the log-weight; p_m(n) = C(m−1, n−1)/C(N, n) is the chance that m is the
largest of n drawn. Within a level the winner is exchangeable, so f is replaced by its mean over the level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum
from gsi_theory.arrays.namespace import (
    COMPILED,
    added,
    expm1_of,
    highest,
    is_numpy,
    log1p_of,
    log_of,
    lowest,
    running_sum,
)
from gsi_theory.arrays.ranked_rows import ranked
from gsi_theory.laws.draws import Counts
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.subset_sums import largest_rank
from gsi_theory.types import Array, Floats, Ints, Namespace

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_law import Levels

__all__ = [
    "MAX",
    "compiled_rows",
    "level_means",
    "levels_of",
    "log_ratio",
    "subset_means",
    "subset_parts",
    "summed_rounding",
]

LARGE = 1 << 14  # candidates from which a row is walked in compiled loops


def summed_rounding(size: int) -> float:
    """Relative error of a probability that is made of running sums of `size` terms."""
    return float(np.finfo(np.float64).eps) * (4.0 * float(np.sqrt(size)) + 70.0)


def log_ratio(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M, K); mass, log_weight (B, K), counts (B, M)."""
    xp = array_api_compat.array_namespace(mass, log_weight)
    if compiled_rows(mass, counts, zero_mass):
        out = np.empty((*counts.fixed.shape, mass.shape[1]))
        for row in zip(mass, log_weight, counts.fixed, out, strict=True):
            _large_row(*row)
        return out
    order = xp.argsort(log_weight, axis=-1, descending=True, stable=False)
    back = xp.argsort(order, axis=-1, stable=False)
    weight = xp.take_along_axis(log_weight, order, axis=-1)
    in_order = xp.take_along_axis(mass, order, axis=-1)
    zero = xp.zeros_like(in_order[:, :1])
    new = xp.concat([zero + 1.0, xp.astype(weight[:, 1:] != weight[:, :-1], xp.float64)], axis=-1) > 0
    last = xp.concat([new[:, 1:], zero == 0.0], axis=-1)
    with np.errstate(divide="ignore"):
        size = xp.exp(_over_level(xp, xp.log(in_order), new, last))
        above = xp.concat([zero, running_sum(in_order)[:, :-1]], axis=-1)
        above = _fill(xp, xp.where(new, above, -xp.inf))
        under = xp.concat([zero, running_sum(xp.flip(in_order, axis=-1))[:, :-1]], axis=-1)
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


def compiled_rows(mass: Array, counts: Counts, zero_mass: Array) -> bool:
    """Whether rows are long, and plain: then few passes over little memory are what matters."""
    if not (COMPILED and is_numpy(mass)) or mass.shape[1] < LARGE or counts.random or highest(zero_mass) > 0:
        return False
    return lowest(mass) > 0


def _large_row(mass: Array, log_weight: Array, n: Array, out: Array) -> None:
    """`log_ratio` of one row (K,) for fixed n (M,), into out (M, K). Arrays serve twice: new ones cost page faults."""
    from gsi_theory.arrays.kernels import max_levels

    order, value, size = ranked(log_weight, mass)
    share = np.empty_like(mass)
    near = max_levels(value, size, share)
    with np.errstate(divide="ignore"):
        log1p_of(value[:near])
        log_of(value[near:])
        log1p_of(share)
        log_of(size)
        for row, count in zip(out, n, strict=True):
            # where F_-/F is so small that log1p(-share) is rough, its n-th power counts for nothing
            lost = expm1_of(count * share)
            row[order] = added(log_of(np.negative(lost, out=lost)), count * value) - size


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


def levels_of(log_weight: Floats) -> tuple[Floats, Floats]:
    """(first, size) of the level of equal weights of each rank; log_weight (N,) ascending."""
    new = np.r_[True, log_weight[1:] != log_weight[:-1]]
    starts = np.flatnonzero(new)
    level = np.cumsum(new) - 1
    return starts[level], np.diff(np.r_[starts, log_weight.size])[level]


def level_means(values: Floats, first: Floats, size: Floats) -> Floats:
    total = np.add.reduceat(values, np.unique(first), axis=1)
    return total[:, np.unique(first, return_inverse=True)[1]] / size


def subset_means(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M) from values (V, N), log_weight (N,) ascending."""
    first, size = levels_of(log_weight)
    return level_means(values, first, size) @ largest_rank(log_weight.size, ns)


def subset_parts(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """Mean of the kernel over the n-subsets that hold candidate i (V, M, N); n < N.

    With i in a level of c candidates up to rank m, the other n − 1 are all at most of that level with probability
    Q = C(m−1, n−1)/C(N−1, n−1), and i then wins with probability a = (N/n) P(level)/c, another of the level otherwise.
    """
    total = log_weight.size
    first, size = levels_of(log_weight)
    end, count = (first + size).astype(np.int64), size[:, None]
    mean = level_means(values, first, size)
    shares, others = largest_rank(total, ns), largest_rank(total - 1, ns - 1)
    upto = np.vstack([np.where(ns == 1, 1.0, 0.0), np.where(ns == 1, 1.0, np.cumsum(others, axis=0))])
    gains = mean[:, 1:, None] * others  # a rank r above the level is rank r − 1 among the others
    above = np.zeros((values.shape[0], total, ns.size))
    above[:, :-1] = np.cumsum(gains[:, ::-1], axis=1)[:, ::-1]
    won = np.vstack([np.zeros((1, ns.size)), np.cumsum(shares, axis=0)])
    alone = np.where(count == 1, upto[end - 1], (won[end] - won[first]) * (total / ns) / count)
    rest = (count[None] * mean[..., None] - values[..., None]) / np.maximum(count - 1, 1)
    parts = above[:, end - 1] + values[..., None] * alone + rest * (upto[end - 1] - alone)
    return np.swapaxes(parts, 1, 2)


def balls(levels: Levels, n: int, goal: int) -> tuple[list[arb], arb]:
    """(Fⁿ - F_-ⁿ)/(F - F_-) of each level, and of weight zero."""
    from flint import arb

    from gsi_theory.certified.rational import ball

    ratios = []
    below = sum(levels.mass, levels.zero)
    for m in levels.mass:
        upto, below = below, below - m
        won = -(n * (-ball(m / upto)).log1p()).expm1() if below else arb(1)
        ratios.append(ball(upto) ** n * won / ball(m))
    return ratios, ball(levels.zero) ** (n - 1)


MAX = Rule(
    "max",
    log_ratio,
    summed_rounding,
    subset_means,
    subset_parts,
    np.zeros_like,
    balls,
    order_only=True,
    heaviest_wins=True,
)
