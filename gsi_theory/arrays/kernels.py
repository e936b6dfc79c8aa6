"""The loops that array operations do slowly, compiled for NumPy arrays. Each has an array version beside its caller."""

from __future__ import annotations

import numpy as np
from numba import njit

from gsi_theory.types import Floats, Ints

__all__ = [
    "cell_moments",
    "cell_values",
    "decayed_scan",
    "gather_pairs",
    "max_levels",
    "node_sums",
    "race_collect",
    "race_curve",
    "race_fall",
    "race_powers",
    "race_walk",
    "softmax_curve",
    "sort_keys",
    "sort_nearly",
]

TINY = 2.3e-308


# Running sums are compensated (Knuth's two-sum): a pool of equal masses would otherwise drift by a unit a term.


@njit(inline="always")
def _add(total: float, lost: float, term: float) -> tuple[float, float]:
    """(rounded total + term, what rounding has lost so far)."""
    new = total + term
    part = new - total
    return new, lost + ((total - (new - part)) + (term - part))


@njit(cache=True)
def decayed_scan(log_terms: Floats, decay: Floats) -> Floats:
    """`logscale.decayed_log_cumsum` on rows (B, K).

    The sum is e^scale · total, the decay since the scale was set kept apart: neither grows with the number of terms.
    """
    out = np.empty_like(log_terms)
    for b in range(log_terms.shape[0]):
        total, lost, scale, fall, fall_lost = 0.0, 0.0, -np.inf, 0.0, 0.0
        for i in range(log_terms.shape[1]):
            if i:
                if decay[b, i] == np.inf:
                    total, lost = 0.0, 0.0
                else:
                    fall, fall_lost = _add(fall, fall_lost, decay[b, i])
            term = log_terms[b, i]
            if term > -np.inf:
                over = (term - scale) + (fall + fall_lost)
                if total == 0.0 or over > 30.0:
                    kept = 0.0 if total == 0.0 else (total + lost) * np.exp(-over)
                    total, lost, scale, fall, fall_lost = 1.0, kept, term, 0.0, 0.0
                else:
                    total, lost = _add(total, lost, np.exp(over))
            out[b, i] = -np.inf if total == 0.0 else (scale + np.log(total + lost)) - (fall + fall_lost)
    return out


@njit(cache=True, fastmath={"contract"})
def cell_moments(mass: Floats, log_weight: Floats, width: float, first: Ints, cells: int) -> Floats:
    """Σ μ T_i(s) per cell, i < 6: mass, log_weight (B, K); cell = first_b - floor(lw/width); out (B, cells, 8).

    Column 6 holds what rounding lost of the mass; the other moments weigh in with powers of the cell's half-width.
    """
    out = np.zeros((mass.shape[0], cells, 8))
    inverse = 1.0 / width
    for b in range(mass.shape[0]):
        for i in range(mass.shape[1]):
            m = mass[b, i]
            at = np.floor(log_weight[b, i] * inverse)
            s = (log_weight[b, i] - at * width) * (2.0 * inverse) - 1.0
            cell = out[b, np.uint64(first[b] - np.int64(at))]
            t2 = 2.0 * s * s - 1.0
            t3 = 2.0 * s * t2 - s
            total = cell[0] + m
            part = total - cell[0]
            cell[6] += (cell[0] - (total - part)) + (m - part)
            cell[0] = total
            cell[1] += m * s
            cell[2] += m * t2
            cell[3] += m * t3
            cell[4] += m * (2.0 * t2 * t2 - 1.0)
            cell[5] += m * (2.0 * t2 * t3 - s)
    return out


@njit(cache=True, fastmath={"contract"})
def node_sums(masses: Floats, silent: Floats, heard: Floats) -> tuple[Floats, Floats]:
    """Σ μ e^{-e^u} and Σ μ (1 - e^{-e^u}) (B, J) of masses (B, cells, NODES) from both kernels (NODES, J+cells-1)."""
    rows, cells, places = masses.shape
    nodes = silent.shape[1] - cells + 1
    kept, deficit = np.zeros((rows, nodes)), np.zeros((rows, nodes))
    for b in range(rows):
        one, two = kept[b], deficit[b]
        for c in range(cells):
            at = cells - 1 - c
            for k in range(places):
                m, first, second = masses[b, c, k], silent[k, at : at + nodes], heard[k, at : at + nodes]
                # slices and a loop each: else the compiler does one number at a time
                for j in range(nodes):
                    one[j] += m * first[j]
                for j in range(nodes):
                    two[j] += m * second[j]
    return kept, deficit


