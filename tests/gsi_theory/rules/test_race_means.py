"""Means over winners of the race against the law of every candidate."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.laws.selection_law import score_gated_race, selection_law
from gsi_theory.rules.race_means import race_means


@pytest.mark.parametrize("spread", [0.0, 0.5, 5.0, 90.0])
def test_means_are_those_of_the_law(spread: float) -> None:
    rng = np.random.default_rng(int(spread))
    weight = spread * rng.normal(size=(3, 17))
    weight[0, 3] = weight[0, 5]
    values, ns, cuts = rng.normal(size=(2, 3, 17)), np.array([1, 2, 7, 64]), np.array([-3.0, 0.4, 2.0, 400.0])
    found = race_means(values, weight, ns, cuts)
    assert found.shape == (5, 2, 3, 4)
    mass = np.full(17, -np.log(17))
    for p in range(3):
        for m, n in enumerate(ns):
            law = np.exp(selection_law(mass, weight[p], int(n), "race").log_prob)
            assert found[0, :, p, m] == pytest.approx(values[:, p] @ law, abs=1e-12)
            for u, cut in enumerate(cuts):
                accepted, _ = score_gated_race(mass, weight[p], int(n), float(cut))
                assert found[1 + u, :, p, m] == pytest.approx(values[:, p] @ np.exp(accepted), abs=1e-12)


def test_out_of_range_weights_are_refused() -> None:
    for bad in ([0.0, 700.0], [0.0, -np.inf]):
        with pytest.raises(InputError, match="use selection_law"):
            race_means(np.ones((1, 1, 2)), np.array([bad]), np.array([2]), np.zeros(0))
