"""Certified laws against the independent ball oracle and against enumeration in Fractions; comparisons of weights."""

from __future__ import annotations

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from flint import arb, fmpq

from gsi_theory.certified.ball_law import LogWeight, compare, selection_balls
from gsi_theory.rules.race_balls import race_score_balls
from tests.oracles import balls, enumeration

RULES = ("softmax", "race", "max")
ZERO = LogWeight(Fraction(0), Fraction(0))


def rational_policy(rng: np.random.Generator, size: int, zeros: bool = False) -> list[Fraction]:
    counts = rng.integers(0 if zeros else 1, 30, size)
    counts[rng.integers(size)] += 1
    return [Fraction(int(c), int(counts.sum())) for c in counts]


def holds_fraction(x: arb, truth: Fraction) -> bool:
    """Whether the ball meets the rational (itself a ball of the working precision)."""
    return bool(x.overlaps(arb(fmpq(truth.numerator, truth.denominator))))


ORACLES = {"softmax": balls.softmax_law_balls, "race": balls.race_law_balls, "max": balls.max_law_balls}


@pytest.mark.parametrize("rule", RULES)
def test_hostile_laws_overlap_the_ball_oracle(rule: str) -> None:
    """70 random laws a rule: masses to e^-690, log-weights to ±1e6, ties, zero weights, n to 1e9; radius ≤ 1e-20."""
    for trial in range(70):
        rng = np.random.default_rng([81, trial])
        size = int(rng.integers(1, 6))
        mass = [Fraction(float(x)) for x in np.exp(-rng.uniform(0, rng.choice([1.0, 50.0, 690.0]), size))]
        mass = [m / sum(mass) for m in mass]
        logs = [float(x) for x in rng.normal(size=size) * rng.choice([0.0, 1e-9, 1.0, 30.0, 1e4, 1e6])]
        logs = [float(round(x)) for x in logs] if trial % 3 == 0 else logs
        logs = [-math.inf if rng.random() < 0.1 else x for x in logs]
        n = int(rng.choice([1, 2, 3, 16, 1000, 10**9]))
        weight = [ZERO if x == -math.inf else LogWeight(Fraction(x), Fraction(1)) for x in logs]
        law, truth = selection_balls(mass, weight, n, rule), ORACLES[rule](mass, logs, n)
        with flint.ctx.workprec(1000):
            assert all(a.overlaps(b) for a, b in zip(law, truth, strict=True)), (trial, law, truth)
            assert sum(law, arb(0)).contains(1)
            assert all(a.rad() <= abs(a).mid() * arb(10) ** -20 for a in law), (trial, law)


@pytest.mark.parametrize("rule", RULES)
def test_laws_contain_enumeration(rule: str) -> None:
    """60 rational instances, zero masses, zero weights and ties among them: the Fraction lies in the ball."""
    for trial in range(60):
        rng = np.random.default_rng([82, trial])
        size, n = int(rng.integers(1, 5)), int(rng.integers(1, 6))
        mass = rational_policy(rng, size, zeros=trial % 3 == 0)
        factor = [Fraction(int(v), 7) for v in rng.integers(0 if trial % 2 else 1, 9, size)]
        truth = enumeration.selection_law(mass, factor, n, rule)
        law = selection_balls(mass, [LogWeight(Fraction(0), f) for f in factor], n, rule)
        with flint.ctx.workprec(1000):
            assert all(holds_fraction(a, t) for a, t in zip(law, truth, strict=True)), (trial, law, truth)


def test_all_weights_zero_leaves_the_draft() -> None:
    law = selection_balls([Fraction(1, 3), Fraction(2, 3)], [ZERO, ZERO], 10**9, "softmax")
    assert holds_fraction(law[0], Fraction(1, 3))


def test_score_gate_contains_enumeration() -> None:
    """(M9) with M below, between, at and above the weights."""
    for trial in range(60):
        rng = np.random.default_rng([83, trial])
        size, n = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        mass = rational_policy(rng, size, zeros=trial % 3 == 0)
        factor = [Fraction(int(v), 7) for v in rng.integers(0 if trial % 2 else 1, 9, size)]
        m = Fraction(int(rng.integers(1, 24)), 14)
        truth, p_accept = enumeration.score_gate_law(mass, factor, m, n)
        weight = [LogWeight(Fraction(0), f) for f in factor]
        accepted, reject = race_score_balls(mass, weight, n, LogWeight(Fraction(0), m))
        with flint.ctx.workprec(1000):
            assert all(holds_fraction(a, t) for a, t in zip(accepted, truth, strict=True)), trial
            assert holds_fraction(reject, 1 - p_accept), trial


def test_comparisons_by_lindemann() -> None:
    one, two = Fraction(1), Fraction(2)
    assert compare(LogWeight(one, two), LogWeight(one, two)) == 0
    assert compare(LogWeight(one, one), LogWeight(Fraction(0), two)) == 1
    assert compare(LogWeight(Fraction(0), two), LogWeight(Fraction(693147, 10**6), one)) == 1
