"""Shares C(F, n)/C(N, n) and pass@k: against exact fractions at any size, and bad input."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import mpmath
import numpy as np
import pytest

from gsi_theory.errors import InputError
from gsi_theory.samples.subset_shares import _rest, pass_at_k, share_rows, subset_share


def test_every_share_of_small_pools() -> None:
    for whole in (1, 2, 7, 40):
        ns = np.arange(whole + 1)
        exact = np.array([[float(Fraction(comb(f, n), comb(whole, n))) for n in ns.tolist()] for f in range(whole + 1)])
        assert np.abs(subset_share(np.arange(whole + 1.0)[:, None], whole, ns) - exact).max() < 1e-15
        assert np.abs(share_rows(np.arange(whole + 1.0), whole, ns) - exact).max() < 1e-15


def test_the_table_of_a_large_pool_is_the_shares() -> None:
    ns = np.array([1, 2, 50, 3000, 9999, 10_000])
    table = share_rows(np.arange(10_001.0), 10_000, ns)
    assert np.abs(table - subset_share(np.arange(10_001)[:, None], 10_000, ns)).max() < 1e-12
    few = np.array([3.0, 9990.0])
    assert np.abs(share_rows(few, 10_000, ns) - table[[3, 9990]]).max() < 1e-12


@pytest.mark.parametrize("correct", [0, 1, 2, 17, 300, 5000, 9000, 9990, 9999, 10000])
def test_pass_at_k_of_ten_thousand_draws(correct: int) -> None:
    draws = 10_000
    ks = np.unique([*range(1, 40), *np.geomspace(1, draws, 60).astype(int).tolist(), 5000, 9999, draws])
    exact = [1 - Fraction(comb(draws - correct, k), comb(draws, k)) for k in ks.tolist()]
    assert np.abs(pass_at_k(draws, correct, ks) - np.array([float(e) for e in exact])).max() < 1e-13


def test_a_million_draws_cost_and_err_as_little() -> None:
    draws, k = 10**6, 1000
    for correct in (1, 700, 40_000):
        exact = Fraction(1)
        for i in range(k):
            exact *= Fraction(draws - correct - i, draws - i)
        assert abs(pass_at_k(draws, correct, [k])[0] - float(1 - exact)) < 1e-12


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="11 correct of 10 draws"):
        pass_at_k(10, 11, [1])
    for ks in ([0], [11]):
        with pytest.raises(InputError, match=r"no unbiased estimate beyond 1\.\.10 draws"):
            pass_at_k(10, 3, ks)


@pytest.mark.parametrize("x", [1.0, 15.0, 16.0, 17.0, 100.0, 1e5])
def test_what_factorials_leave_beyond_x_log_x_is_to_the_last_digits(x: float) -> None:
    with mpmath.workdps(40):
        exact = mpmath.loggamma(x + 1) - (x * mpmath.log(x) - x)
        assert abs(float(_rest(np.array([x]))[0] - exact)) < 4e-15 * max(1.0, x if x < 16 else 1.0)
