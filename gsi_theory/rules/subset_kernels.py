"""The loops behind unbiased curves (M31), compiled: sums over subsets, and those of the race and softmax rules."""

from __future__ import annotations

import numpy as np
from numba import njit

from gsi_theory.types import Floats, Ints

__all__ = ["divide", "grow", "race_curve", "race_parts", "softmax_parts"]

NEGLIGIBLE, LEAST = 46.0, 1e-20  # e^{-46} of the largest value, at each rank and size of subset
LOST = 1e-25  # what is left out of a mean of the race, at each rank
DEEP, SPREAD = 600.0, 20.0  # c^k is in range to e^{-DEEP}; terms of a binomial beyond its mean, about
VECTOR = 16  # numbers that a step of a vectorized loop takes
LANES = 64  # candidates left out together: their rows then fit the cache


# Rows are bound to names of their own where they are used: otherwise LLVM does not vectorize the loop along them.


@njit(cache=True, fastmath={"contract"})
def grow(e: Floats, d: Floats, z: Floats, rate: Floats, values: Floats, start: int) -> None:
    """`subset_sums.grow`: e (B, K+1), d (V, B, K+1), z and rate (A, B), values (V, A). Two candidates at a time."""
    count, counts = z.shape[0], d.shape[0]
    size = start + count
    most = min(e.shape[1] - 1, size)
    # Largest k first: the loop along k then runs upward; whole vectors of it, the first ones of k > most.
    width = -(-most // VECTOR) * VECTOR
    odds, both = np.zeros(width), np.zeros(width)
    low, sums = np.zeros(width + 2), np.zeros((counts, width + 2))
    for k in range(1, most + 1):
        odds[width - k] = k / (size - k + 1.0)  # how many k-subsets there are to one of k - 1
        both[width - k] = odds[width - k] * (k - 1) / (size - k + 2.0)
    for b in range(e.shape[0]):
        for k in range(most + 1):
            low[width - k] = e[b, k]
            for v in range(counts):
                sums[v, width - k] = d[v, b, k]
        for a in range(0, count - 1, 2):
            begin = max(width - start - a - 2, 0) // VECTOR * VECTOR
            one, two, below = odds[begin:], both[begin:], low[begin:]
            total, product = z[a, b] + z[a + 1, b], z[a, b] * z[a + 1, b]
            for v in range(counts):
                high, first, second = sums[v, begin:], values[v, a] * rate[a, b], values[v, a + 1] * rate[a + 1, b]
                gain, mixed = first + second, first * z[a + 1, b] + second * z[a, b]
                for i in range(width - begin):
                    near = total * high[i + 1] + gain * below[i + 1]
                    high[i] += one[i] * near + two[i] * (product * high[i + 2] + mixed * below[i + 2])
            for i in range(width - begin):
                below[i] += one[i] * (total * below[i + 1]) + two[i] * (product * below[i + 2])
        if count % 2:
            kept, moved = z[count - 1, b], rate[count - 1, b]
            for v in range(counts):
                high, gain = sums[v], values[v, count - 1] * moved
                for i in range(width):
                    high[i] += odds[i] * (kept * high[i + 1] + gain * low[i + 1])
            for i in range(width):
                low[i] += odds[i] * kept * low[i + 1]
        for k in range(most + 1):
            e[b, k] = low[width - k]
            for v in range(counts):
                d[v, b, k] = sums[v, width - k]


@njit(cache=True, fastmath={"contract"})
def divide(e: Floats, d: Floats, size: int, z: Floats, gain: Floats, low: Floats, high: Floats) -> None:
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
    low: Floats, high: Floats, q: Floats, gain: Floats, top: Floats, weight: Floats, column: Ints, out: Floats
) -> None:
    """Mean kernel over n-subsets that hold rank m and a lighter candidate i, for each i, times weight_n, added to out
    (V, M, L); low (K, L), high (V, K, L) the means without i, q (L,), gain g (V, L), top f_m (V,), weight and column
    (K+2,) by n.

    Shares of m, of i, of another when i comes later, and earlier: 1/(n(n−1)) [f_m Σ e_k ((n−1−k) + (k+1) q) +
    g Σ e_k (n−1−k) + Σ d_k (n−k)(n−1−k)/k + q Σ d_k (n−1−k)], k ≤ n − 2.
    """
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


