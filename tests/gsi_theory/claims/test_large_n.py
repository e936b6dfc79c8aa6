"""Limits n → ∞ by extrapolation: exact where the expansion in 1/n ends, and an error that says what is not known."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Instance, Scheme
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.large_n import LARGEST_LOG_SCALE, limit_of, starts

FACTS = Facts.of(Instance.from_probabilities([0.5, 0.5], [0.3, 0.7], [0.0, 1.0]), Scheme(1.0, 2))
SCALE = np.array([0.0, 3.0])


def term(k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.array([2.0 + 3.0 / k + 5.0 / k**2, -1.0 + 8.0 / k]), np.full(2, 1e-3 * k)


def test_two_orders_of_corrections_are_taken_away() -> None:
    """L + a/k + b/k²: from k = 1, 2, 4 the limit; its error is ten last corrections and five times the errors."""
    value, error = limit_of(FACTS, SCALE, term, smooth=True)
    assert value == pytest.approx([2.0, -1.0], abs=1e-13)
    two = np.array([2.0 - 5.0 / 8.0, -1.0])
    assert error == pytest.approx(10.0 * abs(value - two) + 5.0 * 7e-3, abs=1e-12)
    _, kinked = limit_of(FACTS, SCALE, term, smooth=False)
    last = np.array([2.0 + 3.0 / 4.0 + 5.0 / 16.0, -1.0 + 2.0])
    assert kinked == pytest.approx(error + 2.0 * abs(value - last), abs=1e-12)


def test_nothing_is_said_beyond_the_range_or_of_infinite_terms() -> None:
    _, error = limit_of(FACTS, np.array([LARGEST_LOG_SCALE, LARGEST_LOG_SCALE + 1e-9]), term, smooth=True)
    assert np.isfinite(error).tolist() == [True, False]
    _, error = limit_of(FACTS, SCALE, lambda k: (np.array([np.inf, 1.0]), np.zeros(2)), smooth=True)
    assert np.isfinite(error).tolist() == [False, True]


def test_the_first_n_is_far_above_the_scale() -> None:
    scales = np.array([-5.0, 0.0, 3.0, LARGEST_LOG_SCALE, 700.0])
    assert starts(FACTS, scales) == pytest.approx(1e4 * np.exp(np.clip(scales, 0.0, LARGEST_LOG_SCALE)), rel=1e-4)