@njit(cache=True, fastmath={"contract"})
def cell_values(log_weight: Floats, width: float, first: Ints, coefficient: Floats, value: Floats) -> None:
    """Fill value (B, M, K): the polynomials of `coefficient` (B, M, cells, 6) at (B, K) log-weights.

    The logarithm is left to NumPy, which takes several at a time.
    """
    rows, counts = coefficient.shape[:2]
    inverse = 1.0 / width
    for b in range(rows):
        for k in range(counts):
            for i in range(log_weight.shape[1]):
                at = np.floor(log_weight[b, i] * inverse)
                s = (log_weight[b, i] - at * width) * (2.0 * inverse) - 1.0
                c = coefficient[b, k, np.uint64(first[b] - np.int64(at))]
                t2 = 2.0 * s * s - 1.0
                t3 = 2.0 * s * t2 - s
                low = c[0] + c[1] * s + c[2] * t2
                high = c[3] * t3 + c[4] * (2.0 * t2 * t2 - 1.0) + c[5] * (2.0 * t2 * t3 - s)
                value[b, k, i] = low + high


# `rules.softmax_curve`.


@njit(cache=True, fastmath={"contract", "reassoc"})
def _dot(first: Floats, second: Floats) -> float:
    total = 0.0
    for i in range(first.size):
        total += first[i] * second[i]
    return total


@njit(cache=True)
def _series(coefficient: Floats, s: float) -> float:
    """Σ_i coefficient_i T_i(s) (Clenshaw)."""
    one, two = 0.0, 0.0
    for i in range(coefficient.size - 1, 0, -1):
        one, two = 2.0 * s * one - two + coefficient[i], one
    return coefficient[0] + s * one - two


@njit(cache=True)
def _law_at(slopes: Floats, tail: Floats, flow: Floats, rate: float) -> float:
    """P_n/μ over the step of the nodes, from `flow` at the nodes and e^u at the first."""
    return _dot(slopes, flow) + rate * (tail[0] + rate * tail[1])


@njit(cache=True)
def _crossed(slopes: Floats, tail: Floats, rate: Floats, flow: Floats, edges: Floats, wide: float) -> Ints:
    """The step (M,) in which P_n/π, which falls in the weight, crosses one, counted from the heaviest."""
    (counts, nodes), last, edge = slopes.shape, edges.size - 1, rate.shape[0] - 1
    step, c = np.empty(counts, dtype=np.int64), 0
    for n in range(counts):
        while c < last:
            at = last - c - 1
            if not wide * _law_at(slopes[n], tail[n], flow[edge, at : at + nodes], rate[edge, at]) < edges[c + 1]:
                break
            c += 1
        while c:
            at = last - c
            if wide * _law_at(slopes[n], tail[n], flow[edge, at : at + nodes], rate[edge, at]) < edges[c]:
                break
            c -= 1
        step[n] = c
    return step


@njit(cache=True)
def _flows_above(masses: Floats, rate: Floats, flow: Floats, bottom: int, nodes: int) -> tuple[Floats, Floats, Floats]:
    """Over all steps above each, to `bottom`: Σ μ e^{u - e^u} (bottom+1, J) at the nodes; Σ μ e^u and Σ μ e^{2u}
    (bottom+1,) at the first."""
    above, once, twice = np.zeros((bottom + 1, nodes)), np.zeros(bottom + 1), np.zeros(bottom + 1)
    last = masses.shape[0] - 1
    for c in range(bottom):
        above[c + 1], once[c + 1], twice[c + 1] = above[c], once[c], twice[c]
        into = above[c + 1]
        for k in range(masses.shape[1]):
            m, first_rate, source = masses[c, k], rate[k, last - c], flow[k, last - c : last - c + nodes]
            once[c + 1] += m * first_rate
            twice[c + 1] += m * first_rate * first_rate
            for j in range(nodes):
                into[j] += m * source[j]
    return above, once, twice


