"""Where best-of-n turns down, against its values in fractions for every n, a closed form, and hard cases."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.laws.gold_peak import gold_peak


def _value(mass: list[Fraction], proxy: list[int], gold: list[Fraction], n: int) -> Fraction:
    """Mean gold value of best-of-n by the proxy, ties in proportion to mass."""
    total = Fraction(0)
    for level in set(proxy):
        upto = sum((m for m, r in zip(mass, proxy, strict=True) if r <= level), Fraction(0))
        part = sum((m for m, r in zip(mass, proxy, strict=True) if r == level), Fraction(0))
        if part:
            mean = sum((m * g for m, g, r in zip(mass, gold, proxy, strict=True) if r == level), Fraction(0)) / part
            total += mean * (upto**n - (upto - part) ** n)
    return total


def test_peaks_and_turns_equal_those_of_all_n() -> None:
    """300 instances, n to 40: the largest value, its n, every turn, and Descartes' count when it is certain."""
    rng, certain = np.random.default_rng(4310), 0
    for _ in range(300):
        size = int(rng.integers(1, 6))
        weights = rng.integers(1, 12, size).tolist()
        mass = [Fraction(w, sum(weights)) for w in weights]
        proxy = rng.integers(0, 5, size).tolist()
        gold = [Fraction(int(x), 4) for x in rng.integers(-4, 5, size)]
        values = [_value(mass, proxy, gold, n) for n in range(1, 42)]
        found = gold_peak(np.log([float(m) for m in mass]), proxy, [float(g) for g in gold], 40)
        assert found.value == pytest.approx(float(max(values[:40])), abs=1e-12)
        near = [n for n, v in enumerate(values[:40], 1) if float(max(values[:40]) - v) <= 1e-13]
        assert found.n in near and float(values[found.n - 1]) == pytest.approx(found.value, abs=1e-12)
        assert found.last == pytest.approx(float(values[39]), abs=1e-12)
        steps = [(n, (b > a) - (b < a)) for n, (a, b) in enumerate(pairwise(values), 1) if a != b]
        turns = [n for (_, before), (n, after) in pairwise(steps) if before != after]
        if found.certain:
            assert list(found.turns) == turns
            certain += 1
    assert certain > 250


def test_a_rare_hack_turns_it_down_where_the_closed_form_says() -> None:
    """Good answers of mass p, hacked ones of mass h above them, gold 0: (1-h)ⁿ - (1-h-p)ⁿ is largest at one n."""
    p, h = 0.1, 1e-6
    found = gold_peak(np.log([1 - p - h, p, h]), [0, 1, 2], [0.0, 1.0, 0.0], 10**7)
    at = np.log(np.log1p(-h - p) / np.log1p(-h)) / (np.log1p(-h) - np.log1p(-h - p))
    assert abs(found.n - at) <= 1.0 and found.falls_forever and found.certain
    assert found.turns == (found.n,) and found.last == pytest.approx(np.exp(-10.0), rel=1e-4)
    assert found.value == pytest.approx((1 - h) ** found.n - (1 - h - p) ** found.n, abs=1e-12)


def test_gold_that_agrees_never_turns_and_hard_cases_are_numbers() -> None:
    logs, levels = np.log([0.2, 0.3, 0.5]), np.arange(3.0)
    up = gold_peak(logs, levels, levels**2, 10**9)
    assert up.turns == () and not up.falls_forever and up.certain and up.value == up.last == pytest.approx(4.0)
    down = gold_peak(logs, levels, -levels)
    assert down.n == 1 and down.turns == () and down.falls_forever and down.certain
    flat = gold_peak(logs, levels, np.ones(3))
    assert flat.n == 1 and flat.value == 1.0 and flat.certain and not flat.falls_forever
    tied = gold_peak(logs, np.zeros(3), levels, 1)
    assert tied.value == pytest.approx(1.3) and tied.turns == ()
    one = gold_peak([0.0], [2.0], [3.0], 2**53)
    assert one.value == 3.0
    for wrong in ((logs, levels[:2], levels, 4), (logs, levels, [0, 1, np.nan], 4), (logs - 1, levels, levels, 4)):
        with pytest.raises(InputError):
            gold_peak(*wrong)
    with pytest.raises(InputError):
        gold_peak(logs, levels, levels, 0)


def test_two_turns_between_two_looks_are_not_denied() -> None:
    """V rises, falls from 10,003 to 10,010 and rises again, between two n of the grid: not seen, and not certain."""
    above = np.array([3e-4, 1e-4, 2e-5])  # 1 - F_l
    roots = np.array([10_003.5, 10_010.5])
    decay = np.exp(roots[:, None] * np.log1p(-above))
    steps = np.append(np.linalg.solve(decay[:, :2], -decay[:, 2]), 1.0)
    gold = np.concatenate([[0.0], np.cumsum(steps / above)])
    mass = np.array([1 - 3e-4, 2e-4, 8e-5, 2e-5])
    found = gold_peak(np.log(mass), np.arange(4.0), gold, 10**6)
    exact = np.sign(np.exp(np.array([5_000, 10_007, 20_000])[:, None] * np.log1p(-above)) @ steps)
    assert exact.tolist() == [1.0, -1.0, 1.0]
    assert found.turns in ((), (10_004, 10_011)) and found.certain == bool(found.turns)
