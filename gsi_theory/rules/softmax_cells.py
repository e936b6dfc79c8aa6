"""The softmax law in O(K): candidates enter and leave through piecewise Chebyshev interpolation in log w (M3, 5).

The log-weight axis is cut into steps of width STEP, each with NODES interpolation nodes at which the kernel depends
only on the difference of step and quadrature node, and each step into FINE cells. A candidate adds DEGREE Chebyshev
moments to its cell and reads a polynomial of DEGREE coefficients there.

Example: masses 0.4 and 0.6 at log-weights 0 and -1, n = 4. Cells are counted from the top of the step that holds the
largest log-weight, [0, 7/32): 0 lies at the lower end of its cell 15, -1 in cell 89, 5 steps below, 0.71 of the way
from its middle to its upper end.

>>> mass, log_weight, first = np.array([[0.4, 0.6]]), np.array([[0.0, -1.0]]), heaviest_cell(np.array([0.0]))
>>> [part.round(2).tolist() for part in _place(np, log_weight, first)]
[[[15, 89]], [[-1.0, 0.71]]]

Each is replaced by masses at the 12 nodes of its step, with the same mean of every polynomial to degree 5: the sums are
the masses, the mean log-weight is -0.6.

>>> masses = node_masses(np, mass, log_weight, first, 6)
>>> masses.sum(axis=-1).round(12).tolist()
[[0.4, 0.0, 0.0, 0.0, 0.0, 0.6]]
>>> float(np.sum(masses[0] * (_interpolation()[0] - STEP * np.arange(6)[:, None])).round(12))
-0.6

The law comes back through the same cells: P(first) = Σ_j C(4, j) 0.4^j 0.6^{4-j} j/(j + (4 - j)/e).

>>> counts = Counts(np.array([[4.0]]), np.array([[0.0]]))
>>> law = mass * np.exp(by_cells(mass, log_weight, counts, np.zeros(1), np.zeros(1), 1.0)[0])
>>> chance = [math.comb(4, j) * 0.4**j * 0.6 ** (4 - j) for j in range(5)]
>>> direct = sum(p * j / (j + (4 - j) / math.e) for j, p in enumerate(chance))
>>> law.round(9).tolist(), abs(float(law[0, 0]) - direct) < 1e-15
([[0.57936264, 0.42063736]], True)
"""

from __future__ import annotations

from functools import cache

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import COMPILED, added, is_numpy, rows_of, scatter_sum, table
from gsi_theory.arrays.quadrature import STEP, grid, slopes, sum_of_nodes
from gsi_theory.laws.draws import Counts
from gsi_theory.types import Array, Floats, Ints, Namespace

__all__ = [
    "FINE",
    "NODES",
    "WIDTH",
    "by_cells",
    "cell_sums",
    "heaviest_cell",
    "interpolated",
    "kernel_nodes",
    "node_masses",
    "to_series",
]

NODES, FINE, DEGREE = 12, 16, 6  # interpolation nodes a step; cells in a step and coefficients in a cell
WIDTH = STEP / FINE
BUDGET = 1 << 23  # entries of the laws evaluated at once
FEW_ROWS = 8  # more are summed faster as products of matrices


@cache
def _interpolation() -> tuple[Floats, Floats]:
    """(offsets s_k (NODES,) of the nodes in a step; transfer (FINE·DEGREE, NODES)).

    The transfer takes values at the nodes to Chebyshev coefficients in the FINE cells of the step, heaviest first; its
    transpose takes Chebyshev moments of the cells to masses at the nodes.
    """
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    angles = np.pi * (np.arange(DEGREE) + 0.5) / DEGREE
    places = (2.0 * (np.arange(FINE)[::-1, None] + 0.5 + 0.5 * np.cos(angles)) / FINE - 1.0).reshape(-1)
    lagrange = interpolated(places)
    few = np.arange(DEGREE)
    series = np.where(few == 0, 1.0, 2.0)[:, None] * np.cos(few[:, None] * angles) / DEGREE
    transfer = np.einsum("ij,rjk->rik", series, lagrange.reshape(FINE, DEGREE, NODES))
    return STEP * 0.5 * (1.0 + nodes), transfer.reshape(FINE * DEGREE, NODES)


def interpolated(places: Floats) -> Floats:
    """What each of the NODES of a step counts (C, NODES) in the value at a place (C,), -1 to 1, of the step."""
    return np.asarray(np.polynomial.chebyshev.chebvander(places, NODES - 1) @ to_series())


@cache
def to_series() -> Floats:
    """What each of the values at the NODES of a step (columns) counts in each Chebyshev coefficient (NODES, NODES)."""
    degrees, at = np.arange(NODES), np.pi * (np.arange(NODES) + 0.5) / NODES
    return np.asarray(np.where(degrees == 0, 1.0, 2.0)[:, None] * np.cos(degrees[:, None] * at) / NODES)


def kernel_nodes(ahead: int, cells: int, nodes: int, edge: bool = False) -> Floats:
    """u (NODES, nodes + cells - 1) at each interpolation node of a step, for every difference of node and cell; with
    `edge` one row more, at its upper edge."""
    steps = np.arange(nodes + cells - 1) - (cells - 1) - ahead - 1.0
    offsets = _interpolation()[0]
    return np.asarray(STEP * steps + (np.append(offsets, STEP) if edge else offsets)[:, None])


def _chebyshev(s: Array) -> list[Array]:
    t2 = 2.0 * s * s - 1.0
    t3 = 2.0 * s * t2 - s
    return [s * 0.0 + 1.0, s, t2, t3, 2.0 * t2 * t2 - 1.0, 2.0 * t2 * t3 - s]


