"""The model of right draws: its interval counts the noise of the draws that pass@n is measured on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from gsi_theory.samples.pass_model import CountTable, profile


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_where_the_chances_are_known_the_interval_is_that_of_fresh_draws(level: float) -> None:
    """40 prompts that are right in half of 1000 draws: pass@1 of 40 draws scatters by sqrt(1/4/40)."""
    weights = np.zeros(1001)
    weights[500] = 40.0
    middle, low, high = profile(CountTable((1000,), (weights,)), 1, level)
    reach = float(ndtri(0.5 + 0.5 * level)) * np.sqrt(0.25 / 40)
    assert middle == pytest.approx(0.5, abs=1e-3)
    assert [middle - low, high - middle] == pytest.approx([reach, reach], rel=0.05)
