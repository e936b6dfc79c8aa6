"""C(F, n)/C(N, n): the chance that all n draws of an n-subset of N lie among F of them, from counts alone (M31, M47).

Everything that only asks how many draws are alike (best-of-n, pass@k) is made of these shares, so that a million equal
draws cost as much as two. Absolute error about 1e-14 at any N up to 10⁹: where the share matters, s·t/N is at most 745
for the smaller s and the larger t of n and N − F, so s ≤ √(745 N), and every term below is of the size of s.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from gsi_theory.errors import InputError
from gsi_theory.types import Floats, Ints

__all__ = ["pass_at_k", "share_rows", "subset_share"]

_SUMMED = 16  # factors multiplied one by one; more: Stirling
_TABLED = 1 << 14  # draws of a pool up to which all its shares are kept, 8 tables of a megabyte or few
_SPARSE = 64  # shares asked, times this, below which a table of all does not pay
_SERIES = 16.0  # from here the terms of Stirling's series are exact: the next is 1/(156 x^13) < 2e-18
_STIRLING = (12.0, 360.0, 1260.0, 1680.0, 1188.0, 360360.0 / 691.0)  # 1/(12 x) - 1/(360 x³) + ...


def subset_share(part: ArrayLike, whole: int, ns: ArrayLike) -> Floats:
    """C(part, n)/C(whole, n), shapes broadcast; whole numbers 0 ≤ part ≤ whole, 0 ≤ n ≤ whole."""
    part, n = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(ns, dtype=np.float64))
    few, many = np.minimum(whole - part, n), np.maximum(whole - part, n)
    inside = n <= part
    few, many = np.where(inside, few, 0.0), np.where(inside, many, 0.0)
    total = np.zeros(part.shape)
    for j in range(int(min(_SUMMED, few.max(initial=0.0)))):
        total += np.log1p(np.where((j < few) & (few <= _SUMMED), -many / max(whole - j, 1), 0.0))
    far = few > _SUMMED
    if far.any():
        total[far] = _by_stirling(few[far], whole - many[far], float(whole))
    return np.where(inside, np.exp(total), 0.0)


def share_rows(part: Floats, whole: int, ns: Ints) -> Floats:
    """`subset_share` of part (L,) at each of ns (M,), (L, M); of pools of one size from a table made once."""
    if whole > _TABLED or _SPARSE * part.size < whole:
        return subset_share(part[:, None], whole, ns)
    return _table(whole, tuple(ns.tolist()))[part.astype(np.int64)]


@lru_cache(maxsize=8)
def _table(whole: int, ns: tuple[int, ...]) -> Floats:
    """All shares, by C(F − 1, n)/C(F, n) = (F − n)/F from F = N down: where a share matters, few factors."""
    part, n = np.arange(whole, 0, -1.0)[:, None], np.array(ns, dtype=np.float64)
    falls = np.maximum(part - n, 0.0) / part
    return np.ascontiguousarray(np.cumprod(np.vstack([np.ones(n.size), falls]), axis=0)[::-1])


def _by_stirling(few: Floats, part: Floats, whole: float) -> Floats:
    """log C(part, few)/C(whole, few), few ≤ part: x ln x − x of the four factorials taken together, then the rest."""
    rest = part - few
    main = few * np.log(part / whole) + (whole - few) * np.log1p(-few / whole)
    main -= np.where(rest > 0, rest * np.log1p(-few / np.where(rest > 0, part, 2.0 * few)), 0.0)
    whole_array = np.full(few.shape, whole)
    return np.asarray(main + _rest(part) - _rest(rest) - _rest(whole_array) + _rest(whole - few))


def _rest(x: Floats) -> Floats:
    """log x! − (x log x − x); 0 at 0."""
    safe = np.maximum(x, 1.0)
    series, square = np.zeros_like(safe), 1.0 / safe**2
    for term in reversed(_STIRLING):
        series = 1.0 / term - series * square
    series = series / safe + 0.5 * np.log(2 * np.pi * safe)
    exact = gammaln(safe + 1.0) - (safe * np.log(safe) - safe)
    return np.where(x > 0, np.where(safe >= _SERIES, series, exact), 0.0)


def pass_at_k(draws: int, correct: int, ks: ArrayLike) -> Floats:
    """1 − C(N − c, k)/C(N, k) (M31): the unbiased chance that some of k draws is right, from c right ones of N.

    Raises InputError unless 0 ≤ c ≤ N and every k is in 1..N.
    """
    counts = np.asarray(ks)
    if not 0 <= correct <= draws:
        raise InputError(f"{correct} correct of {draws} draws: give a number between 0 and {draws}")
    if counts.size and not (counts.min() >= 1 and counts.max() <= draws):
        raise InputError(f"k from {counts.min()} to {counts.max()}: no unbiased estimate beyond 1..{draws} draws")
    return 1.0 - subset_share(draws - correct, draws, counts)
