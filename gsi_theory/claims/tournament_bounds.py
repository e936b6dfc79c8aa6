"""Claims on tournaments (M25), row by row in NumPy (no gradient). See knockout.py.

A tournament of N = n candidates with K = n_base comparisons: a candidate is correct when r ≥ t, t the scheme's
threshold, or E_{π_B} r without one, so p = π_S(r ≥ t); a comparison of a correct with an incorrect one is right with
probability σ(β·gap), the Bradley-Terry choice, gap the difference of their mean rewards under π_S.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.special import expit

from gsi_theory.arrays.namespace import host, table
from gsi_theory.claims.assumptions import WHOLE
from gsi_theory.claims.claim import Assumption, Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.rejection_bounds import step_omega
from gsi_theory.claims.sides import Sides
from gsi_theory.steps.knockout import knockout_bound, knockout_fail, league_bound, league_fail
from gsi_theory.types import Floats

__all__ = ["LEAGUE_CELLS", "TABLE", "knockout", "league"]

LEAGUE_CELLS = 1 << 16  # N·K up to which the exact sum of the league is cheap (20 ms)


def _parameters(f: Facts) -> tuple[Floats, Floats, Floats, Floats]:
    """(p, right, N, K), NumPy arrays (...); right = ½ where all or none are correct."""
    mass, reward = np.exp(host(f.log_draft)), host(f.centered)
    correct = host(step_omega(f)[0]) > 0.0
    p = np.clip(np.sum(np.where(correct, mass, 0.0), axis=-1), 0.0, 1.0)
    rest = np.sum(np.where(correct, 0.0, mass), axis=-1)
    means = [
        np.sum(np.where(side, mass * reward, 0.0), axis=-1) / np.where(total > 0, total, 1.0)
        for side, total in ((correct, p), (~correct, rest))
    ]
    gap = np.where((p > 0) & (rest > 0), means[0] - means[1], 0.0)
    right = np.asarray(expit(host(f.beta) * np.maximum(gap, 0.0)))
    return p, right, host(f.n), host(f.n_base)


def _sides(f: Facts, lhs: Floats, rhs: Floats) -> Sides:
    # Binomial tails are good to about 1e-12 of their size; p = 1 - (1 - p) costs a unit of one, N of them at most.
    error = 1e-11 * np.abs(lhs) + np.minimum(1.0, 4e-16 * host(f.n)) * np.minimum(1.0, rhs) + 1e-15
    return Sides(table(lhs, f.reward), table(rhs, f.reward), table(error, f.reward), 1.0)


def knockout(f: Facts) -> Sides:
    """(M25): P(fail) ≤ (1-p)^N + ⌈log₂N⌉ e^{-2K(right-½)²}; trivial: 1."""
    parameters = _parameters(f)
    return _sides(f, knockout_fail(*parameters), knockout_bound(*parameters))


def league(f: Facts) -> Sides:
    """(M25): P(fail) ≤ (1-p)^N + 2N e^{-KΔ²/8} + 2N e^{-(N-1)Δ²/8}, Δ = right - ½; trivial: 1."""
    rows = list(zip(*(v.reshape(-1) for v in _parameters(f)), strict=True))
    lhs, rhs = (
        np.reshape([of(p, r, int(n), int(k)) for p, r, n, k in rows], f.shape) for of in (league_fail, league_bound)
    )
    return _sides(f, lhs, rhs)


SMALL_LEAGUE = Assumption(
    f"n·n_base ≤ {LEAGUE_CELLS}",
    lambda f: f.n * f.n_base <= LEAGUE_CELLS,
    lambda f: f.scheme.n * f.scheme.base_draws <= LEAGUE_CELLS,
)
_CHEN = "Chen et al., arXiv 2411.19477"
_TAILS = "sums of binomial tails have no enclosure here: a counterexample would not be proved"

_tournament = partial(Claim, uncertified=_TAILS, smooth=False, most_outcomes=512)

TABLE = (
    _tournament(
        "M25-knockout",
        r"P(fail) \le (1-p)^N+\lceil\log_2N\rceil e^{-2K(q-1/2)^2}",
        knockout,
        assumptions=(WHOLE,),
        source=_CHEN,
    ),
    _tournament(
        "M25-league",
        r"P(fail) \le (1-p)^N+2Ne^{-K\Delta^2/8}+2Ne^{-(N-1)\Delta^2/8}",
        league,
        assumptions=(WHOLE, SMALL_LEAGUE),
        source=_CHEN + ", re-derived",
    ),
)
