"""Thresholds at ties: decided as exact arithmetic decides, or the reported error holds what turns on them."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import Candidates, Instance, Scheme, gsi_law, selection_law
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.claims.facts import Facts
from gsi_theory.laws.rsd import BUDGETS, best_step, mean_step
from gsi_theory.laws.weights import form_weights, rounded
from gsi_theory.methods import METHODS, rsd_sigmoid
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.switching import switching_law
from gsi_theory.steps.tree import Tree


def decimals(rng: np.random.Generator, size: int, zeros: bool = False) -> list[Fraction]:
    """Probabilities in multiples of 1/40, some of them zero if asked for."""
    parts = rng.multinomial(40 - (0 if zeros else size), np.full(size, 1.0 / size)) + (0 if zeros else 1)
    return [Fraction(int(p), 40) for p in parts]


def case(seed: int) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
    """(draft, base, reward) in exact decimals; in three of four cases E_{π_B} r is one or all of the rewards."""
    rng = np.random.default_rng([61, seed])
    size = int(rng.integers(2, 6))
    draft, base = decimals(rng, size), decimals(rng, size, zeros=seed % 2 == 0)
    reward = [Fraction(int(v), 10) for v in rng.integers(-7, 30, size)]
    kind = seed % 4
    if kind == 0:  # one reward where the base has mass, others elsewhere
        reward = [reward[0] if b else r for b, r in zip(base, reward, strict=True)]
    elif kind == 1:
        reward = [reward[0]] * size
    elif kind == 2:  # the first outcome sits at the mean of the others
        others = sum((b * r for b, r in zip(base[1:], reward[1:], strict=True)), Fraction(0))
        rest = sum(base[1:], Fraction(0))
        reward[0] = others / rest if rest else reward[0]
    return draft, base, reward


def floats(*lists: list[Fraction]) -> Instance:
    return Instance.from_probabilities(*([float(v) for v in values] for values in lists))


def exact_rsd(draft: list[Fraction], base: list[Fraction], omega: list[Fraction]) -> list[Fraction]:
    accept = sum((d * o for d, o in zip(draft, omega, strict=True)), Fraction(0))
    return [d * o + (1 - accept) * b for d, o, b in zip(draft, omega, base, strict=True)]


def apart(law: np.ndarray, truth: list[Fraction]) -> float:
    return 0.5 * float(np.abs(np.exp(law) - np.array([float(t) for t in truth])).sum())


def test_rsd_at_the_mean_reward_is_the_exact_law_or_says_that_a_tie_decides() -> None:
    """400 cases in exact decimals; where the base has one reward alone there is no doubt at all."""
    doubtful = 0
    for seed in range(400):
        draft, base, reward = case(seed)
        mean = sum((b * r for b, r in zip(base, reward, strict=True)), Fraction(0))
        truth = exact_rsd(draft, base, [Fraction(r >= mean) for r in reward])
        instance = floats(draft, base, reward)
        law = METHODS["rsd"].law(instance, Scheme(1.0, 1))
        assert apart(law.log_prob, truth) <= law.error, (seed, law.error)
        at_mean = [y for y, r in enumerate(reward) if r == mean]
        rule = mean_step(instance)
        if len({r for b, r in zip(base, reward, strict=True) if b}) == 1:
            assert law.error < 1e-13, (seed, law.error)
        else:
            assert rule.doubt == pytest.approx(float(sum(draft[y] for y in at_mean)), abs=1e-12)
            doubtful += rule.doubt > 0
        if at_mean:  # a tie is accepted
            assert np.all(rule.omega[at_mean] == 1.0), seed
    assert doubtful > 60


@pytest.mark.parametrize("log_mass", [-2000.0, -746.0, -720.0])
def test_a_mean_that_float64_cannot_part_from_a_reward_is_in_doubt(log_mass: float) -> None:
    """The base has a higher reward with mass e^-2000: the lower ones are below the mean, so all of them is rejected."""
    instance = Instance(np.log([0.6, 0.2, 0.2]), np.r_[np.log([0.2, 0.8]), log_mass], np.array([0.0, 0.0, 0.7]))
    truth = np.array([0.16, 0.64, 0.2])  # ω = (0, 0, 1)
    law = METHODS["rsd"].law(instance, Scheme(0.1, 2))
    assert 0.5 * np.abs(np.exp(law.log_prob) - truth).sum() <= law.error
    pi = np.array([0.2, 0.8, 0.0])
    verdict = CLAIMS["M21-tilts"].evaluate(instance, Scheme(0.1, 2))
    assert verdict.error is not None and verdict.lhs is not None
    assert abs(verdict.lhs - 0.5 * np.abs(truth - pi).sum()) <= verdict.error
    moved = 0.8 * abs(best_step(instance, 0.6).omega[0] - 0.5)
    assert moved <= best_step(instance, 0.6).doubt + 1e-12


@pytest.mark.parametrize("bound", BUDGETS)
def test_the_best_step_says_what_turns_on_a_tie(bound: str) -> None:
    """Against Fractions: accept r > E r as far as the budget allows, below it only as far as it demands."""
    for seed in range(200):
        draft, base, reward = case(seed)
        mean, budget = sum((b * r for b, r in zip(base, reward, strict=True)), Fraction(0)), Fraction(seed % 9, 8)
        left, omega = budget, [Fraction(0)] * len(draft)
        if budget > 1:
            continue
        for level in sorted(set(reward), reverse=True):
            here = [y for y, r in enumerate(reward) if r == level]
            mass = sum((draft[y] for y in here), Fraction(0))
            filled = min(max(left / mass, Fraction(0)), Fraction(1))
            share = (Fraction(1) if level > mean else filled) if bound == "at_least" else filled * (level > mean)
            left -= mass * share if bound == "at_most" else min(mass * share, max(left, Fraction(0)))
            for y in here:
                omega[y] = share
        rule = best_step(floats(draft, base, reward), float(budget), bound)
        moved = sum(float(d) * abs(w - float(o)) for d, w, o in zip(draft, rule.omega, omega, strict=True))
        assert moved <= rule.doubt + 1e-12, (seed, rule, omega)
        assert seed % 4 > 1 or rule.doubt == 0.0


def test_a_smooth_acceptance_about_the_mean_counts_its_steepness() -> None:
    draft, base, reward = [Fraction(1, 2)] * 2, [Fraction(1, 10), Fraction(9, 10)], [Fraction(7, 10)] * 2
    law = rsd_sigmoid(floats(draft, base, reward), Scheme(1e300, 1))
    assert np.exp(law.log_prob) == pytest.approx([0.3, 0.7]) and law.error < 1e-13  # ω = ½ at the center
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.0, 0.5, 1.0])
    assert rsd_sigmoid(instance, Scheme(1e17, 1)).error > 0.1 > 1e-12 > rsd_sigmoid(instance, Scheme(10.0, 1)).error


def test_a_steep_acceptance_counts_how_far_decimals_were_rounded() -> None:
    """Rewards within a few roundings of u, in exact decimals; away from u steepness costs nothing."""
    draft, base = [Fraction(1, 4)] * 4, [Fraction(k, 10) for k in (1, 2, 3, 4)]
    beyond = 0
    for slope, u in itertools.product((1e3, 1e6, 1e9, 1e12, 1e14), ("0.7", "-12.3", "1000.1")):
        reward = [Fraction(u) + k * Fraction(1, 10**15) * (1 + abs(int(float(u)))) for k in (-2, 0, 1, 3)]
        law = rsd_sigmoid(floats(draft, base, reward), Scheme(slope, 1, float(Fraction(u))))
        omega = [Fraction(1 / (1 + math.exp(-min(slope * float(r - Fraction(u)), 700.0)))) for r in reward]
        away = apart(law.log_prob, exact_rsd(draft, base, omega))
        assert away <= law.error <= 1.0, (slope, u, away, law.error)
        beyond += away > 1e-14
        far = rsd_sigmoid(floats(draft, base, [Fraction(k) for k in (-9, 9, 20, 30)]), Scheme(slope, 1, 0.7))
        assert far.error < 1e-13, (slope, far.error)
    assert beyond > 5
    assert rsd_sigmoid(floats(draft, base, reward), Scheme(1e300, 1, 1e308)).error <= 1.0


def test_claims_decide_ties_with_the_mean_alike() -> None:
    """RSD's law in the claims is the method's, ties with E r included."""
    for seed in range(0, 80):
        instance = floats(*case(seed))
        scheme = Scheme(1.0, 1)
        law = METHODS["rsd"].law(instance, scheme)
        verdict = CLAIMS["M21-tilts"].evaluate(instance, scheme)
        pi = np.exp(instance.log_base + instance.reward)
        tv = 0.5 * float(np.abs(np.exp(law.log_prob) - pi / pi.sum()).sum())
        assert verdict.lhs == pytest.approx(tv, abs=1e-12), seed
        assert verdict.error is not None and verdict.error >= mean_step(instance).doubt
        if mean_step(instance).doubt > tv:
            assert verdict.outcome is Outcome.UNDECIDED


def test_the_gate_says_where_rounding_parts_a_tie() -> None:
    """Masses that agree up to a common factor: ℓ = 0 but for rounding, so r̃ = r, and u = r is a tie."""
    rng, parted = np.random.default_rng(62), 0
    for _ in range(200):
        mass = rng.dirichlet(np.ones(4))
        # the same law: one sums to one, the other to 1 + 1e-10 before it is normalized
        instance = Instance.from_probabilities(mass, mass * (1.0 + 1e-10), [0.1, 0.2, 0.3, 0.4])
        level = int(rng.integers(0, 4))
        for beta in (0.0, 2.0):
            scheme = Scheme(beta, 3, float(instance.reward[level]))
            law = gsi_law(instance, scheme)
            ungated = np.exp(gsi_law(instance, Scheme(beta, 3)).log_prob)
            truth = float(ungated[level:].sum())
            assert abs(law.p_accept - truth) <= law.error + 1e-12, (beta, law)
            parted += abs(law.p_accept - truth) > 1e-6
            facts = Facts.of(instance, scheme).gated()
            assert facts.error == pytest.approx(law.error, abs=1e-12)
            assert np.array_equal(np.isinf(facts.log_error), np.isinf(law.log_error))
    assert parted > 20, "no tie was broken by rounding: the test sees nothing"


def test_an_error_in_total_variation_is_at_most_one() -> None:
    """Every outcome of every step may be a tie that rounding parts: the doubts add up to more than all there is."""
    rng = np.random.default_rng(5)
    doubtful = np.zeros(3)
    for _ in range(20):
        mass = rng.dirichlet(np.ones(3))
        node = {"draft": mass.tolist(), "base": (mass * (1.0 + 1e-10)).tolist(), "reward": [0.3] * 3}
        nested = {**node, "children": [{**node, "children": [node, node, node]}] * 3}
        tree, scheme = Tree.from_nested(nested), Scheme(2.0, 3, 0.3)
        instance = tree.levels[0].instances[0]
        made = form_weights(instance.log_draft, instance.reward, instance.log_ratio, 2.0, "max")
        errors = [
            trajectory_law(tree, lambda i: gsi_law(i, Scheme(2.0, 3, 0.3))).error,
            switching_law(tree, scheme, 0.0, "draft").error,
            rounded(selection_law(instance.log_draft, made.log_weight, 3, "max"), made).error,
        ]
        assert max(errors) <= 1.0, errors
        doubtful += np.array(errors) > 0.5
    assert np.all(doubtful > 2), doubtful


def test_the_gate_has_no_doubt_where_numbers_are_equal_or_apart() -> None:
    drafts = Candidates(np.log([0.5, 0.5]), [0.3, 0.6], [0.7, -0.2])
    base = Candidates(np.log([0.5, 0.5]), [0.3, 0.6], [0.7, -0.2])
    at = 0.3 + 0.7 / 3.0  # formed as r̃ is: equal numbers, accepted
    for cut, size in ((at, 1e-12), (np.nextafter(at, 9.0), 0.1), (at + 1e-9, 1e-12), (np.inf, 1e-12), (1e308, 1e-12)):
        law = gsi_law((drafts, base), Scheme(3.0, 2, float(cut)))
        assert (law.error > 0.1) == (size == 0.1) and (law.error < 1e-12) == (size == 1e-12), (cut, law.error)
