"""Penalized logistic regression against a general minimizer, and what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from gsi_theory.errors import InputError
from llm_check.models.real.logistic import fit_logistic


@pytest.mark.parametrize(("penalty", "sharp"), [(1.0, 1.0), (1e-2, 1.0), (1e-3, 50.0)])
def test_it_minimizes_the_penalized_loss(penalty: float, sharp: float) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 5)) * [1.0, 10.0, 0.1, 1.0, 1.0] + [0.0, 3.0, 0.0, 0.0, 7.0]
    features[:, 3] = 2.5  # never varies
    right = sharp * (features[:, 0] + 5.0 * features[:, 2] - 0.2) + rng.logistic(size=120) > 0
    scaled = (features - features.mean(axis=0)) / np.where(np.arange(5) == 3, 1.0, features.std(axis=0))
    sign = np.where(right, 1.0, -1.0)

    def loss(numbers: np.ndarray) -> float:
        score = scaled @ numbers[:-1] + numbers[-1]
        return float(np.logaddexp(0.0, -sign * score).mean() + penalty / 2 * numbers[:-1] @ numbers[:-1])

    best = minimize(loss, np.zeros(6), tol=1e-14, options={"gtol": 1e-9})
    weight, bias = fit_logistic(features, right, penalty)
    np.testing.assert_allclose(features @ weight + bias, scaled @ best.x[:-1] + best.x[-1], atol=2e-4)
    assert weight[3] == 0.0
    again = fit_logistic(features, right, penalty)
    assert again[0].tolist() == weight.tolist() and again[1] == bias


def test_what_cannot_be_learned() -> None:
    with pytest.raises(InputError, match="3 answers to learn from, all right"):
        fit_logistic(np.zeros((3, 2)), np.ones(3, dtype=bool), 1.0)
    with pytest.raises(InputError, match="penalty 0"):
        fit_logistic(np.zeros((2, 2)), np.array([True, False]), 0)
