"""AUC and best-of-n against counting by hand, and the errors they state against worlds of known truth."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import norm

from llm_check.models.real.ranking import auc, best_of_n, ranking


def counted_auc(reward: np.ndarray, right: np.ndarray) -> float:
    wins = [1.0 if a > b else 0.5 * (a == b) for a, b in product(reward[right], reward[~right])]
    return float(np.mean(wins))


def small_world(rng: np.random.Generator, problems: int, answers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    reward = rng.integers(0, 4, problems * answers) / 4.0
    return reward, rng.random(len(reward)) < 0.4, np.repeat(np.arange(problems), answers)


def test_auc_is_a_count_of_pairs() -> None:
    rng = np.random.default_rng(0)
    reward, right, problem = small_world(rng, 5, 9)
    right[problem == 3] = True  # a problem without wrong answers tells nothing within
    found = ranking(reward, right, problem)
    own = [counted_auc(reward[problem == k], right[problem == k]) for k in (0, 1, 2, 4)]
    assert found.overall == pytest.approx(counted_auc(reward, right), abs=1e-14)
    assert found.within == pytest.approx(np.mean(own), abs=1e-14)
    assert found.within_error == pytest.approx(np.std(own, ddof=1) / 2, abs=1e-14)
    assert (found.answers, found.problems, found.mixed) == (45, 5, 4)
    assert np.isnan(auc(reward[problem == 3], right[problem == 3]))


def test_best_of_n_is_a_mean_over_subsets() -> None:
    rng = np.random.default_rng(1)
    reward, right, problem = small_world(rng, 4, 6)
    found = best_of_n(reward, right, problem, (1, 2, 5, 6), reference=2)

    def by_hand(score: np.ndarray, n: int) -> list[float]:
        means = []
        for k in range(4):
            own, truth = score[problem == k], right[problem == k]
            tops = [[i for i in s if own[i] == own[list(s)].max()] for s in combinations(range(6), n)]
            means.append(np.mean([truth[top].mean() for top in tops]))
        return means

    for column, n in enumerate((1, 2, 5, 6)):
        own, truth, change = (
            by_hand(reward, n),
            by_hand(right * 1.0, n),
            np.subtract(by_hand(reward, n), by_hand(reward, 2)),
        )
        for value, error, expected in (
            (found.accuracy, found.accuracy_error, own),
            (found.oracle, found.oracle_error, truth),
            (found.change, found.change_error, change),
        ):
            assert value[column] == pytest.approx(np.mean(expected), abs=1e-12)
            assert error[column] == pytest.approx(np.std(expected, ddof=1) / 2, abs=1e-12)


def test_stated_errors_cover_known_truths() -> None:
    # Rewards are normal, shifted by s_k where right: AUC within problem k is Φ(s_k/√2); problems differ in level,
    # difficulty and shift, so answers of one problem are far from independent.
    rng = np.random.default_rng(2)
    shifts, levels, chances = np.array([0.2, 1.4]), np.array([-1.0, 1.0]), np.array([0.3, 0.7])
    kinds = list(product(shifts, levels, chances))
    within = float(np.mean([norm.cdf(s / np.sqrt(2)) for s, _, _ in kinds]))
    above = [(p * (1 - q), norm.cdf((a + s - b) / np.sqrt(2))) for (s, a, p), (_, b, q) in product(kinds, kinds)]
    overall = sum(w * c for w, c in above) / sum(w for w, _ in above)
    hits, worlds, problems, answers = np.zeros(2), 300, 40, 24
    for _ in range(worlds):
        own = np.array([kinds[i] for i in rng.integers(0, len(kinds), problems)])
        problem = np.repeat(np.arange(problems), answers)
        right = rng.random(len(problem)) < own[problem, 2]
        reward = rng.normal(size=len(problem)) + own[problem, 1] + own[problem, 0] * right
        found = ranking(reward, right, problem)
        hits += [
            abs(found.overall - overall) < 1.96 * found.overall_error,
            abs(found.within - within) < 1.96 * found.within_error,
        ]
    # 95 % of 300 has a standard deviation of 3.8; normal quantiles with 40 problems lose a percent or two.
    assert (hits >= 0.90 * worlds).all() and (hits <= 0.99 * worlds).all(), hits / worlds
