"""Pareto k̂ on tails of known shape, ties and extremes; coverage of a pool by position."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("arviz_stats")

from gsi_theory.errors import InputError
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.tails import pareto_khat, pool_coverage


@pytest.mark.parametrize("shape", [0.3, 0.7, 1.1])
def test_known_shape(shape: float) -> None:
    """Of log-weights: a fit of the logarithms themselves would give about zero for every shape."""
    rng = np.random.default_rng(0)
    found = [pareto_khat(shape * rng.standard_exponential(4000)) for _ in range(20)]
    assert np.mean(found) == pytest.approx(shape, abs=0.08)


def test_scale_ties_and_extremes() -> None:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=200)
    assert pareto_khat(weight + 700.0) == pytest.approx(pareto_khat(weight))
    assert pareto_khat(np.zeros(100)) == -math.inf
    assert pareto_khat(weight[:20]) == math.inf
    assert pareto_khat(1e3 * weight) == math.inf
    assert pareto_khat(np.r_[weight, np.full(50, -np.inf)]) == pytest.approx(pareto_khat(weight))
    tied = np.log(np.arange(1.0, 13.0))[rng.integers(12, size=64)]  # a discrete policy: many draws of one weight
    assert math.isfinite(pareto_khat(tied)) and pareto_khat(tied) < 0.7
    with pytest.raises(InputError, match="without NaN"):
        pareto_khat([0.0, math.nan])


def test_pool_by_position() -> None:
    """Two prompts, the second without base draws; ratios 2 and 1/2 in equal parts at the first."""
    drafts, half = 40, math.log(2.0)
    rows = [("a", "draft", i, -2.0, -2.0 + (half if i % 2 else -half), 0.5) for i in range(drafts)]
    rows += [("a", "base", i, -2.0, -2.0, 0.5) for i in range(30)]
    rows += [("b", "draft", i, -2.0, -2.0, 0.1 * (i % 3)) for i in range(drafts)]
    names = ("prompt_id", "source", "candidate", "logp_draft", "logp_base", "reward")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    first, second = pool_coverage(pool_from_columns({**columns, "step": [0] * len(rows)}), beta=1.0)
    assert (first.prompt_id, second.prompt_id) == ("a", "b")
    assert first.ratio.chi2 == pytest.approx(0.5 * (4.0 + 0.25) - 1.0)
    assert first.base_chi2 is not None and first.base_chi2[0] == pytest.approx(0.0)
    assert second.base_chi2 is None and second.ratio.chi2 == pytest.approx(0.0, abs=1e-12)
    assert first.tilted.ess == pytest.approx(drafts * 1.25**2 / (0.5 * (4.0 + 0.25)))


def test_only_the_product_of_beta_and_reward_counts() -> None:
    """Rewards four times as large at a quarter of β are the same tilt; the drafts needed are read off the base's: where
    equal policies tilt by e^{βr}, 3/π(w ≥ its 95 % quantile under the tilt)."""
    rng = np.random.default_rng(5)
    drafts, base = rng.random(40), rng.random(60)
    found = []
    for beta, scale in ((8.0, 1.0), (2.0, 4.0)):
        rows = [("draft", i, r) for i, r in enumerate(drafts)] + [("base", i, r) for i, r in enumerate(base)]
        columns = {
            "prompt_id": ["a"] * 100, "step": [0] * 100, "source": [s for s, _, _ in rows],
            "candidate": [i for _, i, _ in rows], "logp_draft": [-2.0] * 100, "logp_base": [-2.0] * 100,
            "reward": [scale * r for _, _, r in rows],
        }  # fmt: skip
        found.extend(pool_coverage(pool_from_columns(columns), beta))
    one, other = found
    assert not one.tail.speaks and one.tail.drafts_needed == other.tail.drafts_needed
    assert one.tilted_khat == pytest.approx(other.tilted_khat, rel=1e-6)
    assert (one.tilted.ess, one.tilted.chi2) == pytest.approx((other.tilted.ess, other.tilted.chi2))
    tilt = np.exp(8.0 * np.sort(base)[::-1])
    beyond = int(np.searchsorted(np.cumsum(tilt) / tilt.sum(), 0.05)) + 1
    assert one.tail.drafts_needed == math.ceil(3.0 / (beyond / 60))


def test_where_a_tail_begins() -> None:
    """A fifth of the draws, 3√N beyond 225: equal weights are no tail only if they fill it; 25 draws are the fewest."""
    rng = np.random.default_rng(6)
    for size, tail in ((100, 20), (225, 45), (400, 60), (10_000, 300)):
        weight = rng.normal(size=size)
        for equal, none in ((tail, True), (tail - 1, False)):
            assert (pareto_khat(np.r_[weight[equal:], np.full(equal, 9.0)]) == -math.inf) == none, (size, equal)
    assert pareto_khat(rng.normal(size=24)) == math.inf and math.isfinite(pareto_khat(rng.normal(size=25)))


def test_ties_are_spread_up_to_the_next_weight() -> None:
    """Three equal draws and one of twice the weight: as 1, 4/3 and 5/3 thirds of the way in nats to the next."""
    rng = np.random.default_rng(7)
    levels = np.sort(rng.standard_exponential(80))
    spread = levels[:-1, None] + np.diff(levels)[:, None] * np.arange(3) / 3.0
    tied = np.r_[np.repeat(levels[:-1], 3), levels[-1]]
    assert pareto_khat(tied) == pytest.approx(pareto_khat(np.r_[spread.ravel(), levels[-1]]), abs=1e-12)


def test_each_tail_is_of_its_own_weights() -> None:
    rng = np.random.default_rng(8)
    ratio, base, reward = rng.normal(size=60), rng.normal(size=50) - 1.0, rng.random(110)
    columns = {
        "prompt_id": ["a"] * 110, "step": [0] * 110, "source": ["draft"] * 60 + ["base"] * 50,
        "candidate": list(range(60)) + list(range(50)), "logp_draft": [-9.0] * 110,
        "logp_base": (np.r_[ratio, base] - 9.0).tolist(), "reward": reward.tolist(),
    }  # fmt: skip
    (found,) = pool_coverage(pool_from_columns(columns), beta=3.0)
    assert found.ratio_khat == pytest.approx(pareto_khat(ratio), abs=1e-9)
    assert found.tilted_khat == pytest.approx(pareto_khat(3.0 * reward[:60] + ratio), abs=1e-9)
    assert found.base_chi2 is not None and found.base_chi2[0] == pytest.approx(np.exp(base).mean() - 1.0)
    assert found.ratio.guaranteed and not found.tilted.guaranteed


def test_weights_that_rounding_parts_are_one_weight_and_others_are_not() -> None:
    """A millionth of a nat is a difference, an ulp of a recomputed weight is none."""
    steps = np.arange(40.0)
    assert pareto_khat(3.0 + 1e-12 * steps) == -np.inf
    assert np.isfinite(pareto_khat(3.0 + 1e-6 * steps))
