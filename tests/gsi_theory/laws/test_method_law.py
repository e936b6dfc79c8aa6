"""The record of a method's law."""

from __future__ import annotations

import numpy as np

from gsi_theory.laws.method_law import MethodLaw


def test_what_is_not_told_costs_nothing() -> None:
    law = MethodLaw(np.zeros(1), 0.0)
    costs = law.draft_samples, law.base_samples, law.base_scored, law.draft_scored, law.reward_calls
    assert costs == (0.0,) * 5 and law.p_accept is None
