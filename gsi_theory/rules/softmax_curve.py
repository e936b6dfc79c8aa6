"""TV(P_n, π) of the softmax rule for many n at once, without forming the laws (M3).

P_n/π falls in the weight and is found at the edges of the steps of softmax_cells.py: one product of matrices says in
which step it crosses one. What the candidates above that step take follows from their flow at the nodes; inside it the
law is interpolated as there, and the TV is the largest π(A) - P_n(A) over the sets A that end in the step.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np

from gsi_theory.arrays import quadrature
from gsi_theory.arrays.namespace import rows_of
from gsi_theory.laws.draws import Counts
from gsi_theory.rules import softmax_cells
from gsi_theory.types import Floats

__all__ = ["tv_curve"]

BUDGET = 1 << 21  # entries of the largest temporary array


def tv_curve(mass: Floats, log_weight: Floats, counts: Counts) -> Floats:
    """TV(P_n, π) (M,) for counts (1, M), none random; mass, log_weight (K,), weights descending. The groups are the
    steps of softmax_cells.py."""
    spread = float(log_weight[0] - log_weight[-1])
    ahead, nodes = quadrature.grid(counts, spread)
    first, cells = softmax_cells.heaviest_cell(log_weight[:1]), int(spread / quadrature.STEP) + 2
    masses = softmax_cells.node_masses(xp, mass[None], log_weight[None], first, cells)
    log_phi = quadrature.log_kept(xp, *softmax_cells.cell_sums(xp, masses, ahead, nodes, np.zeros(1)))[0]
    n, full = counts.fixed[0], np.log(counts.fixed[0])
    slope = np.multiply.outer(n - 1.0, log_phi)
    slope += full[:, None]
    tail = np.stack(quadrature.tail_weights(full, slope[:, 0]), axis=1)
    slopes = _flushed(np.exp(slope, out=slope))
    ratio = np.exp(log_weight - log_weight[0])
    total, step = float(mass @ ratio), first[0] // softmax_cells.FINE
    # P_n/π at the upper edge of each step: P_n/μ against w/Σ μw
    rate = np.exp(quadrature.STEP * (np.arange(cells + nodes) - cells - ahead))
    at_edges = np.lib.stride_tricks.sliding_window_view(_flushed(rate * np.exp(-rate)), nodes)[::-1]
    start = rate[cells::-1]
    law = slopes @ at_edges.T
    law += tail @ np.stack([start, start * start])
    edges = np.exp(quadrature.STEP * (step + 1.0 - np.arange(cells + 1.0)) - log_weight[0]) / (total * quadrature.STEP)
    cell = np.clip(np.sum(law < edges, axis=1) - 1, 0, cells - 1)
    # Masses of the candidates above each step, and of those above and in part in it
    of_step = step - np.floor(np.floor(log_weight * (1.0 / softmax_cells.WIDTH)) / softmax_cells.FINE).astype(np.int64)
    ends, heavier = np.searchsorted(of_step, np.arange(cells + 1)), np.append(0.0, np.cumsum(mass * ratio / total))
    above = (np.cumsum(part, axis=0) - part for part in softmax_cells.cell_flows(masses[0], ahead, nodes))
    flow, once, twice = (part[cell] for part in above)
    taken = np.einsum("nj,nj->n", slopes, flow) + tail[:, 0] * once + tail[:, 1] * twice
    rate = np.exp(softmax_cells.kernel_nodes(ahead, cells, nodes))
    kernel, inside = _flushed(rate * np.exp(-rate)), np.empty((n.size, softmax_cells.NODES))
    used = [(c, np.flatnonzero(cell == c)) for c in np.unique(cell)]
    for c, rows in used:
        inside[rows] = slopes[rows] @ kernel[:, cells - 1 - c : cells - 1 - c + nodes].T
    start = rate[:, cells - 1 - cell].T
    law, out = inside + tail[:, :1] * start + tail[:, 1:] * (start * start), np.empty(n.size)
    near = slice(ends[used[0][0]], ends[used[-1][0] + 1])
    place = log_weight[near] * (1.0 / quadrature.STEP) - (step - of_step[near])
    shares = quadrature.STEP * mass[near, None] * softmax_cells.interpolated(2.0 * place - 1.0)
    upto = np.concatenate([np.zeros((1, shares.shape[1])), np.cumsum(shares, axis=0)])
    for c, rows in used:
        sets, shift = slice(ends[c], ends[c + 1] + 1), upto[ends[c] - near.start]
        within = (upto[ends[c] - near.start : ends[c + 1] - near.start + 1] - shift).T
        for part in rows_of(rows.size, within.shape[1], BUDGET):
            out[rows[part]] = np.max(heavier[sets] - law[rows[part]] @ within, axis=1)
    return np.clip(out - quadrature.STEP * taken, 0.0, 1.0)


def _flushed(values: Floats) -> Floats:
    """Numbers below 1e-290 as zeros, in place: the processor is slow on what has lost its digits."""
    values[values < 1e-290] = 0.0
    return values
