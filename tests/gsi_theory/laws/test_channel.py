"""Greedy Poisson rejection with a limit: against closed forms for one and two arrivals, its limits, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.laws.channel import greedy_rejection_law

MU, PI = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def stretch(mu: np.ndarray, w: np.ndarray) -> np.ndarray:
    """φ(w): when the solution of h' = Σ μ (w - h)_+ reaches each weight, by an ODE solver; a large number for sup w."""
    times = []
    for level in w:
        if level >= w.max():
            times.append(200.0)
            continue
        hit = lambda t, h, level=level: h[0] - level  # noqa: E731
        hit.terminal = True  # type: ignore[attr-defined]
        found = solve_ivp(lambda t, h: [mu @ np.maximum(w - h[0], 0.0)], (0.0, 200.0), [0.0], events=hit, rtol=1e-10,
                          atol=1e-13)  # fmt: skip
        times.append(float(found.t_events[0][0]))
    return np.array(times)


def test_one_and_two_arrivals_by_integration() -> None:
    """First arrival T ~ Exp(1) is accepted where T < φ(X); the second only where the first was not."""
    phi = stretch(MU, PI / MU)
    first = MU * -np.expm1(-phi)
    one = first + (1.0 - first.sum()) * MU
    assert np.exp(greedy_rejection_law(np.log(PI), np.log(MU), 1).log_prob) == pytest.approx(one, abs=1e-9)
    second = np.zeros(3)
    for a in range(3):
        for b in range(3):
            value, _ = quad(lambda t, b=b: np.exp(-t) * -np.expm1(-(phi[b] - t)), phi[a], max(phi[a], phi[b]))
            second[b] += MU[a] * MU[b] * value
    two = first + second
    assert np.exp(greedy_rejection_law(np.log(PI), np.log(MU), 2).log_prob) == pytest.approx(
        two + (1.0 - two.sum()) * MU, abs=1e-7
    )


def test_many_arrivals_give_the_target_and_equal_laws_are_accepted_at_once() -> None:
    law = greedy_rejection_law(np.log(PI), np.log(MU), 100_000)
    assert divergence.tv(law.log_prob, np.log(PI)) < 1e-9 and law.error < 1e-9
    rng = np.random.default_rng(0)
    pi, mu = rng.dirichlet(np.ones(40), 2)
    tv = [divergence.tv(greedy_rejection_law(np.log(pi), np.log(mu), n).log_prob, np.log(pi)) for n in (1, 4, 64, 4096)]
    assert tv == sorted(tv, reverse=True) and tv[-1] < 1e-3
    same = greedy_rejection_law(np.log(MU), np.log(MU), 1)
    assert np.exp(same.log_prob) == pytest.approx(MU, abs=1e-12)


def test_outcomes_without_mass() -> None:
    with np.errstate(divide="ignore"):
        law = greedy_rejection_law(np.log([0.0, 1.0, 0.0]), np.log([0.5, 0.5, 0.0]), 3)
    # Three arrivals are all of outcome 0 with probability 1/8, and then one more is drawn.
    assert np.exp(law.log_prob) == pytest.approx([1 / 16, 15 / 16, 0.0], abs=1e-12)


def test_bad_input() -> None:
    with np.errstate(divide="ignore"), pytest.raises(InputError, match="outcome 1 has mass to be reached"):
        greedy_rejection_law(np.log([0.5, 0.5]), np.log([1.0, 0.0]), 3)
    with pytest.raises(InputError, match="n = 0"):
        greedy_rejection_law(np.log(PI), np.log(MU), 0)
    with pytest.raises(InputError, match="one length"):
        greedy_rejection_law(np.log(PI), np.log([0.5, 0.5]), 1)
