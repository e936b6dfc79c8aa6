"""Regularized best-of-n (M40), arXiv 2603.05739: uniform among the top k = ⌈n/M⌉ of n draws by weight, ties at the
border broken at random. Written "regularized:M", M ≥ 1; M = 1 is μ itself, M ≥ n the rule max.

A candidate at rank x, the mass above it (uniform within its level of equal weights), is chosen with probability
1/k · P(fewer than k of the other n - 1 are above x). The k-th of these n - 1 lies at V ~ Beta(k, n - k), so over a
level [a, b] of that scale

    P(y)/μ(y) = (n/k) E[(V - a)_+ ∧ (b - a)]/(b - a),

which is M40's [E min(k, Bin(n, b)) - E min(k, Bin(n, a))]/(k (b - a)) as an integral of positive terms. Weight zero is
the last level: unlike under the other rules it may win beside a positive weight. The number of draws must be fixed (k
follows n), 1 to 2^53. Weights count by order only, so torch gradients are not carried.

Subsets (M31): with h heavier candidates in a pool of N, the same with the hypergeometric law in place of Bin.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum, excess
from gsi_theory.arrays.namespace import host, running_sum, table
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import Counts
from gsi_theory.rules.max import level_means, levels_of, summed_rounding
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax import log_noise
from gsi_theory.types import Array, Flags, Floats, Ints

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_law import Levels

__all__ = ["regularized"]

# Between edges the density of V falls by at most e^FALL: 20 Gauss-Legendre nodes leave a relative 1e-17 of e^{8x} on
# [0, 1]. Above the mode they go down to e^{-760}, below 1e-300, and coarsely further; below it only the sum counts.
FALL, ABOVE, BELOW = 8.0, 95, 8
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(20)
NODES, NODE_WEIGHTS = 0.5 * (NODES + 1.0), 0.5 * NODE_WEIGHTS


def _kept(n: float, m: Fraction) -> int:
    """k = ⌈n/M⌉."""
    return math.ceil(Fraction(n) / m)


def _log_quotient(x: Floats, y: float) -> Floats:
    """log x/y, exact near 1."""
    near = np.abs(x - y) < 0.5 * y
    return np.where(near, np.log1p(np.where(near, x - y, 0.0) / y), np.log(x) - np.log(y))


def _depth(t: Floats, s: Floats, n: float, k: float) -> Floats:
    """-log of t^k s^{n-k} over its largest value, n KL(k/n‖t), from t and s = 1 - t: two positive terms."""
    return k * excess(_log_quotient(t, k / n)) + (n - k) * excess(_log_quotient(s, (n - k) / n))


@cache
def _panels(n: float, k: float) -> tuple[Floats, Floats]:
    """Edges (t, 1 - t) between which the density of V, per unit of log t/(1 - t), falls by FALL nats; ascending."""
    goal = FALL * np.r_[np.arange(BELOW, 0, -1), np.arange(1, ABOVE), ABOVE * 2.0 ** np.arange(50)]
    mode, sides = np.log(k) - np.log(n - k), np.where(np.arange(goal.size) < BELOW, -1.0, 1.0)
    near, far = np.zeros(goal.size), np.full(goal.size, 800.0)
    for _ in range(60):
        middle = 0.5 * (near + far)
        x = np.clip(mode + sides * middle, -700.0, 700.0)
        beyond = _depth(1.0 / (1.0 + np.exp(-x)), 1.0 / (1.0 + np.exp(x)), n, k) > goal
        near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
    x = np.insert(np.clip(mode + sides * far, -700.0, 700.0), BELOW, mode)
    return 1.0 / (1.0 + np.exp(-x)), 1.0 / (1.0 + np.exp(x))


def _level_ratios(sizes: Floats, n: float, k: float) -> Floats:
    """log P/μ (L,) of levels of masses `sizes` (L,), heaviest first, that sum to one."""
    if k >= n:
        return np.zeros(sizes.size)
    t = np.r_[0.0, running_sum(sizes)[:-1], 1.0]
    s = np.r_[1.0, running_sum(sizes[::-1])[::-1][1:], 0.0]
    edges_t, edges_s = _panels(n, k)
    with np.errstate(divide="ignore"):
        every_t, every_s = np.r_[t, edges_t], np.r_[s, edges_s]
        order = np.argsort(np.log(every_t) - np.log(every_s), kind="stable")
        at = np.argsort(order, kind="stable")[: t.size]  # of the levels' edges among all
        every_t, every_s = every_t[order], every_s[order]
        low = every_t[:-1] < 0.5
        width = np.maximum(np.where(low, np.diff(every_t), -np.diff(every_s)), 0.0)
        start = np.repeat(at[:-1], np.diff(at))
        offset = np.where(low, every_t[:-1] - every_t[start], every_s[start] - every_s[:-1])
        node_t = every_t[:-1, None] + NODES * width[:, None]
        node_s = every_s[1:, None] + (1.0 - NODES) * width[:, None]
        depth = _depth(node_t, node_s, n, k) + np.log(node_t) + np.log(node_s)
        least = np.min(depth, axis=1)
        density = np.exp(least[:, None] - depth) * NODE_WEIGHTS * width[:, None]
        piece = np.log(np.sum(density, axis=1)) - least
        inside = np.sum(density * (offset[:, None] + NODES * width[:, None]), axis=1)
        beyond = np.r_[decayed_log_cumsum(piece[::-1], np.zeros(piece.size))[::-1], -np.inf]
        share = np.logaddexp.reduceat(np.log(inside) - least, at[:-1]) - np.log(sizes)
        return np.logaddexp(share, beyond[at[1:]]) - beyond[0] + np.log(n / k)


def _fixed(counts: Counts) -> Floats:
    if counts.random:
        raise InputError("rule regularized with a random number of draws: k = ⌈n/M⌉ follows n; give a fixed n")
    return np.asarray(host(counts.fixed), dtype=np.float64)


def log_ratio(m: Fraction, mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M, K) of positive weights; see `rule.Rule`."""
    fixed, out = _fixed(counts), np.zeros((*counts.fixed.shape, mass.shape[1]))
    for mu, weight, zero, ns, row in zip(host(mass), host(log_weight), host(zero_mass), fixed, out, strict=True):
        used = np.flatnonzero(mu > 0)
        if not used.size:
            continue
        order = used[np.argsort(-weight[used], kind="stable")]
        new = np.r_[True, weight[order][1:] != weight[order][:-1]]
        sizes = np.add.reduceat(mu[order], np.flatnonzero(new))
        for n, ratio in zip(ns.tolist(), row, strict=True):
            ratios = _level_ratios(np.append(sizes, zero) if zero > 0 else sizes, n, _kept(n, m))
            ratio[order] = ratios[np.cumsum(new) - 1]
    return table(out, mass)


