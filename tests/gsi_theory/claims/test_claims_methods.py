"""Sides of the claims on other methods against slow oracles: mpmath sums, Fractions, and the tree of steps."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from gsi_theory import Instance, Scheme
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance
from gsi_theory.claims import CLAIMS, OUTCOMES, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.poisson_bounds import poisson_gap_value
from gsi_theory.instance import tilted_policy
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.steps.soft_value import sequence_tilt, tilt_gap, value_tilt
from gsi_theory.steps.stepwise import chain_rule, trajectory_law
from gsi_theory.steps.tree import Tree
from tests.oracles import enumeration

SMALL = Instance.from_probabilities([0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.1, 0.9, 0.4])


def random_instance(seed: int, low: float = -1.0) -> Instance:
    rng = np.random.default_rng([61, seed])
    return Instance.from_probabilities(*rng.dirichlet(np.ones(3), 2), rng.uniform(low, 1.0, 3))


def two_steps(instance: Instance) -> Tree:
    """The tree that step_bounds.py judges."""
    scale = np.max(np.abs(instance.reward))

    def at(prefix):
        if len(prefix) == 2:
            return None
        factor = 1.0 if not prefix else instance.reward[prefix[0]] / scale
        return Instance(instance.log_draft, instance.log_base, factor * instance.reward)

    return Tree.grow(at)


@pytest.mark.parametrize("seed", range(6))
def test_stepwise_claims_are_those_of_the_tree(seed: int) -> None:
    instance, scheme = random_instance(seed), Scheme(1.7, 3)
    tree, beta = two_steps(instance), 1.7
    gap = tilt_gap(tree, beta)

    def sides(key: str) -> tuple[float, float]:
        verdict = CLAIMS[key].evaluate(instance, scheme)
        return verdict.lhs, verdict.rhs

    assert sides("M29-stepwise")[0] == pytest.approx(gap.tv, abs=1e-12)
    for side in sides("M29-gap"):
        assert side == pytest.approx(gap.kl_sequence, abs=1e-12)
    assert sides("M29-oscillation")[0] == pytest.approx(gap.kl_sequence, abs=1e-12)
    tilt = trajectory_law(tree, lambda node: tilted_policy(node, beta))
    method = trajectory_law(tree, lambda node: gsi_law(node, scheme))
    rule = chain_rule(tilt, method)
    for side in sides("M28-kl"):
        assert side == pytest.approx(rule.kl[-1], abs=1e-12)
    assert sides("M28-tv") == pytest.approx((rule.tv[-1], np.sum(rule.tv_step)), abs=1e-12)
    rho = sequence_tilt(tree, beta)
    alg, star = value_tilt(rho, beta), sequence_tilt(tree, 2 * beta)
    lhs = beta * (star.expected_reward - alg.expected_reward)
    assert sides("M26-reward")[0] == pytest.approx(lhs, abs=1e-12)
    unsigned = random_instance(seed, 0.0)
    tree = two_steps(unsigned)
    alg, base = value_tilt(sequence_tilt(tree, beta), beta), trajectory_law(tree, lambda node: node.log_base)
    found = CLAIMS["M26-ratio"].evaluate(unsigned, scheme)
    assert found.lhs == pytest.approx(np.max(alg.log_prob - base.log_prob), abs=1e-12)
    assert found.rhs == pytest.approx(3 * beta * np.max(tree.total_reward), abs=1e-12)


def test_transfer_bound_does_not_grow_with_the_depth() -> None:
    """(M26), sharper: (β + α) R_max at depth 4, where the published form has (β + 4α) R_max."""
    rng = np.random.default_rng(62)

    def at(prefix):
        if len(prefix) == 4:
            return None
        return Instance.from_probabilities(*rng.dirichlet(np.ones(2), 2), rng.uniform(0, 1, 2))

    for beta in (0.5, 3.0, 20.0):
        tree = Tree.grow(at)
        alg = value_tilt(sequence_tilt(tree, beta), 2 * beta)
        base = trajectory_law(tree, lambda node: node.log_base)
        assert np.max(alg.log_prob - base.log_prob) <= 3 * beta * np.max(tree.total_reward) + 1e-9


def poisson_gap_mp(m) -> object:
    """KL(best-of-Poisson‖tilt of equal mean) by quadrature in mpmath."""

    def density(x):
        return (1 + m * x) * mpmath.exp(m * (x - 1))

    cuts = [0, max(0, 1 - 60 / m), max(0, 1 - 6 / m), 1]
    mean = mpmath.quad(lambda x: x * density(x), cuts)
    tilt = mpmath.findroot(lambda t: 1 / (1 - mpmath.exp(-t)) - 1 / t - mean, 1 / (1 - mean))
    log_top = mpmath.log(tilt / (1 - mpmath.exp(-tilt)))
    return mpmath.quad(lambda x: density(x) * (mpmath.log(density(x)) - log_top + tilt * (1 - x)), cuts)


def test_best_of_poisson_gap_against_quadrature() -> None:
    """(M23): 30 digits; its largest value is 6.75e-4."""
    with mpmath.workdps(30):
        for m in (0.01, 1, 7.3, 99, 1e4):
            assert float(poisson_gap_value(np.array(m))) == pytest.approx(float(poisson_gap_mp(m)), abs=1e-11)
    grid = poisson_gap_value(np.exp(np.linspace(np.log(1e-3), np.log(1e9), 4000)))
    assert 6.7e-4 < grid.max() < 6.8e-4
    assert poisson_gap_value(np.array(0.0)) <= 1e-11


def test_poisson_number_of_drafts_is_the_mixture() -> None:
    """(M24): KL(π‖law) with the law summed over N in 40 digits."""
    beta, m = 1.5, 4
    with mpmath.workdps(40):
        draft, base = ([mpmath.exp(v) for v in row] for row in (SMALL.log_draft, SMALL.log_base))
        tilt = [b * mpmath.exp(beta * r) for b, r in zip(base, SMALL.reward, strict=True)]
        pi = [t / sum(tilt) for t in tilt]
        law = [mpmath.mpf(0)] * 3
        logs = [mpmath.log(p / s) for p, s in zip(pi, draft, strict=True)]
        for n in range(1, 12):
            mass = mpmath.exp(-m) * mpmath.mpf(m) ** n / mpmath.factorial(n)
            part = enumeration.selection_law_mp([mpmath.log(s) for s in draft], logs, n, "softmax")
            law = [a + mass * b for a, b in zip(law, part, strict=True)]
        # The rest of the Poisson mass, 9e-4, is bounded by what it can move.
        short = 1 - mpmath.exp(-m) - sum(law)
        low = [a / (1 - mpmath.exp(-m)) for a in law]
        high = [(a + short) / (1 - mpmath.exp(-m)) for a in law]
        bounds = [sum(p * mpmath.log(p / q) for p, q in zip(pi, side, strict=True)) for side in (high, low)]
    found = CLAIMS["M24"].evaluate(SMALL, Scheme(beta, m)).lhs
    assert float(bounds[0]) <= found <= float(bounds[1])
    chi2 = float(sum(p * p / s for p, s in zip(pi, draft, strict=True)) - 1)
    assert CLAIMS["M24"].evaluate(SMALL, Scheme(beta, m)).rhs == pytest.approx(np.log1p((1 + chi2) / m), abs=1e-14)


def test_rejection_methods_in_fractions() -> None:
    """(M21), (M22) on rational policies and rewards: both sides of the identities and the gains."""
    draft, base = [Fraction(v, 10) for v in (5, 3, 2)], [Fraction(v, 10) for v in (2, 3, 5)]
    reward = [Fraction(v, 4) for v in (1, 4, 2)]
    instance = Instance.from_probabilities(*(np.array(v, dtype=float) for v in (draft, base, reward)))
    mean = sum(b * r for b, r in zip(base, reward, strict=True))
    gain = sum(s * (r - mean) for s, r in zip(draft, reward, strict=True) if r >= Fraction(3, 8))
    found = CLAIMS["M21-gain-always"].evaluate(instance, Scheme(2.0, 3, 0.375))
    assert found.rhs == pytest.approx(float(gain), abs=1e-15)
    identity = CLAIMS["M21-reward"].evaluate(instance, Scheme(2.0, 3, 0.375))
    omega = 1 / (1 + np.exp(-2.0 * (instance.reward - 0.375)))
    mass, other = np.exp(instance.log_draft), np.exp(instance.log_base)
    law = omega * mass + (1 - omega @ mass) * other
    assert identity.outcome is Outcome.HOLDS and identity.lhs == pytest.approx(law @ instance.reward - 0.25, abs=1e-15)
    accept = CLAIMS["M22-accept"].evaluate(instance, Scheme(1.0, 1))
    assert accept.rhs == pytest.approx(0.7, abs=1e-15) and accept.lhs == pytest.approx(0.7, abs=1e-15)
    assert CLAIMS["M22-law"].evaluate(instance, Scheme(1.0, 1)).lhs <= 1e-16


def test_fixed_allocation_bounds_in_fractions() -> None:
    """(M20) at β = 0, where all weights are rational: e_j, χ², and the three right sides in their order."""
    draft, base = [Fraction(v, 10) for v in (5, 3, 2)], [Fraction(v, 10) for v in (2, 3, 5)]
    instance = Instance.from_probabilities(*(np.array(v, dtype=float) for v in (draft, base)), np.zeros(3))
    n, other = 3, 2
    mix = [(n * s + other * b) / Fraction(n + other) for s, b in zip(draft, base, strict=True)]
    w = [b / m for b, m in zip(base, mix, strict=True)]
    chi2 = sum(b * x for b, x in zip(base, w, strict=True)) - 1
    e = [sum(p * x for p, x in zip(policy, w, strict=True)) for policy in (draft, base)]
    assert sum(c * x for c, x in zip((n, other), e, strict=True)) == n + other
    kept = {"fixed": min(e), "fixed-chi2": Fraction(1), "fixed-squares": (n * e[0] ** 2 + other * e[1] ** 2) / 5}
    assert kept["fixed"] < kept["fixed-chi2"] < kept["fixed-squares"] <= 1 + chi2
    for key, off in kept.items():
        found = CLAIMS[f"M20-{key}"].evaluate(instance, Scheme(0.0, n, n_base=other))
        assert found.rhs == pytest.approx(float(np.log1p(float((1 + chi2 - off) / 5))), abs=1e-14)
        assert found.outcome is Outcome.HOLDS


def test_score_gate_identities() -> None:
    """(M9): with M ≥ C exactly π; P(reject) as a power; the whole law of THEORY's example is 7/192 away at M = 1."""
    half = Instance.from_probabilities([0.5, 0.5], [0.25, 0.75], [0.0, 0.0])
    high = Scheme(1.0, 2, float(np.log(2.0)), "race")
    assert CLAIMS["M9-exact"].evaluate(half, high).outcome is Outcome.HOLDS
    assert CLAIMS["M9-exact"].evaluate(half, Scheme(1.0, 2, 0.0, "race")).outcome is Outcome.NOT_APPLICABLE
    # A(1/2) = ½(1 - ¼) + ½(1 - ¾) = ½, squared
    assert CLAIMS["M9-reject"].evaluate(half, high).rhs == pytest.approx(0.25, abs=1e-14)
    assert CLAIMS["M9-reject"].evaluate(half, high).lhs == pytest.approx(0.25, abs=1e-14)
    low = CLAIMS["M9-accepted"].evaluate(half, Scheme(1.0, 2, 0.0, "race"))
    assert low.outcome is Outcome.HOLDS and low.rhs == pytest.approx(0.25, abs=1e-14)
    assert CLAIMS["M9-unbiased"].evaluate(half, Scheme(1.0, 2, 0.0, "race")).outcome is Outcome.REFUTED


