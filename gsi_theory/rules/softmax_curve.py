"""TV(P_n, π) of the softmax rule for many n at once, without forming the laws (M3).

P_n/π falls in the weight: its values at the edges of the steps of softmax_cells.py say in which it crosses one. What
the candidates above that step take follows from their flow at the nodes; inside it the law is interpolated as there,
and the TV is π(A) - P_n(A) of the set A that ends at the crossing.
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
    """TV(P_n, π) (M,) for counts (1, M), none random; mass, log_weight (K,), weights descending."""
    from gsi_theory.arrays.kernels import softmax_curve

    ratio = np.exp(log_weight - log_weight[0])
    ratio /= mass @ ratio
    spread = float(log_weight[0] - log_weight[-1])
    ahead, nodes = quadrature.grid(counts, spread)
    first, cells = softmax_cells.heaviest_cell(log_weight[:1]), int(spread / quadrature.STEP) + 2
    masses = softmax_cells.node_masses(xp, mass[None], log_weight[None], first, cells)
    log_phi = quadrature.log_kept(xp, *softmax_cells.cell_sums(xp, masses, ahead, nodes, np.zeros(1)))[0]
    n = counts.fixed[0]
    slope = np.multiply.outer(n - 1.0, log_phi)
    slope += np.log(n)[:, None]
    tail = np.stack(quadrature.tail_weights(np.log(n), slope[:, 0]), axis=1)
    rate = np.exp(softmax_cells.kernel_nodes(ahead, cells, nodes, edge=True))
    top = (first[0] // softmax_cells.FINE + 1.0) * quadrature.STEP
    edges = ratio[0] * np.exp(top - log_weight[0] - quadrature.STEP * np.arange(cells))
    return softmax_curve(
        log_weight,
        mass,
        ratio,
        _flushed(np.exp(slope, out=slope)),
        tail,
        rate,
        _flushed(rate * np.exp(-rate)),
        masses[0],
        edges,
        softmax_cells.to_series(),
        softmax_cells.WIDTH,
        first[0],
        softmax_cells.FINE,
    )


def _flushed(values: Floats) -> Floats:
    """Numbers below 1e-290 as zeros, in place: the processor is slow on what has lost its digits."""
    values[values < 1e-290] = 0.0
    return values
