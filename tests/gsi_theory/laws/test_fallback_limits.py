"""Limits of a round with a fallback against linear programs, all sets in 50 digits, and GSI itself (M39b)."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from gsi_theory import InputError, Scheme, divergence, gsi_law
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, tilted_policy
from gsi_theory.laws.fallback_limits import (
    best_fallback,
    best_reward_gated,
    best_reward_no_recall,
    best_reward_recall,
    best_tv_no_recall,
    best_tv_recall,
)
from gsi_theory.limits import best_of_n_reward, best_tv, best_tv_two
from tests.gsi_theory.test_limits import logs, random_law
from tests.oracles.limit_programs import best_fallback_lp
from tests.oracles.limit_sets import largest

CHANCES = (0.0, 0.1, 0.3, 0.7, 1.0)


def test_limits_equal_the_linear_programs() -> None:
    """220 instances, K, n, m ≤ 3: TV and reward, with and without recall, over all rules, to 1e-9."""
    rng = np.random.default_rng(3901)
    for trial in range(220):
        size, n, m = (int(rng.integers(1, 4)) for _ in range(3))
        target, draft, base = (random_law(rng, size) for _ in range(3))
        reward, q = np.round(rng.normal(size=size), 1), CHANCES[trial % 5]
        laws = logs(target), logs(draft), logs(base)
        for goal, call, recall in (
            (("tv", target), best_tv_recall(*laws, n, m, q), True),
            (("tv", target), best_tv_no_recall(*laws, n, m, q), False),
            (("reward", reward), best_reward_recall(reward, *laws[1:], n, m, q), True),
            (("reward", reward), best_reward_no_recall(reward, *laws[1:], n, m, q), False),
        ):
            assert call == pytest.approx(best_fallback_lp(goal, draft, base, n, m, q, recall), abs=1e-9)


def test_limits_equal_all_sets_in_fifty_digits() -> None:
    """K ≤ 6, masses down to e^-20, counts up to 10⁹, every set tried, to 1e-12."""
    rng = np.random.default_rng(3902)
    for trial in range(80):
        size = int(rng.integers(2, 7))
        n, m = (int(rng.choice([1, 2, 30, 10**4, 10**9])) for _ in range(2))
        laws = [normalize(rng.choice([1.0, 5.0, 20.0]) * -rng.random(size)) for _ in range(3)]
        q = CHANCES[trial % 5]

        def recalled(draft, base, n: int = n, m: int = m, q: float = q):
            miss = (1 - draft) ** n
            return miss - 1 - min(mpmath.mpf(q), miss) * (1 - (1 - base) ** m)

        def accepted(draft, base, n: int = n, m: int = m, q: float = q):
            return -min(1 - (1 - draft) ** n, 1 - mpmath.mpf(q)) - mpmath.mpf(q) * (1 - (1 - base) ** m)

        masses = [np.exp(x) for x in laws]
        assert best_tv_recall(*laws, n, m, q) == pytest.approx(largest(*masses, recalled), abs=1e-12)
        assert best_tv_no_recall(*laws, n, m, q) == pytest.approx(largest(*masses, accepted), abs=1e-12)


def test_ends_order_and_the_best_probability() -> None:
    """q = 0 is M19, q = 1 M37 (recall) or the base alone; recall helps; the best q is below a grid of 21 and on it."""
    rng = np.random.default_rng(3903)
    for _ in range(40):
        size, n, m = int(rng.integers(1, 7)), int(rng.integers(1, 8)), int(rng.integers(1, 8))
        laws = tuple(logs(random_law(rng, size)) for _ in range(3))
        reward = np.round(rng.normal(size=size), 1)
        assert best_tv_recall(*laws, n, m, 0.0) == pytest.approx(best_tv(laws[0], laws[1], n), abs=1e-14)
        assert best_tv_no_recall(*laws, n, m, 0.0) == pytest.approx(best_tv(laws[0], laws[1], n), abs=1e-14)
        assert best_tv_recall(*laws, n, m, 1.0) == pytest.approx(best_tv_two(*laws, n, m), abs=1e-14)
        assert best_tv_no_recall(*laws, n, m, 1.0) == pytest.approx(best_tv(laws[0], laws[2], m), abs=1e-14)
        assert best_reward_recall(reward, *laws[1:], n, m, 0.0) == pytest.approx(
            best_of_n_reward(reward, laws[1], n), abs=1e-13
        )
        assert best_reward_no_recall(reward, *laws[1:], n, m, 1.0) == pytest.approx(
            best_of_n_reward(reward, laws[2], m), abs=1e-13
        )
        grid = np.linspace(0.0, 1.0, 21)
        along = np.array([best_tv_no_recall(*laws, n, m, q) for q in grid])
        best = best_fallback(*laws, n, m)
        assert best.tv <= along.min() + 1e-14
        assert best.tv == pytest.approx(best_tv_no_recall(*laws, n, m, best.chance), abs=1e-15)
        earned = np.array([best_reward_no_recall(reward, *laws[1:], n, m, q) for q in grid])
        gated = best_reward_gated(reward, *laws[1:], n, m)
        assert earned.max() <= gated + 1e-13
        for q, tv, mean in zip(grid[::5], along[::5], earned[::5], strict=True):
            assert best_tv_recall(*laws, n, m, q) <= tv + 1e-14
            assert best_reward_recall(reward, *laws[1:], n, m, q) >= mean - 1e-13


def test_the_gated_reward_is_the_mean_of_the_larger() -> None:
    """E max(M_n, E M_B) from the law of M_n; and the gate at E M_B has that mean, whatever q it makes."""
    rng = np.random.default_rng(3904)
    for _ in range(40):
        draft, base, n, m = random_law(rng, 5), random_law(rng, 5), int(rng.integers(1, 6)), int(rng.integers(1, 6))
        reward = np.sort(np.round(rng.normal(size=5), 1))
        below = np.concatenate([[0.0], np.cumsum(draft)]) ** n, np.concatenate([[0.0], np.cumsum(base)]) ** m
        fallback = float(np.diff(below[1]) @ reward)
        exact = float(np.diff(below[0]) @ np.maximum(reward, fallback))
        assert best_reward_gated(reward, logs(draft), logs(base), n, m) == pytest.approx(exact, abs=1e-13)
        q = min(1.0, float(np.diff(below[0])[reward < fallback].sum()))
        at_gate = best_reward_no_recall(reward, logs(draft), logs(base), n, m, q)
        assert at_gate == pytest.approx(exact, abs=1e-13)


def test_gsi_beats_neither_limit() -> None:
    """GSI at its own probability of fallback, 120 instances, three rules: never nearer to π, never of more reward."""
    rng = np.random.default_rng(3905)
    for trial in range(120):
        size, n, m = int(rng.integers(2, 7)), int(rng.integers(1, 9)), int(rng.integers(1, 9))
        draft, base = random_law(rng, size, 0.0), random_law(rng, size, 0.0)
        instance = Instance(logs(draft), logs(base), rng.random(size))
        rule = ("softmax", "race", "max")[trial % 3]
        scheme = Scheme(3.0, n, float(rng.uniform(0.0, 1.0)), n_base=m, rule=rule)
        law, target = gsi_law(instance, scheme), tilted_policy(instance, 3.0)
        sources = instance.log_draft, instance.log_base
        q = float(np.exp(law.log_p_reject))
        slack = float(law.error) + 1e-13
        tv, mean = divergence.tv(law.log_prob, target), law.expectation(instance.reward)
        assert tv >= best_tv_no_recall(target, *sources, n, m, q) - slack
        assert tv >= best_fallback(target, *sources, n, m).tv - slack
        assert tv >= best_tv_recall(target, *sources, n, m, q) - slack
        assert mean <= best_reward_no_recall(instance.reward, *sources, n, m, q) + slack
        assert mean <= best_reward_gated(instance.reward, *sources, n, m) + slack


def test_torch_batches_and_refusals() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3906)
    laws = [normalize(rng.normal(size=(2, 5))) for _ in range(3)]
    reward = rng.normal(size=(2, 5))
    tensors = [torch.tensor(x) for x in laws]
    for call in (best_tv_recall, best_tv_no_recall):
        single = [call(*(x[i] for x in laws), 3, 2, 0.3) for i in range(2)]
        np.testing.assert_array_equal(call(*laws, 3, 2, 0.3), single)
        np.testing.assert_allclose(call(*tensors, 3, 2, 0.3).numpy(), single, rtol=1e-13)
    for call, rest in (
        (best_reward_recall, (3, 2, 0.3)),
        (best_reward_no_recall, (3, 2, 0.3)),
        (best_reward_gated, (3, 2)),
    ):
        single = [call(reward[i], laws[1][i], laws[2][i], *rest) for i in range(2)]
        np.testing.assert_allclose(call(reward, *laws[1:], *rest), single, rtol=1e-13)
        np.testing.assert_allclose(call(torch.tensor(reward), *tensors[1:], *rest).numpy(), single, rtol=1e-12)
    one = [x[0] for x in laws]
    for bad, cure in (
        (lambda: best_tv_recall(*one, 3, 2, 1.5), "from 0 to 1"),
        (lambda: best_tv_no_recall(*one, 0, 2, 0.5), "whole number"),
        (lambda: best_fallback(*laws, 3, 2), "one triple of laws"),
        (lambda: best_reward_recall(reward[0], one[1], one[2][:4], 3, 2, 0.5), "two laws of one length"),
    ):
        with pytest.raises(InputError, match=cure):
            bad()
