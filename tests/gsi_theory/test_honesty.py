"""`Law.error` and `Law.log_error` against ball arithmetic on hostile random instances: never too small, not idle."""

from __future__ import annotations

from fractions import Fraction

import flint
import mpmath
import numpy as np
import pytest

from gsi_theory import selection_law
from gsi_theory.laws.selection_law import RULES
from tests.gsi_theory.hostile import hostile_candidates
from tests.oracles import balls

BLOCKS, PER_BLOCK = 10, 100
SOLVE = {"softmax": balls.softmax_law_balls, "race": balls.race_law_balls, "max": balls.max_law_balls}
UNIT = 2.3e-16


def exact_mass(log_mass: float) -> Fraction:
    """exp of the very number given, to 60 digits: the law takes log-masses, the oracle masses."""
    with mpmath.workdps(60):
        return Fraction(str(mpmath.exp(mpmath.mpf(log_mass))))


def measured(seed: tuple[int, ...]) -> tuple[float, float, float, float]:
    """(TV error of the numbers, its bound, worst log error above 1e-300, its bound)."""
    rng = np.random.default_rng(seed)
    log_mass, weight, n = hostile_candidates(rng)
    rule = str(rng.choice(RULES))
    law = selection_law(log_mass, weight, n, rule)
    assert not np.isnan(law.log_prob).any()
    held = np.isfinite(log_mass)
    truth = SOLVE[rule]([exact_mass(float(m)) for m in log_mass[held]], [float(w) for w in weight[held]], n)
    found = law.log_prob[held]
    with flint.ctx.workprec(400):
        total = sum((abs(t.mid() - flint.arb(float(p)).exp()) for t, p in zip(truth, found, strict=True)), flint.arb(0))
        gaps = [
            abs(float((t.mid().log() - flint.arb(float(p))).mid()))
            for t, p in zip(truth, found, strict=True)
            if float(t.mid()) > 1e-300
        ]
    return 0.5 * float(total.mid()), law.error, max(gaps, default=0.0), law.log_error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_errors_bound_the_truth_and_are_not_idle(block: int) -> None:
    rows = np.array([measured((1201, block, trial)) for trial in range(PER_BLOCK)])
    assert np.all(rows[:, 0] <= rows[:, 1])
    assert np.all(rows[:, 2] <= rows[:, 3])
    # Not idle: the bound is within 1e3 of the error, or of the rounding floor of one float64 unit.
    assert np.median(rows[:, 1] / np.maximum(rows[:, 0], UNIT)) <= 1e3


@pytest.mark.parametrize("rule", RULES)
def test_ten_thousand_hostile_rows_in_one_call(rule: str) -> None:
    """No NaN, no warning (warnings are errors), every law sums to one within its own error."""
    rng = np.random.default_rng([1301, RULES.index(rule)])
    rows = [hostile_candidates(rng) for _ in range(10_000)]
    log_mass, weight = np.full((len(rows), 8), -np.inf), np.zeros((len(rows), 8))
    for i, (mass, lw, _) in enumerate(rows):
        log_mass[i, : mass.size], weight[i, : mass.size] = mass, lw
    law = selection_law(log_mass, weight, np.array([n for *_, n in rows]), rule)
    assert not np.isnan(law.log_prob).any() and not np.isnan(law.error).any()
    assert np.all(np.abs(np.exp(law.log_prob).sum(axis=-1) - 1.0) <= 2.0 * law.error)
