"""TV(P_n, π) for many n at once, without forming the laws (M3, M4).

Under both rules P_n/π decreases in the weight, so the TV is the largest of π(A) - P_n(A) over the sets A of the j
heaviest candidates, attained where P_n/π crosses one.

Race. With weights normalized, S_k = Σ_{i ≥ k} μ_i w_i and T_k = Σ_{i ≤ k} (A_{i-1}^n - A_i^n)/S_i = P_n/π at k, the
mass of the j heaviest is 1 - A_j^n - S_{j+1} T_j, hence TV = A_j^n - S_{j+1} (1 - T_j) at the last j with T_j < 1.
Softmax. The masses of groups of candidates with adjacent weights follow from the flow of each group at the nodes, all n
by one product of matrices; only the two groups around the crossing are looked at candidate by candidate.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import ArrayLike

from gsi_theory.arrays import quadrature
from gsi_theory.arrays.logscale import normalize
from gsi_theory.divergence import tv
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import Counts, as_counts
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.rules import race as race_rule
from gsi_theory.rules import softmax as softmax_rule
from gsi_theory.rules import softmax_cells
from gsi_theory.types import Floats

__all__ = ["tv_curve"]

LARGEST, FEW_ENTRIES = 1 << 22, 1 << 17  # entries of the laws formed at once; of what should stay in the cache
LEAST = -1e4  # stands for log 0: every power of e^{-10000} is zero


def tv_curve(log_mass: ArrayLike, log_weight: ArrayLike, n: ArrayLike, rule: str = "softmax") -> Floats:
    """TV(P_n, π) (M,) for whole numbers n (M,): the law of the winner of n draws against its limit π ∝ μ w.

    Rule softmax or race; log_mass and log_weight (K,) as in `selection_law`; errors are those of its laws. Raises
    InputError.
    """
    if rule not in ("softmax", "race"):
        raise InputError(f"rule {rule!r}: give softmax or race, whose laws tend to the tilt")
    counts = np.atleast_1d(np.asarray(n))
    if counts.ndim != 1:
        raise InputError(f"n of shape {counts.shape}: give a list of whole numbers")
    fixed, poisson = as_counts(counts, np.empty(0))
    # One draw checks everything that selection_law checks, and normalizes the masses.
    mass = selection_law(log_mass, log_weight, 1, rule).log_prob
    weight = np.asarray(log_weight, dtype=np.float64)
    if mass.ndim != 1:
        raise InputError(f"log_mass of shape {mass.shape}: give one vector (K,)")
    used = np.isfinite(mass) & (weight > -np.inf)
    order = np.flatnonzero(used)[np.argsort(-weight[used])]
    whole = bool(np.all(used == np.isfinite(mass)))
    if not whole or order.size < 2 or weight[order[0]] - weight[order[-1]] > softmax_rule.CELLED:
        return _by_laws(mass, weight, counts, rule)
    mu, lw = np.exp(mass[order]), weight[order]
    return _race(mu, lw, fixed) if rule == "race" else _softmax(mu, lw, Counts(fixed[None], poisson[None]))


def _by_laws(log_mass: Floats, log_weight: Floats, n: Floats, rule: str) -> Floats:
    log_pi = normalize(np.where(np.isfinite(log_mass), log_mass + log_weight, -np.inf))
    step = max(1, LARGEST // log_mass.size)
    parts = (n[i : i + step] for i in range(0, n.size, step))
    return np.concatenate([tv(selection_law(log_mass, log_weight, part, rule).log_prob, log_pi) for part in parts])


def _race(mass: Floats, log_weight: Floats, n: Floats) -> Floats:
    fall = race_rule.fall_linear(xp, mass[None], log_weight[None], np.zeros(1))
    log_a = race_rule.log_fall(xp, fall)[0][0]
    held = np.append(fall.held[0] / fall.held[0, 0], 0.0)
    out, rows = np.empty(n.size), max(1, FEW_ENTRIES // mass.size)
    for start in range(0, n.size, rows):
        part, width, crossed = slice(start, start + rows), max(64, mass.size // 8), False
        # The crossing is among the heavy: look further only where it is not.
        while not crossed:
            width = min(width, mass.size)
            power = np.exp(np.multiply.outer(n[part], np.maximum(log_a[:width], LEAST)))
            total = np.cumsum(-np.diff(power, prepend=1.0, axis=1) / held[:width], axis=1)
            crossed = bool(np.all(total[:, -1] >= 1.0)) or width == mass.size
            width *= 4
        last = np.sum(total < 1.0, axis=1) - 1
        own = np.arange(last.size)
        behind = power[own, last] - held[last + 1] * (1.0 - total[own, last])
        out[part] = np.where(last >= 0, behind, 0.0)
    return np.clip(out, 0.0, 1.0)


def _softmax(mass: Floats, log_weight: Floats, counts: Counts) -> Floats:
    """TV of every n; weights descending. The groups are the steps of softmax_cells.py."""
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
