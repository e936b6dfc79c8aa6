"""TV(P_n, π) of the softmax rule for many n at once, without forming the laws (M3).

The masses of groups of candidates with adjacent weights follow from the flow of each group at the nodes, all n by one
product of matrices; only the two groups around the crossing of P_n/π and one are looked at candidate by candidate.
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
    full, slopes = counts.log_slope_at_one()[0], np.exp(slope)
    flow, once, twice = softmax_cells.cell_flows(masses[0], ahead, nodes)
    of_cells = quadrature.sum_of_nodes(full, slopes @ flow.T, once, twice, slope[:, 0])
    pi = mass * np.exp(log_weight - log_weight[0])
    pi /= pi.sum()
    cell = (first[0] - np.floor(log_weight * (1.0 / softmax_cells.WIDTH)).astype(np.int64)) // softmax_cells.FINE
    ends = np.searchsorted(cell, np.arange(cells + 1))
    heavier = np.append(0.0, np.cumsum(pi))[ends]
    gain = heavier - np.concatenate([np.zeros((slope.shape[0], 1)), np.cumsum(of_cells, axis=1)], axis=1)
    best = np.argmax(gain, axis=1)
    x = quadrature.STEP * (np.arange(nodes) - ahead - 1.0 - first[0] // softmax_cells.FINE)
    out = np.empty(best.size)
    for b in np.unique(best):
        rows, start = np.flatnonzero(best == b), max(b - 1, 0)
        near = slice(ends[start], ends[min(b + 1, cells)])
        rate = np.exp(x[:, None] + log_weight[near])
        law = quadrature.sum_of_nodes(
            full[rows], slopes[rows] @ (rate * np.exp(-rate)), rate[0], rate[0] * rate[0], slope[rows, 0]
        )
        out[rows] = gain[rows, start] + np.sum(np.maximum(pi[near] - mass[near] * law, 0.0), axis=1)
    return np.clip(out, 0.0, 1.0)
