"""Numbers of draws at which a law is near enough: the ends of what may be asked."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.laws.efficiency import needed_n
from gsi_theory.types import Floats

TARGET = np.log([0.25, 0.75])


def reached_at(n: int) -> Floats:
    return TARGET if n >= 6 else np.log([0.5, 0.5])


def test_either_end_of_the_distances_may_be_asked_for() -> None:
    assert needed_n(reached_at, TARGET, 0.0) == 6
    assert needed_n(reached_at, TARGET, 0.0, n_max=6) == 6
    assert needed_n(reached_at, TARGET, 0.0, n_max=5) == np.inf
    assert needed_n(reached_at, TARGET, 0.25) == 1  # at most, not below
    assert needed_n(reached_at, TARGET, 1.0, n_max=1) == 1
    for epsilon in (-1e-300, 1.0 + 1e-15, np.nan):
        with pytest.raises(InputError, match="total variation in"):
            needed_n(reached_at, TARGET, epsilon)
    with pytest.raises(InputError, match="n_max = 0"):
        needed_n(reached_at, TARGET, 0.5, n_max=0)


def test_unasked_n_is_sought_up_to_a_million_millions() -> None:
    last = 2**39 + 5
    pi, other = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    assert needed_n(lambda n: pi if n >= last else other, pi, 0.1) == last
    assert needed_n(lambda n: other, pi, 0.1) == np.inf