PLANTED = {
    # id: (what the wrong claim makes of lhs and rhs)
    "M8": lambda lhs, rhs: (lhs, rhs / 2),
    "M10-tv": lambda lhs, rhs: (lhs, rhs * 0.9),
    "M15-max": lambda lhs, rhs: (lhs, rhs * 0.9),
    "M16": lambda lhs, rhs: (lhs, rhs - 0.1),
    "M16-win": lambda lhs, rhs: (lhs, rhs * 0.95),
    "M19-hockey": lambda lhs, rhs: (lhs, rhs * 0.5),
    "M20-chi2": lambda lhs, rhs: (lhs, rhs - 0.7),
    "M21-step": lambda lhs, rhs: (lhs, 0.8 * rhs),
    "M26-sharp": lambda lhs, rhs: (lhs, 0.5 * rhs),
    "M27-sharp": lambda lhs, rhs: (lhs, 0.5 * rhs),
    "M17-tv-minimax": lambda lhs, rhs: (lhs, rhs * 0.9),
    "M17-dominance-chi2": lambda lhs, rhs: (rhs, lhs),
    "M17-decreasing-tv": lambda lhs, rhs: (rhs, lhs),
}


@pytest.mark.parametrize("key", list(PLANTED))
def test_planted_wrong_claims_are_refuted(key: str) -> None:
    """A missing factor, a swapped side: 4 000 random rows refute each, and never the claim itself."""
    rng = np.random.default_rng(63)
    draft, base = rng.dirichlet(np.full(3, 0.5), (2, 4000)) + 1e-12
    reward = rng.uniform(0, 1, (4000, 3))
    beta, n = np.exp(rng.uniform(-1, 3, 4000)), np.floor(np.exp(rng.uniform(0, 4, 4000)))
    given = np.log(draft / draft.sum(-1, keepdims=True)), np.log(base / base.sum(-1, keepdims=True)), reward
    facts = Facts.batch(*given, beta, n, rng.uniform(0, 1, 4000))
    claim = CLAIMS[key]

    def wrong(f: Facts):
        sides = claim.sides(f)
        lhs, rhs = PLANTED[key](sides.lhs, sides.rhs)
        return dataclasses.replace(sides, lhs=lhs, rhs=rhs, trivial=np.inf)

    refuted = OUTCOMES.index(Outcome.REFUTED)
    assert not np.any(claim.judge(facts).outcome == refuted)
    assert np.any(dataclasses.replace(claim, sides=wrong).judge(facts).outcome == refuted)


