"""Gold values from few labels: unbiased over every pattern of labels, no worse than all labels, coverage, no harm."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.samples.draw_curve import best_of_n
from gsi_theory.samples.labelled_draws import harmless_n, label_support, labelled_best_of_n
from tests.benches.labelled_curve import judged, truth

NS = np.array([1, 2, 4])


def test_the_mean_over_all_patterns_of_labels_is_the_value_of_all_labels() -> None:
    """Two prompts of four draws, ties, chances that differ: 256 patterns, to 1e-12, with and without a model."""
    rng = np.random.default_rng(4320)
    rewards = [np.array([0.0, 1.0, 1.0, 2.0]), np.array([3.0, 0.5, 0.5, 0.1])]
    gold, chances = [rng.normal(size=4) for _ in range(2)], [rng.uniform(0.2, 0.9, 4) for _ in range(2)]
    whole = np.array(
        [best_of_n(r, g[None], np.ones(4, dtype=np.int64), NS).value[0] for r, g in zip(rewards, gold, strict=True)]
    )
    for modelled in (True, False):
        total = np.zeros((2, 3))
        for pattern in product((False, True), repeat=8):
            on = np.array(pattern).reshape(2, 4)
            weight = float(np.prod(np.where(on, chances, 1.0 - np.array(chances))))
            seen = [np.where(on[p], gold[p], np.nan) for p in range(2)]
            total += weight * labelled_best_of_n(rewards, seen, chances, NS, modelled)
        assert np.abs(total - whole).max() <= 1e-12
    ones = [np.ones(4)] * 2
    assert np.abs(labelled_best_of_n(rewards, gold, ones, NS) - whole).max() <= 1e-12


def test_the_support_counts_equal_labels() -> None:
    """By hand: all at n = 1; at n of all draws those of the winners, ties shared; by 1/e where chances differ."""
    rewards = [np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.0, 1.0])]
    gold = [np.array([np.nan, 0.3, 0.1]), np.array([0.5, np.nan, 0.2])]
    ns = np.array([1, 2, 3])
    equal = label_support(rewards, gold, [np.full(3, 0.4)] * 2, ns)
    # at n = 2 the labelled draws win by 1/3, 2/3 and 1/2, 0; at n = 3 by 0, 1 and 1/2, 0
    assert np.abs(equal - [4.0, 1.5**2 / (1 / 9 + 4 / 9 + 1 / 4), 1.5**2 / 1.25]).max() <= 1e-12
    other = label_support(rewards, gold, [np.array([0.5, 1.0, 0.5]), np.array([0.25, 0.5, 1.0])], ns)
    assert abs(other[0] - 8.0**2 / (1 + 4 + 16 + 1)) <= 1e-12
    assert label_support(rewards, [np.full(3, np.nan)] * 2, [np.ones(3)] * 2, ns).tolist() == [0.0, 0.0, 0.0]


def test_the_band_holds_the_model_helps_and_the_choice_does_no_harm() -> None:
    """60 logs of a world with hacked draws, one label in ten: the bench in small."""
    exact = truth(0.02)
    rows = [judged(seed, 0.02, 0.1, exact) for seed in range(60)]
    assert sum(r["covered"] for r in rows) >= 53 and sum(r["harm"] for r in rows) <= 3
    assert np.mean([r["error_ratio"] for r in rows]) < 0.9
    assert np.mean([r["gain"] for r in rows]) > 0.3 * (exact.max() - exact[0])


def test_hard_cases_and_refusals() -> None:
    none = [np.full(4, np.nan)] * 6
    rewards, chances = [np.arange(4.0)] * 6, [np.full(4, 0.5)] * 6
    silent = labelled_best_of_n(rewards, none, chances, NS)
    assert silent.tolist() == np.zeros((6, 3)).tolist() and harmless_n(silent, NS).n == 1
    for wrong in (
        (rewards, none, chances, np.array([8])),
        (rewards, none, [np.zeros(4)] * 6, NS),
        (rewards, none[:5], chances, NS),
        ([np.full(4, np.inf)] * 6, none, chances, NS),
    ):
        with pytest.raises(InputError):
            labelled_best_of_n(*wrong)
    assert harmless_n(silent[:5], NS).n == 1
    with pytest.raises(InputError, match="five prompts"):
        harmless_n(silent[:4], NS)
