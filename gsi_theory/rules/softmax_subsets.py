"""Unbiased softmax curves (M31): the average over all n-subsets of Σ w f/Σ w, for every n in one pass.

With W_S = Σ_{i ∈ S} w_i and 1/W = ∫ e^{−tW} dt the average is ∫ d_n(t) dt, d_n the mean of sums.py at z = e^{−tw},
g = f w e^{−tw}. The integral is a trapezoid sum in x, t = T exp(x − e^{−x}): log-time to the right, doubly exponential
to the left. Its weights are positive, so whatever the pool, the relative error is at most that of the same sum for 1/W,
a function of one number W ≤ W_top = 2/T (VALUE_STEP: below 2e-15; ERROR_STEP: 4e-7, for standard errors alone).

Candidates are sorted by weight, heaviest first. At a node those with t w > e^SETTLED have z = 0, those with t w <
e^{−BEGUN}/K have z = 1 and no gain; only those between are grown one at a time, so a wide spread costs no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.rules.subset_sums import grow, hypergeometric, with_zero_weights, zero_weight_parts
from gsi_theory.types import Floats, Ints

__all__ = [
    "ERROR_STEP",
    "VALUE_STEP",
    "softmax_curve",
    "softmax_parts",
    "subset_means",
    "subset_parts",
    "trapezoid",
]

VALUE_STEP, ERROR_STEP = 0.25, 0.5
LEFT = -3.75  # e^{-LEFT} = 42.5: mass e^{-42} lies to the left
BEGUN, SETTLED = 42.0, 3.75
# e_n ≤ e_1^n (Maclaurin); 60 covers e^{-42} at the node before, whose log e_1 is at least e^{-h} of this one's.
NEGLIGIBLE = 60.0
BLOCK = 16  # nodes grown together


@dataclass(frozen=True)
class Block:
    """Neighboring nodes: log t (B,), factor dt/(t dx)·h (B,), window [first, last) of candidates grown one by one."""

    log_t: Floats
    factor: Floats
    first: int
    last: int


def trapezoid(x: Floats, step: float, log_top: float) -> tuple[Floats, Floats]:
    """(log t, h dt/(t dx)) at x for weights of subsets up to e^{log_top}: t = 2 exp(x − e^{−x})/W_top."""
    fall = np.exp(-x)
    return np.log(2.0) - log_top + x - fall, step * (1.0 + fall)


def _blocks(log_weight: Floats, most: int, zeros: int, step: float) -> Iterator[Block]:
    """Nodes where some candidate has begun and is not settled; log_weight (A,) descending, finite."""
    log_top = float(log_sum(log_weight[:most]))
    anchor = np.log(2.0) - log_top
    used = log_weight if zeros or log_weight.size < 2 else log_weight[:-1]  # n ≥ 2: never the lightest alone
    start = np.maximum(-used - anchor - BEGUN - np.log(most), LEFT)
    end = -used - anchor + SETTLED + 0.1  # log t is below its asymptote by e^{-x} < 0.1 there
    start[0] = LEFT
    cut = np.flatnonzero(start[1:] > end[:-1]) + 1
    for a, b in zip(np.r_[0, cut], np.r_[cut, start.size], strict=True):
        x = step * np.arange(np.ceil(start[a] / step), np.ceil(end[b - 1] / step) + 1)
        for at in range(0, x.size, BLOCK):
            log_t, factor = trapezoid(x[at : at + BLOCK], step, log_top)
            first = int(np.searchsorted(-log_weight, log_t[0] - SETTLED))
            last = int(np.searchsorted(-log_weight, log_t[-1] + BEGUN + np.log(most), side="right"))
            yield Block(log_t, factor, first, last)


def _grown(block: Block, log_weight: Floats, values: Floats, most: int, zeros: int) -> tuple[Floats, ...]:
    """(e (B, k+1), d (V, B, k+1), z (A, B), rate (A, B)) of all candidates at the nodes of a block; k ≤ most."""
    window = slice(block.first, block.last)
    flow = np.exp(np.minimum(block.log_t + log_weight[window, None], 7.0))
    z = np.exp(-flow)
    rate = z * flow * block.factor
    size, waiting = log_weight.size + zeros, log_weight.size + zeros - block.last
    mean = (z[:, 0].sum() + waiting) / size
    kept = most if mean >= 1.0 else int(min(most, NEGLIGIBLE / -np.log(max(mean, 1e-300)) + 1.0))
    e = np.tile(hypergeometric(waiting, size, kept), (z.shape[1], 1))
    d = np.zeros((values.shape[0], z.shape[1], kept + 1))
    # Lightest first: e_k starts at one, so nothing underflows that is not negligible in the end.
    own = np.ascontiguousarray(values[:, window][:, ::-1])
    grow(e, d, np.ascontiguousarray(z[::-1]), np.ascontiguousarray(rate[::-1]), own, waiting + block.first)
    return e, d, z, rate


def softmax_curve(values: Floats, log_weight: Floats, most: int, zeros: int) -> Floats:
    """Σ over nodes of d_n (V, most+1) for n ≤ most; exact to rounding for 2 ≤ n.

    values (V, A) ≥ 0 of the candidates of positive weight, log_weight (A,) finite and descending; zeros: how many
    candidates of weight zero there are besides (subsets of these alone are left out).
    """
    total = np.zeros((values.shape[0], most + 1))
    for block in _blocks(log_weight, most, zeros, VALUE_STEP):
        if block.first < block.last:
            _, d, _, _ = _grown(block, log_weight, values, most, zeros)
            total[:, : d.shape[2]] += d.sum(axis=1)
    return total


def softmax_parts(values: Floats, log_weight: Floats, ns: Ints, zeros: int) -> Floats:
    """Mean of the kernel over the n-subsets that hold candidate i (V, M, A+1), i = A: any candidate of weight zero.

    Shapes as in softmax_curve; ns ascending, 2 ≤ n < A + zeros. The kernel is that of the coarse step, to 4e-7.
    """
    from gsi_theory.rules import subset_kernels

    size, most = log_weight.size + zeros, int(ns.max())
    reach = most if 2 * most <= size else size
    out = np.zeros((values.shape[0], ns.size, log_weight.size + 1))
    waited = np.zeros((values.shape[0], ns.size, 1))
    entered = 0
    for block in _blocks(log_weight, most, zeros, ERROR_STEP):
        if block.first >= block.last:
            continue
        if block.last > entered:
            out[:, :, entered : block.last] += waited
            entered = block.last
        e, d, z, rate = _grown(block, log_weight, values, reach, zeros)
        asked = int(np.searchsorted(ns, e.shape[1]))
        inside = slice(block.first, block.last)
        part = np.ascontiguousarray(values[:, inside])
        subset_kernels.softmax_parts(
            e, d, size, z, rate, part, ns[:asked], out[:, :asked, inside], waited[:, :asked, 0]
        )
    out[:, :, entered:] += waited
    return out


def subset_means(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M) over all n-subsets from values (V, N) and log_weight (N,) ascending, -inf legal."""
    zeros = int(np.sum(log_weight == -np.inf))
    some, down = np.zeros((values.shape[0], ns.size)), slice(None, zeros - 1 if zeros else None, -1)
    if zeros < log_weight.size:
        some = softmax_curve(values[:, down], log_weight[down], int(ns.max()), zeros)[:, ns]
    return with_zero_weights(some, values, zeros, ns)


def subset_parts(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M, N), as `subset_means`, over the n-subsets that hold each candidate."""
    size, zeros, several = log_weight.size, int(np.sum(log_weight == -np.inf)), ns > 1
    some, down = np.zeros((values.shape[0], ns.size, size)), slice(None, zeros - 1 if zeros else None, -1)
    if zeros < size and several.any():
        parts = softmax_parts(values[:, down], log_weight[down], ns[several], zeros)
        some[:, several, zeros:] = parts[:, :, -2::-1]
        some[:, several, :zeros] = parts[:, :, -1:]
    return zero_weight_parts(some, values, zeros, ns)
