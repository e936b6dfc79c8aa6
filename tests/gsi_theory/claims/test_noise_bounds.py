"""Which noise (M17b): the thinned race against races of binomial size and against plays of it; what is certified."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, selection_law
from gsi_theory.certified.certify import certify_claim
from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import CLAIMS, Outcome

DRAFT, BASE, REWARD = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), np.array([0.3, 0.0, 0.8])


def _pi(beta: float) -> np.ndarray:
    pi = BASE * np.exp(beta * REWARD)
    return pi / pi.sum()


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_a_thinned_race_is_a_race_among_those_that_score(n: int) -> None:
    pi, mixed = _pi(2.0), 0.5**n * DRAFT
    for k in range(1, n + 1):
        law = selection_law(np.log(DRAFT), np.log(pi / DRAFT), k, "race")
        mixed = mixed + math.comb(n, k) * 0.5**n * np.exp(law.log_prob)
    verdict = CLAIMS["M17b-thinned"].evaluate(Instance.from_probabilities(DRAFT, BASE, REWARD), Scheme(2.0, n))
    assert verdict.lhs == pytest.approx(0.5 * np.abs(mixed - pi).sum(), abs=1e-13)
    assert verdict.rhs == pytest.approx((1.0 - 0.5 / np.max(pi / DRAFT)) ** n, rel=1e-12)
    assert verdict.outcome is Outcome.HOLDS


def test_the_thinned_race_as_it_is_played() -> None:
    """Scores w/T, T uniform or infinite; where all are, any of the draws. TV as the excess on the sets above π."""
    rng, n, rounds, pi = np.random.default_rng(17), 3, 200_000, _pi(2.0)
    drawn = rng.choice(3, p=DRAFT, size=(rounds, n))
    noise = np.where(rng.random((rounds, n)) < 0.5, rng.random((rounds, n)), np.inf)
    won = drawn[np.arange(rounds), np.argmax((pi / DRAFT)[drawn] / noise, axis=1)]
    share = np.bincount(won, minlength=3) / rounds
    verdict = CLAIMS["M17b-thinned"].evaluate(Instance.from_probabilities(DRAFT, BASE, REWARD), Scheme(2.0, n))
    excess = float(np.sum((share - pi)[share > pi + 0.01]))
    assert verdict.lhs == pytest.approx(excess, abs=5.0 * 0.5 / np.sqrt(rounds))


def test_no_noise_is_nearer_than_uniform_noise_on_a_fair_coin() -> None:
    coin, scheme = ExactInstance(["1/2", "1/2"], ["1/4", "3/4"], [0, 0]), ExactScheme(1, 2)
    verdict = certify_claim("M17b-best-noise", coin, scheme)
    assert verdict.outcome is Outcome.REFUTED and float(verdict.lhs.mid) == pytest.approx(1.0 / 12.0)
    assert certify_claim("M17b-thinned", coin, scheme).outcome is Outcome.HOLDS