@njit(cache=True)
def softmax_parts(
    e: Floats, d: Floats, size: int, z: Floats, rate: Floats, values: Floats, ns: Ints, out: Floats, waited: Floats
) -> None:
    """The nodes of a block: each candidate's subsets added to out (V, M, A), those of one that has not begun to waited
    (V, M); e (B, K+1), d (V, B, K+1), z and rate (A, B), values (V, A), ns (M,) ≤ K."""
    counts, most = values.shape[0], e.shape[1] - 1
    for b in range(e.shape[0]):
        for start in range(0, z.shape[0] + 1, LANES):
            end = min(start + LANES, z.shape[0] + 1)
            own, gain = np.ones(end - start), np.zeros((counts, end - start))
            for i in range(start, min(end, z.shape[0])):
                own[i - start] = z[i, b]
                for v in range(counts):
                    gain[v, i - start] = values[v, i] * rate[i, b]
            low, high = np.empty((most, end - start)), np.empty((counts, most, end - start))
            divide(e[b], d[:, b], size, own, gain, low, high)
            for v in range(counts):
                for at in range(ns.size):
                    n = ns[at]
                    for i in range(start, min(end, z.shape[0])):
                        lane = i - start
                        out[v, at, i] += own[lane] * high[v, n - 1, lane] + gain[v, lane] * low[n - 1, lane]
                    if end > z.shape[0]:
                        waited[v, at] += high[v, n - 1, end - start - 1]


@njit(cache=True)
def _lighter(log_weight: Floats, m: int, far: float) -> tuple[Floats, Floats, int]:
    """Of the candidates lighter than rank m: a, q (m−1, 1), and how many of them are idle, lighter by far."""
    a, q, idle = np.empty((m - 1, 1)), np.empty((m - 1, 1)), 0
    for j in range(m - 1):
        gap = log_weight[j] - log_weight[m - 1]
        if gap > -1.0:
            q[j, 0] = -np.expm1(gap)
            a[j, 0] = 1.0 - q[j, 0]
        else:
            a[j, 0] = np.exp(gap)
            q[j, 0] = 1.0 - a[j, 0]
        if gap < -far:
            idle = j + 1
    return a, q, idle


@njit(cache=True)
def _grown(values: Floats, a: Floats, q: Floats, idle: int, most: int) -> tuple[Floats, Floats]:
    """`race_subsets._lighter` of the candidates before rank a.size + 1: e (1, K+1), d (V, 1, K+1), K = most."""
    e, d = np.zeros((1, most + 1)), np.zeros((values.shape[0], 1, most + 1))
    e[0, 0] = 1.0
    for k in range(1, min(idle, most) + 1):
        e[0, k] = e[0, k - 1] * (idle - k + 1.0) / (a.size - k + 1.0)
    grow(e, d, q[idle:], a[idle:], values[:, idle : a.size], idle)
    return e, d


@njit(cache=True)
def _reach(share: Floats, ns: Ints, rate: float) -> int:
    """The largest k at which e^{−k·rate}, times the largest share (M,) of an n > k of ns, is not negligible."""
    most, largest = 0, 0.0
    for i in range(ns.size - 1, -1, -1):
        largest = max(largest, share[i])
        if largest > LEAST:
            most = min(ns[i] - 1, int((NEGLIGIBLE + np.log(largest)) / rate) + 2)
            if most >= (ns[i - 1] if i else 0):
                return most
    return most


@njit(cache=True)
def _add_largest(
    e: Floats, d: Floats, top: Floats, share: Floats, ns: Ints, most: int, column: Ints, out: Floats, at: int
) -> None:
    """Add share · mean kernel over n-subsets of a rank of values top (V,) and n − 1 lighter candidates, for the n asked
    up to `most`, to out (V, M, ·) at the last index `at`."""
    for v in range(top.size):
        kept, inverse, total = 0.0, 0.0, 0.0
        for n in range(1, most + 1):
            if n <= e.shape[1]:
                kept += e[0, n - 1]
            if 1 < n <= e.shape[1]:
                inverse += d[v, 0, n - 1] / (n - 1)
                total += d[v, 0, n - 1]
            if column[n] >= 0:
                out[v, column[n], at] += share[column[n]] * (top[v] * kept / n + (inverse - total / n))


