"""'Stop at the first reward ≥ θ, at most n draws, then the best of them': its value from a pool of N draws, unbiased.

The mean over all orders of the pool, for all n ≤ N and all θ at once, from counts alone. With a of the N rewards at or
above θ, N_l up to a level l, and t_n = C(N-a, n)/C(N, n) the chance that the first n are all below:

    value     (1 - t_n)·(mean of those at or above θ) + Σ_{l<θ} f̄(l) [C(N_l, n) - C(N_{l-1}, n)]/C(N, n)
    draws     Σ_{d<n} t_d = [N + 1 - (N - n + 1) t_n]/(a + 1)

Both are U-statistics (M31): t_d needs d draws, d ≤ n. Symbols: R rows, each `count` draws alike; V values; M numbers n;
U thresholds.
"""

from __future__ import annotations

import numpy as np

from gsi_theory.samples.subset_shares import share_rows
from gsi_theory.types import Floats, Ints

__all__ = ["stopped_best"]


def stopped_best(reward: Floats, values: Floats, counts: Ints, ns: Ints, thresholds: Floats) -> tuple[Floats, Floats]:
    """(value (V, U, M), mean number of draws (U, M)) of rows alike: reward, counts (R,), values (V, R), ns (M,) in
    1..N, thresholds (U,). Exact to 1e-12 of max f - min f, and of N. Cost O((R + U) M)."""
    size = int(counts.sum())
    levels, at = np.unique(reward, return_inverse=True)
    members = np.bincount(at, weights=counts).astype(np.float64)
    low = values.min(axis=1, keepdims=True)
    sums = np.array([np.bincount(at, weights=counts * row) for row in values - low])  # (V, L)
    upto = np.concatenate([[0.0], np.cumsum(members)])
    share = share_rows(upto, size, ns)  # (L + 1, M), none below the first level
    first = np.searchsorted(levels, thresholds, side="left")  # levels below θ
    recalled = np.einsum("vl,lm->vlm", sums / members, np.diff(share, axis=0))
    recalled = np.concatenate([np.zeros((len(values), 1, ns.size)), np.cumsum(recalled, axis=1)], axis=1)
    passed = size - upto[first]  # (U,), a
    above = np.concatenate([np.cumsum(sums[:, ::-1], axis=1)[:, ::-1], np.zeros((len(values), 1))], axis=1)[:, first]
    missed = share[first]
    mean = above / np.maximum(passed, 1.0)
    value = low[:, :, None] + recalled[:, first] + mean[:, :, None] * (1.0 - missed)
    draws = (size + 1.0 - (size - ns + 1.0) * missed) / (passed[:, None] + 1.0)
    return np.clip(value, low[:, :, None], values.max(axis=1)[:, None, None]), np.clip(draws, 1.0, ns)
