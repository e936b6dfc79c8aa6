"""The loops of subset_sums.py and subset_race.py, compiled; array versions stand beside their callers."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["divide", "grow", "race_sums"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


# Rows are bound to names of their own where they are used: otherwise LLVM does not vectorize the loop along them.


@njit(cache=True, fastmath={"contract"})
def grow(e: Array, d: Array, z: Array, rate: Array, values: Array, start: int) -> None:
    """`subset_sums.grow`: e (B, K+1), d (V, B, K+1), z and rate (A, B), values (V, A); k runs inside, downward."""
    most = e.shape[1] - 1
    for b in range(e.shape[0]):
        for a in range(z.shape[0]):
            size = start + a + 1
            share = 1.0 / size
            step = share * z[a, b]
            top = min(most, size)
            for v in range(d.shape[0]):
                gain = share * values[v, a] * rate[a, b]
                high, low = d[v, b], e[b]
                for k in range(top, 0, -1):
                    high[k] = (size - k) * share * high[k] + k * (step * high[k - 1] + gain * low[k - 1])
            low = e[b]
            for k in range(top, 0, -1):
                low[k] = (size - k) * share * low[k] + k * step * low[k - 1]


@njit(cache=True, fastmath={"contract"})
def divide(e: Array, d: Array, size: int, z: Array, gain: Array, low: Array, high: Array) -> None:
    """`subset_sums.divide`: e (K+1,), d (V, K+1), z (L,), gain (V, L); fills low (K, L), high (V, K, L)."""
    most, lanes = e.size - 1, z.size
    split = np.empty(lanes, dtype=np.int64)
    low[0], high[:, 0] = 1.0, 0.0
    deepest, backward = 0, False
    for i in range(lanes):
        split[i] = min(most, int(size / (1.0 + z[i])))
        deepest = max(deepest, split[i])
        backward = backward or split[i] < most
    for k in range(1, min(deepest + 1, most)):
        widen, back = size / (size - k), k / (size - k)
        for v in range(d.shape[0]):
            term, own, below, sums, now = widen * d[v, k], gain[v], low[k - 1], high[v, k - 1], high[v, k]
            for i in range(lanes):
                now[i] = max(term - back * (z[i] * sums[i] + own[i] * below[i]), 0.0)
        term, below, kept = widen * e[k], low[k - 1], low[k]
        for i in range(lanes):
            kept[i] = max(term - back * z[i] * below[i], 0.0)
    if not backward:
        return
    for i in range(lanes):
        if split[i] < most:
            above = 0.0
            for k in range(most, split[i], -1):
                above = max((size / k * e[k] - (size - k) / k * above) / z[i], 0.0)
                low[k - 1, i] = above
            for v in range(d.shape[0]):
                above = 0.0
                for k in range(most, split[i], -1):
                    flow = max(size / k * d[v, k] - (size - k) / k * above, 0.0)
                    above = max((flow - gain[v, i] * low[k - 1, i]) / z[i], 0.0)
                    high[v, k - 1, i] = above


@njit(cache=True)
def race_sums(
    low: Array, high: Array, q: Array, gain: Array, top: Array, weight: Array, column: Indices, out: Array
) -> None:
    """`subset_race._add_held`: low (K, L), high (V, K, L), q (L,), gain (V, L), top (V,), weight and column (K+2,),
    added to out (V, M, L)."""
    lanes, most = q.size, low.shape[0]
    zeroth, first = np.empty(lanes), np.empty(lanes)
    total, turned, inverse = np.empty(lanes), np.empty(lanes), np.empty(lanes)
    for v in range(high.shape[0]):
        zeroth[:], first[:], total[:], turned[:], inverse[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        own, best = gain[v], top[v]
        for n in range(2, most + 2):
            k = n - 2
            per = 1.0 / k if k else 0.0
            kept, sums = low[k], high[v, k]
            for i in range(lanes):
                zeroth[i] += kept[i]
                first[i] += k * kept[i]
                total[i] += sums[i]
                turned[i] += k * sums[i]
                inverse[i] += per * sums[i]
            at = column[n]
            if at >= 0:
                scale, several, both = weight[n] / (n * (n - 1.0)), n * (n - 1.0), 2.0 * n - 1.0
                found = out[v, at]
                for i in range(lanes):
                    rest = (n - 1.0) * zeroth[i] - first[i]
                    won = best * (rest + q[i] * (zeroth[i] + first[i])) + own[i] * rest
                    won += several * inverse[i] - both * total[i] + turned[i]
                    found[i] += scale * (won + q[i] * ((n - 1.0) * total[i] - turned[i]))