# The race's means at a rank m, over the m - 1 lighter candidates, are kept as state (1+V, K): e_k and
# D_k = d_{k+1}/(k+1). At the next rank every a_j is c = w_m/w_{m+1} times as large, so q_j becomes (1 - c) + c q_j:
# with B, binomial(k, c), how many of k factors keep the second term, e_k becomes E e_B and D_k becomes c E D_B.


@njit(cache=True)
def _state(values: Floats, log_weight: Floats, m: int, far: float, fall: float, state: Floats) -> int:
    """Fill the state of rank m from its lighter candidates, to where e_k e^{-k·fall} is negligible; the last k kept."""
    a, q, idle = _lighter(log_weight, m, far)
    # e_k ≤ e_1^k (Maclaurin), and d_k ≤ k e_{k-1} max f
    rate = -np.log(min(max(q.mean(), LEAST), 1.0 - 1e-9)) if m > 1 else NEGLIGIBLE
    held = min(state.shape[1] - 1, int(NEGLIGIBLE / (rate + fall)) + 1)
    e, d = _grown(values, a, q, idle, held + 1)
    state[:] = 0.0
    for k in range(held + 1):
        state[0, k] = e[0, k]
        for v in range(d.shape[0]):
            state[v + 1, k] = d[v, 0, k + 1] / (k + 1)
    return held


@njit(cache=True)
def _joined(state: Floats, held: int, size: int, values: Floats) -> None:
    """The state with one more candidate, the `size`-th, of values (V,), that has q = 0 and a = 1."""
    for k in range(held + 1):
        for v in range(values.size):
            state[v + 1, k] = ((size - k - 1.0) * state[v + 1, k] + values[v] * state[0, k]) / size
        state[0, k] *= (size - k) / size


@njit(cache=True, fastmath={"contract"})
def _thinned(state: Floats, most: int, gap: float, out: Floats) -> int:
    """The state once the top is `gap` > 0 nats higher, k ≤ most, into out; the last k kept."""
    drop = -np.expm1(-gap)
    keep = 1.0 - drop if gap < 0.69 else np.exp(-gap)
    drop = 1.0 - keep  # of c ≥ 1/2 without rounding: over all ranks, sums of chances would drift from 1
    mean = min(drop + keep * state[0, 1], 1.0 - 1e-9)
    most = min(most, int(np.log(LOST) / np.log(mean)) + 1)  # e_k ≤ e_1^k
    out[:] = 0.0
    chance, number = np.ones(most + 1), np.arange(1.0, most + 2.0)
    for k in range(1, most + 1):
        chance[k] = chance[k - 1] * keep
    for lost in range(most + 1):
        # chance of k is that of `lost` of k
        rest, step, count = chance[lost:], drop / keep / max(lost, 1), most + 1 - lost
        if lost:
            for k in range(count):
                rest[k] *= step * number[k]
        for v in range(state.shape[0]):
            into, source = out[v, lost:], state[v]
            for k in range(count):
                into[k] += rest[k] * source[k]
        if lost > most * drop and chance[most] < LOST:
            break
    out[1:] *= keep
    while most and out[0, most] < LOST:
        out[:, most] = 0.0
        most -= 1
    return most


@njit(cache=True)
def _thins(log_weight: Floats, m: int, most: int, far: float) -> bool:
    """Whether rank m's state comes more cheaply from that of rank m - 1 than from its lighter candidates."""
    gap = log_weight[m - 1] - log_weight[m - 2]
    active = m - 1 - np.searchsorted(log_weight[: m - 1], log_weight[m - 1] - far)
    return gap * most < DEEP and 3.0 * (most * -np.expm1(-gap) + SPREAD) < active


