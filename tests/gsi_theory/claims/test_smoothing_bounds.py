"""Claims on proxy and gold reward: floats and balls agree on hostile instances, readings fall, slips are refuted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gsi_theory import Instance, Scheme
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Outcome, smoothing_bounds
from gsi_theory.claims.claim import Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from tests.gsi_theory.test_hostile import hostile


def test_floats_agree_with_balls_on_hostile_instances() -> None:
    """β to 1e6, masses to e^-690, n to 1e9: no true claim refuted, no two verdicts opposed, sides within the error."""
    decided = 0
    for trial in range(40):
        instance, scheme = hostile(np.random.default_rng([89, trial]))
        exact = ExactInstance.near(instance)
        for claim in smoothing_bounds.TABLE:
            certified, found = certify_claim(claim, exact, scheme), claim.evaluate(exact.to_instance(), scheme)
            told = (trial, claim.id, certified, found)
            assert certified.outcome is not Outcome.REFUTED or claim.expected is Outcome.REFUTED, told
            assert {certified.outcome, found.outcome} != {Outcome.HOLDS, Outcome.REFUTED}, told
            if found.lhs is None or certified.lhs is None or not np.isfinite([found.lhs, found.rhs]).all():
                continue
            exact_gap = float(certified.rhs.mid) - float(certified.lhs.mid)
            assert found.rhs > 1e290 or abs(exact_gap - (found.rhs - found.lhs)) <= found.error, told
            decided += 1
    assert decided > 30


def test_the_printed_form_fails_for_wider_rewards_and_holds_for_narrow_ones() -> None:
    """Rewards in [-2, 2], β = 4, n = 10⁹: a rare outcome that gold likes breaks the form for osc 1."""
    ours, printed = CLAIMS["M43-kl"], CLAIMS["M43-kl-printed"]
    rng, worst = np.random.default_rng(4301), 0.0
    for _ in range(400):
        size = int(rng.integers(2, 4))
        mass, proxy, gold = rng.dirichlet(np.full(size, 0.1)) + 1e-6, rng.uniform(-2, 2, size), rng.uniform(-2, 2, size)
        mass /= mass.sum()
        base = mass * np.exp(4 * (gold - proxy))
        instance = Instance.from_probabilities(mass, base / base.sum(), proxy)
        scheme = Scheme(4.0, int(rng.choice([2, 50, 10**9])))
        assert ours.evaluate(instance, scheme).outcome is not Outcome.REFUTED
        verdict = printed.evaluate(instance, scheme)
        if verdict.outcome is Outcome.REFUTED:
            worst = max(worst, float(verdict.lhs or 0.0) / float(verdict.rhs or 1.0))
    assert worst > 2.0


def test_the_best_outcome_is_no_comparator_at_the_tilts_coverage() -> None:
    even = ExactInstance(["1/2", "1/2"], ["1/2", "1/2"], [0, 1])
    assert certify_claim("M43-regret-argmax", even, ExactScheme("1/10", 1000)).outcome is Outcome.REFUTED
    assert certify_claim("M43-regret", even, ExactScheme("1/10", 1000)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("name, slip", [
    ("M43-kl", lambda s, f: s.rhs / f.n),  # the number of draws forgotten
    ("M43-kl", lambda s, f: s.rhs * (1.0 + (f.n - 1.0) * f.xp.exp(-f.beta)) / f.n),  # n in place of n/(1 + …)
    ("M43-regret", lambda s, f: s.rhs - f.xp.log1p(f.chi2)),  # the comparator's coverage forgotten
])  # fmt: skip
def test_slips_are_refuted(name: str, slip) -> None:
    claim = CLAIMS[name]

    def sides(f: Facts) -> Sides:
        made = claim.sides(f)
        return dataclasses.replace(made, rhs=slip(made, f))

    wrong = Claim(name, claim.statement, sides, uncertified="planted", assumptions=claim.assumptions, source="planted")
    rng, fallen = np.random.default_rng(4302), 0
    for trial in range(600):
        rare = float(10.0 ** rng.uniform(-4, -0.3))
        other = float(10.0 ** rng.uniform(-4, -0.05)) if trial % 2 else rare
        reward = np.array([0.0, rng.uniform(-1, 1)])
        instance = Instance.from_probabilities([1 - rare, rare], [1 - other, other], reward)
        scheme = Scheme(float(rng.choice([0.0, 0.1, 1.0, 8.0])), int(rng.choice([1, 4, 64, 10**6])))
        assert claim.evaluate(instance, scheme).outcome is not Outcome.REFUTED
        fallen += wrong.evaluate(instance, scheme).outcome is Outcome.REFUTED
    assert fallen > 0


def test_without_a_tilt_there_is_no_gold_reward_to_judge_the_paper_by() -> None:
    """Equal rewards at β = 0: the sides differ by ℓ alone, and no reading is refuted there."""
    instance, exact = Instance.from_probabilities([0.5, 0.5], [0.9, 0.1], [0.0, 0.0]), ExactScheme(0, 2**50)
    for key in ("M43-kl-unit", "M43-kl-printed", "M43-regret-argmax"):
        assert CLAIMS[key].evaluate(instance, Scheme(0.0, 2**50)).outcome is Outcome.NOT_APPLICABLE
        assert certify_claim(key, ExactInstance.near(instance), exact).outcome is Outcome.NOT_APPLICABLE
