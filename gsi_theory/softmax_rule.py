"""The softmax rule (M3): log P_n(y)/μ(y) = log w(y) ∫_0^∞ e^{-t w(y)} G'(φ(t)) dt, G the generating function of n.

Rows are independent laws: mass, log_weight (B, K) and counts (B, M) give (B, M, K). The integral is a trapezoid sum in
x = log t, u = x + log w. Three ways to the same sum, chosen by the spread of the log-weights and by K:

    matrix   every node against every candidate
    cells    K large: candidates enter and leave through piecewise Chebyshev interpolation in log w, so the cost is
             O(K) and hardly depends on n
    bands    any spread: nodes and candidates sorted, only pairs that are neither settled nor still to come are
             evaluated; on the log scale

Errors of all three (step, truncation, interpolation, rounding) are derived in THEORY.md, M3.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from gsi_theory.arrays import COMPILED, added, host, is_numpy, lowest, rows_of, running_sum, scatter_sum, table
from gsi_theory.draws import Counts
from gsi_theory.logscale import Array, decayed_log_cumsum, log_sum

if COMPILED:
    from gsi_theory.compiled import cell_moments, cell_values

__all__ = [
    "CELLED",
    "FINE",
    "METHOD_ERROR",
    "STEP",
    "WIDTH",
    "cell_flows",
    "cell_sums",
    "grid",
    "heaviest_cell",
    "log_ratio",
    "node_masses",
    "slopes",
    "sum_of_nodes",
]

Indices = NDArray[np.int64]

# Trapezoid step in log-time: a relative error ≤ 2 / (cos a · (e^{2πa/h} - 1)) for every a < π/2, 4e-18 at h = 7/32 and
# a = 1.536. A dyadic step keeps every node j·h exact, and x + log w exact near cancellation.
STEP = 7.0 / 32.0
# At the first node D = e^u + log G'(1)/G' is below 2 e^{-LEFT}; the geometric tail to its left leaves out D³ relative.
LEFT = 14.0
# A candidate is settled when e^{-e^u} < e^{-54}: u > RIGHT. One still to come adds e^{-FAR} to n (1 - φ).
RIGHT, FAR = 4.0, 42.0
SETTLED = 7.0  # e^{-e^7} is zero in float64
TINY = 2.3e-308
# Widest spread of log-weights (nats) summed on the linear scale, and the widest cut into cells.
LINEAR, CELLED = 300.0, 120.0
NODES, FINE, DEGREE = 12, 16, 6  # interpolation nodes a step; cells in a step and coefficients in a cell
WIDTH = STEP / FINE
FEW = 256  # candidates below which cells never pay
BUDGET = 1 << 21  # entries of the largest temporary array
# Step, truncation and interpolation, relative, with their amplification by φ^{n-1} (THEORY.md, M3): all below this.
METHOD_ERROR = 2e-16


def log_ratio(mass: Any, log_weight: Any, counts: Counts, zero_mass: Any) -> Any:
    """log P(y)/μ(y) (B, M, K), before conditioning on a draw; log_weight finite (any number where mass is zero).

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
    for way, chosen in ((_cells, celled), (_matrix, matrix), (_bands, ~celled & ~matrix)):
        index = np.flatnonzero(chosen)
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


def grid(counts: Counts, spread: float) -> tuple[int, int]:
    """(steps from the first node to the heaviest candidate, number of nodes) for a spread of log-weights, nats."""
    ahead = int(np.ceil((counts.log_largest + LEFT) / STEP)) + 1
    return ahead, ahead + int(np.ceil((spread + RIGHT) / STEP)) + 2


def slopes(xp: Any, counts: Counts, kept: Any, deficit: Any) -> Any:
    """log G'(φ) (B, M, J) from φ and 1 - φ (B, J), each a sum of its own: the smaller of the two decides."""
    near = deficit < 0.5
    log_phi = xp.where(
        near, xp.log1p(-xp.where(near, deficit, 0.0)), xp.log(xp.where(near | (kept < TINY), TINY, kept))
    )
    return counts.log_slope(log_phi[:, None, :], deficit[:, None, :])


