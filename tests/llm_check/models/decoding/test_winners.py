"""Arrays alone: weights, noise, winners, and gates where they are sharp."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Scheme, methods
from gsi_theory.instance import Candidates, tilted_rewards
from gsi_theory.instance import tilted_reward as exact_tilted_reward
from gsi_theory.laws.rsd import sigmoid
from llm_check.models.decoding.winners import GATES, WEIGHTS, log_noise, winners

ZERO = np.zeros(1)


def passes(
    gate: str, scheme: Scheme, reward: float, ratio: float = 0.0, score: float = 0.0, uniform: float = 0.5
) -> bool:
    return bool(GATES[gate].passes(*map(np.atleast_1d, (reward, ratio, score)), scheme, np.array([uniform]))[0])


@pytest.mark.parametrize("u", [0.5, -0.25, 0.0])
def test_every_sharp_gate_accepts_equality_and_nothing_below(u: float) -> None:
    below = np.nextafter(u, -1.0)
    race = Scheme(4.0, 2, u, "race", gate="score")
    assert passes("score", race, 0.0, score=4.0 * u) and not passes("score", race, 0.0, score=4.0 * below)
    for scheme in (Scheme(4.0, 2, u), Scheme(0.0, 2, u)):
        assert passes("tilted_reward", scheme, u) and not passes("tilted_reward", scheme, below)
        assert passes("reward", scheme, u) and not passes("reward", scheme, below)
    assert passes("tilted_reward", Scheme(4.0, 2, u), u - 0.5, 2.0)  # r + ℓ/β = u exactly
    assert not passes("tilted_reward", Scheme(4.0, 2, u), u + 0.5, -2.5)


@pytest.mark.parametrize("gate", [gate for gate in GATES if methods.GATES[gate].threshold])
def test_infinite_thresholds_take_all_or_nothing(gate: str) -> None:
    for beta in (0.0, 3.0):
        kind = {"rule": "race", "gate": "score"} if gate == "score" else {}
        for uniform in (0.0, 0.999):
            taken = passes(gate, Scheme(beta, 2, -np.inf, **kind), 0.3, 0.0, 0.2, uniform)  # type: ignore[arg-type]
            left = passes(gate, Scheme(beta, 2, np.inf, **kind), 0.3, 0.0, 0.2, uniform)  # type: ignore[arg-type]
            assert taken and not left, (beta, uniform)
    assert passes("sigmoid", Scheme(0.0, 2, 1e308), -1e308, uniform=0.4)  # slope 0: a fair coin
    assert not passes("sigmoid", Scheme(0.0, 2, 1e308), -1e308, uniform=0.6)


def test_the_ratio_gate_compares_the_policies_alone() -> None:
    """min(1, π_B/π_S) (M22) whatever the reward; there is no value that a threshold could be compared with."""
    half = float(np.log(0.5))
    assert passes("ratio", Scheme(2.0, 1), -9.0, 0.3, uniform=0.999) and not passes(
        "ratio", Scheme(2.0, 1), 9.0, -np.inf
    )
    assert passes("ratio", Scheme(2.0, 1), 0.0, half, uniform=0.49)
    assert not passes("ratio", Scheme(2.0, 1), 0.0, half, uniform=0.51)
    assert np.isnan(GATES["ratio"].value(ZERO, ZERO, ZERO, Scheme(2.0, 1))).all()


def test_the_sigmoid_is_the_theorys() -> None:
    reward, uniforms = np.linspace(-1.0, 2.0, 50), np.random.default_rng(0).random(50)
    scheme = Scheme(3.0, 1, 0.4)
    expected = uniforms < np.asarray(sigmoid(0.4, 3.0)(reward))
    np.testing.assert_array_equal(GATES["sigmoid"].passes(reward, reward, reward, scheme, uniforms), expected)


def test_tilted_reward_is_the_theorys_and_keeps_what_is_unknown() -> None:
    reward, ratio = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, -1.5, 2.0, -np.inf])
    candidates = Candidates(np.log(np.full(4, 0.25)), reward, ratio)
    for beta in (0.0, 2.0):
        np.testing.assert_array_equal(tilted_rewards(reward, ratio, beta), exact_tilted_reward(candidates, beta))
        assert np.isnan(tilted_rewards(ZERO, np.array([np.nan]), beta)).all()


def test_weights() -> None:
    reward, ratio, scheme = np.array([[0.5, 1.0]]), np.array([[3.0, -3.0]]), Scheme(2.0, 4)
    limit = np.log(4.0)
    for name, expected in {
        "none": [0.0, 0.0], "reward": [1.0, 2.0], "best": [0.5, 1.0], "ratio": [4.0, -1.0],
        "clipped": [1.0 + limit, -1.0], "clipped_both": [1.0 + limit, 2.0 - limit],
    }.items():  # fmt: skip
        np.testing.assert_allclose(WEIGHTS[name].log_weight(reward, ratio, scheme), [expected], atol=1e-15)


def test_only_what_was_drawn_can_win_also_at_weight_zero() -> None:
    noise = log_noise(np.array([[0.0, 1.0 - 2.0**-53, 0.5]]), "softmax")
    assert np.isfinite(noise).all() and np.isfinite(log_noise(np.array([0.0]), "race")).all()
    impossible = np.full((1, 3), -np.inf)
    winner, score = winners(impossible, noise, np.array([[False, True, True]]))
    assert winner[0] == 1 and np.isfinite(score[0])
    winner, _ = winners(np.array([[9.0, 0.0, 0.0]]), np.zeros((1, 3)), np.array([[False, True, True]]))
    assert winner[0] == 1


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
def test_selection_rules_on_two_candidates(beta: float) -> None:
    """The heavier of two candidates with weights e^{2β} and e^β, q = e^{-β} (M2): softmax 1/(1 + q), race 1 − q/2."""
    runs, light = 100_000, np.exp(-beta)
    log_weight = np.tile([2.0 * beta, beta], (runs, 1))
    uniforms = np.random.default_rng(8).random((runs, 2))
    for rule, heavy in (("softmax", 1 / (1 + light)), ("race", 1 - light / 2), ("max", 1.0)):
        winner, score = winners(log_weight, log_noise(uniforms, rule))
        expected = 1.0 if rule == "max" else heavy
        spread = np.sqrt(expected * (1 - expected) / runs)
        assert abs((winner == 0).mean() - expected) <= 4.5 * spread, rule
    assert (score == 2.0 * beta).all()
