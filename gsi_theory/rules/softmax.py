"""The softmax rule (M3): log P_n(y)/μ(y) = log w(y) ∫_0^∞ e^{-t w(y)} G'(φ(t)) dt / P(N ≥ 1), G(s) = E s^N.

Rows are independent laws: mass, log_weight (B, K) and counts (B, M) give (B, M, K). Three ways to the same trapezoid
sum (quadrature.py), chosen by the spread of the log-weights and by K:

    matrix   here: every node against every candidate
    cells    softmax_cells.py: K large; the cost is O(K) and hardly depends on n
    bands    softmax_bands.py: any spread

Errors of all three (step, truncation, interpolation, rounding) are derived in THEORY.md, M3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import host, lowest, rows_of, table
from gsi_theory.arrays.quadrature import STEP, grid, slopes, sum_of_nodes
from gsi_theory.laws.draws import Counts
from gsi_theory.rules import softmax_subsets
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax_bands import by_bands
from gsi_theory.rules.softmax_cells import NODES, by_cells
from gsi_theory.rules.softmax_curve import tv_curve
from gsi_theory.types import Array, Floats, Ints

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_law import Levels

__all__ = ["CELLED", "SOFTMAX", "exponential", "log_ratio", "ratio_bound"]

# Widest spread of log-weights (nats) summed on the linear scale, and the widest cut into cells.
LINEAR, CELLED = 300.0, 120.0
FEW = 256  # candidates below which cells never pay
BUDGET = 1 << 21  # entries of the largest temporary array
ALIKE = 1 << 10  # candidates in a block of rows: with 200 nodes each, arrays of 2 MB
# Step, truncation and interpolation, relative, with their amplification by φ^{n-1} (THEORY.md, M3): all below this.
METHOD_ERROR = 2e-16


def log_ratio(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """log P(y)/μ(y) (B, M, K); log_weight finite (any number where mass is zero).

    mass (B, K) and zero_mass (B,), the mass of weight zero, sum to one in each row.
    """
    xp = array_api_compat.array_namespace(mass, log_weight)
    size = mass.shape[-1]
    plain = host(log_weight)
    if lowest(mass) > 0.0:
        top, low = plain.max(axis=-1), plain.min(axis=-1)
    else:
        used = host(mass) > 0
        top = np.max(np.where(used, plain, -np.inf), axis=-1)
        low = np.min(np.where(used, plain, np.inf), axis=-1)
        level = table(np.where(np.isfinite(top), top, 0.0), log_weight)[:, None]
        log_weight = xp.where(table(used, log_weight), log_weight, level)
    spread = np.where(np.isfinite(top), top - low, 0.0)
    top = np.where(np.isfinite(top), top, 0.0)
    celled = (spread <= CELLED) & (spread / STEP * NODES <= size * min(4, spread.size)) & (size >= FEW)
    matrix = ~celled & (spread <= LINEAR) & ((spread <= CELLED) | (size <= 4 * FEW))
    parts, order = [], []
    blocks = [(_matrix, part) for part in _alike(np.flatnonzero(matrix), spread, counts, size)]
    for way, index in ((by_cells, np.flatnonzero(celled)), *blocks, (by_bands, np.flatnonzero(~celled & ~matrix))):
        if index.size == 0:
            continue
        everything = index.size == spread.size
        pick = slice(None) if everything else table(index, log_weight)
        part = Counts(counts.fixed[pick], counts.poisson[pick])
        parts.append(way(mass[pick], log_weight[pick], part, zero_mass[pick], top[index], float(spread[index].max())))
        order.append(index)
    if len(parts) == 1:
        return parts[0]
    return xp.take(xp.concat(parts), table(np.argsort(np.concatenate(order)), log_weight), axis=0)


def _alike(index: Ints, spread: Floats, counts: Counts, size: int) -> list[Ints]:
    """Many rows of `size` in blocks that fit the processor's cache, sorted by the nats that the grid of each spans: one
    grid serves a block, as long as its widest spread and its largest n ask for."""
    block = max(1, ALIKE // size)
    if index.size < 2 * block:
        return [index]
    largest = np.max(host(counts.fixed + counts.poisson)[index], axis=-1)
    ranked = index[np.argsort(spread[index] + np.log(largest), kind="stable")]
    return np.split(ranked, np.arange(block, ranked.size, block))


def _matrix(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array, top: Floats, spread: float) -> Array:
    xp = array_api_compat.array_namespace(log_weight)
    ahead, nodes = grid(counts, spread)
    start = STEP * (-np.floor(top / STEP) - 1.0 - ahead)
    steps = table(STEP * np.arange(nodes), log_weight)
    out = []
    for part in rows_of(mass.shape[0], nodes * (mass.shape[1] + counts.fixed.shape[1]), BUDGET):
        x = table(start[part], log_weight)[:, None] + steps[None, :]
        lw, mu, own = log_weight[part], mass[part][..., None], Counts(counts.fixed[part], counts.poisson[part])
        strips = rows_of(lw.shape[1], nodes * lw.shape[0], BUDGET)
        deficit, kept, flows = 0.0, zero_mass[part][:, None], []
        for strip in strips:
            rate = xp.exp(x[:, :, None] + lw[:, None, strip])
            silent = xp.exp(-rate)
            deficit = deficit - xp.squeeze(xp.matmul(xp.expm1(-rate), mu[:, strip]), axis=-1)
            kept = kept + xp.squeeze(xp.matmul(silent, mu[:, strip]), axis=-1)
            if len(strips) == 1:
                flows.append(rate * silent)
        slope = slopes(xp, own, kept, deficit)
        weight, pieces = xp.exp(slope), []
        for at, strip in enumerate(strips):
            if not flows:
                rate = xp.exp(x[:, :, None] + lw[:, None, strip])
            flow = flows[at] if flows else rate * xp.exp(-rate)
            first = xp.exp(x[:, :1, None] + lw[:, None, strip])
            full = own.log_slope_at_one()
            pieces.append(xp.log(sum_of_nodes(full, xp.matmul(weight, flow), first, first * first, slope[..., 0])))
        out.append(pieces[0] if len(pieces) == 1 else xp.concat(pieces, axis=-1))
    return out[0] if len(out) == 1 else xp.concat(out)


def rounding(size: int) -> float:
    """Relative error of a probability: pairwise sums of `size` terms, and the quadrature."""
    return float(np.finfo(np.float64).eps) * (8.0 * float(np.log2(size + 1.0)) + 100.0) + METHOD_ERROR


def ratio_bound(log_w: Floats, n: int, log_cut: Floats | float = -np.inf) -> Floats:
    """log of P_n/π ≥ n/(n - 1 + w) (M10); the rule has no score gate."""
    return np.asarray(np.log(n) - np.logaddexp(np.log(n - 1) if n > 1 else -np.inf, log_w))


def exponential(uniforms: Floats) -> Floats:
    """T ~ Exp(1). 1 - u is in (0, 1]; the floor keeps the noise finite where it is exactly 1."""
    return np.maximum(-np.log1p(-uniforms), np.finfo(np.float64).tiny)


def log_noise(uniforms: Floats) -> Floats:
    """log T, T ~ Exp(1) (M3)."""
    return np.log(exponential(uniforms))


def balls(levels: Levels, n: int, goal: int) -> tuple[list[arb], arb]:
    """(M3) in balls; flint is imported when they are asked for."""
    from gsi_theory.rules.softmax_balls import softmax_ratios

    return softmax_ratios(levels, n, goal)


SOFTMAX = Rule(
    "softmax",
    log_ratio,
    rounding,
    softmax_subsets.subset_means,
    softmax_subsets.subset_parts,
    log_noise,
    balls,
    tv_curve=tv_curve,
    ratio_bound=ratio_bound,
    converges=True,
)