def sum_of_nodes(full: Any, inside: Any, rate: Any, square: Any, slope: Any) -> Any:
    """STEP · (inside + geometric tail left of the first node), inside (..., M, C).

    rate, square (..., 1, C): e^u and e^{2u} at the first node, summed over what a column stands for; full and slope
    (..., M): log G' at one and at the first node.
    """
    fall = (full - slope)[..., None]
    near, far = 1.0 / np.expm1(STEP), 1.0 / np.expm1(2.0 * STEP)
    tail = (rate * (near - far * fall) - far * square) * array_api_compat.array_namespace(inside).exp(full)[..., None]
    return STEP * (inside + tail)


def _matrix(mass: Any, log_weight: Any, counts: Counts, zero_mass: Any, top: Array, spread: float) -> Any:
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


@cache
def _interpolation() -> tuple[Array, Array]:
    """(offsets s_k (NODES,) of the nodes in a step; transfer (FINE·DEGREE, NODES)).

    The transfer takes values at the nodes to Chebyshev coefficients in the FINE cells of the step, heaviest first; its
    transpose takes Chebyshev moments of the cells to masses at the nodes.
    """
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    angles = np.pi * (np.arange(DEGREE) + 0.5) / DEGREE
    places = (2.0 * (np.arange(FINE)[::-1, None] + 0.5 + 0.5 * np.cos(angles)) / FINE - 1.0).reshape(-1)
    degrees = np.arange(NODES)
    to_series = np.where(degrees == 0, 1.0, 2.0)[:, None] * np.cos(degrees[:, None] * np.arccos(nodes)) / NODES
    lagrange = np.cos(degrees * np.arccos(np.clip(places, -1.0, 1.0))[:, None]) @ to_series
    few = np.arange(DEGREE)
    series = np.where(few == 0, 1.0, 2.0)[:, None] * np.cos(few[:, None] * angles) / DEGREE
    transfer = np.einsum("ij,rjk->rik", series, lagrange.reshape(FINE, DEGREE, NODES))
    return STEP * 0.5 * (1.0 + nodes), transfer.reshape(FINE * DEGREE, NODES)


def _chebyshev(s: Any) -> list[Any]:
    t2 = 2.0 * s * s - 1.0
    t3 = 2.0 * s * t2 - s
    return [s * 0.0 + 1.0, s, t2, t3, 2.0 * t2 * t2 - 1.0, 2.0 * t2 * t3 - s]


def _cells(mass: Any, log_weight: Any, counts: Counts, zero_mass: Any, top: Array, spread: float) -> Any:
    xp = array_api_compat.array_namespace(log_weight)
    ahead, nodes = grid(counts, spread)
    cells = int(spread / STEP) + 2
    out = []
    for part in rows_of(mass.shape[0], counts.fixed.shape[1] * mass.shape[1], 4 * BUDGET):
        own, first = Counts(counts.fixed[part], counts.poisson[part]), heaviest_cell(top[part])
        masses = node_masses(xp, mass[part], log_weight[part], first, cells)
        slope = slopes(xp, own, *cell_sums(xp, masses, ahead, nodes, zero_mass[part]))
        coefficient, level = _cell_laws(xp, own, slope, cells, ahead, nodes)
        out.append(_evaluate(xp, log_weight[part], first, coefficient, level))
    return out[0] if len(out) == 1 else xp.concat(out)


def heaviest_cell(top: Array) -> Indices:
    """Number (B,) of the topmost fine cell of the step that holds each row's largest log-weight."""
    return ((np.floor(np.floor(top * (1.0 / WIDTH)) / FINE) + 1.0) * FINE - 1.0).astype(np.int64)