def by_cells(mass: Array, log_weight: Array, counts: Counts, zero_mass: Array, top: Floats, spread: float) -> Array:
    """log P/μ (B, M, K) of rows of spread (nats) at most; top (B,) their largest log-weights."""
    xp = array_api_compat.array_namespace(log_weight)
    ahead, nodes = grid(counts, spread)
    cells = int(spread / STEP) + 2
    out = []
    for part in rows_of(mass.shape[0], counts.fixed.shape[1] * mass.shape[1], BUDGET):
        own, first = Counts(counts.fixed[part], counts.poisson[part]), heaviest_cell(top[part])
        masses = node_masses(xp, mass[part], log_weight[part], first, cells)
        slope = slopes(xp, own, *cell_sums(xp, masses, ahead, nodes, zero_mass[part]))
        coefficient, level = _cell_laws(xp, own, slope, cells, ahead, nodes)
        out.append(_evaluate(xp, log_weight[part], first, coefficient, level))
    return out[0] if len(out) == 1 else xp.concat(out)


def heaviest_cell(top: Floats) -> Ints:
    """Number (B,) of the topmost fine cell of the step that holds each row's largest log-weight."""
    return ((np.floor(np.floor(top * (1.0 / WIDTH)) / FINE) + 1.0) * FINE - 1.0).astype(np.int64)


def node_masses(xp: Namespace, mass: Array, log_weight: Array, first: Ints, cells: int) -> Array:
    """Masses (B, cells, NODES) at the interpolation nodes of each step, heaviest step first."""
    transfer = table(_interpolation()[1], mass)
    count = cells * FINE
    if COMPILED and is_numpy(mass):
        from gsi_theory.arrays.kernels import cell_moments

        moments = cell_moments(mass, log_weight, WIDTH, first, count)
        moments[..., 0] += moments[..., DEGREE]
        moments = moments[..., :DEGREE]
    else:
        place, s = _place(xp, log_weight, first)
        flat = xp.reshape(place + table(np.arange(mass.shape[0]) * count, place)[:, None], (-1,))
        terms = (scatter_sum(flat, xp.reshape(mass * t, (-1,)), mass.shape[0] * count) for t in _chebyshev(s))
        moments = xp.stack(list(terms), axis=-1)
    return xp.reshape(moments, (mass.shape[0], cells, FINE * DEGREE)) @ transfer


def _place(xp: Namespace, log_weight: Array, first: Ints) -> tuple[Array, Array]:
    """(fine cell counted from the heaviest (B, K), position in it from -1 to 1)."""
    at = xp.floor(log_weight * (1.0 / WIDTH))
    s = (log_weight - at * WIDTH) * (2.0 / WIDTH) - 1.0
    return table(first, log_weight)[:, None] - xp.astype(at, xp.int64), s


def _kernel(like: Array, ahead: int, cells: int, nodes: int) -> tuple[Array, Array]:
    """(u (NODES, nodes + cells - 1) at each interpolation node for every difference j - cell; index of the difference
    (cells, nodes))."""
    index = np.arange(nodes)[None, :] - np.arange(cells)[:, None] + cells - 1
    return table(kernel_nodes(ahead, cells, nodes), like), table(index, like)


def cell_sums(xp: Namespace, masses: Array, ahead: int, nodes: int, zero_mass: Array) -> tuple[Array, Array]:
    """φ and 1 - φ (B, nodes) from the masses (B, cells, NODES) at the interpolation nodes."""
    if COMPILED and is_numpy(masses) and masses.shape[0] <= FEW_ROWS:
        from gsi_theory.arrays.kernels import node_sums

        rate = np.exp(kernel_nodes(ahead, masses.shape[1], nodes))
        kept, deficit = node_sums(masses, np.exp(-rate), -np.expm1(-rate))
        return kept + zero_mass[:, None], deficit
    u, index = _kernel(masses, ahead, masses.shape[1], nodes)
    # Settled candidates: exp(-e^u) underflows to zero, as it should.
    silent, minus = xp.exp(-xp.exp(u)), xp.expm1(-xp.exp(u))
    kept, deficit = zero_mass[:, None], zero_mass[:, None] * 0.0
    for k in range(NODES):
        kept = kept + masses[..., k] @ _toeplitz(xp, silent[k, :], index)
        deficit = deficit - masses[..., k] @ _toeplitz(xp, minus[k, :], index)
    return kept, deficit


def _toeplitz(xp: Namespace, values: Array, index: Array) -> Array:
    return xp.reshape(xp.take(values, xp.reshape(index, (-1,)), axis=0), index.shape)


def _cell_laws(xp: Namespace, counts: Counts, slope: Array, cells: int, ahead: int, nodes: int) -> tuple[Array, Array]:
    """(Chebyshev coefficients (B, M, cells·FINE, DEGREE) of P/μ over its largest value; log of that (B, M, 1)).

    Over 120 nats P/μ falls by a factor e^{122}·n, so the linear scale holds it.
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


def _evaluate(xp: Namespace, log_weight: Array, first: Ints, coefficient: Array, level: Array) -> Array:
    if COMPILED and is_numpy(log_weight):
        from gsi_theory.arrays.kernels import cell_values

        values = np.empty((*coefficient.shape[:2], log_weight.shape[1]))
        cell_values(log_weight, WIDTH, first, np.ascontiguousarray(coefficient), values)
        return added(np.log(values, out=values), level)
    place, s = _place(xp, log_weight, first)
    rows, count = coefficient.shape[:2]
    at = xp.broadcast_to(place[:, None, :], (rows, count, place.shape[-1]))
    value: Array = 0.0
    for i, t in enumerate(_chebyshev(s)):
        value = value + xp.take_along_axis(coefficient[..., i], at, axis=-1) * t[:, None, :]
    return xp.log(value) + level
