"""TV(P_n, π) of the softmax rule for many n at once, without forming the laws (M3).

The masses of groups of candidates with adjacent weights follow from the flow of each group at the nodes, all n by one
product of matrices; only in the two groups around the crossing of P_n/π and one is the law looked at candidate by
candidate, interpolated as in softmax_cells.py.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np

from gsi_theory.arrays import quadrature
from gsi_theory.laws.draws import Counts
from gsi_theory.rules import softmax_cells
from gsi_theory.types import Floats

__all__ = ["tv_curve"]


def tv_curve(mass: Floats, log_weight: Floats, counts: Counts) -> Floats:
    """TV(P_n, π) (M,) for counts (1, M); mass, log_weight (K,), weights descending. The groups are the steps of
    softmax_cells.py."""
    spread = float(log_weight[0] - log_weight[-1])
    ahead, nodes = quadrature.grid(counts, spread)
    first, cells = softmax_cells.heaviest_cell(log_weight[:1]), int(spread / quadrature.STEP) + 2
    masses = softmax_cells.node_masses(xp, mass[None], log_weight[None], first, cells)
    slope = quadrature.slopes(xp, counts, *softmax_cells.cell_sums(xp, masses, ahead, nodes, np.zeros(1)))[0]
    full, slopes = counts.log_slope_at_one()[0], _flushed(np.exp(slope))
    flow, once, twice = softmax_cells.cell_flows(masses[0], ahead, nodes)
    ratio = np.exp(log_weight - log_weight[0])
    pi = mass * ratio
    ratio, pi, step = ratio / pi.sum(), pi / pi.sum(), first[0] // softmax_cells.FINE
    cell = step - np.floor(np.floor(log_weight * (1.0 / softmax_cells.WIDTH)) / softmax_cells.FINE).astype(np.int64)
    # an empty step would hide which of its neighbors holds the crossing
    used = np.unique(cell)
    ends = np.append(np.searchsorted(cell, used), cell.size)
    of_cells = quadrature.sum_of_nodes(full, slopes @ _flushed(flow[used]).T, once[used], twice[used], slope[:, 0])
    heavier = np.append(0.0, np.cumsum(pi))
    gain = heavier[ends] - np.concatenate([np.zeros((slope.shape[0], 1)), np.cumsum(of_cells, axis=1)], axis=1)
    best = np.argmax(gain, axis=1)
    near = slice(ends[max(int(best.min()) - 1, 0)], ends[min(int(best.max()) + 1, used.size)])
    place = log_weight[near] * (1.0 / quadrature.STEP) - (step - cell[near])
    shares = softmax_cells.interpolated(2.0 * place - 1.0)
    upto = np.concatenate([np.zeros((1, shares.shape[1])), np.cumsum(mass[near, None] * shares, axis=0)])
    # One row of nodes holds every step's: the flow of a step c cells below is the same, c nodes later.
    rate = np.exp(softmax_cells.kernel_nodes(ahead, cells, nodes))
    kernel, line = _flushed(rate * np.exp(-rate)), np.arange(best.size)
    out = gain[line, best]
    for each in (np.maximum(best - 1, 0), np.minimum(best, used.size - 1)):
        inside = np.empty((best.size, shares.shape[1]))
        for c in np.unique(each):
            at = cells - 1 - used[c]
            inside[each == c] = slopes[each == c] @ kernel[:, at : at + nodes].T
        start = rate[:, cells - 1 - used[each]].T
        law = quadrature.sum_of_nodes(full, inside, start, start * start, slope[:, 0])
        # P_n/π rises along the cell: where does it cross one?
        low, high = ends[each], ends[each + 1]
        begin = low
        while np.any(low < high):
            middle = (low + high) // 2
            at = np.minimum(middle, near.stop - 1)
            below = (low < high) & (np.sum(law * shares[at - near.start], axis=1) < ratio[at])
            low, high = np.where(below, middle + 1, low), np.where(below, high, np.maximum(middle, low))
        law_mass = np.sum(law * (upto[low - near.start] - upto[begin - near.start]), axis=1)
        out = np.maximum(out, gain[line, each] + heavier[low] - heavier[begin] - law_mass)
    return np.clip(out, 0.0, 1.0)


def _flushed(values: Floats) -> Floats:
    """Numbers below 1e-290 as zeros, in place: the processor is slow on what has lost its digits."""
    values[values < 1e-290] = 0.0
    return values
