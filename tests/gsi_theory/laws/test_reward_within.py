"""The reward within a KL or a TV of the target: linear programs, random feasible laws, the dual (M39)."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize

from gsi_theory import InputError, divergence, selection_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.attaining_laws import adaptive_law
from gsi_theory.laws.reward_within import reward_within_kl, reward_within_tv
from gsi_theory.limits import best_reward, best_tv_adaptive
from tests.gsi_theory.test_limits import REALS, logs, random_law
from tests.oracles.limit_programs import best_within_tv_lp


def check_law(record, reward: np.ndarray, room: np.ndarray) -> None:
    law = np.exp(record.log_prob)
    assert law.sum() == pytest.approx(1.0, abs=1e-13)
    assert (law <= room * (1 + 1e-14) + 1e-15).all()
    assert float(law @ reward) == pytest.approx(record.value, abs=1e-13)


def test_within_tv_equals_the_linear_program() -> None:
    """250 instances, K ≤ 6, zero masses, ties, n from 1 to 2^53, goals from the least to 1, to 1e-9."""
    rng = np.random.default_rng(3911)
    for trial in range(250):
        size, n = int(rng.integers(1, 7)), (*REALS, 2.0**53)[trial % 6]
        target, proposal = random_law(rng, size), random_law(rng, size)
        reward = np.round(rng.normal(size=size), int(rng.integers(0, 3)))
        least = best_tv_adaptive(logs(target), logs(proposal), n)
        delta = least + float(rng.choice([0.0, 0.01, 0.2, 1.0])) * (1.0 - least)
        found = reward_within_tv(reward, logs(target), logs(proposal), n, delta)
        check_law(found, reward, n * proposal)
        linear = best_within_tv_lp(reward, target, np.minimum(n * proposal, 1.0), delta)
        assert found.value == pytest.approx(linear, abs=1e-9)
        assert np.clip(target - np.exp(found.log_prob), 0, None).sum() <= delta + 1e-14


def test_within_kl_is_feasible_and_its_dual_closes() -> None:
    """300 instances: a law P ≤ nμ within the goal, and the dual's bound within 1e-9 of it, but at the least KL itself,
    where one rounding of the goal moves the value by its root."""
    rng = np.random.default_rng(3912)
    tried = 0
    for trial in range(300):
        size, n = int(rng.integers(1, 7)), REALS[trial % 5]
        target, proposal = random_law(rng, size), random_law(rng, size)
        reward = np.round(rng.normal(size=size), int(rng.integers(0, 3)))
        least = divergence.kl(adaptive_law(logs(target), logs(proposal), n), logs(target))
        if np.isinf(least):
            with pytest.raises(InputError, match="larger n"):
                reward_within_kl(reward, logs(target), logs(proposal), n, 3.0)
            continue
        tried += 1
        more = float(rng.choice([0.0, 1e-3, 0.1, 1.0, 50.0]))
        found = reward_within_kl(reward, logs(target), logs(proposal), n, least + more)
        check_law(found, reward, n * proposal)
        assert divergence.kl(found.log_prob, logs(target)) <= least + more
        assert 0.0 < found.error <= (1e-9 if more else 1e-6)
        inside = np.where(target > 0, reward, reward[(target > 0) & (proposal > 0)].min())
        assert found.value <= best_reward(inside, logs(proposal), n) + 1e-13
    assert tried >= 200


def test_the_error_bound_is_honest_where_the_answer_is_a_root() -> None:
    """Two outcomes, rewards 0 and 1: the value is the largest root of KL = δ, in 40 digits; never beyond the error,
    which idles only where δ is near the least KL."""
    rng = np.random.default_rng(3915)
    for trial in range(120):
        target, proposal = random_law(rng, 2, 0.0), random_law(rng, 2, 0.0)
        n = float(rng.uniform(1.0, 3.0))
        least = divergence.kl(adaptive_law(logs(target), logs(proposal), n), logs(target))
        delta = least + (0.0, 1e-12, 1e-6, 1e-2, 0.3)[trial % 5]
        found = reward_within_kl([0.0, 1.0], logs(target), logs(proposal), n, delta)
        with mpmath.workdps(40):
            a, b = (mpmath.mpf(float(x)) for x in target)
            a, b = a / (a + b), b / (a + b)  # to 40 digits: the root is off by the root of what is lacking
            low = max(b, 1 - n * mpmath.mpf(float(proposal[0])), mpmath.mpf(0))
            high = min(n * mpmath.mpf(float(proposal[1])), mpmath.mpf(1))
            low = min(low, high)
            for _ in range(120):
                middle = (low + high) / 2 if _ else high
                kl = middle * mpmath.log(middle / b) + (
                    (1 - middle) * mpmath.log((1 - middle) / a) if middle < 1 else 0
                )
                low, high = (middle, high) if kl <= delta else (low, middle)
            gap = float(low - mpmath.mpf(found.value))
        assert abs(gap) <= found.error
        assert found.error <= 1e-6


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_the_dual_bounds_what_a_short_search_misses(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after so many λ, the law is feasible and the full value within its error, which is not idle."""
    rng = np.random.default_rng([3916, steps])
    shares = []
    for _ in range(60):
        target, proposal = random_law(rng, 5, 0.0), random_law(rng, 5, 0.0)
        reward, n = 10.0 * rng.normal(size=5), float(rng.uniform(1.5, 4.0))
        laws = logs(target), logs(proposal)
        delta = divergence.kl(adaptive_law(*laws, n), laws[0]) + float(rng.choice([0.01, 0.1]))
        whole = reward_within_kl(reward, *laws, n, delta)
        with monkeypatch.context() as patch:
            patch.setattr("gsi_theory.laws.reward_within.STEPS", steps)
            short = reward_within_kl(reward, *laws, n, delta)
        assert short.value <= whole.value + whole.error
        assert whole.value <= short.value + short.error + 1e-12
        if short.error > 1e-9:
            shares.append((whole.value - short.value) / short.error)
    assert len(shares) >= 20 and max(shares) >= 0.5


