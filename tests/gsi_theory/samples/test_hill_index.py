"""The Hill index: by hand, covering as often as it says on Pareto worlds, invariant to scale, refused with no tail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.samples.hill_index import hill_index


def test_by_hand() -> None:
    found = hill_index(np.log([8.0, 1.0, 4.0, 2.0, 0.5]), 2)
    assert found.index == pytest.approx((math.log(4.0) + math.log(2.0)) / 2.0)
    assert found.low < found.index < found.high
    one = hill_index(np.log([3.0, 1.0]), 1, 0.5)  # ξ̂/ξ ~ Exp(1): quartiles
    assert one.low == pytest.approx(math.log(3.0) / math.log(4.0))
    assert one.high == pytest.approx(math.log(3.0) / math.log(4.0 / 3.0))


@pytest.mark.parametrize("xi", [0.2, 0.5, 1.5])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_covers_on_pareto_worlds(xi: float, k: int) -> None:
    """2,000 samples of 100 from P(X > x) = x^(-1/ξ): 90 % within 4 standard errors, at each end half of the rest."""
    rng, trials = np.random.default_rng([int(10 * xi), k]), 2_000
    found = [hill_index(-xi * np.log(1.0 - rng.random(100)), k, 0.9) for _ in range(trials)]
    low, high = (np.mean([getattr(f, end) > xi for f in found]) for end in ("low", "high"))
    room = 4.0 * math.sqrt(0.05 * 0.95 / trials)
    assert abs(low - 0.05) <= room
    assert abs(1.0 - high - 0.05) <= room
    assert abs(np.mean([f.index for f in found]) - xi) <= 4.0 * xi / math.sqrt(k * trials)


def test_scale_order_and_what_lies_below_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    logs = rng.exponential(size=50)
    one = hill_index(logs, 7)
    assert hill_index(rng.permutation(logs) + 1e4, 7).index == pytest.approx(one.index, abs=1e-11)
    below = np.where(logs < np.sort(logs)[-8], -np.inf, logs)
    assert hill_index(below, 7) == one
    assert hill_index(logs).k == 7
    assert hill_index(np.zeros(9), 3).index == 0.0


def test_what_has_no_tail_is_refused() -> None:
    for wrong in (
        lambda: hill_index([1.0]),
        lambda: hill_index([[1.0, 2.0]]),
        lambda: hill_index([1.0, 2.0], 2),
        lambda: hill_index([1.0, 2.0], 0),
        lambda: hill_index([1.0, 2.0], True),
        lambda: hill_index([1.0, 2.0], 1, 1.0),
        lambda: hill_index([1.0, -np.inf], 1),
        lambda: hill_index([np.inf, 1.0], 1),
        lambda: hill_index([np.nan, 1.0, 2.0], 1),
    ):
        with pytest.raises(InputError):
            wrong()
