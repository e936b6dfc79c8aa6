"""The largest value of a set, by trying every set, in 50 digits.  Imports no project code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import mpmath  # type: ignore[import-untyped, unused-ignore]

__all__ = ["largest"]


def largest(
    target: Sequence[float], draft: Sequence[float], base: Sequence[float], lost: Callable[..., mpmath.mpf]
) -> float:
    """max over sets A of target(A) + lost(draft(A), base(A)); `lost` takes and returns mpmath numbers."""
    with mpmath.workdps(50):
        laws = [[mpmath.mpf(float(x)) for x in law] for law in (target, draft, base)]
        best = mpmath.mpf("-inf")
        for inside in product((False, True), repeat=len(laws[0])):
            masses = [sum((x for x, chosen in zip(law, inside, strict=True) if chosen), mpmath.mpf(0)) for law in laws]
            best = max(best, masses[0] + lost(*masses[1:]))
        return float(best)
