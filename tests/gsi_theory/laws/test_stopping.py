"""Stopping rules against all sequences of draws in fractions, programs over all rules, closed forms, and play."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from gsi_theory import InputError
from gsi_theory.laws.attaining_laws import adaptive_law, reward_law
from gsi_theory.laws.stopping import (
    best_capped_reward,
    falling_stopping,
    keep_for_draws,
    keep_of,
    learned_thresholds,
    pilot_stopping,
    reservation,
    stopping_law,
    threshold_keep,
)
from gsi_theory.limits import best_of_n_reward, best_reward
from tests.oracles.limit_programs import best_stopping_lp
from tests.oracles.stopping_enumeration import best_at_price, kth_largest, stopped, stopped_falling


def _case(rng: np.random.Generator, size: int) -> tuple[list[Fraction], list[Fraction]]:
    """(masses, rewards), some rewards tied, some masses zero."""
    weights = rng.integers(0 if size > 1 and rng.random() < 0.3 else 1, 9, size).tolist()
    weights[0] = weights[0] or 1
    return [Fraction(w, sum(weights)) for w in weights], [Fraction(int(x), 4) for x in rng.integers(-3, 4, size)]


def _floats(values: list[Fraction]) -> np.ndarray:
    return np.array([float(x) for x in values])


def _logs(values: list[Fraction]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(_floats(values))


def test_laws_and_numbers_of_draws_equal_all_sequences_of_draws() -> None:
    """400 instances to 1e-12: any chances of keeping, ties, zeros, caps of 1 to 4."""
    rng = np.random.default_rng(3610)
    for trial in range(400):
        size, most = int(rng.integers(1, 5)), 1 + trial % 4
        mass, score = _case(rng, size)
        keep = [Fraction(int(k), 5) for k in rng.integers(0, 6, size)]
        law, number = stopped(mass, score, keep, most)
        found = stopping_law(_logs(mass), _floats(score), _logs(keep), most)
        assert np.abs(np.exp(found.log_prob) - _floats(law)).max() <= 1e-12
        assert 0.5 * np.abs(np.exp(found.log_prob) - _floats(law)).sum() <= found.error
        later = [float(sum(number[d + 1 :], Fraction(0))) for d in range(most + 1)]
        assert np.abs(found.still_drawing(np.arange(most + 1)) - later).max() <= 1e-12
        assert found.mean_draws == pytest.approx(sum(later), abs=1e-12)


def test_the_reservation_threshold_has_the_value_of_the_best_rule_with_recall() -> None:
    """300 instances to 1e-12: backward induction over all rules = the threshold's law = E max min(r, θ)."""
    rng = np.random.default_rng(3611)
    for trial in range(300):
        mass, reward = _case(rng, int(rng.integers(1, 5)))
        cost, most = Fraction(int(rng.integers(0, 9)), 8), 1 + trial % 5
        r, logs, c = _floats(reward), _logs(mass), float(cost)
        theta = reservation(r, logs, c)
        assert float(_floats(mass) @ np.clip(r - theta, 0.0, None)) == pytest.approx(c, abs=1e-13)
        best = float(best_at_price(mass, reward, cost, most))
        law = stopping_law(logs, r, threshold_keep(r, theta), most)
        assert float(np.exp(law.log_prob) @ r) - c * law.mean_draws == pytest.approx(best, abs=1e-12)
        assert best_of_n_reward(np.minimum(r, theta), logs, most) == pytest.approx(best, abs=1e-12)
        assert best <= theta + 1e-12


def test_thresholds_from_pilots_equal_all_pilots_and_all_sequences() -> None:
    """300 instances to 1e-12."""
    rng = np.random.default_rng(3612)
    for trial in range(300):
        mass, reward = _case(rng, int(rng.integers(1, 4)))
        pilots, most = 1 + trial % 4, 1 + trial % 3
        rank = int(rng.integers(1, pilots + 1))
        law, draws = np.zeros(len(mass)), 0.0
        for cut, chance in kth_largest(mass, reward, pilots, rank).items():
            prob, number = stopped(mass, reward, [Fraction(int(r >= cut)) for r in reward], most)
            law += float(chance) * _floats(prob)
            draws += float(chance) * sum(d * float(p) for d, p in enumerate(number))
        found = pilot_stopping(_logs(mass), _floats(reward), pilots, rank, most)
        assert np.abs(found.prob - law).max() <= 1e-12 and found.mean_draws == pytest.approx(draws, abs=1e-12)


