"""Several drafters: the fixed allocation against enumeration and high-precision quadrature, and the bounds of M20."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from gsi_theory import InputError, divergence, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.drafters import (
    FIXED_RULES,
    balance_log_weight,
    fixed_allocation_bound,
    fixed_allocation_law,
    log_mixture,
    random_allocation_law,
)
from tests.oracles import methods_enumeration as oracle


def rational(rng: np.random.Generator, size: int, zeros: bool) -> list[Fraction]:
    counts = rng.integers(0 if zeros else 1, 30, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def logs(values: list[Fraction]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.array([float(v) for v in values]))


@pytest.mark.parametrize("rule", FIXED_RULES)
def test_law_equals_enumeration(rule: str) -> None:
    """80 random instances, up to three drafters (zero masses, zero weights, ties, silent drafters): error ≤ 1e-12."""
    rng = np.random.default_rng([51, list(FIXED_RULES).index(rule)])
    for trial in range(80):
        size, m = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        counts = rng.integers(0 if trial % 4 == 0 else 1, 4, m)
        counts[rng.integers(m)] += counts.sum() == 0
        masses = [rational(rng, size, zeros=trial % 2 == 0) for _ in range(m)]
        weight = [Fraction(int(v), 7) for v in rng.integers(0 if trial % 3 == 0 else 1, 9, size)]
        truth = oracle.fixed_allocation_law(masses, weight, counts.tolist(), rule)
        law = fixed_allocation_law(np.stack([logs(row) for row in masses]), logs(weight), counts.tolist(), rule)
        wrong = np.abs(np.exp(law.log_prob) - np.array([float(t) for t in truth]))
        assert wrong.max() <= 1e-12 and 0.5 * wrong.sum() <= law.error + 1e-16 * size


SPLIT = (
    # (log-masses before normalization, log-weights, n): identical drafters must give the law of one.
    ([-1.0, -2.0, -0.5], [0.0, 1e6, -1e6], 10**6),
    ([-690.0, 0.0, -300.0], [650.0, 0.0, 300.0], 10**9),
    ([0.0, -20.0, -40.0], [-30.0, 0.0, 30.0], 10**9),
    ([0.0, -21.5, -25.0], [-np.inf, 0.0, 2.0], 186),
    ([-1.0, -1.0], [0.0, 1e-12], 10**9),
    ([-1.0, -np.inf, -2.0], [0.0, np.inf, 3.0], 10**6),
    ([0.0, -1.0], [-np.inf, -np.inf], 5),
)


@pytest.mark.parametrize("rule", FIXED_RULES)
@pytest.mark.parametrize(("log_mass", "log_weight", "n"), SPLIT)
def test_identical_drafters_are_one(rule: str, log_mass: list, log_weight: list, n: int) -> None:
    mass = normalize(np.array(log_mass))
    one = selection_law(mass, log_weight, n, rule)
    split = fixed_allocation_law(np.stack([mass] * 4), log_weight, [n // 3, 1, 0, n - n // 3 - 1], rule)
    seen = np.maximum(one.log_prob, split.log_prob) > np.log(1e-300)
    assert np.all(np.abs(one.log_prob[seen] - split.log_prob[seen]) <= one.log_error + split.log_error)
    assert split.log_error < 1e-12
    assert np.array_equal(np.isfinite(one.log_prob), np.isfinite(split.log_prob))


def quadrature(masses: np.ndarray, log_weight: np.ndarray, counts: list[int], rule: str) -> list[mpmath.mpf]:
    """The same law in 50 digits from its definition: P(y) = Σ_j n_j p_j(y) w(y) ∫ (survival of the others) dt.

    softmax: trapezoid rule in log-time with step 1/16 over everything that matters. race: each piece between
    breakpoints is integrated by mpmath's own quadrature, cut at powers of ten of 1/n so that it resolves the decay.
    """
    with mpmath.workdps(50):
        p = [[mpmath.exp(mpmath.mpf(float(v))) for v in row] for row in masses]
        p = [[v / mpmath.fsum(row) for v in row] for row in p]
        w = [mpmath.exp(mpmath.mpf(float(v))) for v in log_weight]

        def others(t: mpmath.mpf, j: int) -> mpmath.mpf:
            out = mpmath.mpf(1)
            for i, row in enumerate(p):
                power = counts[i] - (i == j)
                alive = [
                    m * (mpmath.exp(-t * x) if rule == "softmax" else max(0, 1 - t * x))
                    for m, x in zip(row, w, strict=True)
                ]
                out *= mpmath.fsum(alive) ** power if power else 1
            return out

        law = []
        if rule == "softmax":
            h = mpmath.mpf(1) / 16
            low = int(16 * (-max(log_weight) - math.log(sum(counts)) - 60))
            high = int(16 * (-min(log_weight) + 6))
            times = [mpmath.exp(k * h) for k in range(low, high)]
            common = [[others(t, j) for t in times] for j in range(len(p))]
            for y, x in enumerate(w):
                kernel = [t * x * mpmath.exp(-t * x) * h for t in times]
                law.append(
                    mpmath.fsum(
                        counts[j] * p[j][y] * mpmath.fdot(kernel, common[j]) for j in range(len(p)) if counts[j]
                    )
                )
            return law
        ends = sorted({1 / x for x in w})
        pieces = []
        for a, b in zip([mpmath.mpf(0), *ends], ends, strict=False):
            cuts = [a, *(a + (b - a) * mpmath.mpf(10) ** e for e in range(-9, 0)), b]
            pieces.append([mpmath.quad(lambda t, j=j: others(t, j), cuts) for j in range(len(p))])
        for y, x in enumerate(w):
            inside = [k for k, b in enumerate(ends) if b <= 1 / x]
            law.append(
                mpmath.fsum(x * counts[j] * p[j][y] * pieces[k][j] for j in range(len(p)) for k in inside if counts[j])
            )
        return law


HARD = (
    # (rows of log-masses before normalization, log-weights, counts)
    ([[0.0, -3.0, -30.0], [-8.0, 0.0, -1.0]], [-5.0, 0.0, 9.0], [10**6, 1]),
    ([[0.0, -12.0, -14.0], [-1.0, -1.0, -9.0]], [0.0, 3.0, 8.0], [10**6, 10**3]),
    ([[0.0, -100.0], [-200.0, 0.0]], [0.0, 100.0], [1000, 1]),
    ([[0.0, -1.0, -2.0, -3.0], [-3.0, -2.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], [1.0, -1.0, 2.0, -2.0], [3, 1, 40]),
)


@pytest.mark.parametrize("rule", FIXED_RULES)
@pytest.mark.parametrize(("masses", "log_weight", "counts"), HARD)
def test_different_drafters_against_quadrature(rule: str, masses: list, log_weight: list, counts: list) -> None:
    rows = normalize(np.array(masses))
    truth = quadrature(rows, np.array(log_weight), counts, rule)
    assert abs(float(mpmath.fsum(truth)) - 1.0) < 1e-13
    law = fixed_allocation_law(rows, log_weight, counts, rule)
    wrong = [
        float(abs(mpmath.log(t) - mpmath.mpf(float(v)))) for t, v in zip(truth, law.log_prob, strict=True) if t > 1e-300
    ]
    assert len(wrong) >= 2 and max(wrong) <= min(law.log_error, 1e-12)


def test_disjoint_supports_lose_exponentially() -> None:
    """One draw each, weights e^{500} and 1 on disjoint supports: the light one wins with probability e^{-500}."""
    rows = np.array([[0.0, -np.inf], [-np.inf, 0.0]])
    soft = fixed_allocation_law(rows, [500.0, 0.0], [1, 1])
    race = fixed_allocation_law(rows, [500.0, 0.0], [1, 1], "race")
    assert soft.log_prob[1] == pytest.approx(-500.0, abs=1e-12)
    # the light score 1/U exceeds e^{500}/U' with probability e^{-500}/2
    assert race.log_prob[1] == pytest.approx(-500.0 - math.log(2.0), abs=1e-12)


@pytest.mark.parametrize("index", range(4))
def test_bounds_hold(index: int) -> None:
    """(M20), 60 random instances a case: fixed and random allocation, and χ² to the mixture."""
    for trial in range(60):
        rng = np.random.default_rng([52, index, trial])
        size, m = int(rng.integers(2, 7)), int(rng.integers(1, 4))
        rows = np.log(rng.dirichlet(np.full(size, 0.5), m) + 1e-12)
        rows = normalize(rows)
        log_pi = normalize(np.log(rng.dirichlet(np.full(size, 0.5)) + 1e-12))
        counts = rng.integers(1, 1 + 4**index, m).tolist()
        n = sum(counts)
        weight, mix = balance_log_weight(log_pi, rows, counts), log_mixture(rows, counts)
        chi2 = divergence.chi2(log_pi, mix)
        kl_fixed = divergence.kl(log_pi, fixed_allocation_law(rows, weight, counts).log_prob)
        kl_random = divergence.kl(log_pi, random_allocation_law(rows, weight, counts).log_prob)
        bound = fixed_allocation_bound(log_pi, rows, counts)
        assert kl_fixed <= bound * (1 + 1e-12) + 1e-13
        assert kl_random <= math.log1p(chi2 / n) * (1 + 1e-12) + 1e-13
        singles = [n / c * (1.0 + divergence.chi2(log_pi, row)) for c, row in zip(counts, rows, strict=True)]
        assert 1.0 + chi2 <= min(singles) * (1 + 1e-12)


def test_bound_without_cover_is_infinite() -> None:
    rows = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    assert fixed_allocation_bound(np.log([0.5, 0.5]), rows, [1, 2]) == np.inf


def test_one_drafter_bound_is_the_chi2_bound() -> None:
    log_pi, row = np.log([0.7, 0.3]), np.log([0.2, 0.8])
    expected = math.log1p(divergence.chi2(log_pi, row) / 5)
    assert fixed_allocation_bound(log_pi, row[None], [5]) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("rows", "weight", "counts", "rule", "words"),
    [
        ([[0.0]], [0.0], [1], "max", "rule 'max' with a fixed allocation"),
        ([[0.0]], [0.0], [0], "race", "the sum of counts = 0"),
        ([[0.0]], [0.0], [-1], "race", r"counts\[0\] = -1"),
        ([[0.0], [0.0]], [0.0], [1], "race", "with 1 counts"),
        ([[-1.0, -1.0]], [0.0, 0.0], [1], "race", "drafter 0 sums to"),
        ([[np.nan, 0.0]], [0.0, 0.0], [1], "race", "drafter 0 sums to"),
        ([[0.0]], [np.inf], [1], "softmax", r"log_weight\[0\] = inf"),
        ([[0.0]], [np.nan], [1], "softmax", r"log_weight\[0\] = nan"),
        ([[0.0]], [0.0, 1.0], [1], "softmax", "log_weight of shape"),
    ],
)
def test_bad_input(rows: list, weight: list, counts: list, rule: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fixed_allocation_law(rows, weight, counts, rule)
