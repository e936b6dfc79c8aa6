"""Unbiased race curves (M31) and their gate on the score (M9), in closed form: no quadrature.

Within a subset whose largest weight is w*, the race is this (permute-and-flip): candidates come in random order, each
is kept with probability w/w*, the first kept wins. So with ranks m ascending in weight, a_j = w_j/w_m, q_j = 1 − a_j
and e_k, d_k the means of sums.py over the m − 1 lighter candidates at z = q, g = f a, the average over n-subsets is

    Σ_m p_m(n) [ f_m/n Σ_{k<n} e_k + Σ_{0<k<n} (1/k − 1/n) d_k ],   p_m(n) = C(m−1, n−1)/C(N, n),

every n from the same running sums. From rank to rank all a_j fall by one common factor, by which the means are carried
on (subset_kernels.py). The score gate at M replaces the m lightest, those with w < M, by one term: with
a_j = w_j/M the accepted part of the subsets among them is C(m, n)/C(N, n) Σ_{0<k≤n} d_k/k, and the rejected part
C(m, n)/C(N, n) e_n (a subset with a heavier member always passes).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gsi_theory.rules.subset_sums import (
    all_zero,
    divide,
    grow,
    hypergeometric,
    largest_rank,
    with_zero_weights,
    zero_weight_parts,
)
from gsi_theory.types import Floats, Ints

__all__ = ["race_curve", "race_parts", "subset_means", "subset_parts"]

NEGLIGIBLE = 1e-18  # of the subsets: ranks that are hardly ever the largest
IDLE = 42.0  # lighter than e^{-42}/n by weight: never accepted before the heaviest
LANES = 64  # candidates left out together


def _ranks(size: int, ns: Ints, lightest: int) -> tuple[Floats, Ints]:
    """(p_m(n) (N, M), largest n for which rank m is ever the largest (N,), 0 for none and for m ≤ lightest)."""
    shares = largest_rank(size, ns)
    most = np.max(np.where(shares > NEGLIGIBLE, ns, 0), axis=1)
    most[:lightest] = 0
    return shares, most


def _reach(size: int, most: int) -> int:
    """Largest k to keep of `size` candidates, so that one can be left out for n ≤ most."""
    return most if 2 * most <= size else size


@dataclass(frozen=True)
class _Lighter:
    """The candidates lighter than a rank or a gate: means e (K+1,), d (V, K+1), ratios a, q (L,), `idle` with a = 0."""

    e: Floats
    d: Floats
    a: Floats
    q: Floats
    idle: int

    def without(self, values: Floats) -> Iterator[tuple[slice, Floats, Floats, Floats, Floats]]:
        """(candidates, e and d without each (K, L), (V, K, L), gains (V, L), q); one stands for all the idle."""
        for at in (*range(0, min(self.idle, 1)), *range(self.idle, self.q.size, LANES)):
            lanes = slice(0, 1) if at < self.idle else slice(at, min(at + LANES, self.q.size))
            gain = np.ascontiguousarray(values[:, lanes] * self.a[lanes])
            low, high = divide(self.e, self.d, self.q.size, self.q[lanes], gain)
            yield slice(0, self.idle) if at < self.idle else lanes, low, high, gain, self.q[lanes]


def _lighter(values: Floats, log_weight: Floats, log_top: float, most: int) -> _Lighter:
    gap = log_weight - log_top
    a, q = np.exp(gap), -np.expm1(gap)
    idle = int(np.searchsorted(a, np.exp(-IDLE) / max(most, 1)))
    e, d = hypergeometric(idle, a.size, most)[None], np.zeros((values.shape[0], 1, most + 1))
    # Candidates come heaviest last: e_k starts at one and nothing underflows that is not negligible in the end.
    grow(e, d, q[idle:, None].copy(), a[idle:, None].copy(), np.ascontiguousarray(values[:, idle : a.size]), idle)
    return _Lighter(e[0], d[:, 0], a, q, idle)


def race_curve(values: Floats, log_weight: Floats, ns: Ints, log_cut: float = -np.inf) -> Floats:
    """Mean of f over winners that pass the gate (V, M); the probability to pass is that of f = 1.

    values (V, N) ≥ 0, log_weight (N,) ascending; ranks of weight zero count as the largest only behind a gate (never
    accepted); log_cut: log M in units of the weights, -inf for no gate.
    """
    from gsi_theory.rules import subset_kernels

    total = np.zeros((values.shape[0], ns.size))
    below = _below(log_weight, log_cut)
    if log_cut > -np.inf and below:
        light = _lighter(values, log_weight[:below], log_cut, min(below, int(ns.max())))
        at = np.minimum(ns, light.e.size - 1)
        accepted = np.cumsum(light.d[:, 1:] / np.arange(1, light.e.size), axis=1)[:, at - 1]
        total += all_zero(below, log_weight.size, ns) * accepted
    return total + subset_kernels.race_curve(values, log_weight, ns, below, IDLE + np.log(ns.max()))


def _below(log_weight: Floats, log_cut: float) -> int:
    """How many are lighter than the gate, or of weight zero."""
    return int(np.searchsorted(log_weight, max(log_cut, -np.finfo(np.float64).max)))


def race_parts(values: Floats, log_weight: Floats, ns: Ints, log_cut: float = -np.inf) -> Floats:
    """Mean of the (gated) kernel over the n-subsets that hold candidate i (V, M, N); as race_curve, n < N."""
    from gsi_theory.rules import subset_kernels

    size = log_weight.size
    out = np.zeros((values.shape[0], ns.size, size))
    below = _below(log_weight, log_cut)
    if log_cut > -np.inf and below:
        light = _lighter(values, log_weight[:below], log_cut, _reach(below, int(ns.max())))
        chance = (all_zero(below, size, ns) * size / below)[:, None]
        for lanes, low, high, gain, q in light.without(values):
            out[:, :, lanes] += chance * _gated_held(low, high, gain, q, below, ns)
    shares, limits = _ranks(size, ns, below)
    subset_kernels.race_parts(values, log_weight, ns, shares, limits, IDLE + np.log(ns.max()), out)
    return out


def _gated_held(low: Floats, high: Floats, gain: Floats, q: Floats, light: int, ns: Ints) -> Floats:
    """Mean of the accepted part over n-subsets of `light` candidates that hold i (V, M, L), 0 where n > light."""
    k = np.arange(low.shape[0])[:, None]
    zeroth, total, inverse = np.cumsum(low, axis=0), np.cumsum(high, axis=1), np.cumsum(high / np.maximum(k, 1), axis=1)
    at, n = np.minimum(ns, light) - 1, ns[:, None]
    held = (gain[:, None] * zeroth[at] + n * inverse[:, at] - total[:, at] + q * total[:, at]) / n
    return np.where(n <= light, held, 0.0)


def subset_means(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M) over all n-subsets, those of weight zero alone included."""
    zeros = int(np.sum(log_weight == -np.inf))
    some = race_curve(values, log_weight, ns) if zeros < log_weight.size else np.zeros((values.shape[0], ns.size))
    return with_zero_weights(some, values, zeros, ns)


def subset_parts(values: Floats, log_weight: Floats, ns: Ints) -> Floats:
    """(V, M, N), as `subset_means`."""
    size, zeros = log_weight.size, int(np.sum(log_weight == -np.inf))
    some = race_parts(values, log_weight, ns) if zeros < size else np.zeros((values.shape[0], ns.size, size))
    return zero_weight_parts(some, values, zeros, ns)
