"""Votes among iid draws (M47): against every multiset in fractions, against plays, and within the limit of any rule."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.divergence import tv
from gsi_theory.laws.vote_law import vote_law
from gsi_theory.limits import best_tv
from tests.oracles import vote_enumeration


def test_law_is_the_oracles() -> None:
    """300 instances, half of them weighted (ties, zero and negative weights), silent outcomes, zero masses; 1e-12."""
    rng, worst = np.random.default_rng(47), 0.0
    for trial in range(300):
        size, n = int(rng.integers(1, 6)), int(rng.integers(1, 6))
        counts = [int(c) for c in rng.integers(0, 6, size)]
        counts[0] += 1
        mass = [Fraction(c, sum(counts)) for c in counts]
        answer = rng.integers(-1, 3, size)
        weight = [Fraction(int(v), 4) for v in rng.integers(-1, 5, size)] if trial % 2 else [Fraction(1)] * size
        truth = vote_enumeration.vote_law(mass, [None if a < 0 else int(a) for a in answer], weight, n)
        with np.errstate(divide="ignore"):
            law = vote_law(
                np.log([float(m) for m in mass]), answer, n, [float(w) for w in weight] if trial % 2 else None
            )
        off = float(sum(abs(Fraction(float(p)) - t) for p, t in zip(np.exp(law.log_prob), truth, strict=True)) / 2)
        assert off <= law.error
        worst = max(worst, off)
    assert worst <= 1e-12


@pytest.mark.parametrize("weighted", [False, True])
def test_plays_agree(weighted: bool) -> None:
    """20,000 rounds of 9 draws: 6 outcomes, Bonferroni at 1e-3."""
    rng, rounds, n = np.random.default_rng(int(weighted)), 20_000, 9
    p, answer = np.array([0.3, 0.1, 0.15, 0.2, 0.2, 0.05]), np.array([0, 0, 1, 1, 2, -1])
    weight = np.array([0.2, 0.9, 0.5, 0.5, 0.7, 1.0]) if weighted else np.ones(6)
    law = np.exp(vote_law(np.log(p), answer, n, weight if weighted else None).log_prob)
    drawn, seen = rng.choice(6, size=(rounds, n), p=p), np.zeros(6)
    for row in drawn:
        present = sorted({int(a) for a in answer[row] if a >= 0})
        score = [float(np.sum(weight[row][answer[row] == a])) for a in present]
        tied = [a for a, s in zip(present, score, strict=True) if s >= max(score) - 1e-9] or [-1]
        winner = tied[int(rng.integers(len(tied)))]
        seen[rng.choice(row[answer[row] == winner])] += 1
    assert np.all(np.abs(seen / rounds - law) <= 4.0 * np.sqrt(law * (1 - law) / rounds) + 1e-12)


def test_one_draw_many_draws_and_the_limit() -> None:
    log_p, answer = np.log([0.4, 0.35, 0.25]), [0, 1, 1]
    assert np.allclose(vote_law(log_p, answer, 1).log_prob, log_p)
    many = vote_law(log_p, answer, 201)
    assert np.exp(many.log_prob[0]) < 0.01  # the answer of mass 0.6 wins
    assert many.error < 1e-10
    target = np.log([0.01, 0.49, 0.5])
    for n in (1, 2, 5, 20):
        assert tv(vote_law(log_p, answer, n).log_prob, target) >= best_tv(target, log_p, n) - 1e-12
    assert np.isclose(np.exp(vote_law(log_p, answer, 3).log_prob[0]), 0.4**3 + 3 * 0.4**2 * 0.6)
    assert np.allclose(vote_law(log_p, [-1, -1, -1], 7).log_prob, log_p)


def test_bad_input_is_refused() -> None:
    half = np.log([0.5, 0.5])
    for wrong in (
        lambda: vote_law(half, [0], 2),
        lambda: vote_law(half, [0, 0.5], 2),
        lambda: vote_law(half, [0, -2], 2),
        lambda: vote_law(half, [0, 1], 0),
        lambda: vote_law(half, [0, 1], 2, [1.0, np.inf]),
        lambda: vote_law([0.0, 0.0], [0, 1], 2),
        lambda: vote_law(np.full(40, -np.log(40)), np.arange(40) % 2, 50, np.arange(40.0)),
    ):
        with pytest.raises(InputError):
            wrong()
