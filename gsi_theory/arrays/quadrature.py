"""The trapezoid sum in log-time behind the softmax rule (M3): step, window, tail, and G' at the nodes.

x = log t, u = x + log w; rows (B), counts (B, M), nodes (J). Errors are derived in THEORY.md, M3.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from gsi_theory.laws.draws import Counts
from gsi_theory.types import Array, Namespace

__all__ = ["FAR", "LEFT", "RIGHT", "STEP", "TINY", "grid", "log_kept", "slopes", "sum_of_nodes", "tail_weights"]

# The relative error is ≤ 2 / (cos a · (e^{2πa/h} - 1)) for every a < π/2: 4e-18 at h = 7/32 and a = 1.536. A dyadic
# step keeps every node j·h exact, and x + log w exact near cancellation.
STEP = 7.0 / 32.0
# At the first node D = e^u + log G'(1)/G' is below 2 e^{-LEFT}; the geometric tail to its left leaves out D³ relative.
LEFT = 14.0
# A candidate is settled when e^{-e^u} < e^{-54}: u > RIGHT. One still to come adds e^{-FAR} to n (1 - φ).
RIGHT, FAR = 4.0, 42.0
TINY = 2.3e-308


def grid(counts: Counts, spread: float) -> tuple[int, int]:
    """(steps from the first node to the heaviest candidate, number of nodes) for a spread of log-weights, nats."""
    ahead = int(np.ceil((counts.log_largest + LEFT) / STEP)) + 1
    return ahead, ahead + int(np.ceil((spread + RIGHT) / STEP)) + 2


def slopes(xp: Namespace, counts: Counts, kept: Array, deficit: Array) -> Array:
    """log G'(φ)/P(N ≥ 1) (B, M, J) from φ and 1 - φ (B, J), each a sum of its own: the smaller of the two decides."""
    return counts.log_slope(log_kept(xp, kept, deficit)[:, None, :], deficit[:, None, :])


def log_kept(xp: Namespace, kept: Array, deficit: Array) -> Array:
    """log φ, no less than log TINY, from φ and 1 - φ."""
    near = deficit < 0.5
    return xp.where(near, xp.log1p(-xp.where(near, deficit, 0.0)), xp.log(xp.where(near | (kept < TINY), TINY, kept)))


def sum_of_nodes(full: Array, inside: Array, rate: Array, square: Array, slope: Array) -> Array:
    """STEP · (inside + geometric tail left of the first node), inside (..., M, C).

    rate, square (..., 1, C): e^u and e^{2u} at the first node, summed over what a column stands for; full and slope
    (..., M): log G'/P(N ≥ 1) at one and at the first node.
    """
    near, far = (weight[..., None] for weight in tail_weights(full, slope))
    return STEP * (inside + (rate * near + square * far))


def tail_weights(full: Array, slope: Array) -> tuple[Array, Array]:
    """What e^u and e^{2u} at the first node count in the geometric tail (..., M), as in `sum_of_nodes`."""
    near, far = 1.0 / np.expm1(STEP), 1.0 / np.expm1(2.0 * STEP)
    level = array_api_compat.array_namespace(full).exp(full)
    return level * (near - far * (full - slope)), -far * level
