"""Claims on regularized best-of-n (M40): the numbers THEORY.md prints, the bound on random instances against an oracle,
certificates for the readings."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import Instance, Scheme
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.claims.plain_text import plain_text
from tests.oracles import enumeration

EVEN = Instance.from_probabilities([0.5, 0.5], [0.5, 0.5], [1.0, 0.0])
HALVES = ExactInstance(("0.5", "0.5"), ("0.5", "0.5"), ("1", "0"))


@pytest.mark.parametrize(("n", "lost"), [(8, 0.13671875), (100, 0.0397946186936)])
def test_numbers_of_the_theory(n: int, lost: float) -> None:
    verdict = CLAIMS["M40-summarized"].evaluate(EVEN, Scheme(60.0, n))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.lhs == pytest.approx(lost, abs=1e-11)
    assert verdict.rhs == pytest.approx(1.0 / n, abs=1e-11)
    assert CLAIMS["M40"].evaluate(EVEN, Scheme(60.0, n)).outcome is not Outcome.REFUTED


def test_two_and_three_draws() -> None:
    """Best of two has the good outcome in 3/4 of cases, two kept of three have it in 11/16."""
    verdict = CLAIMS["M40-monotone"].evaluate(EVEN, Scheme(60.0, 2))
    assert (verdict.lhs, verdict.rhs) == (pytest.approx(0.75, abs=1e-11), pytest.approx(0.6875, abs=1e-11))


@pytest.mark.parametrize(("claim", "n"), [("M40-summarized", 8), ("M40-monotone", 2)])
def test_readings_fall_with_a_certificate(claim: str, n: int) -> None:
    certificate = certify_claim(claim, HALVES, ExactScheme("60", n))
    assert certificate.outcome is Outcome.REFUTED
    assert CLAIMS[claim].expected is Outcome.REFUTED
    assert CLAIMS[claim].origin == "reading"


def test_both_sides_are_the_oracles() -> None:
    """300 rational instances at β = 1 in e^r: P, r̂, r*, CVaR, E_2 and both sides of M40 by enumeration, 1e-12."""
    rng = np.random.default_rng(40)
    for _ in range(300):
        size, n = int(rng.integers(2, 5)), int(rng.integers(1, 6))
        draft, base = (rng.integers(1, 9, size) for _ in range(2))
        grown = [Fraction(int(v), 4) for v in rng.integers(1, 12, size)]
        mu, pb = ([Fraction(int(c), int(counts.sum())) for c in counts] for counts in (draft, base))
        z = sum(p * g for p, g in zip(pb, grown, strict=True))
        pi = [p * g / z for p, g in zip(pb, grown, strict=True)]
        w = [p / m for p, m in zip(pi, mu, strict=True)]
        law = [float(p) for p in enumeration.selection_law(mu, w, n, "regularized:2")]
        chosen = [float(v / max(w)) for v in w]
        reward = [math.log(g) for g in grown]
        osc = max(reward) - min(reward)
        true = [(r - min(reward)) / osc if osc else 0.0 for r in reward]
        missed = float(sum(max(p - 2 * m, Fraction(0)) for p, m in zip(pi, mu, strict=True)))
        left, cvar = Fraction(1, 2), 0.0
        for y in sorted(range(size), key=lambda y: w[y], reverse=True):
            cvar, left = cvar + 2.0 * float(min(left, mu[y])) * chosen[y], left - min(left, mu[y])
        off = sum(float(m) * abs(a - b) for m, a, b in zip(mu, chosen, true, strict=True))
        lost = sum((float(p) - q) * r for p, q, r in zip(pi, law, true, strict=True))
        rest = cvar - sum(q * c for q, c in zip(law, chosen, strict=True))
        instance = Instance.from_probabilities([float(m) for m in mu], [float(p) for p in pb], reward)
        verdict = CLAIMS["M40"].evaluate(instance, Scheme(1.0, n))
        assert verdict.lhs == pytest.approx(lost, abs=1e-12)
        assert verdict.rhs == pytest.approx(missed + 2.0 * off + rest, abs=1e-12)
        assert CLAIMS["M40-gap"].evaluate(instance, Scheme(1.0, n)).lhs == pytest.approx(rest, abs=1e-12)
        for name in ("M40", "M40-gap", "M40-drawn"):
            assert CLAIMS[name].evaluate(instance, Scheme(1.0, n)).outcome is not Outcome.REFUTED


def test_statement_shows_hats() -> None:
    assert "r̂ = w/C" in plain_text(CLAIMS["M40"].statement)
