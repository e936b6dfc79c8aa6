"""The softmax law for any spread of the log-weights (M3, 6), on the log scale.

Only pairs of a node and a candidate that is neither settled nor still to come are evaluated.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import decayed_log_cumsum, log_sum
from gsi_theory.arrays.namespace import host, rows_of, running_sum, table
from gsi_theory.arrays.quadrature import FAR, RIGHT, STEP, slopes
from gsi_theory.laws.draws import Counts
from gsi_theory.types import Array, Floats, Namespace

__all__ = ["by_bands", "windows"]

SETTLED = 7.0  # e^{-e^7} is zero in float64
BUDGET = 1 << 20  # entries of the largest temporary array


def by_bands(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array, _top: Floats, _spread: float) -> Array:
    """log P/μ (B, M, K), one row after the other."""
    xp = array_api_compat.array_namespace(log_weight)
    out = []
    for b in range(mass.shape[0]):
        own = Counts(counts.fixed[b : b + 1], counts.poisson[b : b + 1])
        out.append(_band_row(xp, mass[b], log_weight[b], own, zero_mass[b]))
    return xp.stack(out)


def windows(log_weight: Floats, log_largest: float, right: float = RIGHT) -> Floats:
    """Nodes j·STEP in the union over candidates of [-lw - log n - FAR, -lw + right], ascending; lw descending, n ≥ 1.

    Between windows φ is constant and the integrand grows like e^x up to the next window, so what is left out is a
    relative e^{-FAR}.
    """
    low = np.floor((-log_weight - log_largest - FAR) / STEP)
    high = np.maximum.accumulate(np.ceil((-log_weight + right) / STEP) + 1.0)
    starts = np.flatnonzero(np.r_[True, low[1:] > high[:-1] + 1])
    ends = np.r_[starts[1:] - 1, low.size - 1]
    return STEP * np.concatenate([np.arange(low[s], high[e] + 1) for s, e in zip(starts, ends, strict=True)])


def _band_row(xp: Namespace, mass: Array, log_weight: Array, counts: Counts, zero_mass: Array) -> Array:
    """One row (K,) of any spread -> (M, K); the order of the candidates is restored at the end."""
    plain = host(log_weight)
    order = np.argsort(-plain, kind="stable")
    lw_host = plain[order]
    lw, mu = xp.take(log_weight, table(order, log_weight), axis=0), xp.take(mass, table(order, mass), axis=0)
    x_host = windows(lw_host, counts.log_largest)
    x = table(x_host, log_weight)
    slope = _band_slopes(xp, x, x_host, mu, lw, lw_host, counts, zero_mass)
    # log Σ_{j ≤ i} e^{x_j - x_i} G'_j: left of a candidate's window exp(-e^u) is 1 to rounding.
    fall = table(np.diff(x_host, prepend=x_host[0]), log_weight)
    before = decayed_log_cumsum(slope, xp.broadcast_to(fall, slope.shape))
    pieces = []
    for part in rows_of(lw_host.size, 64, 64 * 64):
        first = int(np.searchsorted(x_host, -lw_host[part.start] - FAR))
        last = int(np.searchsorted(x_host, -lw_host[part.stop - 1] + RIGHT, side="right")) + 1
        u = x[None, first:last] + lw[part][:, None]
        past = u > SETTLED
        log_flow = xp.where(past, -xp.inf, u - xp.exp(xp.where(past, SETTLED, u)))
        inside = log_sum(log_flow[None] + slope[:, None, first:last])
        if first:
            inside = xp.logaddexp(before[:, first - 1, None] + (x[first - 1] + lw[part])[None, :], inside)
        pieces.append(inside)
    return xp.take(xp.concat(pieces, axis=-1), table(np.argsort(order), log_weight), axis=-1) + float(np.log(STEP))


def _band_slopes(
    xp: Namespace, x: Array, x_host: Floats, mass: Array, lw: Array, lw_host: Floats, counts: Counts, zero_mass: Array
) -> Array:
    """log G'(φ)/P(N ≥ 1) (M, J) at ascending nodes; lw descending. Sums only positive terms, 1 - φ below φ = ½."""
    zero = xp.zeros_like(mass[:1])
    gone = xp.concat([zero, running_sum(mass)])
    left = xp.concat([xp.flip(running_sum(xp.flip(mass))), zero]) + zero_mass
    kept, deficit = [], []
    for part in rows_of(x_host.size, lw_host.size, BUDGET):
        nodes = x_host[part]
        first = int(np.searchsorted(-lw_host, nodes[0] - RIGHT - 2.0 * STEP, side="left"))
        last = int(np.searchsorted(-lw_host, nodes[-1] + counts.log_largest + FAR, side="right"))
        u = x[part][:, None] + lw[None, first:last]
        rate = xp.exp(xp.where(u > SETTLED, SETTLED, u))
        deficit.append(gone[first] - xp.expm1(-rate) @ mass[first:last])
        kept.append(left[last] + xp.exp(-rate) @ mass[first:last])
    return slopes(xp, counts, xp.concat(kept)[None], xp.concat(deficit)[None])[0]
