"""The bench of intervals: its worlds, and how its cells are counted."""

from __future__ import annotations

import numpy as np

from tests.benches.coverage_intervals import METHODS, NS, WORLDS, estimates, prompts_of, summarized, truth


def test_cells_are_counted_in_three_groups() -> None:
    rows = [
        ("heavy tail", 1.0, 0.94),
        ("close pair", 1.0, 0.94),
        ("close pair", 0.5, 0.98),
        ("close pair", 0.49, 0.999),
    ]
    names = ("world", "trusted", "population")
    found = summarized(
        dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)),
        {"heavy tail": 0.8, "close pair": 0.1},
    )
    assert found == {
        "khat > 0.7": [1.0, 1.0, 0.94, 0.94],
        "rare prompts decide": [1.0, 0.0, 0.999, 0.999],
        "the rest": [2.0, 1.0, 0.94, 0.98],
    }


def test_unsolvable_prompts_have_no_reward() -> None:
    """2 % of 100 prompts: nothing to win at two of them, exactly and in a pool; the others as in any other world."""
    world = next(w for w in WORLDS if w.unsolvable)
    prompts = prompts_of(world, 100, np.random.default_rng(1))
    best = np.array([truth(prompt, world).max() for prompt in prompts])
    assert np.flatnonzero(best == 0.0).tolist() == [0, 1] and (best[2:] > 0.1).all()
    values, errors, _ = estimates(prompts[0], world, 64, np.random.default_rng(2))
    assert values.shape == errors.shape == (len(METHODS), len(NS))
    assert not values.any() and not errors.any()
