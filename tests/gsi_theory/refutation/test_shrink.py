"""Shrinking: what comes back refutes by a clear gap, is exact in few decimals, and is no larger than what went in."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.instance import Instance, Scheme
from gsi_theory.refutation.shrink import CLEAR, ExactCase, excess_of, shrink

# Far from round, four outcomes, many drafts: refutes reading (a) of GSI Theorem 1 because rewards are nearly constant.
MESSY = ExactCase.of(
    Instance.from_probabilities(
        [0.4123, 0.2177, 0.1234, 0.2466], [0.0511, 0.3111, 0.5127, 0.1251], [0.001, 0.0012, 0.0009, 0.001]
    ),
    Scheme(0.731, 3),
)


def _digits(value: Fraction) -> int:
    return len(str(float(value)).replace(".", "").strip("-0"))


def test_messy_case_becomes_two_outcomes_of_few_digits() -> None:
    claim = CLAIMS["M12a"]
    assert excess_of(claim, [MESSY])[0] > CLEAR
    small = shrink(claim, MESSY)
    assert small.instance.size == 2 and small.scheme.n == 1
    assert excess_of(claim, [small])[0] >= CLEAR
    assert claim.evaluate(*small.floats()).outcome is Outcome.REFUTED
    assert max(map(_digits, small.instance.draft + small.instance.base + small.instance.reward)) <= 2


def test_fields_are_simplified_where_the_lattice_refutes_nothing() -> None:
    """A claim that only fails for three outcomes: the stages work, and keep half of a small gap."""
    base = CLAIMS["M12a"]

    def three(f):  # the claim's own sides where three outcomes have mass, else sides that hold
        own, xp = base.sides(f), f.xp
        many = xp.sum(xp.astype(f.pi > 0.01, xp.float64), axis=-1) > 2.5
        return replace(own, rhs=xp.where(many, own.rhs, own.lhs + 1.0))

    claim = replace(base, id="three", sides=three)
    assert excess_of(claim, [MESSY])[0] > CLEAR
    small = shrink(claim, MESSY)
    assert small.instance.size == 3 and small.scheme.n == 1
    assert excess_of(claim, [small])[0] >= CLEAR
    numbers = (*small.instance.draft, *small.instance.base, *small.instance.reward, small.scheme.beta)
    assert max(map(_digits, numbers)) <= 3


def test_a_bare_refutation_and_a_true_case_come_back_unchanged() -> None:
    assert shrink(CLAIMS["M12b"], MESSY) is MESSY
    claim = replace(
        CLAIMS["M11-chi2"],
        sides=lambda f: replace(CLAIMS["M11-chi2"].sides(f), rhs=CLAIMS["M11-chi2"].sides(f).lhs * (1 - 1e-8), error=0),
    )
    assert shrink(claim, MESSY) is MESSY


def test_thresholds_stay_where_a_claim_needs_one() -> None:
    claim = CLAIMS["M7-vanishes"]
    case = ExactCase(
        ExactInstance(["0.31", "0.33", "0.36"], ["0.52", "0.17", "0.31"], ["0.3", "0.61", "0.2"]),
        ExactScheme("1.37", 7, "0.29"),
    )
    assert excess_of(claim, [case])[0] > CLEAR
    small = shrink(claim, case)
    assert small.scheme.threshold is not None and small.instance.size == 2
    assert excess_of(claim, [small])[0] >= CLEAR


@pytest.mark.parametrize("seed", range(5))
def test_result_never_depends_on_rounding_to_floats(seed: int) -> None:
    """The case as floats and as exact rationals say the same: its decimals are what is judged."""
    rng = np.random.default_rng(seed)
    policies = rng.dirichlet(np.ones(3), 2)
    case = ExactCase.of(Instance.from_probabilities(*policies, np.zeros(3)), Scheme(1.0, 2))
    small = shrink(CLAIMS["M12a"], case)
    again = ExactCase.of(*small.floats())
    assert excess_of(CLAIMS["M12a"], [again])[0] == pytest.approx(excess_of(CLAIMS["M12a"], [small])[0], abs=1e-9)
