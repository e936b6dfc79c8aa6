"""Thresholds that a plan takes from a pool, against their definitions; none is lost to rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest

from llm_check.logs.planner.scheme_grid import make_grid
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.pools.position_arrays import blocks

BETA, SCORES, SHARES = 3.0, (1.5, 4.0), (0.05, 0.2, 0.5)


def _pool(offset: float = 0.0) -> Pool:
    """Three prompts of eight drafts and four base candidates each."""
    rng = np.random.default_rng(4)
    rows: dict[str, list[object]] = {
        name: [] for name in ("prompt_id", "step", "source", "candidate", "logp_draft", "logp_base", "reward")
    }
    for prompt in range(3):
        for source, count in (("draft", 8), ("base", 4)):
            for candidate in range(count):
                numbers = *(-3.0 + rng.normal(size=2)), offset + rng.uniform()
                values = f"p{prompt}", 0, source, candidate, *(float(x) for x in numbers)
                for name, value in zip(rows, values, strict=True):
                    rows[name].append(value)
    return pool_from_columns(rows)


def _weights(pool: Pool) -> list[list[tuple[float, float]]]:
    """(r̃, e^{βr̃}) of the drafts of each prompt."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in pool.table.to_pylist():
        if row["source"] == "draft":
            tilted = row["reward"] + (row["logp_base"] - row["logp_draft"]) / BETA
            found.setdefault(row["prompt_id"], []).append((tilted, math.exp(BETA * tilted)))
    return list(found.values())


def test_thresholds_of_a_pool_are_its_shares_and_scores() -> None:
    """The score's u has e^{βu} = M times the mean weight (in the geometric mean over prompts); below the r̃ of a share
    lies that much of the tilted mass, each prompt's one."""
    pool = _pool()
    arrays = pool.arrays
    grid = make_grid(arrays, blocks(arrays), (BETA,), (1, 2), shares=SHARES, scores=SCORES)
    prompts = _weights(pool)
    mean = sum(math.log(sum(w for _, w in drafts) / len(drafts)) for drafts in prompts) / len(prompts)
    assert grid.score[BETA] == pytest.approx([(mean + math.log(m)) / BETA for m in SCORES], abs=5e-3)
    ranked = sorted((tilted, w / sum(x for _, x in drafts)) for drafts in prompts for tilted, w in drafts)
    expected, below = [], 0.0
    for tilted, mass in ranked:
        below += mass
        expected += [tilted for share in SHARES if below - mass < share * len(prompts) <= below]
    assert grid.tilted[BETA] == pytest.approx(expected, abs=5e-3)


def test_thresholds_keep_the_digits_of_their_spread() -> None:
    """Rewards around a million are rewards as good as others."""
    plain, moved = (_pool(offset).arrays for offset in (0.0, 1e6))
    near, far = (make_grid(arrays, blocks(arrays), (BETA,), (1,)) for arrays in (plain, moved))
    for kind in ("tilted", "score"):
        small, large = getattr(near, kind)[BETA], getattr(far, kind)[BETA]
        assert len(small) == len(large) == 3
        assert np.array(large) - 1e6 == pytest.approx(small, abs=1e-2)
