"""Reward-guided speculative decoding against Fractions, and the best step against a linear program."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import linprog

from gsi_theory import InputError, Instance
from gsi_theory.laws.rsd import BUDGETS, best_step, rsd_law, rsd_reward, sigmoid, step
from sims.instance_families import FAMILIES, random_case


def exact(values: np.ndarray) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


def test_law_equals_fractions() -> None:
    """300 random instances and ω (zeros, ones and between): worst absolute error ≤ 1e-15, acceptance and E r too."""
    for index in range(300):
        rng = np.random.default_rng([41, index])
        instance, _ = random_case(rng)
        omega = np.round(rng.uniform(-0.3, 1.3, instance.size).clip(0.0, 1.0), 3)
        draft, base = exact(np.exp(instance.log_draft)), exact(np.exp(instance.log_base))
        accept = sum(d * o for d, o in zip(draft, exact(omega), strict=True))
        truth = [d * o + (1 - accept) * b for d, o, b in zip(draft, exact(omega), base, strict=True)]
        law = rsd_law(instance, omega)
        assert np.max(np.abs(np.exp(law.log_prob) - np.array([float(t) for t in truth]))) <= 1e-15
        assert law.p_accept == pytest.approx(float(accept), abs=1e-15)
        mean = sum(t * r for t, r in zip(truth, exact(instance.reward), strict=True))
        assert rsd_reward(instance, omega) == pytest.approx(float(mean), abs=3e-15)
        assert float(np.exp(law.log_prob) @ instance.reward) == pytest.approx(float(mean), abs=3e-15)


def test_rare_rejection_keeps_its_digits() -> None:
    """1 - E ω = 1e-18 is summed from positive terms."""
    instance = Instance(np.log([1.0, 1e-18]), np.log([0.5, 0.5]), np.array([1.0, 0.0]))
    assert np.exp(rsd_law(instance, step(0.5)).log_p_reject) == pytest.approx(1e-18, rel=1e-14)
    assert rsd_law(instance, np.ones(2)).log_p_reject == -np.inf
    assert np.array_equal(rsd_law(instance, np.zeros(2)).log_prob, instance.log_base)


def test_families_of_omega() -> None:
    reward = np.array([-1.0, 0.2, 0.5, 2.0])
    assert np.array_equal(step(0.5)(reward), [0, 0, 1, 1])
    assert np.allclose(sigmoid(0.5, 4.0)(reward), 1 / (1 + np.exp(-4 * (reward - 0.5))), atol=1e-16)
    # no overflow far out
    assert np.array_equal(sigmoid(0.0, 1e6)(np.array([-1.0, 1.0])), [0.0, 1.0])


def linear_program(instance: Instance, budget: float, bound: str) -> float:
    """max Σ π_S ω (r - E_{π_B} r) over 0 ≤ ω ≤ 1 and the budget."""
    draft, base = np.exp(instance.log_draft), np.exp(instance.log_base)
    sign = 1.0 if bound == "at_most" else -1.0
    solved = linprog(
        -draft * (instance.reward - base @ instance.reward),
        A_ub=[sign * draft], b_ub=[sign * budget], bounds=(0.0, 1.0), method="highs",
    )  # fmt: skip
    assert solved.status == 0
    return -solved.fun + float(base @ instance.reward)


@pytest.mark.parametrize("bound", BUDGETS)
def test_best_step_equals_the_linear_program(bound: str) -> None:
    """200 random instances (ties among rewards, zero masses), budgets from 0 to 1."""
    randomized = binding = 0
    for index in range(200):
        rng = np.random.default_rng([42, index])
        instance, _ = random_case(rng)
        # the linear program is infeasible by rounding at a budget of exactly one
        budget = float(rng.choice([0.0, 0.999, *rng.random(3)]))
        rule = best_step(instance, budget, bound)
        spent = float(np.exp(instance.log_draft) @ rule.omega)
        assert spent <= budget + 1e-15 if bound == "at_most" else spent >= budget - 1e-15
        # HiGHS is good to 1e-7 of feasibility; its optimum is a vertex, right to rounding of the objective.
        assert rsd_reward(instance, rule.omega) == pytest.approx(linear_program(instance, budget, bound), abs=1e-8)
        assert np.all(rule.omega[instance.reward > rule.threshold] == 1.0)
        assert np.all(rule.omega[instance.reward == rule.threshold] == rule.share)
        assert np.all(rule.omega[instance.reward < rule.threshold] == 0.0)
        randomized += 0.0 < rule.share < 1.0
        binding += abs(spent - budget) < 1e-12
    assert randomized > 50 and binding > 50


def test_best_step_beats_every_other_omega_of_equal_acceptance() -> None:
    instance, rng = FAMILIES["dirichlet"].build(0), np.random.default_rng(43)
    for _ in range(200):
        omega = rng.random(instance.size)
        accept = float(np.exp(instance.log_draft) @ omega)
        for bound in BUDGETS:
            assert rsd_reward(instance, best_step(instance, accept, bound).omega) >= rsd_reward(instance, omega) - 1e-14


def test_extreme_budgets() -> None:
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.0, 1.0, 1.0])
    assert np.array_equal(best_step(instance, 1.0).omega, [1.0, 1.0, 1.0])
    assert np.array_equal(best_step(instance, 0.0).omega, [0.0, 1.0, 1.0])
    assert best_step(instance, 0.25, "at_most").omega == pytest.approx([0.0, 0.5, 0.5])
    nothing = best_step(instance, 0.0, "at_most")
    assert np.array_equal(nothing.omega, [0.0, 0.0, 0.0]) and nothing.threshold == np.inf
    # a draft without mass on some level
    thin = Instance.from_probabilities([1.0, 0.0], [0.5, 0.5], [0.0, 1.0])
    assert best_step(thin, 1.0).omega[0] == 1.0


@pytest.mark.parametrize(
    ("omega", "words"),
    [
        ([0.5], "shape"),
        ([0.5, 1.1], r"omega\[1\] = 1.1"),
        ([np.nan, 0.0], r"omega\[0\] = nan"),
        (lambda r: r - 9, "omega"),
    ],
)
def test_bad_omega(omega, words: str) -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.2, 0.8], [0.0, 1.0])
    with pytest.raises(InputError, match=words):
        rsd_law(instance, omega)


def test_bad_budget() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.2, 0.8], [0.0, 1.0])
    with pytest.raises(InputError, match=r"budget 1\.5"):
        best_step(instance, 1.5)
    with pytest.raises(InputError, match="bound 'most'"):
        best_step(instance, 0.5, "most")


@pytest.mark.parametrize(("middle", "doubt"), [(0.5, 0.3), (0.4, 0.0), (0.6, 0.0)])
def test_only_a_level_at_the_base_s_mean_is_in_doubt(middle: float, doubt: float) -> None:
    """The base's mean is 0.45 + 0.1 · middle: 1/2 where middle is, but for rounding."""
    instance = Instance.from_probabilities([0.3, 0.3, 0.4], [0.45, 0.1, 0.45], [0.0, middle, 1.0])
    assert best_step(instance, 0.1).doubt == pytest.approx(doubt)