def node_masses(xp: Any, mass: Any, log_weight: Any, first: Indices, cells: int) -> Any:
    """Masses (B, cells, NODES) at the interpolation nodes of each step, heaviest step first."""
    transfer = table(_interpolation()[1], mass)
    count = cells * FINE
    if COMPILED and is_numpy(mass):
        moments = cell_moments(mass, log_weight, WIDTH, first, count)
        moments[..., 0] += moments[..., DEGREE]
        moments = moments[..., :DEGREE]
    else:
        place, s = _place(xp, log_weight, first)
        flat = xp.reshape(place + table(np.arange(mass.shape[0]) * count, place)[:, None], (-1,))
        terms = (scatter_sum(flat, xp.reshape(mass * t, (-1,)), mass.shape[0] * count) for t in _chebyshev(s))
        moments = xp.stack(list(terms), axis=-1)
    return xp.reshape(moments, (mass.shape[0], cells, FINE * DEGREE)) @ transfer


def _place(xp: Any, log_weight: Any, first: Indices) -> tuple[Any, Any]:
    """(fine cell counted from the heaviest (B, K), position in it from -1 to 1)."""
    at = xp.floor(log_weight * (1.0 / WIDTH))
    s = (log_weight - at * WIDTH) * (2.0 / WIDTH) - 1.0
    return table(first, log_weight)[:, None] - xp.astype(at, xp.int64), s


def _kernel(like: Any, ahead: int, cells: int, nodes: int) -> tuple[Any, Any]:
    """(u (NODES, nodes + cells - 1) at each interpolation node for every difference j - cell; index of the difference
    (cells, nodes))."""
    steps = np.arange(nodes + cells - 1) - (cells - 1) - ahead - 1.0
    index = np.arange(nodes)[None, :] - np.arange(cells)[:, None] + cells - 1
    return table(STEP * steps + _interpolation()[0][:, None], like), table(index, like)


def cell_sums(xp: Any, masses: Any, ahead: int, nodes: int, zero_mass: Any) -> tuple[Any, Any]:
    """φ and 1 - φ (B, nodes) from the masses (B, cells, NODES) at the interpolation nodes."""
    u, index = _kernel(masses, ahead, masses.shape[1], nodes)
    # Settled candidates: exp(-e^u) underflows to zero, as it should.
    silent, minus = xp.exp(-xp.exp(u)), xp.expm1(-xp.exp(u))
    kept, deficit = zero_mass[:, None], 0.0
    for k in range(NODES):
        kept = kept + masses[..., k] @ _toeplitz(xp, silent[k, :], index)
        deficit = deficit - masses[..., k] @ _toeplitz(xp, minus[k, :], index)
    return kept, deficit


def cell_flows(masses: Array, ahead: int, nodes: int) -> tuple[Array, Array, Array]:
    """Of one row of masses (cells, NODES): Σ μ e^{u - e^u} (cells, nodes), Σ μ e^u and Σ μ e^{2u} at the first node."""
    flow, once, twice = np.zeros((masses.shape[0], nodes)), np.zeros(masses.shape[0]), np.zeros(masses.shape[0])
    u, index = _kernel(masses, ahead, masses.shape[0], nodes)
    for k, rate in enumerate(np.exp(u)):
        flow += masses[:, k, None] * (rate * np.exp(-rate))[index]
        start = rate[index[:, 0]]
        once += masses[:, k] * start
        twice += masses[:, k] * start * start
    return flow, once, twice


def _toeplitz(xp: Any, values: Any, index: Any) -> Any:
    return xp.reshape(xp.take(values, xp.reshape(index, (-1,)), axis=0), index.shape)


def _cell_laws(xp: Any, counts: Counts, slope: Any, cells: int, ahead: int, nodes: int) -> tuple[Any, Any]:
    """(Chebyshev coefficients (B, M, cells·FINE, DEGREE) of P/μ over its largest value; log of that (B, M, 1)).

    Over the widest spread P/μ falls by e^{CELLED + 2}·n, so the linear scale holds it.
    """
    weight, values, full = xp.exp(slope), [], counts.log_slope_at_one()
    u, index = _kernel(slope, ahead, cells, nodes)
    for k in range(NODES):
        rate = xp.exp(u[k, :])
        flow = _toeplitz(xp, rate * xp.exp(-rate), index)
        first = _toeplitz(xp, rate, index[:, :1])[:, 0][None, None, :]
        values.append(xp.log(sum_of_nodes(full, weight @ flow.T, first, first * first, slope[..., 0])))
    logs = xp.stack(values, axis=-1)
    level = xp.max(logs, axis=(-2, -1), keepdims=True)
    coefficient = xp.exp(logs - level) @ table(_interpolation()[1], slope).T
    return xp.reshape(coefficient, (*logs.shape[:2], cells * FINE, DEGREE)), level[..., 0]


