"""Claims on stopping: floats and balls agree on hostile instances, readings fall to pinned cases, slips are refuted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gsi_theory import Instance, Scheme
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Outcome, stopping_bounds
from gsi_theory.claims.claim import Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from tests.gsi_theory.test_hostile import hostile

CERTIFIED = [c for c in stopping_bounds.TABLE if c.certifiable]


def test_floats_agree_with_balls_on_hostile_instances() -> None:
    """β to 1e6, masses to e^-690, zeros, n to 1e9, every gate: no true claim refuted, no two verdicts opposed, and the
    sides within the stated error of each other."""
    decided = 0
    for trial in range(40):
        instance, scheme = hostile(np.random.default_rng([88, trial]))
        exact = ExactInstance.near(instance)
        for claim in CERTIFIED:
            certified, found = certify_claim(claim, exact, scheme), claim.evaluate(exact.to_instance(), scheme)
            told = (trial, claim.id, certified, found)
            assert certified.outcome is not Outcome.REFUTED or claim.expected is Outcome.REFUTED, told
            assert {certified.outcome, found.outcome} != {Outcome.HOLDS, Outcome.REFUTED}, told
            if found.lhs is None or certified.lhs is None or not np.isfinite([found.lhs, found.rhs]).all():
                continue
            apart = (float(certified.rhs.mid) - float(certified.lhs.mid)) - (found.rhs - found.lhs)
            assert abs(apart) <= found.error, told
            decided += 1
    assert decided > 60


def test_readings_fall_where_they_must() -> None:
    """One draw in two is good, n = 2: best-of-2 has 3/4, stopping 1; uniform rewards at best-of-2's KL: 2/3 > 0.588."""
    half = ExactInstance(["1/2", "1/2"], ["1/2", "1/2"], [0, 1])
    gain = certify_claim("M38-no-gain", half, ExactScheme(1, 2))
    assert gain.outcome is Outcome.REFUTED and gain.lhs.contains(1) and gain.rhs.contains("0.75")
    even = [f"1/{64}"] * 64
    flat = certify_claim("M38-equal-kl", ExactInstance(even, even, [f"{k}/63" for k in range(64)]), ExactScheme(1, 2))
    assert flat.outcome is Outcome.REFUTED
    assert float(flat.lhs.mid) == pytest.approx(2 / 3, abs=0.01) and float(flat.rhs.mid) == pytest.approx(
        0.588, abs=0.01
    )


@pytest.mark.parametrize("name, slip", [
    ("M38-reservation", lambda s, f: dataclasses.replace(s, rhs=s.rhs - f.xp.vecdot(f.xp.exp(f.log_draft), f.xp.clip(
        f.reward - f.threshold[..., None], 0.0, None), axis=-1))),  # n - 1 draws are paid
    ("M38-capped", lambda s, f: dataclasses.replace(s, rhs=0.97 * s.rhs)),
    ("M36-nearest", lambda s, f: dataclasses.replace(s, lhs=1.03 * s.lhs)),
])  # fmt: skip
def test_slips_are_refuted(name: str, slip) -> None:
    """A constant a little too small, or a draw that is not paid, does not pass random cases that the claim passes."""
    claim = CLAIMS[name]

    def sides(f: Facts) -> Sides:
        return slip(claim.sides(f), f)

    wrong = Claim(name, claim.statement, sides, uncertified="planted", assumptions=claim.assumptions, source="planted")
    rng, fallen = np.random.default_rng(3630), 0
    for trial in range(400):
        good = np.array([0.0, 1.0]) if trial % 2 else rng.random(2)
        rare = float(rng.uniform(0.02, 0.6))
        n = max(round(1 / rare), 2) if trial % 4 == 1 else int(rng.integers(2, 12))
        instance = Instance.from_probabilities([1 - rare, rare], [1 - rare, rare], good)
        scheme = Scheme(float(rng.choice([0.0, 1.0, 30.0])), n, float(rng.random()), "max")
        assert claim.evaluate(instance, scheme).outcome is not Outcome.REFUTED
        fallen += wrong.evaluate(instance, scheme).outcome is Outcome.REFUTED
    assert fallen > 0


def test_the_law_of_the_limit_is_among_the_cases() -> None:
    """Batches with short rows and zeros are judged without NaN."""
    log = np.log(np.array([[0.5, 0.5, 1e-300], [0.2, 0.3, 0.5]]))
    log[0, 2] = -np.inf
    facts = Facts.batch(
        log, log, np.array([[0.0, 1.0, 5.0], [1.0, 1.0, 1.0]]), np.array([1.0, 0.0]), np.array([1, 10**9]), 0.5
    )
    for claim in stopping_bounds.TABLE:
        judged = claim.judge(facts)
        assert not any(np.isnan(np.asarray(x)).any() for x in (judged.lhs, judged.rhs, judged.slack, judged.error))
