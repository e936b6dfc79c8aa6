"""Knockout and league against their bounds, and against best-of-n and soft best-of-n by a noisy score, at equal calls.

Candidates are correct with probability p. A tournament asks a comparison that is right with probability q for K votes a
pair. The score of a candidate is normal, higher by d for correct ones, with P(correct scores higher) = q: the same
judge, asked for a number. A call writes a candidate, compares a pair once, or scores a candidate. Knockout with N
candidates takes N + K(N - 1) calls, the league N + K N; best-of-n then has n = half as many candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from gsi_theory.instance import Candidates
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.steps.knockout import knockout_bound, knockout_fail, league_bound, league_fail
from gsi_theory.types import Floats
from sims.agreement import agreement, beside
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.generators import NumpyStream
from sims.sampling.other_samplers import sample_knockout, sample_league
from sims.sampling.sampler import alias_table, winners

JUDGES = ((0.3, 0.65), (0.3, 0.85), (0.6, 0.65))
NS = (2, 4, 8, 16, 32, 64, 128)
VOTES = (1, 4, 16)
SOFT_BETA = 2.0
# Scores of each kind of candidate: so many equally likely normal quantiles.
GRID = 400
# A bound above one says nothing; the table holds it cut there.
TRIVIAL = 1.0


class Cell(NamedTuple):
    p: float
    right: float
    candidates: int
    votes: int


class Row(NamedTuple):
    method: str
    p: float
    right: float
    candidates: int
    votes: int
    calls: int
    fail: float
    simulated: float | None
    stderr: float | None
    bound: float | None


def cells(settings: Settings) -> list[Cell]:
    return [Cell(p, q, n, k) for p, q in JUDGES for n in NS for k in VOTES]


def _scored(p: float, right: float) -> tuple[Candidates, Floats]:
    """Candidates by (kind, score), and whether each is incorrect: d = √2 Φ⁻¹(q) between the means, variance 1."""
    quantile = ndtri((np.arange(GRID) + 0.5) / GRID)
    score = np.concatenate([quantile + np.sqrt(2.0) * ndtri(right), quantile])
    mass = np.concatenate([np.full(GRID, np.log(p / GRID)), np.full(GRID, np.log((1.0 - p) / GRID))])
    return Candidates(mass, score, np.zeros(2 * GRID)), np.repeat([0.0, 1.0], GRID)


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of the two tournaments, and of best-of-n and soft best-of-n with as many calls as each of them."""
    p, right, n, votes = cell
    draws, stream = run.settings["draws"], NumpyStream(run.rng(59))
    scored, wrong = _scored(p, right)
    for method, calls, law, bound, play in (
        ("knockout", n + votes * (n - 1), knockout_fail, knockout_bound, sample_knockout),
        ("league", n + votes * n, league_fail, league_bound, sample_league),
    ):
        fail = float(law(p, right, n, votes))
        lost = np.asarray(play(p, right, n, votes, draws, stream)).astype(np.int64)
        pair = beside(np.array([1.0 - fail, fail]), np.array([0.0, 1.0]), lost)
        yield Row(method, *cell, calls, *pair, min(float(bound(p, right, n, votes)), TRIVIAL))
        many = max(1, calls // 2)
        for name, weight, rule in (("best-of-n", scored.reward, "max"), ("soft", SOFT_BETA * scored.reward, "softmax")):
            prob = np.exp(selection_law(scored.log_mass, weight, many, rule).log_prob)
            played, _ = winners(alias_table(scored.log_mass, stream), weight, many, rule, draws, stream)
            yield Row(f"{name} against {method}", *cell, calls, *beside(prob, wrong, played), None)


def collect(rows: Rows, run: Run) -> Collected:
    """Findings: bounds broken and vacuous, failure along N and K, and how often best-of-n fails less at equal calls."""
    table = rows["fail"]
    fail = {(r.method, *r[1:5]): r.fail for r in table}
    broken = sum(r.bound is not None and r.fail > r.bound + 1e-9 for r in table)
    findings = {"bounds_hold": {"holds": broken == 0, "broken": broken}}
    shares = {}
    for method in ("knockout", "league"):
        settings = [Cell(*r[1:5]) for r in table if r.method == method]
        less = [fail[f"best-of-n against {method}", *c] < fail[method, *c] for c in settings]
        vacuous = [r.bound >= TRIVIAL for r in table if r.method == method]
        shares[method] = float(np.mean(less))
        findings[f"{method}_bound_vacuous"] = {"holds": all(vacuous), "share": float(np.mean(vacuous))}
        findings[f"scoring_beats_{method}"] = {"holds": shares[method] > 0.5, "share": shares[method]}
        steady = {}
        for (p, q), k in ((judge, votes) for judge in JUDGES for votes in (VOTES[0], VOTES[-1])):
            along = [fail[method, p, q, n, k] for n in NS]
            steady[f"p = {p:g}, q = {q:g}, K = {k}"] = all(b < a for a, b in pairwise(along))
        few, many = (
            {key: true for key, true in steady.items() if key.endswith(f"= {k}")} for k in (VOTES[0], VOTES[-1])
        )
        findings[f"{method}_falls_few"] = everywhere(few, votes=VOTES[0])
        findings[f"{method}_falls_many"] = everywhere(many, votes=VOTES[-1])
    summary = agreement((r.fail, r.simulated, r.stderr) for r in table)
    summary |= {"bounds_broken": broken, "best_of_n_fails_less": shares, "findings": findings}
    return summary, {"fail": table}


EXPERIMENT = Experiment(
    name="tournaments",
    question="How do tournaments fail as candidates and comparisons grow, and would scoring have used the calls "
    "better?",
    claim="Chen et al. (2411.19477): knockout fails with at most (1-p)^N + ⌈log₂N⌉ e^{-2K(q-½)²}, the league likewise "
    "(M25): failure falls exponentially in N and K.",
    settings={"draws": (5000, range(100, 10_000_001))},
    full={"draws": 50_000},
    full_minutes=0.8,
    tiny={"draws": 100},
    cell=Cell,
    rows={"fail": Row},
    cells=cells,
    work=work,
    collect=collect,
)
