"""Sums over all subsets of a pool, one candidate at a time (M31): the recursion behind every unbiased curve.

Symbols. z_j ∈ [0, 1] and gains g_j ≥ 0 of `size` candidates; means over k-subsets S, so that every number stays in
range whatever C(size, k) is:

    e_k = mean over S of Π_{j ∈ S} z_j,        d_k = mean over S of Σ_{i ∈ S} g_i Π_{j ∈ S, j ≠ i} z_j.

A candidate more is a convex combination (grow), a candidate less its inverse (divide):

    e_k(m) = (m−k)/m · e_k(m−1) + k/m · z e_{k−1}(m−1)
    d_k(m) = (m−k)/m · d_k(m−1) + k/m · (z d_{k−1}(m−1) + g e_{k−1}(m−1))

Growing adds positive terms only: each e_k and d_k has relative error ≤ 6 size · 2^{−53}. It keeps them in units of the
number of k-subsets of all candidates that there will be, M: times C(m, k)/C(M, k) the first line is
e_k + k/(M−k+1) · z e_{k−1}. Leaving one out divides the
polynomial by 1 + z x from below for k ≤ size/(1+z) and from above beyond, where it damps the errors that it inherits;
the error is small against 1 (THEORY.md, M31), which is enough for a standard error and not used for values.
"""

from __future__ import annotations

import numpy as np

from gsi_theory.types import Floats, Ints

__all__ = ["all_zero", "divide", "grow", "hypergeometric", "largest_rank", "with_zero_weights", "zero_weight_parts"]


def hypergeometric(ones: int, size: int, most: int) -> Floats:
    """C(ones, k)/C(size, k) for k ≤ most (most+1,): the chance that k of `size` all lie among `ones` of them."""
    k = np.arange(min(most, size))
    factors = np.maximum(ones - k, 0) / (size - k)
    return np.concatenate([np.ones(1), np.cumprod(factors), np.zeros(max(most - size, 0))])


def largest_rank(size: int, ns: Ints) -> Floats:
    """p_m(n) = C(m−1, n−1)/C(size, n) (size, M), m = 1..size: the chance that the largest rank of n drawn is m."""
    m = np.arange(size, 1, -1)[:, None]
    fall = np.maximum(m - ns, 0) / (m - 1)  # p_{m−1}/p_m
    return np.ascontiguousarray(np.cumprod(np.vstack([ns / size, fall]), axis=0)[::-1])


def grow(e: Floats, d: Floats, z: Floats, rate: Floats, values: Floats, start: int) -> None:
    """Add candidates a = 1..A to the means of B independent sums, in place.

    e (B, K+1), d (V, B, K+1) of the `start` candidates held so far, in units of the k-subsets of start + A: the mean
    times C(start, k)/C(start + A, k); z and rate (A, B); values (V, A) ≥ 0, g = values · rate.
    """
    from gsi_theory.rules import subset_kernels

    subset_kernels.grow(e, d, z, rate, values, start)


def divide(e: Floats, d: Floats, size: int, z: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """(e (K, L), d (V, K, L)), k < min(K, size), of `size` candidates without candidate i, for each i.

    e (K+1,), d (V, K+1) of all of them; z (L,), gain (V, L) of those left out in turn. Where K > size/2, e and d must
    reach to k = size or to where they are negligible.
    """
    e, d = e[: size + 1], np.ascontiguousarray(d[:, : size + 1])
    low, high = np.zeros((max(e.size - 1, 1), z.size)), np.zeros((d.shape[0], max(e.size - 1, 1), z.size))
    from gsi_theory.rules import subset_kernels

    subset_kernels.divide(e, d, size, z, gain, low, high)
    return low, high


# Rules by which a candidate of weight zero wins only where all drawn have weight zero: then uniformly.


def all_zero(zeros: int, size: int, ns: Ints) -> Floats:
    """C(zeros, n)/C(size, n) (M,): the share of the subsets whose weights are all zero."""
    return hypergeometric(zeros, size, int(ns.max()))[ns]


def with_zero_weights(means: Floats, values: Floats, zeros: int, ns: Ints) -> Floats:
    """Means over n-subsets (V, M) from those of subsets with some positive weight; the first `zeros` of values (V, N)
    are of weight zero."""
    if zeros:
        means = means + all_zero(zeros, values.shape[1], ns) * values[:, :zeros].mean(axis=1, keepdims=True)
    return np.where(ns == 1, values.mean(axis=1, keepdims=True), means)


def zero_weight_parts(parts: Floats, values: Floats, zeros: int, ns: Ints) -> Floats:
    """The same for means over the n-subsets that hold each candidate, (V, M, N), written over."""
    size, n = values.shape[1], ns[:, None]
    if zeros:
        itself, total = values[:, None, :zeros], values[:, None, :zeros].sum(axis=-1, keepdims=True)
        mixed = itself / n + (n - 1) / n * (total - itself) / max(zeros - 1, 1)
        parts[:, :, :zeros] += (all_zero(zeros, size, ns) * size / zeros)[:, None] * mixed
    parts[:, ns == 1] = values[:, None]
    return parts
