"""Over-optimization: what a turn says of its fall, by hand, and how often chance alone makes one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from llm_check.logs.planner.overuse import turns
from llm_check.logs.planner.scheme_grid import Option


def _path(count: int) -> list[Option]:
    return [Option("softmax", "none", 2**k, 2**k, 5.0, None) for k in range(count)]


def test_the_fall_and_its_standard_error_by_hand() -> None:
    gold = np.array([[0.5, 0.9, 0.7, 0.8], [0.5, 0.8, 0.75, 0.8], [0.1, 0.48, 0.29, 0.37]])
    reward = np.array([[0.1] * 4, [0.2] * 4, [0.3] * 4])
    (turn,) = turns(_path(3), reward, gold)
    assert turn.along == "n" and (turn.best.n, turn.after.n) == (1, 4)
    assert turn.fall == pytest.approx((gold[0] - gold[2]).mean())
    assert turn.fall_se == pytest.approx(stats.sem(gold[0] - gold[2]))
    assert turn.rise == pytest.approx(0.2)
    assert turns(_path(3), -reward, gold) == []  # the reward fell too


@pytest.mark.parametrize("units", [3, 4, 8])
def test_chance_rarely_turns_a_path(units: int) -> None:
    """Two options of equal gold: the larger mean is the best, so a turn is Student's t beyond three normal standard
    errors on either side."""
    rng, samples = np.random.default_rng(units), 20_000
    reward = np.repeat([[0.0], [1.0]], units, axis=1)
    found = sum(bool(turns(_path(2), reward, rng.normal(size=(2, units)))) for _ in range(samples))
    level = stats.norm.sf(3.0)  # the second option may only fall
    assert abs(found - level * samples) <= 5.0 * np.sqrt(level * samples)
