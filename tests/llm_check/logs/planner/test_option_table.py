"""The table of a plan against its parts at every position: corrections, pseudo-values, tokens of the fallback."""

from __future__ import annotations

import numpy as np
import pytest

from llm_check.logs.planner import option_table as table
from llm_check.logs.planner.scheme_grid import Grid, make_grid
from llm_check.logs.planner.values import Values, evaluate, half_pool_shift, sets_of
from llm_check.logs.pools.pool import pool_from_columns
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock, blocks
from tests.benches.plan import WORLDS


def _pool(positions: int, n: int) -> tuple[PositionArrays, list[PositionBlock], Grid]:
    """Two steps at each of half as many prompts."""
    columns = WORLDS["plain"](np.random.default_rng(3), positions).pool(positions, n, 0).table.to_pydict()
    place = [int(name[1:]) for name in columns["prompt_id"]]
    columns |= {"prompt_id": [f"p{k // 2}" for k in place], "step": [k % 2 for k in place]}
    arrays = pool_from_columns(columns).arrays
    parts = blocks(arrays)
    return arrays, parts, make_grid(arrays, parts, (5.0,), (1, 4), ("softmax",), thresholds=(0.7, 0.9))


def _every(arrays: PositionArrays, parts: list[PositionBlock], grid: Grid) -> tuple[Values, Values]:
    (block,) = parts
    sets = sets_of(arrays, block, ["reward"])
    whole = evaluate(sets, grid, grid.options(), "plug-in")
    return whole, half_pool_shift(sets, grid, grid.options(), whole)


def test_plug_in_values_are_corrected_at_every_position(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "UNBIASED_WORK", 0)
    arrays, parts, grid = _pool(24, 12)
    found = table.plan_table(arrays, parts, grid, ["reward"], None)
    whole, shift = _every(arrays, parts, grid)
    assert found.estimator == "plug-in" and not found.fixed and found.sampled == found.positions == 24
    assert found.values.shape[2] == 12
    np.testing.assert_allclose(found.values[0].mean(axis=1), (whole.value + shift.value)[0].mean(axis=1), atol=1e-12)
    rejected = np.clip((whole.reject + shift.reject).mean(axis=1), 0.0, 1.0)
    np.testing.assert_allclose(found.reject, rejected, atol=1e-12)
    assert np.abs(shift.value).max() > 1e-4 and np.abs(shift.reject).max() > 1e-4
    lengths = arrays.tokens
    base = np.ones(24) if lengths is None else lengths[parts[0].base].mean(axis=1)
    plain = (whole.reject @ base) / 24
    scale = np.where(whole.reject.mean(axis=1) > 0, rejected / np.maximum(whole.reject.mean(axis=1), 1e-300), 1.0)
    np.testing.assert_allclose(found.reject_tokens, plain * scale, atol=1e-12)


def test_pseudo_values_of_held_prompts_are_those_of_a_jackknife() -> None:
    """Of one draw the value is a mean, whose pseudo-values are the means of the ten groups."""
    arrays, parts, grid = _pool(4, 20)
    found = table.plan_table(arrays, parts, grid, ["reward"], None)
    assert found.fixed and found.values.shape[2] == table.GROUPS == 10
    own, base = (arrays.floats("reward")[rows] for rows in (parts[0].draft, parts[0].base))
    alone = next(s for s, o in enumerate(found.options) if o.method == "base")
    groups = [base[:, np.arange(20) % 10 == g].mean() for g in range(10)]
    np.testing.assert_allclose(found.values[0, alone], groups, atol=1e-12)
    drafted = next(s for s, o in enumerate(found.options) if o.method == "draft")
    np.testing.assert_allclose(found.values[0, drafted].mean(), own.mean(), atol=1e-12)
