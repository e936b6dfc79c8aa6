"""What a step costs, by hand on round numbers: batches, the order of fallback and drafts, and the value of a law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory import Instance, tilted_policy
from gsi_theory.methods import MethodLaw
from gsi_theory.runs.costs import Device, Hardware, Shape, Trio, flops, seconds, value_of

# Writing a token reads 2 bytes a parameter: draft 2 s, base 20 s; from a batch of 10 on arithmetic decides.
ROUND = Hardware(Trio(Shape(1.0), Shape(10.0), Shape(5.0)), Device(bandwidth=1.0, peak=10.0), tokens=3.0)


def law(p_accept: float | None = None, **numbers: float) -> MethodLaw:
    costs = dict.fromkeys(("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls"), 0.0)
    return MethodLaw(np.zeros(1), 0.0, p_accept, **costs | numbers)


def test_writing_is_bound_by_memory_and_then_by_arithmetic() -> None:
    # three tokens of 20 s whatever the batch up to 10, then 3 tokens · 2 · 10 parameters · 20 candidates / 10
    assert seconds(law(base_samples=1.0), ROUND) == seconds(law(base_samples=10.0), ROUND) == 60.0
    assert seconds(law(base_samples=20.0), ROUND) == pytest.approx(120.0)


def test_scoring_reads_the_weights_once() -> None:
    # one candidate: max(2 · 10 bytes, 2 · 10 · 3 / 10 s) = 20; seven: 42
    assert seconds(law(base_scored=1.0), ROUND) == 20.0
    assert seconds(law(base_scored=7.0), ROUND) == pytest.approx(42.0)


def test_a_fallback_follows_the_drafts_and_is_paid_when_it_happens() -> None:
    """Two drafts (6 s), scored by base (20 s) and reward (10 s); one round in four writes eight (60 s, 24 s)."""
    gated = law(0.75, draft_samples=2.0, base_scored=2.0, base_samples=0.25 * 8, reward_calls=2.0 + 0.25 * 8)
    assert seconds(gated, ROUND) == pytest.approx(6.0 + 20.0 + 10.0 + 0.25 * (60.0 + 24.0))
    # 2 · 3 tokens a candidate: two drafts, two scored and two written by the base, four rewards
    assert flops(gated, ROUND) == pytest.approx(6.0 * (2 * 1.0 + 4 * 10.0 + 4 * 5.0))


def test_the_tilt_has_most_value() -> None:
    instance = Instance.from_probabilities([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [1.0, 0.5, 0.0])
    pi = tilted_policy(instance, 2.0)
    best = value_of(instance, 2.0, pi)
    assert best == pytest.approx(0.5 * math.log(0.2 * math.exp(2.0) + 0.3 * math.exp(1.0) + 0.5))
    assert value_of(instance, 2.0, instance.log_base) < best > value_of(instance, 2.0, instance.log_draft)