def log_zero_ratio(m: Fraction, mass: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M) of weight zero: the last level."""
    fixed, out = _fixed(counts), np.zeros(counts.fixed.shape)
    for mu, zero, ns, row in zip(host(mass), host(zero_mass), fixed, out, strict=True):
        if zero > 0:
            sizes = np.array([float(np.sum(mu)), zero])
            row[:] = [_level_ratios(sizes[sizes > 0], n, _kept(n, m))[-1] for n in ns.tolist()]
    return table(out, mass)


def magnified(depth: Array, counts: Counts) -> Array:
    """1 + √(2 n D): a relative rounding δ of t and 1 - t moves -n KL(ρ‖t) by 2 n |t - ρ| δ, and n KL ≥ 2 n (t - ρ)²;
    the density may lie 10 nats deeper than the probability."""
    fixed = table(np.sqrt(2.0 * _fixed(counts) * (host(depth).clip(0.0) + 10.0)), depth)
    return 1.0 + fixed


def _within(size: int, drawn: int, k: int) -> Floats:
    """P(fewer than k of the h first are among `drawn` of `size`) (size + 1,), h = 0..size."""
    if k > drawn or k < 1:
        return np.full(size + 1, float(k > drawn))
    # the k-th of those drawn is at place r with chance C(r-1, k-1) C(size-r, drawn-k)/C(size, drawn)
    r = np.arange(k, size - drawn + k)
    steps = np.log(r) - np.log(r - k + 1.0) + np.log(size - r - drawn + k) - np.log(size - r)
    log_chance = np.r_[0.0, np.cumsum(steps)]
    chance = np.zeros(size + 1)
    chance[k : size - drawn + k + 1] = np.exp(log_chance - log_chance.max())
    from_here = np.cumsum(chance[::-1])[::-1]
    return np.append(from_here[1:], 0.0) / from_here[0]


def subset_means(m: Fraction, values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M) over all n-subsets from values (V, N), log_weight (N,) ascending."""
    size = log_weight.size
    first, count = levels_of(log_weight)
    kept = [_kept(n, m) for n in ns.tolist()]
    shares = [n / (k * size) * _within(size - 1, n - 1, k)[::-1] for n, k in zip(ns.tolist(), kept, strict=True)]
    return level_means(values, first, count) @ np.stack(shares, axis=1)


