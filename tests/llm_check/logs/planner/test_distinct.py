"""Options of equal law and cost are listed once: against a fingerprint of every law, the mean of random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.planner import recommendation
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.scheme_grid import Grid, Option, distinct_options
from llm_check.logs.planner.values import Sets, evaluate
from llm_check.logs.pools.pool import Pool, pool_from_columns
from llm_check.logs.pools.position_arrays import blocks
from tests.benches.plan import WORLDS

WIDE = {1.0: (-1e6, 0.3, 0.31, 1e6), 6.0: (-1e6, 0.3, 0.31, 1e6)}
GRID = Grid(("softmax", "race"), (1.0, 6.0), (1, 2, 4), (1,), WIDE, WIDE, (-1e6, 0.3, 0.31, 1e6))


def _pool(equal_policies: bool, levels: int | None) -> Pool:
    """Twelve prompts; rewards of so many levels (None: all different)."""
    columns = WORLDS["plain"](np.random.default_rng(0), 40).pool(12, 10, 1).table.to_pydict()
    reward = np.array(columns["reward"])
    if levels is not None:
        columns["reward"] = (np.floor(levels * reward) / levels).tolist()
    if equal_policies:
        columns["logp_draft"] = columns["logp_base"]
    return pool_from_columns(columns)


def _fingerprints(pool: Pool, options: list[Option]) -> list[tuple[float, ...]]:
    """Means of random numbers under each law at three positions, P(reject), and what the cost depends on."""
    arrays = pool.arrays
    part = blocks(arrays)[0]
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    rng = np.random.default_rng(3)
    numbers, base_numbers = rng.random((1, *part.draft.shape)), rng.random((1, *part.base.shape))
    sets = Sets(ratio[part.draft], reward[part.draft], reward[part.base], numbers, base_numbers)
    found = evaluate(sets, GRID, options, "unbiased")
    return [
        (*np.round(found.value[0, s], 9), *np.round(found.reject[s], 9), -o.n if o.on_base else o.n,
         o.weighs_ratio, o.method not in ("draft", "base"),
         o.n_base if found.reject[s].max() > 1e-9 else 0)
        for s, o in enumerate(options)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("equal_policies", "levels"), [(False, None), (False, 2), (True, None), (True, 2), (True, 1), (False, 1)]
)
def test_every_law_once(equal_policies: bool, levels: int | None) -> None:
    pool = _pool(equal_policies, levels)
    arrays = pool.arrays
    every, kept = GRID.options(), distinct_options(GRID, arrays, blocks(arrays))
    whole, listed = _fingerprints(pool, every), _fingerprints(pool, kept)
    assert len(set(listed)) == len(listed)
    assert set(whole) == set(listed)
    # the first of equal options, in the order of the grid
    assert kept == [every[k] for k in sorted(whole.index(law) for law in set(whole))]


def test_one_draw_needs_no_rule_and_no_beta() -> None:
    pool = _pool(False, None)
    plan = recommendation.plan(pool, Goal(), betas=(1.0, 6.0), ns=(1, 2), thresholds=(-1e6, 0.5))
    free = [o for o in plan.table.options if o.n == 1 and o.threshold is None]
    assert [(o.method, o.rule, o.beta) for o in free] == [("draft", "softmax", 1.0), ("base", "softmax", 1.0)]
    assert not [o for o in plan.table.options if o.n > 1 and o.threshold == -1e6]
    assert any(line.startswith("listed once: ") for line in plan.assumptions)