@njit(cache=True)
def _add_rank(state: Floats, top: Floats, m: int, ns: Ints, total: Floats) -> None:
    """total (V, M), sums over ranks kept over the last one's p_m(n), and rank m of values top (V,); ns ascending.

    p_{m-1}/p_m = (m - n)/(m - 1); the mean kernel is [f_m Σ_{k<n} e_k + Σ_{j<n-1} Σ_{k≤j} D_k]/n.
    """
    for v in range(top.size):
        kept, single, double, begin = 0.0, 0.0, 0.0, 0
        for i in range(ns.size):
            n = ns[i]
            for k in range(begin, n):
                double += single
                kept += state[0, k]
                single += state[v + 1, k]
            begin = n
            total[v, i] = total[v, i] * (max(m - n, 0) / max(m - 1, 1)) + (top[v] * kept + double) / n


@njit(cache=True)
def race_curve(values: Floats, log_weight: Floats, ns: Ints, lightest: int, far: float) -> Floats:
    """Sums (V, M) over the subsets whose largest rank is above `lightest`: values (V, N), log_weight (N,), ascending as
    ns (M,)."""
    size, most = log_weight.size, ns.max()
    total, state = np.zeros((values.shape[0], ns.size)), np.zeros((values.shape[0] + 1, max(most, 2)))
    spare = np.zeros_like(state)
    held, ready = 0, False
    for m in range(lightest + 1, size + 1):
        # p_m(n) ≤ n/N ((m-1)/(N-1))^{n-1}
        fall = np.log((size - 1.0) / max(m - 1.0, 0.5)) if m < size else 0.0
        reach = most if fall * most < NEGLIGIBLE else int(NEGLIGIBLE / fall) + 2  # the largest n that matters
        if reach < ns[0]:
            continue
        passed_on = m < size and _thins(log_weight, m + 1, most, far)
        if ready:
            _joined(state, held, m - 1, values[:, m - 2].copy())
            if log_weight[m - 1] > log_weight[m - 2]:
                held = _thinned(state, min(most, m) - 1, log_weight[m - 1] - log_weight[m - 2], spare)
                state, spare = spare, state
        else:
            held = _state(values, log_weight, m, far, 0.0 if passed_on else fall, state)
        ready = passed_on
        last = np.searchsorted(ns, reach + 1)
        _add_rank(state, values[:, m - 1].copy(), m, ns[:last], total[:, :last])
    return total * (ns / size)


@njit(cache=True)
def race_parts(
    values: Floats, log_weight: Floats, ns: Ints, shares: Floats, most: Ints, far: float, out: Floats
) -> None:
    """As race_curve, over the n-subsets that hold each candidate; out (V, M, N). shares (N, M) of `largest_rank`, most
    (N,): the largest n for which a rank matters, 0: skip."""
    size = log_weight.size
    for m in range(1, size + 1):
        if not most[m - 1]:
            continue
        reach = most[m - 1] if 2 * most[m - 1] <= m - 1 else max(most[m - 1], m - 1)
        a, q, idle = _lighter(log_weight, m, far)
        e, d = _grown(values, a, q, idle, reach)
        column, weight = np.full(reach + 3, -1, dtype=np.int64), np.zeros(reach + 3)
        own = np.zeros(ns.size)
        for i in range(ns.size):
            if ns[i] <= most[m - 1]:
                column[ns[i]] = i
                own[i] = shares[m - 1, i] * size / ns[i]
                weight[ns[i]] = own[i] * (ns[i] - 1) / max(m - 1, 1)
        top = values[:, m - 1].copy()
        _add_largest(e, d, top, own, ns, most[m - 1], column, out, m - 1)
        kept = min(reach, m - 1)
        start = 0
        while start < m - 1:
            end = 1 if start < idle else min(start + LANES, m - 1)
            ratio, gain = q[start:end, 0].copy(), values[:, start:end] * a[start:end, 0]
            low, high = np.empty((max(kept, 1), end - start)), np.empty((top.size, max(kept, 1), end - start))
            divide(e[0, : kept + 1], d[:, 0, : kept + 1], m - 1, ratio, gain, low, high)
            part = np.zeros((top.size, ns.size, end - start))
            race_sums(low, high, ratio, gain, top, weight, column, part)
            last = idle if start < idle else end
            for i in range(start, last):
                out[:, :, i] += part[:, :, min(i - start, end - start - 1)]
            start = last