REFUTING = {
    "M7-vanishes-kl": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 4, 0.5)),
    "M7-vanishes-reward": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 4, 0.5)),
    # The draft favors the better outcome, so the tilted reward passes the worse one.
    "M7-gains": (([0.9, 0.1], [0.5, 0.5], [1.0, 0.0]), Scheme(1.0, 4, 1.0)),
    "M8-unbiased": (([0.9, 0.1], [0.5, 0.5], [1.0, 0.0]), Scheme(1.0, 1000, 1.0)),
    "M9-unbiased": (([0.5, 0.5], [0.25, 0.75], [0.0, 0.0]), Scheme(1.0, 2, 0.0)),
    "M12-gated-kl": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 100, 0.5)),
    "M12-gated-reward": (([0.9, 0.1], [0.5, 0.5], [1.0, 0.0]), Scheme(1.0, 10000, 1.0)),
    "M15-race": (([0.1, 0.9], [0.2, 0.8], [0.0, 0.0]), Scheme(1.0, 2)),
    "M16-equality": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 2)),
    "M16-win-ties": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 2)),
    "M18-linear": (([0.5, 0.5], [0.25, 0.75], [0.0, 0.0]), Scheme(1.0, 2)),
    "M19-attained": (([0.5, 0.5], [0.1, 0.9], [0.0, 0.0]), Scheme(1.0, 2)),
    "M21-gain-always": (([0.9, 0.1], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 1, -0.5)),
    "M21-tilts": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 1, 0.5)),
    "M27-channel": (([0.5, 0.5], [0.4, 0.6], [0.0, 0.0]), Scheme(1.0, 2)),
    "M29-stepwise": (([0.5, 0.5], [0.5, 0.5], [0.0, 1.0]), Scheme(1.0, 1)),
}


