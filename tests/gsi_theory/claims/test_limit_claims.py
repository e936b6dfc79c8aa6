"""Sides of the claims on limits (M36-M39b) are those of gsi_theory.limits and the laws; nothing in a batch differs."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, divergence, gsi_law, tilted_policy
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.laws.fallback_limits import best_reward_no_recall, best_tv_no_recall
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.limits import best_of_n_reward, best_reward, best_tv, best_tv_adaptive, fixed_n_loss


@pytest.mark.parametrize("seed", range(12))
def test_sides_are_the_limits(seed: int) -> None:
    rng = np.random.default_rng([71, seed])
    instance = Instance.from_probabilities(*rng.dirichlet(np.ones(4), 2), rng.uniform(-1.0, 1.0, 4))
    n, m, beta = int(rng.integers(1, 6)), int(rng.integers(1, 6)), 2.0
    rule = ("softmax", "race", "max")[seed % 3]
    scheme = Scheme(beta, n, float(np.median(instance.reward)), rule, m)
    pi, draft, base, reward = tilted_policy(instance, beta), instance.log_draft, instance.log_base, instance.reward
    law = gsi_law(instance, scheme)
    q = 1.0 - float(law.p_accept)
    mixed = np.log(n * np.exp(draft) + q * m * np.exp(base)) - np.log(n + q * m)
    tv, low = divergence.tv(law.log_prob, pi), float(reward.min())
    weight = beta * reward + base - draft
    won = float(np.exp(selection_law(draft, weight, n, rule).log_prob) @ reward)
    gained = float(np.exp(law.log_prob) @ reward)
    share = (1.0 - 1.0 / n) ** n
    expected = {
        "M36-fixed": (best_tv_adaptive(pi, draft, n), best_tv(pi, draft, n)),
        "M36-price": (best_tv(pi, draft, n) - best_tv_adaptive(pi, draft, n), share),
        "M37-gated": (best_tv_adaptive(pi, mixed, n + q * m), tv),
        "M37-drafts": (best_tv(pi, draft, n), tv),
        "M38-winner": (won - low, best_of_n_reward(reward, draft, n) - low),
        "M38-stopping": (best_of_n_reward(reward, draft, n) - low, best_reward(reward, draft, n) - low),
        "M38-price": (fixed_n_loss(reward, draft, n), share * np.ptp(reward)),
        "M38-gated": (gained - low, best_reward(reward, mixed, n + q * m) - low),
        "M39b-gated": (best_tv_no_recall(pi, draft, base, n, m, q), tv),
        "M39b-reward": (gained - low, best_reward_no_recall(reward, draft, base, n, m, q) - low),
    }
    for key, sides in expected.items():
        verdict = CLAIMS[key].evaluate(instance, scheme)
        assert (verdict.lhs, verdict.rhs) == pytest.approx(tuple(map(float, sides)), abs=1e-12), key
        assert key == "M37-drafts" or verdict.outcome is not Outcome.REFUTED


def test_the_limit_of_the_drafts_is_none_of_gsi_with_its_fallback() -> None:
    instance = Instance.from_probabilities([0.5, 0.5], [0.25, 0.75], [0.0, 0.0])
    verdict = CLAIMS["M37-drafts"].evaluate(instance, Scheme(1.0, 1, 0.0))
    assert verdict.outcome is Outcome.REFUTED and (verdict.lhs, verdict.rhs) == pytest.approx((0.25, 0.125))


def test_equal_rewards_and_what_the_draft_misses_warn_nowhere() -> None:
    flat = Instance.from_probabilities([1.0, 0.0], [0.5, 0.5], [1.0, 1.0])
    for key in ("M36-price", "M37-gated", "M38-winner", "M38-price", "M38-gated", "M39b-gated", "M39b-reward"):
        for n in (1, 2**50):
            assert CLAIMS[key].evaluate(flat, Scheme(1.0, n, 0.0)).outcome is not Outcome.REFUTED