@njit(cache=True)
def softmax_curve(
    log_weight: Floats,
    mass: Floats,
    ratio: Floats,
    slopes: Floats,
    tail: Floats,
    rate: Floats,
    flow: Floats,
    masses: Floats,
    edges: Floats,
    series: Floats,
    width: float,
    first: int,
    fine: int,
) -> Floats:
    """Largest π(A) - P_n(A) (M,) over the sets A of heaviest candidates, as `rules.softmax_curve` says.

    log_weight descending, mass and ratio w/Σ μw (K,); slopes (M, J) and tail (M, 2), what nodes count; rate e^u and
    flow e^{u - e^u} (NODES + 1, J + cells - 1) at a step's nodes and upper edge; masses (cells, NODES); edges (cells,)
    the ratio at upper edges; series (NODES, NODES) of values at the nodes. Steps of `fine` cells as in `cell_moments`.
    """
    (counts, nodes), size, cells, places = slopes.shape, mass.size, edges.size, series.shape[0]
    wide, last, highest = width * fine, cells - 1, first // fine
    step = _crossed(slopes, tail, rate, flow, edges, wide)
    top, bottom = step.min(), step.max()
    above, once, twice = _flows_above(masses, rate, flow, bottom, nodes)
    # of the candidates: π of the heavier, and Chebyshev moments of the heavier ones from step `top` on
    ends, heavier, c = np.full(cells + 1, size), np.zeros(size + 1), 0  # ends: each step's first candidate
    for i in range(size):
        own = (first - np.int64(np.floor(log_weight[i] * (1.0 / width)))) // fine
        while c <= own:
            ends[c] = i
            c += 1
        heavier[i + 1] = heavier[i] + mass[i] * ratio[i]
    upto = np.zeros((ends[bottom + 1] - ends[top] + 1, places))
    for c in range(top, bottom + 1):
        for i in range(ends[c], ends[c + 1]):
            s = 2.0 * (log_weight[i] / wide - (highest - c)) - 1.0
            before, now, row = s, 1.0, i - ends[top]
            for k in range(places):
                upto[row + 1, k] = upto[row, k] + mass[i] * now
                before, now = now, 2.0 * s * now - before
    out, values, terms = np.empty(counts), np.empty(places), np.empty(places)
    for n in range(counts):
        c = step[n]
        at = last - c
        for k in range(places):
            values[k] = wide * _law_at(slopes[n], tail[n], flow[k, at : at + nodes], rate[k, at])
        for k in range(places):
            terms[k] = _dot(series[k], values)
        low, high = ends[c], ends[c + 1]
        while low < high:
            middle = (low + high) // 2
            if _series(terms, 2.0 * (log_weight[middle] / wide - (highest - c)) - 1.0) < ratio[middle]:
                low = middle + 1
            else:
                high = middle
        taken = wide * (_dot(slopes[n], above[c]) + tail[n, 0] * once[c] + tail[n, 1] * twice[c])
        for k in range(places):
            taken += terms[k] * (upto[low - ends[top], k] - upto[ends[c] - ends[top], k])
        out[n] = min(max(heavier[low] - taken, 0.0), 1.0)
    return out