def test_endless_draws_lose_no_mass() -> None:
    """Room 0.18 at the best reward, 10¹⁵ at the next: what the first does not take goes to the second, to the digit."""
    target, proposal = np.array([0.0, 0.5, 0.5]), np.array([2e-17, 0.5, 0.5])
    found = reward_within_tv([2.0, 1.0, 0.0], logs(target), logs(proposal), 2.0**53, 0.4)
    room = 2e-17 * 2.0**53
    np.testing.assert_allclose(np.exp(found.log_prob), [room, 0.9 - room, 0.1], rtol=0.0, atol=1e-14)


def test_within_kl_equals_a_solver_of_general_purpose() -> None:
    """40 instances against SLSQP from the nearest law, to 1e-6; never below it by more than rounding."""
    rng = np.random.default_rng(3913)
    for _ in range(40):
        target, proposal = (0.9 * random_law(rng, 4, 0.0) + 0.025 for _ in range(2))
        reward, n = rng.normal(size=4), float(rng.uniform(1.2, 4.0))
        start = np.exp(adaptive_law(logs(target), logs(proposal), n))
        delta = float(np.sum(start * np.log(start / target))) + float(rng.uniform(0.01, 0.5))
        solved = minimize(
            lambda p, reward=reward: -p @ reward,
            start,
            method="SLSQP",
            bounds=[(1e-12, most) for most in n * proposal],
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1.0},
                {"type": "ineq", "fun": lambda p, t=target, d=delta: d - np.sum(p * np.log(p / t))},
            ],
            options={"ftol": 1e-13, "maxiter": 500},
        )
        found = reward_within_kl(reward, logs(target), logs(proposal), n, delta)
        assert found.value >= -solved.fun - 1e-6
        assert solved.success is False or found.value == pytest.approx(-solved.fun, abs=1e-6)


def test_no_rule_passes_the_frontiers_and_they_end_where_nothing_binds() -> None:
    """At its own KL and TV to π no rule's reward exceeds them; a goal that binds nothing leaves the CVaR."""
    rng = np.random.default_rng(3914)
    for trial in range(60):
        size, n = int(rng.integers(2, 8)), int(rng.integers(1, 20))
        proposal, reward = random_law(rng, size, 0.0), rng.random(size)
        log_proposal = logs(proposal)
        target = normalize(log_proposal + 4.0 * reward)
        rule = ("softmax", "race", "max")[trial % 3]
        law = selection_law(log_proposal, 4.0 * reward, n, rule).log_prob
        mean = float(np.exp(law) @ reward)
        for call, distance in ((reward_within_kl, divergence.kl), (reward_within_tv, divergence.tv)):
            found = call(reward, target, log_proposal, n, distance(law, target) + 1e-12)
            assert mean <= found.value + found.error + 1e-11
        for call, most in ((reward_within_kl, 1e3), (reward_within_tv, 1.0)):
            free = call(reward, target, log_proposal, n, most).value
            assert free == pytest.approx(best_reward(reward, log_proposal, n), abs=1e-12)


def test_near_ties_and_steep_tilts_are_laws() -> None:
    """Rewards that differ in the last digit, or by 10⁹: finite, normalized, the goal kept."""
    target, proposal = logs(np.array([0.9, 0.04, 0.04, 0.02])), logs(np.array([0.4, 0.3, 0.2, 0.1]))
    for reward in ([0.0, 1.0, 1.0 + 2**-52, 0.5], [0.0, 1e9, 1.0, 1e-9], [-1e300, 0.0, 1.0, 2.0], [1.0] * 4):
        reward = np.array(reward)
        for delta in (0.4, 0.7, 2.0):
            found = reward_within_kl(reward, target, proposal, 2.0, delta)
            assert np.exp(found.log_prob).sum() == pytest.approx(1.0, abs=1e-13)
            assert divergence.kl(found.log_prob, target) <= delta
            assert found.error <= 1e-9 * max(1.0, np.abs(reward).max())
            assert np.isfinite(reward_within_tv(reward, target, proposal, 2.0, min(delta, 1.0)).value)


@pytest.mark.parametrize(
    ("call", "cure"),
    [
        (lambda t, q: reward_within_kl([0.0, 1.0], t, q, 1.0, 0.01), "no rule comes nearer than KL"),
        (lambda t, q: reward_within_tv([0.0, 1.0], t, q, 1.0, 0.01), "no rule comes nearer than TV"),
        (lambda t, q: reward_within_kl([0.0, 1.0], t, q, 2.0, np.inf), "finite number"),
        (lambda t, q: reward_within_tv([0.0, 1.0], t, q, 2.0, -1.0), "finite number"),
        (lambda t, q: reward_within_tv([0.0], t, q, 2.0, 1.0), "\\(K,\\) each"),
        (lambda t, q: reward_within_kl([0.0, 1.0], t, q, 0.0, 1.0), "expected numbers of draws"),
        (lambda t, q: reward_within_tv([0.0, 1e301], t, q, 2.0, 1.0), "up to 1e\\+300"),
        (lambda t, q: reward_within_kl([0.0, 1.0], [-np.inf, 0.0], [0.0, -np.inf], 2.0, 1.0), "larger n"),
    ],
)
def test_bad_input_is_refused(call, cure: str) -> None:
    with pytest.raises(InputError, match=cure):
        call(np.log([0.9, 0.1]), np.log([0.2, 0.8]))