def _evaluate(xp: Any, log_weight: Any, first: Indices, coefficient: Any, level: Any) -> Any:
    if COMPILED and is_numpy(log_weight):
        values = cell_values(log_weight, WIDTH, first, np.ascontiguousarray(coefficient))
        return added(np.log(values, out=values), level)
    place, s = _place(xp, log_weight, first)
    rows, count = coefficient.shape[:2]
    at = xp.broadcast_to(place[:, None, :], (rows, count, place.shape[-1]))
    value: Any = 0.0
    for i, t in enumerate(_chebyshev(s)):
        value = value + xp.take_along_axis(coefficient[..., i], at, axis=-1) * t[:, None, :]
    return xp.log(value) + level


def _bands(mass: Any, log_weight: Any, counts: Counts, zero_mass: Any, _top: Array, _spread: float) -> Any:
    xp = array_api_compat.array_namespace(log_weight)
    out = []
    for b in range(mass.shape[0]):
        own = Counts(counts.fixed[b : b + 1], counts.poisson[b : b + 1])
        out.append(_band_row(xp, mass[b], log_weight[b], own, zero_mass[b]))
    return xp.stack(out)


def _windows(log_weight: Array, log_largest: float) -> Array:
    """Nodes j·STEP in the union over candidates of [-lw - log n - FAR, -lw + RIGHT], ascending; lw descending.

    Between windows φ is constant and the integrand grows like e^x up to the next window, so what is left out is a
    relative e^{-FAR}.
    """
    low = np.floor((-log_weight - log_largest - FAR) / STEP)
    high = np.maximum.accumulate(np.ceil((-log_weight + RIGHT) / STEP) + 1.0)
    starts = np.flatnonzero(np.r_[True, low[1:] > high[:-1] + 1])
    ends = np.r_[starts[1:] - 1, low.size - 1]
    return STEP * np.concatenate([np.arange(low[s], high[e] + 1) for s, e in zip(starts, ends, strict=True)])


def _band_row(xp: Any, mass: Any, log_weight: Any, counts: Counts, zero_mass: Any) -> Any:
    """One row (K,) of any spread -> (M, K); the order of the candidates is restored at the end."""
    plain = host(log_weight)
    order = np.argsort(-plain, kind="stable")
    lw_host = plain[order]
    lw, mu = xp.take(log_weight, table(order, log_weight), axis=0), xp.take(mass, table(order, mass), axis=0)
    x_host = _windows(lw_host, counts.log_largest)
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
    xp: Any, x: Any, x_host: Array, mass: Any, lw: Any, lw_host: Array, counts: Counts, zero_mass: Any
) -> Any:
    """log G'(φ) (M, J) at ascending nodes; lw descending. Sums only positive terms, 1 - φ below φ = ½."""
    zero = xp.zeros_like(mass[:1])
    gone = xp.concat([zero, running_sum(mass)])
    left = xp.concat([xp.flip(running_sum(xp.flip(mass))), zero]) + zero_mass
    kept, deficit = [], []
    for part in rows_of(x_host.size, lw_host.size, BUDGET // 2):
        nodes = x_host[part]
        first = int(np.searchsorted(-lw_host, nodes[0] - RIGHT - 2.0 * STEP, side="left"))
        last = int(np.searchsorted(-lw_host, nodes[-1] + counts.log_largest + FAR, side="right"))
        u = x[part][:, None] + lw[None, first:last]
        rate = xp.exp(xp.where(u > SETTLED, SETTLED, u))
        deficit.append(gone[first] - xp.expm1(-rate) @ mass[first:last])
        kept.append(left[last] + xp.exp(-rate) @ mass[first:last])
    return slopes(xp, counts, xp.concat(kept)[None], xp.concat(deficit)[None])[0]
