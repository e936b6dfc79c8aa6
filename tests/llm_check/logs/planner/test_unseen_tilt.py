"""The bound on the share of the tilted policy that no base candidate has shown."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory.samples.weight_coverage import mean_low
from llm_check.logs.planner.tail import unseen_tilt

P = 50


def test_prompts_whose_limit_is_small_are_kept_and_the_others_given_up() -> None:
    """Kept: at most the limit, less what is surely seen; given up: all of it; where the reward is reached, nothing."""
    small, none = np.full(P, 1e-3), np.zeros(P, dtype=bool)
    seen = float(np.exp(mean_low(np.zeros(P))))
    assert 0.5 < seen < 1.0
    assert unseen_tilt(np.zeros(P), small, none) == pytest.approx(1e-3 * (1.0 - seen), rel=1e-9)
    # what has been seen at most half takes half of it away
    half = float(np.exp(mean_low(np.log1p(-np.full(P, 0.5)))))
    assert unseen_tilt(small / 2.0, small, none) == pytest.approx(1e-3 * (1.0 - half), rel=1e-9)
    two = small.copy()
    two[[3, 30]] = 1e6
    rest = float(np.exp(mean_low(np.zeros(P - 2))))
    expected = (2.0 + (P - 2) * 1e-3 * (1.0 - rest)) / P
    assert unseen_tilt(np.zeros(P), two, none) == pytest.approx(expected, rel=1e-9)
    assert unseen_tilt(np.zeros(P), np.full(P, 1e6), none) == 1.0
    assert unseen_tilt(np.zeros(P), np.full(P, 1e6), ~none) == 0.0