@njit(cache=True)
def race_fall(
    mass: Floats, scale: Floats, fall: Floats, zero_mass: Floats
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """`rules.race._sum_fall` on rows (B, K): scale = w_k / w_0 descending, fall = expm1(-gap), written over by drop."""
    slope, share = np.empty_like(mass), np.empty_like(mass)
    a, deficit = np.empty_like(mass), np.empty_like(mass)
    last = mass.shape[1] - 1
    for b in range(mass.shape[0]):
        total, lost, above, above_lost = 0.0, 0.0, zero_mass[b], 0.0
        for i in range(last, -1, -1):
            total, lost = _add(total, lost, mass[b, i] * scale[b, i])
            ratio = (total + lost) / scale[b, i]
            slope[b, i] = total + lost
            deficit[b, i] = ratio
            a[b, i] = above + above_lost
            drop = -ratio * fall[b, i]
            fall[b, i] = drop
            above, above_lost = _add(above, above_lost, drop)
            share[b, i] = min(drop / (above + above_lost + TINY), 1.0)
        heavier, lost = 0.0, 0.0
        for i in range(last + 1):
            deficit[b, i] = min(heavier + lost + deficit[b, i], 1.0)
            heavier, lost = _add(heavier, lost, mass[b, i])
        fall[b, 0] = deficit[b, 0]
        share[b, 0] = deficit[b, 0]
    return slope, fall, share, a, deficit


# One large row of the race, `rules.race._integral` in four walks that keep few arrays; what is between them is left to
# NumPy, which takes several exponentials and logarithms at a time.


@njit(cache=True)
def race_walk(mass: Floats, scale: Floats, share: Floats, slope: Floats, value: Floats, remaining: Floats) -> int:
    """Fill slope = S_k/w_0 and value = the argument of log A_k, ranked; how many of these are A_k - 1, for log1p.

    scale = w_k/w_0; share = w_k/w_{k-1} - 1 is written over by (A_k - A_{k-1})/A_{k-1}, at least -1; remaining is
    working space.
    """
    total, lost, above, above_lost = 0.0, 0.0, 0.0, 0.0
    for i in range(scale.size - 1, -1, -1):
        total, lost = _add(total, lost, mass[i] * scale[i])
        ratio = (total + lost) / scale[i]
        slope[i], value[i], remaining[i] = total + lost, ratio, above + above_lost
        drop = -ratio * share[i]
        above, above_lost = _add(above, above_lost, drop)
        part = drop / (above + above_lost + TINY)
        share[i] = -part if part < 1.0 else -1.0
    heavier, lost, near = 0.0, 0.0, 0
    share[0] = -value[0] if value[0] < 1.0 else -1.0
    for i in range(scale.size):
        deficit = heavier + lost + value[i]
        heavier, lost = _add(heavier, lost, mass[i])
        if deficit < 0.5:
            value[i] = -deficit
            near = i + 1
        else:
            value[i] = remaining[i]
    return near


@njit(cache=True)
def race_powers(log_a: Floats, step: Floats, n: float, level: Floats, change: Floats) -> None:
    """Fill level = n log A_{k-1} and change = n log A_k/A_{k-1}; step = log1p of race_walk's share, or from log_a where
    that is not small."""
    before = 0.0
    for i in range(log_a.size):
        if before == -np.inf:
            level[i], change[i] = -np.inf, 0.0
        else:
            level[i] = n * before
            fall = step[i] if step[i] > -0.69 else log_a[i] - before
            change[i] = n * fall if fall < 0.0 else 0.0
        before = log_a[i]


@njit(cache=True)
def race_collect(power: Floats, change: Floats, slope: Floats, scale: Floats, order: Ints, out: Floats) -> None:
    """out_y = P(y)/μ(y) from power = A_{k-1}^n, change = (A_k/A_{k-1})^n - 1, in the order of the candidates."""
    total, lost = 0.0, 0.0
    for i in range(order.size):
        if slope[i] > 0.0:
            total, lost = _add(total, lost, -power[i] * change[i] / slope[i])
        out[order[i]] = (total + lost) * scale[i]


@njit(cache=True, error_model="numpy")
def race_curve(n: Floats, log_a: Floats, slope: Floats) -> Floats:
    """`rules.race.tv_curve` (M,) of numbers n (M,) from log A_k (K,) and S_k, normalized, with 0 behind it (K+1,)."""
    out = np.empty_like(n)
    for i in range(n.size):
        k, power, total = 0, 1.0, 0.0
        while k < log_a.size:
            after = np.exp(n[i] * log_a[k])
            more = total + (power - after) / slope[k]
            if not more < 1.0:  # or a sum of nothing over nothing, behind all mass
                break
            k, power, total = k + 1, after, more
        out[i] = min(max(power - slope[k] * (1.0 - total), 0.0), 1.0)
    return out


# One large row of the max rule, `rules.max.log_ratio` in a walk.


@njit(cache=True)
def max_levels(value: Floats, size: Floats, share: Floats) -> int:
    """From ranked log-weights, descending, in value and their masses in size: value becomes the argument of log F of
    each one's level, size the mass of that level, share -size/F. How many of value are F - 1, for log1p."""
    end, below, lost = value.size, 0.0, 0.0
    while end:
        start, total, total_lost = end, 0.0, 0.0
        while start and value[start - 1] == value[end - 1]:
            start -= 1
            total, total_lost = _add(total, total_lost, size[start])
        total += total_lost
        share[start:end] = -total / (below + lost + total)
        size[start:end] = total
        below, lost = _add(below, lost, total)
        value[start:end] = below + lost
        end = start
    near, above, lost = 0, 0.0, 0.0
    while near < value.size and above + lost < 0.5:
        level, step = value[near], size[near]
        start = near
        while near < value.size and value[near] == level and share[near] == share[start]:
            near += 1
        value[start:near] = -(above + lost)
        above, lost = _add(above, lost, step)
    return near


# `ranked_rows.ranked`.


@njit(cache=True)
def sort_keys(bits: Ints, low: int) -> Ints:
    """Of the bits of float64 numbers, keys that ascend as the numbers descend, in the bits `low` the index."""
    keys = np.empty_like(bits)
    for i in range(bits.size):
        ascending = bits[i] ^ ((bits[i] >> 63) & 0x7FFFFFFFFFFFFFFF)
        keys[i] = (~ascending & ~low) | i
    return keys


@njit(cache=True)
def gather_pairs(first: Floats, second: Floats, order: Ints) -> tuple[Floats, Floats]:
    """first[order] and second[order]: laid side by side they are in the cache together."""
    pairs = np.empty((first.size, 2))
    for i in range(first.size):
        pairs[i, 0], pairs[i, 1] = first[i], second[i]
    ranked, beside = np.empty_like(first), np.empty_like(second)
    for i in range(order.size):
        ranked[i], beside[i] = pairs[order[i], 0], pairs[order[i], 1]
    return ranked, beside


@njit(cache=True)
def sort_nearly(order: Ints, weight: Floats, mass: Floats, most: int) -> bool:
    """Insertions until weight descends, order and mass along with it; False once there are more than `most`."""
    moves = 0
    for i in range(1, weight.size):
        if weight[i] > weight[i - 1]:
            at, w, m, index = i, weight[i], mass[i], order[i]
            while at and weight[at - 1] < w:
                weight[at], mass[at], order[at] = weight[at - 1], mass[at - 1], order[at - 1]
                at -= 1
            weight[at], mass[at], order[at] = w, m, index
            moves += i - at
            if moves > most:
                return False
    return True
