"""Predictions from pools of known truth: unbiased after the jackknife, with honest errors, in any representation."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Candidates, InputError, Instance, Scheme, gsi_law
from llm_check.predict import merge_equal, plug_in, predict_position, scheme_grid

INSTANCE = Instance.from_probabilities(
    [0.4, 0.3, 0.15, 0.1, 0.05], [0.15, 0.25, 0.3, 0.2, 0.1], [0.2, 0.9, 0.5, 0.7, 0.1]
)
SCHEMES = scheme_grid((5.0,), (1, 8), ("softmax", "race"), 0.6)


def drawn(rng: np.random.Generator, size: int) -> tuple[Candidates, Candidates]:
    """A pool of `size` draft and base draws from the instance, raw log-ratios."""
    sets = []
    for log_policy in (INSTANCE.log_draft, INSTANCE.log_base):
        y = rng.choice(INSTANCE.size, size, p=np.exp(log_policy))
        sets.append(Candidates(np.full(size, -np.log(size)), INSTANCE.reward[y], INSTANCE.log_ratio[y]))
    return sets[0], sets[1]


def exact(scheme: Scheme) -> np.ndarray:
    law = gsi_law(INSTANCE, scheme)
    mean = law.expectation(INSTANCE.reward)
    return np.array([mean, law.p_accept, np.sqrt(law.expectation((INSTANCE.reward - mean) ** 2))])


def test_predictions_are_calibrated_on_pools_of_known_truth() -> None:
    """60 pools of 1,000: the z-scores of every scheme have mean within 4 standard errors of 0, and variance near 1.

    The jackknife over 20 groups has 19 degrees of freedom, so Var z = 19/17; over 60 pools its standard error is about
    0.21 a scheme, and the schemes share pools.
    """
    truth = np.array([exact(s) for s in SCHEMES])[:, :2]
    z = []
    for pool in range(60):
        values, errors, _ = predict_position(*drawn(np.random.default_rng([51, pool]), 1000), SCHEMES)
        with np.errstate(divide="ignore", invalid="ignore"):
            certain = np.where(np.abs(values - truth) < 1e-12, 0.0, np.inf)
            z.append(np.where(errors > 0, (values - truth) / errors, certain))
    scores = np.array(z)
    assert np.abs(scores.mean(axis=0)).max() <= 4 * 1.06 / np.sqrt(60)
    reward_variance = scores[:, :, 0].var(axis=0, ddof=1)
    assert 0.7 <= reward_variance.mean() <= 1.6


def test_merging_equal_candidates_changes_nothing() -> None:
    draft, base = drawn(np.random.default_rng(52), 200)
    apart, merged = plug_in(draft, base, SCHEMES), plug_in(merge_equal(draft), merge_equal(base), SCHEMES)
    assert np.allclose(apart, merged, rtol=0, atol=1e-12)


def test_plug_in_of_the_whole_law_is_the_law() -> None:
    found = plug_in(INSTANCE.draft_candidates(), INSTANCE.base_candidates(), SCHEMES)
    assert np.allclose(found, [exact(scheme) for scheme in SCHEMES], rtol=0, atol=1e-13)


def test_too_small_a_pool_is_refused() -> None:
    draft, base = drawn(np.random.default_rng(53), 30)
    with pytest.raises(InputError, match="30 candidates"):
        predict_position(draft, base, SCHEMES)
