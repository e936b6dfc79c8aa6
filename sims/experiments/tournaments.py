"""Knockout and league against their bounds, and against best-of-n and soft best-of-n by a noisy score, at equal calls.

Candidates are correct with probability p. A tournament asks a comparison that is right with probability q for K votes a
pair. The score of a candidate is normal, higher by d for correct ones, with P(correct scores higher) = q: the same
judge, asked for a number. A call writes a candidate, compares a pair once, or scores a candidate. Knockout with N
candidates takes N + K(N - 1) calls, the league N + K N; best-of-n then has n = half as many candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from gsi_theory.instance import Candidates
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.steps.knockout import knockout_bound, knockout_fail, league_bound, league_fail
from gsi_theory.types import Floats
from sims.agreement import agreement, beside
from sims.sampling.generators import NumpyStream
from sims.sampling.other_samplers import sample_knockout, sample_league
from sims.sampling.sampler import alias_table, winners

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How do tournaments fail as candidates and comparisons grow, and would scoring have used the calls better?"
CLAIM = (
    "Chen et al. (2411.19477): knockout fails with at most (1-p)^N + ⌈log₂N⌉ e^{-2K(q-½)²}, the league likewise (M25): "
    "failure falls exponentially in N and K."
)
SETTINGS: dict[str, tuple[Any, Any]] = {"draws": (5000, range(100, 10_000_001))}
FULL: dict[str, Any] = {"draws": 50_000}
FULL_MINUTES = 0.8
JUDGES = ((0.3, 0.65), (0.3, 0.85), (0.6, 0.65))
NS = (2, 4, 8, 16, 32, 64, 128)
VOTES = (1, 4, 16)
SOFT_BETA = 2.0
# Scores of each kind of candidate: so many equally likely normal quantiles.
GRID = 400
COLUMNS = ("method", "p", "right", "candidates", "votes", "calls", "fail", "simulated", "stderr", "bound")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (judge, candidates, votes)."""
    cells = [(p, q, n, k) for p, q in JUDGES for n in NS for k in VOTES]
    return [("cell", seed, i, *cell, settings["draws"]) for i, cell in enumerate(cells)]


def _scored(p: float, right: float) -> tuple[Candidates, Floats]:
    """Candidates by (kind, score), and whether each is incorrect: d = √2 Φ⁻¹(q) between the means, variance 1."""
    quantile = ndtri((np.arange(GRID) + 0.5) / GRID)
    score = np.concatenate([quantile + np.sqrt(2.0) * ndtri(right), quantile])
    mass = np.concatenate([np.full(GRID, np.log(p / GRID)), np.full(GRID, np.log((1.0 - p) / GRID))])
    return Candidates(mass, score, np.zeros(2 * GRID)), np.repeat([0.0, 1.0], GRID)


def work(job: Job) -> list[list[Any]]:
    """Rows of the two tournaments, and of best-of-n and soft best-of-n with as many calls as each of them."""
    _, seed, cell, p, right, n, votes, draws = job
    rng = np.random.default_rng([seed, 59, cell])
    stream = NumpyStream(rng)
    scored, wrong = _scored(p, right)
    rows: list[list[Any]] = []
    for method, calls in (("knockout", n + votes * (n - 1)), ("league", n + votes * n)):
        fail, bound, play = (
            (float(knockout_fail(p, right, n, votes)), float(knockout_bound(p, right, n, votes)), sample_knockout)
            if method == "knockout"
            else (league_fail(p, right, n, votes), league_bound(p, right, n, votes), sample_league)
        )
        lost = np.asarray(play(p, right, n, votes, draws, stream)).astype(np.int64)
        pair = beside(np.array([1.0 - fail, fail]), np.array([0.0, 1.0]), lost)
        rows.append([method, p, right, n, votes, calls, *pair, min(bound, 1.0)])
        many = max(1, calls // 2)
        for name, weight, rule in (("best-of-n", scored.reward, "max"), ("soft", SOFT_BETA * scored.reward, "softmax")):
            law = selection_law(scored.log_mass, weight, many, rule)
            played, _ = winners(alias_table(scored.log_mass, stream), weight, many, rule, draws, stream)
            rows.append([f"{name} against {method}", p, right, n, votes, calls,
                         *beside(np.exp(law.log_prob), wrong, played), None])  # fmt: skip
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """The table `fail`; summary: agreement, violated bounds, and how often best-of-n fails less than the tournament."""
    rows = [row for result in results for row in result]
    broken = sum(r[9] is not None and r[6] > r[9] + 1e-9 for r in rows)
    shares = {}
    for method in ("knockout", "league"):
        own = {tuple(r[1:5]): r[6] for r in rows if r[0] == method}
        other = {tuple(r[1:5]): r[6] for r in rows if r[0] == f"best-of-n against {method}"}
        shares[method] = float(np.mean([other[key] < fail for key, fail in own.items()]))
    summary = agreement((r[6], r[7], r[8]) for r in rows)
    return summary | {"bounds_broken": broken, "best_of_n_fails_less": shares}, {"fail": (COLUMNS, rows)}
