"""Tilted rewards of arrays (M1), which planner and decoder share: against fractions, and at the limit β = 0."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory.instance import Candidates, tilted_reward, tilted_rewards


@pytest.mark.parametrize("beta", [0.25, 1.0, 3.0, 1e6])
def test_reward_plus_log_ratio_over_beta(beta: float) -> None:
    reward, ratio = np.array([0.5, -2.0, 0.0, 7.0]), np.array([1.5, -0.25, 0.0, 1e4])
    exact = [float(Fraction(r) + Fraction(q) / Fraction(beta)) for r, q in zip(reward, ratio, strict=True)]
    np.testing.assert_allclose(tilted_rewards(reward, ratio, beta), exact, rtol=1e-15)
    candidates = Candidates(np.log(np.full(4, 0.25)), reward, ratio)
    np.testing.assert_array_equal(tilted_rewards(reward, ratio, beta), tilted_reward(candidates, beta))


def test_the_limit_at_beta_zero_and_what_no_number_is() -> None:
    reward, ratio = np.full(4, 0.5), np.array([0.0, 1e-9, -1e-9, np.nan])
    np.testing.assert_array_equal(tilted_rewards(reward, ratio, 0.0), [0.5, np.inf, -np.inf, np.nan])
    assert np.isnan(tilted_rewards(reward, ratio, 2.0)[3])
