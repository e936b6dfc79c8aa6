"""Clipped rejection sampling (M9) where one of acceptance and rejection is next to nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory.laws.clipping import first_passage


@pytest.mark.parametrize(("passing", "log_miss"), [(-1e-20, math.log(1e-20)), (-50.0, -math.exp(-50.0))])
def test_rejection_is_known_whatever_its_size(passing: float, log_miss: float) -> None:
    """Of one candidate a = exp(passing): P(reject) = (1 - a)^n to a few units, next to 0 and next to 1."""
    for n in (1, 3, 1000):
        law = first_passage(np.log([0.5, 0.5]), np.full(2, passing), n, 0.0)
        assert law.log_p_reject == pytest.approx(n * log_miss, rel=1e-14, abs=0.0)
        assert law.log_pass == pytest.approx(passing, rel=1e-14, abs=1e-15)