def subset_parts(m: Fraction, values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M, N) over the n-subsets that hold each candidate, n < N.

    Of another candidate j: with i above it one place of the k is taken. Within i's level the order is random.
    """
    size = log_weight.size
    first, count = levels_of(log_weight)
    mean, out = level_means(values, first, count), np.empty((values.shape[0], ns.size, size))
    first, last = first.astype(np.int64), (first + count).astype(np.int64)
    place = np.arange(size) - first
    for at, n in enumerate(ns.tolist()):
        k = _kept(n, m)
        itself = level_means(_within(size - 1, n - 1, k)[::-1][None], first, count)[0]
        if n == 1:
            out[:, at] = values
            continue
        free = np.r_[0.0, _within(size - 2, n - 2, k)[::-1]]  # j heavier than i: by rank ascending, N - 1 - j heavier
        taken = np.r_[_within(size - 2, n - 2, k - 1)[::-1], 0.0]  # j lighter: i is one of those above it
        lighter = np.concatenate([np.zeros((len(values), 1)), np.cumsum(mean * taken, axis=1)], axis=1)[:, first]
        sums = np.cumsum((mean * free)[:, ::-1], axis=1)[:, ::-1]
        heavier = np.concatenate([sums, np.zeros((len(values), 1))], axis=1)[:, last]
        pairs = place * free + (count - 1 - place) * taken
        beside = level_means(pairs[None], first, count)[0] / np.maximum(count - 1, 1)
        level = (count * mean - values) * beside
        out[:, at] = (values * itself + (n - 1) / (size - 1) * (lighter + heavier + level)) / k
    return out


def standing(m: Fraction, log_weight: Floats, drawn: Flags) -> Floats:
    """0 for the top k of each row's draws (R, n), -inf for the rest; among equals the first, as good as any."""
    order = np.lexsort((-log_weight, ~drawn))
    kept = np.array([_kept(n, m) if n else 0 for n in drawn.sum(axis=1).tolist()])
    return np.where(np.argsort(order, axis=1) < kept[:, None], 0.0, -np.inf)


def balls(m: Fraction, levels: Levels, n: int, goal: int) -> tuple[list[arb], arb]:
    """(M40) in balls: E min(k, Bin(n, x)) up to k/n, beyond it E (k - Bin(n, x))_+, which keeps its digits."""
    from flint import arb

    from gsi_theory.certified.rational import ball

    k, sizes = _kept(n, m), [*levels.mass, *([levels.zero] if levels.zero else [])]

    def at_least(number: int, draws: int, x: Fraction, below: bool) -> arb:
        """P(Bin(draws, x) ≥ number), or with `below` P(< number)."""
        if number <= 0 or x == 1:
            return arb(0) if below else arb(1)
        if x == 0:
            return arb(1) if below else arb(0)
        a, b = (draws - number + 1, number) if below else (number, draws - number + 1)
        return ball(1 - x if below else x).beta_lower(a, b, regularized=True)

    def mean(x: Fraction, beyond: bool) -> arb:
        if beyond:
            return k * at_least(k, n, x, True) - n * ball(x) * at_least(k - 1, n - 1, x, True)
        return n * ball(x) * at_least(k - 1, n - 1, x, True) + k * at_least(k, n, x, False)

    ratios, above = [], Fraction(0)
    for size in sizes:
        upto = above + size
        beyond = above * n >= k
        grown = mean(above, True) - mean(upto, True) if beyond else mean(upto, False) - mean(above, False)
        ratios.append(arb(1) if k >= n else grown / (k * ball(size)))
        above = upto
    return ratios, ratios[-1] if levels.zero else arb(0)


def regularized(parameter: str) -> Rule:
    """The rule of M, a number ≥ 1 as text. Raises InputError otherwise."""
    try:
        m = Fraction(parameter)
    except (ValueError, ZeroDivisionError):
        m = Fraction(0)
    if m < 1:
        raise InputError(f"rule 'regularized:{parameter}': give a number M ≥ 1 after the colon")
    return Rule(
        f"regularized:{parameter}",
        partial(log_ratio, m),
        summed_rounding,
        partial(subset_means, m),
        partial(subset_parts, m),
        log_noise,
        partial(balls, m),
        standing=partial(standing, m),
        log_zero_ratio=partial(log_zero_ratio, m),
        magnified=magnified,
        order_only=True,
    )
