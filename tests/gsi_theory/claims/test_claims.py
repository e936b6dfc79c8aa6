"""Claims: every one is a property over random instances; planted wrong claims are refuted; pinned hard cases."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from gsi_theory import Instance, Scheme
from gsi_theory.certified.ball_facts import BallFacts
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Claim, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.claims.softmax_bounds import asked_drafts, kl_chi2
from gsi_theory.errors import InputError
from gsi_theory.refutation.cases import judgments
from gsi_theory.testing import check_claim, instances, schemes

TRUE_CLAIMS = [c for c in CLAIMS.values() if c.expected is Outcome.HOLDS]


@pytest.mark.parametrize("claim", [c for c in TRUE_CLAIMS if c.relation == "<="], ids=lambda c: c.id)
@given(instance=instances(low=-1.0, high=2.0, smallest_log=-30.0, zeros=True), scheme=schemes())
def test_true_inequalities_are_never_refuted(claim, instance, scheme) -> None:
    check_claim(claim, instance, scheme)


@pytest.mark.parametrize("claim", [c for c in TRUE_CLAIMS if c.relation == "="], ids=lambda c: c.id)
@given(instance=instances(max_size=4, smallest_log=-6.0), scheme=schemes(largest_beta=5.0, gated=True))
@settings(max_examples=25)
def test_true_limits_are_never_refuted(claim, instance, scheme) -> None:
    check_claim(claim, instance, scheme)


def test_check_claim_says_what_fails() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.9, 0.1], [0.0, 0.0])
    assert check_claim("M11-mean", instance, Scheme(1.0, 4)).outcome is Outcome.HOLDS
    with pytest.raises(AssertionError, match=r"M12a is refuted: .*0\.368.* > 0\.0"):
        check_claim("M12a", instance, Scheme(1.0, 1))


def test_table_of_claims() -> None:
    """Ids begin with their formula; a reading that fails is certified, a claim without a twin says what is lost."""
    for key, claim in CLAIMS.items():
        assert key == claim.id and re.fullmatch(r"M\d+", claim.formula) and claim.statement
        assert key.startswith(claim.formula) and claim.source != Claim.source
        assert claim.relation in ("<=", "=") and (claim.expected is Outcome.HOLDS or not claim.first_hand)
        assert claim.certifiable == (not claim.uncertified), f"{key}: a twin in balls, or what is lost without one"
        assert claim.certifiable or claim.expected is Outcome.HOLDS, f"{key} has no certificate"


def test_importing_claims_does_not_import_balls() -> None:
    """python-flint is for certificates alone: the claims, `gsi --help` and `gsi law` start without it."""
    modules = "gsi_theory.cli, gsi_theory.claims, gsi_theory.testing, gsi_theory.runs.command_law"
    code = f"import sys, {modules}; sys.exit('flint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_true_claim_holds_somewhere() -> None:
    """Support must be visible: a claim that is only ever vacuous or undecided here would be an empty test.

    At n = 200 the race rule is exponentially close to the tilted policy and its claims are within rounding: n = 4 too.
    The score gate is exact at u = 2, Transfer Q* says something at small β, and the league needs many candidates.
    """
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.3, 0.32, 0.38], [0.1, 0.9, 0.4])
    cases = ((1.0, 4, 0.5), (1.0, 200, 0.5), (1.0, 4, 2.0), (0.1, 4, 0.5), (8.0, 2, 0.5), (20.0, 256, 0.6))
    for claim in TRUE_CLAIMS:
        outcomes = {claim.evaluate(instance, Scheme(*case)).outcome for case in cases}
        assert Outcome.HOLDS in outcomes, claim.id


@pytest.mark.parametrize(
    ("claim", "instance", "scheme"),
    [
        # Found by the strategies: a denormal spread of rewards, and weight zero on mass near one at large n.
        ("M13-sinh", Instance.from_probabilities([0.5, 0.5], [0.5, 0.5], [0.0, 1.4e-45]), Scheme(1.0, 1)),
        ("M17-tv", Instance([-4.59654759e-10, -21.5005453], [-np.inf, 0.0], [0.0, 0.0]), Scheme(0.0, 186)),
        ("M17-tv", Instance([-4.59654759e-10, -21.5005453], [-np.inf, 0.0], [0.0, 0.0]), Scheme(0.0, 10**9)),
    ],
)
def test_pinned_cases_are_not_refuted(claim: str, instance: Instance, scheme: Scheme) -> None:
    assert CLAIMS[claim].evaluate(instance, scheme).outcome is not Outcome.REFUTED


def test_reading_a_is_refuted_at_zero_reward() -> None:
    """(M12 a): with r = 0 it asks nothing of n, yet one draw from the draft is the draft."""
    instance = Instance.from_probabilities([0.5, 0.5], [0.9, 0.1], [0.0, 0.0])
    verdict = CLAIMS["M12a"].evaluate(instance, Scheme(1.0, 1))
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.rhs == 0.0
    assert verdict.lhs == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))


def test_signed_reading_is_refuted_by_two_outcomes() -> None:
    """(M12 c): rewards ±1, the good outcome rare in the base and rarer still in the draft."""
    instance = Instance.from_probabilities([3e-7, 1 - 3e-7], [5e-4, 1 - 5e-4], [1.0, -1.0])
    signed = CLAIMS["M12c"].evaluate(instance, Scheme(5.0, 1))
    assert signed.outcome is Outcome.REFUTED, signed
    assert CLAIMS["M12-osc"].evaluate(instance, Scheme(5.0, 1)).outcome is not Outcome.REFUTED
    assert CLAIMS["M12b"].evaluate(instance, Scheme(5.0, 1)).outcome is Outcome.NOT_APPLICABLE


def test_gate_bias_refutes_convergence_to_the_tilt() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.5, 0.5], [0.0, 1.0])
    verdict = CLAIMS["M7-vanishes"].evaluate(instance, Scheme(1.0, 4, 0.5))
    a = math.e / (1 + math.e)
    assert verdict.outcome is Outcome.REFUTED
    assert verdict.lhs == pytest.approx(a * (1 - a), abs=1e-5)


def sharper(facts: Facts) -> Sides:
    """A planted wrong claim: (M11) with 2n in place of n."""
    sides = kl_chi2(facts)
    return dataclasses.replace(sides, rhs=np.log1p(facts.chi2 / (2 * facts.n)))


def test_both_sides_equal_their_proved_enclosures() -> None:
    """Every inequality on random fractions, n_base ≠ n, one batch per rule: within 1e-12 of ball arithmetic.

    The enclosures are another implementation, itself checked against 60-digit enumeration (test_certify).
    """
    rng, seen = np.random.default_rng(42), set()
    for rule in ("softmax", "race", "max"):
        rows = []
        for trial in range(6):
            counts = rng.integers(1, 12, (2, 3))
            draft, base = ([Fraction(int(c), int(row.sum())) for c in row] for row in counts)
            reward = [Fraction(int(v), 4) for v in rng.integers(-3 * int(rng.integers(2)), 5, 3)]
            beta, n, n_base = Fraction(int(rng.integers(1, 12)), 4), int(rng.integers(1, 6)), int(rng.integers(1, 6))
            # Eighths that no reward has, so that no tilted reward is the threshold.
            cut = None if trial == 0 else Fraction(2 * int(rng.integers(-2, 4)) + 1, 8)
            rows.append((ExactInstance(draft, base, reward), ExactScheme(beta, n, cut, rule, n_base)))
        floats = [
            (
                Instance.from_probabilities(*(np.array(p, dtype=float) for p in (x.draft, x.base, x.reward))),
                Scheme(float(s.beta), s.n, None if s.threshold is None else float(s.threshold), rule, s.n_base),
            )
            for x, s in rows
        ]
        claims = {k: c for k, c in CLAIMS.items() if c.relation == "<=" and c.certifiable}
        found = judgments(claims, floats)
        for key in claims:
            for i, (instance, scheme) in enumerate(rows):
                truth, got = certify_claim(key, instance, scheme), {k: v[i] for k, v in found[key].items()}
                assert (truth.outcome is Outcome.NOT_APPLICABLE) == (not got["applies"]), (key, i)
                if got["applies"]:
                    seen.add(key)
                    for name, enclosure in (("lhs", truth.lhs), ("rhs", truth.rhs)):
                        # An infimum over a grid of 512 M lies above the true one, by the square of its step at most.
                        above = 1e-4 if (key, name) == ("M17-tail", "rhs") else 0.0
                        gap, rounding = got[name] - enclosure.mid, 1e-12 * (1.0 + abs(enclosure.mid))
                        assert -rounding <= gap <= rounding + above, (key, i, name, got, enclosure)
    assert seen == set(claims)


def test_rewards_beyond_all_reason_warn_nowhere() -> None:
    """v = ∞ − ∞ in (M14), an infinite error in (M9): warnings are errors here."""
    draft, base = np.array([-7199.0, -2740.0, 0.0]), np.log([0.3, 0.3, 0.4])
    for reward in ([-1e100, 1e100, 3e99], [1e100, -1e100, 3e99], [1e100, 1e100, -1e100]):
        for claim in ("M14-signed", "M14", "M12-reward"):
            if claim in CLAIMS:
                verdict = CLAIMS[claim].evaluate(Instance(draft, base, np.array(reward)), Scheme(1e-300, 3))
                assert verdict.lhs is None or not math.isnan(verdict.lhs + (verdict.error or 0.0))
    far = Instance(np.log([0.4, 0.6]), np.log([0.6, 0.4]), np.array([5.3e99, -2.3e100]))
    with pytest.raises(InputError, match=r"within ±1e\+12 nats"):
        CLAIMS["M9-reject"].evaluate(far, Scheme(5.0, 10, -2.3e100, "race", gate="score"))


def test_planted_wrong_claim_is_refuted() -> None:
    planted = dataclasses.replace(CLAIMS["M11-chi2"], sides=sharper, balls=None)
    rng = np.random.default_rng(41)
    outcomes = set()
    for _ in range(200):
        draft, base = rng.dirichlet(np.ones(2)), rng.dirichlet(np.ones(2))
        instance = Instance.from_probabilities(draft, base, rng.uniform(0, 1, 2))
        outcomes.add(planted.evaluate(instance, Scheme(1.0, 1)).outcome)
    assert Outcome.REFUTED in outcomes


def test_a_bias_bound_below_two_is_not_vacuous() -> None:
    """Draft (2/3, 1/3), base uniform: 1 + χ² = 9/8, and two means within [-1, 1] differ by 2 at most."""
    instance = Instance.from_probabilities([2 / 3, 1 / 3], [0.5, 0.5], [0.0, 0.0])
    below, beyond = (CLAIMS["M27-sharp"].evaluate(instance, Scheme(0.0, n)) for n in (2, 1))
    assert below.rhs == pytest.approx(9 / 8) and below.outcome is Outcome.HOLDS
    assert beyond.rhs == pytest.approx(9 / 4) and beyond.outcome is Outcome.VACUOUS


def test_uncovered_base_makes_bounds_not_applicable() -> None:
    instance = Instance.from_probabilities([1.0, 0.0], [0.5, 0.5], [0.0, 1.0])
    assert Facts.of(instance, Scheme(1.0, 4)).chi2 == np.inf
    verdict = CLAIMS["M11-chi2"].evaluate(instance, Scheme(1.0, 4))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "covers" in verdict.reason


def test_theorem_asks_for_astronomic_n_at_beta_twenty() -> None:
    """(M12 b) at β = 20, r in [0, 1]: the order of 10^17, whatever the pair."""
    instance = Instance.from_probabilities([0.5, 0.5], [0.6, 0.4], [0.0, 1.0])
    facts = Facts.of(instance, Scheme(20.0, 4))
    assert 17 <= asked_drafts(facts, "b", 0.1) / np.log(10) <= 19
    assert asked_drafts(facts, "instance", 0.1) < np.log(100)


def test_assumptions_say_the_same_in_floats_and_in_balls() -> None:
    """The assumptions of every claim, in their order up to the first that fails, on random fractions: thresholds that
    split and that do not, ±∞ and none; rewards of one sign and of both; drafts that miss base mass; equal weights."""
    answers: dict[str, set[bool]] = {a.name: set() for claim in CLAIMS.values() for a in claim.assumptions}
    rng = np.random.default_rng(43)
    for trial in range(120):
        counts = rng.integers(0 if trial % 4 == 0 else 1, 8, (2, 3)) + np.eye(2, 3, dtype=int)
        counts[1] = counts[0] if trial % 5 == 0 else counts[1]
        draft, base = ([Fraction(int(c), int(row.sum())) for c in row] for row in counts)
        reward = [Fraction(int(v), 4) for v in rng.integers(-4, 5, 3)] if trial % 3 else [Fraction(1, 4)] * 3
        # eighths that no reward has, so that no tilted reward is the threshold
        cut = (None, np.inf, -np.inf, *(Fraction(2 * int(v) + 1, 8) for v in rng.integers(-5, 40, 3)))[trial % 6]
        cut = Fraction(10**151) if trial % 31 == 30 else cut
        rule, gate = (("softmax", "tilted_reward"), ("race", "score"), ("max", "tilted_reward"))[trial % 7 % 3]
        n, n_base = (2**52, 2**53) if trial % 8 == 0 else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        if trial % 10 == 7:  # one draft, and a heavy weight where the reward is negative: n + v < 1
            draft, base, n = (
                [Fraction(1, 50), Fraction(24, 50), Fraction(25, 50)],
                [Fraction(1, 2), *[Fraction(1, 4)] * 2],
                1,
            )
            reward = [Fraction(-1, 4), Fraction(1, 2), Fraction(1, 2)]
        beta = (
            Fraction(0) if trial % 24 == 6 else Fraction(7, 4)
        )  # without a threshold: at 0 tilted rewards are infinite
        instance, scheme = ExactInstance(draft, base, reward), ExactScheme(beta, n, cut, rule, n_base, gate)
        facts, balls = Facts.of(instance.to_instance(), scheme.to_scheme()), BallFacts(instance, scheme)
        for claim in CLAIMS.values():
            for assumption in claim.assumptions:
                with balls.precision():
                    exact = assumption.balls(balls)
                assert bool(assumption.holds(facts)) == exact, (claim.id, assumption.name, trial, instance, scheme)
                answers[assumption.name].add(exact)
                if not exact:
                    break
    # an exact scheme has whole numbers only
    assert {name for name, said in answers.items() if len(said) == 1} == {"whole numbers of draws"}
