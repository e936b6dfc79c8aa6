"""Averages over all n-subsets of a pool, one subset at a time, in exact fractions.  Imports no project code.

Contract
- `values`, `weights` (N,): Fractions or ints, weights >= 0.  Every n-subset of positions counts once.
- The winner of a subset: softmax w_i/sum w; max uniform among the largest; race w_i int_0^{1/max w} prod_{j != i}
  (1 - v w_j) dv, integrated term by term; all weights zero: uniform.
- `gated_race`: the race's winner counts only when its score w_i/U_i is at least `cut` > 0, that is v <= 1/cut.
- `subset_variance`: (N-1)/N sum_j (U_j - mean of U_j)^2, U_j the same average over the pool without j; at n = N
  sum_j (U - U_j)^2, U_j at N - 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

__all__ = ["KERNELS", "gated_race", "subset_average", "subset_variance"]

Kernel = Callable[[Sequence[Fraction], Sequence[Fraction]], Fraction]


def softmax(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
    """Expected value of the winner of one subset."""
    total = sum(weights)
    if total == 0:
        return Fraction(sum(values), len(values))
    return sum((v * w for v, w in zip(values, weights, strict=True)), Fraction(0)) / total


def best(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
    """Expected value of the winner of one subset under the max rule."""
    top = max(weights)
    winners = [v for v, w in zip(values, weights, strict=True) if w == top]
    return Fraction(sum(winners), len(winners))


def _race_until(values: Sequence[Fraction], weights: Sequence[Fraction], end: Fraction) -> Fraction:
    """sum_i f_i w_i int_0^end prod_{j != i} (1 - v w_j) dv, for end <= 1/max w."""
    total = Fraction(0)
    for i, (value, weight) in enumerate(zip(values, weights, strict=True)):
        polynomial = [Fraction(1)]
        for j, other in enumerate(weights):
            if j != i:
                polynomial = [
                    (polynomial[k] if k < len(polynomial) else 0) - (other * polynomial[k - 1] if k else 0)
                    for k in range(len(polynomial) + 1)
                ]
        total += value * weight * sum(c * end ** (k + 1) / (k + 1) for k, c in enumerate(polynomial))
    return total


def race(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
    """Expected value of the winner of one subset under the uniform race."""
    top = max(weights)
    return Fraction(sum(values), len(values)) if top == 0 else _race_until(values, weights, 1 / Fraction(top))


def gated_race(cut: Fraction) -> Kernel:
    """The race's kernel with winners of score below `cut` counted as zero."""

    def kernel(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
        return _race_until(values, weights, 1 / max(Fraction(max(weights)), Fraction(cut)))

    return kernel


def regularized(m: int) -> Kernel:
    """Uniform among the top ceil(n/M) of a subset, ties at the border broken uniformly."""

    def kernel(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
        places = -(-len(values) // m)
        border = sorted(weights, reverse=True)[places - 1]
        above = [v for v, w in zip(values, weights, strict=True) if w > border]
        tied = [v for v, w in zip(values, weights, strict=True) if w == border]
        shared = Fraction(sum(tied)) * Fraction(places - len(above), len(tied))
        return Fraction(sum(above) + shared) / places

    return kernel


KERNELS: dict[str, Kernel] = {"softmax": softmax, "race": race, "max": best}


def subset_average(values: Sequence[Fraction], weights: Sequence[Fraction], n: int, kernel: Kernel) -> Fraction:
    """Average of the kernel over all n-subsets."""
    pairs = list(zip((Fraction(v) for v in values), (Fraction(w) for w in weights), strict=True))
    found = [kernel([v for v, _ in s], [w for _, w in s]) for s in itertools.combinations(pairs, n)]
    return sum(found, Fraction(0)) / len(found)


def subset_variance(values: Sequence[Fraction], weights: Sequence[Fraction], n: int, kernel: Kernel) -> Fraction:
    """Estimated variance of the average, as in the contract."""
    size = len(values)
    parts = [
        subset_average([*values[:j], *values[j + 1 :]], [*weights[:j], *weights[j + 1 :]], min(n, size - 1), kernel)
        for j in range(size)
    ]
    if n == size:
        whole = subset_average(values, weights, n, kernel)
        return sum(((whole - p) ** 2 for p in parts), Fraction(0))
    mean = sum(parts, Fraction(0)) / size
    return Fraction(size - 1, size) * sum(((p - mean) ** 2 for p in parts), Fraction(0))