def test_falling_thresholds_equal_all_sequences_and_one_that_does_not_fall_is_the_threshold_rule() -> None:
    """300 instances to 1e-12; thresholds of the confidence bound among them."""
    rng = np.random.default_rng(3616)
    for trial in range(300):
        mass, reward = _case(rng, int(rng.integers(1, 4)))
        most = 1 + trial % 5
        r, logs = _floats(reward), _logs(mass)
        cuts = np.sort(rng.integers(-4, 5, most) / 4)[::-1]
        cuts = learned_thresholds(float(rng.random()), 0.75, most) if trial % 3 == 0 else cuts
        law, number = stopped_falling(mass, reward, cuts.tolist())
        found = falling_stopping(logs, r, cuts)
        later = [float(sum(number[d + 1 :], Fraction(0))) for d in range(most)]
        assert np.abs(found.prob - _floats(law)).max() <= 1e-12
        assert np.abs(found.still_drawing - later).max() <= 1e-12
        assert found.mean_draws == pytest.approx(sum(later), abs=1e-12)
        even = falling_stopping(logs, r, np.full(most, cuts[0]))
        plain = stopping_law(logs, r, threshold_keep(r, float(cuts[0])), most)
        assert np.abs(even.prob - np.exp(plain.log_prob)).max() <= 1e-12
        assert even.mean_draws == pytest.approx(plain.mean_draws, abs=1e-12)


def test_the_bound_of_the_reservation_value_stops_where_it_is_said_to() -> None:
    """The bound solved for from random draws: the best reaches it iff it reaches b_d."""
    rng = np.random.default_rng(3617)
    for _ in range(300):
        d, cost = int(rng.integers(1, 30)), float(rng.uniform(0.01, 0.4))
        draws = np.round(rng.random(d), 2)
        doubt = np.sqrt(np.log(10) / (2 * d))
        x = (np.arange(200_000) + 0.5) / 200_000
        best = draws.max()
        spent = (
            np.minimum(1.0, np.searchsorted(np.sort(-draws), -x, side="left") / d + doubt)[x >= best].sum() / 200_000
        )
        cut = learned_thresholds(cost, 1.0, d)[-1]
        if abs(spent - cost) > 1e-4:
            assert (spent <= cost) == (best >= cut)


def test_the_best_rule_with_a_cap_lies_between_best_of_n_and_the_limit_and_equals_the_programs() -> None:
    """120 instances: expected draws exact, its reward the closed form and, for 40, the optimum of the program."""
    rng = np.random.default_rng(3613)
    for trial in range(120):
        mass, reward = _case(rng, int(rng.integers(1, 4)))
        r, logs, most = _floats(reward), _logs(mass), 2 + trial % 4
        n = float(rng.choice([1.0, 1.0 + rng.random() * (most - 1), most]))
        keep = keep_for_draws(r, logs, n, most)
        law = stopping_law(logs, r, keep, most)
        assert law.mean_draws == pytest.approx(n, rel=1e-12)
        worth = float(np.exp(law.log_prob) @ r)
        assert best_capped_reward(r, logs, n, most) == pytest.approx(worth, abs=1e-12)
        assert best_of_n_reward(r, logs, n) - 1e-12 <= worth <= best_reward(r, logs, n) + 1e-12
        if trial < 40:
            assert best_stopping_lp(("reward", r), _floats(mass), n, most) == pytest.approx(worth, abs=1e-9)
        free = stopping_law(logs, r, keep_for_draws(r, logs, n))
        assert np.abs(np.exp(free.log_prob) - np.exp(reward_law(r, logs, n))).max() <= 1e-12
    assert best_capped_reward(r, logs, 3, 3) == pytest.approx(best_of_n_reward(r, logs, 3), abs=1e-13)


@pytest.mark.parametrize("beta", [0.0, 1.0, 1e6])
def test_the_rejection_whose_law_attains_the_limit(beta: float) -> None:
    """P = min(cπ, nμ) kept with chance P/(nμ): that law again, n expected draws, at n = 1 and 10⁹ too (M36)."""
    rng = np.random.default_rng(3614)
    for n in (1.0, 1.7, 12.0, 1e9):
        draft, base, reward = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)), rng.random(6)
        tilt = np.log(base) + beta * reward
        tilt -= tilt.max() + np.log(np.exp(tilt - tilt.max()).sum())
        target = adaptive_law(tilt, np.log(draft), n)
        found = stopping_law(np.log(draft), reward, keep_of(target, np.log(draft), n))
        assert np.abs(np.exp(found.log_prob) - np.exp(target)).max() <= 1e-13
        assert found.mean_draws == pytest.approx(n, rel=1e-12)


def test_pilots_of_a_law_without_ties_give_its_closed_forms() -> None:
    """E D = m/(k - 1), mean rank k/(2(m+1)) from above; more than best-of-n at equal draws from k = 3, equal at 2."""
    size = 20_000
    rank_above = (np.arange(size)[::-1] + 0.5) / size
    logs = np.full(size, -np.log(size))
    for m, k in ((8, 2), (8, 3), (20, 5)):
        found = pilot_stopping(logs, -rank_above, m, k)
        assert found.mean_draws == pytest.approx(m / (k - 1), rel=2e-3)
        above = float(found.prob @ rank_above)
        assert above == pytest.approx(k / (2 * (m + 1)), rel=2e-3)
        best_of_n = 1.0 / (m / (k - 1) + 1.0)
        assert above == pytest.approx(best_of_n, rel=2e-3) if k == 2 else above < best_of_n - 1e-3


