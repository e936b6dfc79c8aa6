"""The half-pool correction of plug-in values, averaged over the orders of a pool: exact where values are quadratic."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from llm_check.logs.planner.scheme_grid import Grid
from llm_check.logs.planner.values import Sets, evaluate, half_pool_shift

RATIO, REWARD = np.array([0.4, -0.7, 1.3, 0.1]), np.array([0.2, 0.9, 0.5, 0.7])
BASE_REWARD, BETA, THRESHOLD = np.array([0.3, 0.8, 0.1, 0.6]), 2.0, 0.6
GRID = Grid(("softmax",), (BETA,), (1, 2), (1,), {BETA: (THRESHOLD,)}, {BETA: ()}, (THRESHOLD,))


def _every_order() -> Sets:
    """A pool of 4 drafts and 4 base candidates in each order of both, one position each."""
    orders = list(permutations(range(4)))
    own = np.array([a for a, _ in product(orders, orders)])
    other = np.array([b for _, b in product(orders, orders)])
    reward, base = REWARD[own], BASE_REWARD[other]
    return Sets(RATIO[own], reward, base, reward[None], base[None])


def _pairs(weight: np.ndarray, value: np.ndarray) -> float:
    """Mean over pairs of different candidates of Σwf/Σw: what (M31) estimates at n = 2."""
    found = [
        (weight[i] * value[i] + weight[j] * value[j]) / (weight[i] + weight[j]) for i in range(4) for j in range(i)
    ]
    return float(np.mean(found))


def test_corrected_values_average_to_those_of_all_pairs() -> None:
    """Draws with replacement repeat one of N with chance 1/N, one of N/2 with 2/N: 2θ − θ_half repeats none."""
    sets, options = _every_order(), GRID.options()
    whole = evaluate(sets, GRID, options, "plug-in")
    shift = half_pool_shift(sets, GRID, options, whole)
    value, reject = whole.value[0] + shift.value[0], whole.reject + shift.reject
    weight, raised = np.exp(BETA * REWARD + RATIO), np.exp(BETA * BASE_REWARD)
    kept = (REWARD + RATIO / BETA >= THRESHOLD).astype(float)
    assert 0 < kept.sum() < 4
    for s, option in enumerate(options):
        if option.n_base == 2 and option.threshold is not None:
            continue  # of degree 4
        draws = _pairs if option.n == 2 else lambda _, f: float(np.mean(f))
        if option.record.weight == "best":
            side = BASE_REWARD if option.on_base else REWARD
            pairs = [max(side[i], side[j]) for i in range(4) for j in range(i)]
            expected, refused = float(np.mean(pairs)), float(option.on_base)
        elif option.method == "soft_bon_draft":
            expected, refused = draws(np.exp(BETA * REWARD), REWARD), 0.0
        elif option.gate == "reward":
            kept_here = (REWARD >= THRESHOLD).astype(float)
            refused = float(1.0 - kept_here.mean())
            expected = float((REWARD * kept_here).mean()) + refused * BASE_REWARD.mean()
        elif option.on_base:
            expected, refused = draws(raised, BASE_REWARD), 1.0
        else:
            kept_here = np.ones(4) if option.threshold is None else kept
            refused = 1.0 - draws(weight, kept_here)
            expected = draws(weight, REWARD * kept_here) + refused * BASE_REWARD.mean()
        assert value[s].mean() == pytest.approx(expected, abs=1e-12), option
        assert reject[s].mean() == pytest.approx(refused, abs=1e-12), option
    uncorrected = np.abs(whole.value[0].mean(axis=1) - value.mean(axis=1))
    assert uncorrected.max() > 0.01


@pytest.mark.parametrize("estimator", ["plug-in", "unbiased"])
def test_rejections_are_probabilities(estimator: str) -> None:
    """A threshold that all pass is never missed, one that none passes always, rounding or not."""
    sets = _every_order()
    grid = Grid(("softmax", "race"), (BETA,), (1, 2), (), {BETA: (-9.0, 9.0)}, {BETA: (-9.0, 9.0)}, (-9.0, 9.0))
    found = evaluate(sets.at(np.arange(0, 576, 11)), grid, grid.options(), estimator)
    assert found.reject.min() >= 0.0 and found.reject.max() <= 1.0
    for s, option in enumerate(grid.options()):
        missed = 1.0 if option.on_base or option.threshold == 9.0 else 0.0
        if option.gate != "score" or missed == 0.0:
            np.testing.assert_allclose(found.reject[s], missed, atol=1e-12)


def test_both_halves_count_alike() -> None:
    """Exchanging even and odd candidates changes nothing; one half alone would be of twice the noise."""
    sets, options = _every_order().at(np.arange(0, 576, 37)), GRID.options()
    other = sets.pick(np.array([1, 0, 3, 2]), np.array([1, 0, 3, 2]))
    one, two = (half_pool_shift(s, GRID, options, evaluate(s, GRID, options, "plug-in")) for s in (sets, other))
    np.testing.assert_allclose(one.value, two.value, atol=1e-13)
    np.testing.assert_allclose(one.reject, two.reject, atol=1e-13)
    assert np.abs(one.value).max() > 0.01 and np.abs(one.reject).max() > 0.01