@pytest.mark.parametrize("key", list(REFUTING))
def test_readings_are_refuted_by_two_short_outcomes_and_certified(key: str) -> None:
    (draft, base, reward), scheme = REFUTING[key]
    assert CLAIMS[key].expected is Outcome.REFUTED
    assert CLAIMS[key].evaluate(Instance.from_probabilities(draft, base, reward), scheme).outcome is Outcome.REFUTED
    exact = ExactInstance(*([str(v) for v in row] for row in (draft, base, reward)))
    found = certify_claim(key, exact, scheme)
    assert found.outcome is Outcome.REFUTED, found
    assert found.lhs is not None and found.rhs is not None
    gap = abs(found.lhs.mid - found.rhs.mid)
    assert gap >= 1e-6 * max(abs(found.lhs.mid), abs(found.rhs.mid))
    assert found.lhs.radius + found.rhs.radius <= 1e-10 * gap


def test_signed_share_is_refuted_and_certified() -> None:
    """(M14) without r ≥ 0, found by random search and shortened."""
    rng = np.random.default_rng(64)
    draft, base = rng.dirichlet(np.ones(2), (2, 20_000))
    reward = rng.uniform(-1, 1, (20_000, 2))
    facts = Facts.batch(np.log(draft), np.log(base), reward, 1.0, rng.integers(1, 4, 20_000))
    assert np.any(CLAIMS["M14-signed"].judge(facts).outcome == OUTCOMES.index(Outcome.REFUTED))


def test_race_law_of_the_drift_reading() -> None:
    """(M15-race) by hand: μ = 0.1, w = (2, 8/9), n = 2: P(heavy)/μ = 1.5 against 2/(1 + 4/9) = 18/13."""
    law = np.exp(selection_law(np.log([0.1, 0.9]), np.log([2.0, 8 / 9]), 2, "race").log_prob)
    # Drawn twice it wins; drawn once it loses only where the other's noise is small: ½ · (8/9)/2.
    assert law[0] == pytest.approx(0.01 + 0.18 * (1 - 2 / 9), abs=1e-14)
    assert law[0] / 0.1 == pytest.approx(1.5) and 1.5 > 18 / 13