def test_play_agrees() -> None:
    """40,000 rounds each of four rules: outcomes and numbers of draws within the Bonferroni bound at 1e-4."""
    rng = np.random.default_rng(3615)
    mass, reward = np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 1.0, 1.0, 2.0])
    scores = []
    for most, cut, tie in ((3, 1.0, 0.4), (6, 2.0, 1.0), (1, 0.0, 1.0), (8, 9.0, 1.0)):
        keep = threshold_keep(reward, cut, tie)
        law = stopping_law(np.log(mass), reward, keep, most)
        rounds = 40_000
        drawn = rng.choice(4, p=mass, size=(rounds, most))
        kept = rng.random((rounds, most)) < np.exp(keep)[drawn]
        first = np.where(kept.any(axis=1), kept.argmax(axis=1), most)
        best = (reward[drawn] + 1e-6 * rng.random(drawn.shape)).argmax(axis=1)
        at = np.where(first < most, first, best)
        outcome = drawn[np.arange(rounds), at]
        for y in range(4):
            p = float(np.exp(law.log_prob[y]))
            scores.append((np.mean(outcome == y) - p) / max(np.sqrt(p * (1 - p) / rounds), 1e-9))
        number = np.minimum(first + 1, most)
        spread = max(float(number.std()) / np.sqrt(rounds), 1e-9)
        scores.append((float(number.mean()) - law.mean_draws) / spread)
    assert np.abs(scores).max() <= stats.norm.isf(1e-4 / 2 / len(scores))


def test_hard_cases_are_numbers() -> None:
    """Free draws, one outcome, ties, caps of 1 and 10⁹, masses of 1e-12: laws, with their mean draws to 1e-12."""
    two, logs = np.array([0.0, 1.0]), np.log([1 - 1e-12, 1e-12])
    assert reservation(two, logs, 0.0) == 1.0
    law = stopping_law(logs, two, threshold_keep(two, 1.0), 10**9)
    some = -np.expm1(1e9 * np.log1p(-1e-12))
    assert np.exp(law.log_prob[1]) == pytest.approx(some, rel=1e-12)
    assert law.mean_draws == pytest.approx(some / 1e-12, rel=1e-12)
    assert keep_for_draws(two, logs, 1e9, 10**9 + 1)[1] <= 0.0
    one = stopping_law(np.zeros(1), np.array([3.0]), threshold_keep(np.array([3.0]), 4.0), 10**9)
    assert one.log_prob[0] == 0.0 and one.mean_draws == 1e9
    assert reservation(np.array([3.0]), np.zeros(1), 0.25) == 2.75
    tied = stopping_law(np.log([0.25, 0.75]), np.ones(2), np.full(2, -np.inf), 5)
    assert np.exp(tied.log_prob) == pytest.approx([0.25, 0.75], abs=1e-15)
    first = stopping_law(np.log([0.25, 0.75]), two, threshold_keep(two, 1.0), 1)
    assert first.mean_draws == 1.0 and np.exp(first.log_prob) == pytest.approx([0.25, 0.75], abs=1e-15)
    assert pilot_stopping(np.zeros(1), np.ones(1), 4, 2).mean_draws == 1.0


@pytest.mark.parametrize("n", [1e-9, 0.0, -1.0, float("nan"), 2.0**54])
def test_impossible_numbers_of_draws_are_refused(n: float) -> None:
    with pytest.raises(InputError, match="draws from 1"):
        keep_for_draws(np.arange(2.0), np.log([0.5, 0.5]), n)
    with pytest.raises(InputError):
        pilot_stopping(np.log([0.5, 0.5]), np.arange(2.0), 4, n)  # type: ignore[arg-type]


def test_what_no_rule_can_do_is_refused() -> None:
    half, two = np.log([0.5, 0.5]), np.arange(2.0)
    for wrong, message in (
        (lambda: stopping_law(half, two, np.full(2, -np.inf)), "give `most`"),
        (lambda: stopping_law(half, two, np.full(2, 0.1)), "at most 0"),
        (lambda: stopping_law(half, two, np.zeros(3)), "at most 0"),
        (lambda: stopping_law(np.log([0.5, 0.4]), two, np.zeros(2)), "sum to 0.9"),
        (lambda: stopping_law(half, np.array([0.0, np.nan]), np.zeros(2)), "finite rewards"),
        (lambda: keep_for_draws(two, half, 4, 3), "most ≥ n"),
        (lambda: keep_of(half, np.log([0.9, 0.1]), 2.0), "above n times"),
        (lambda: reservation(two, half, -0.1), "price a draw"),
        (lambda: reservation(two, half, float("inf")), "price a draw"),
        (lambda: pilot_stopping(half, two, 3, 4), "rank from 1 to 3"),
        (lambda: falling_stopping(half, two, [0.0, 1.0]), "do not rise"),
        (lambda: falling_stopping(half, two, []), "do not rise"),
        (lambda: learned_thresholds(-1.0, 1.0, 3), "c ≥ 0"),
        (lambda: learned_thresholds(0.1, 1.0, 3, 1.0), "0 < δ < 1"),
        (lambda: threshold_keep(two, float("nan")), "give a number"),
        (lambda: stopping_law(half, two, np.zeros(2), 3).still_drawing(0.5), "whole numbers"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
