"""How many draws for TV ≤ ε: softmax, race (= depth-limited A*), greedy Poisson rejection, and the limit of all rules.

Instances from the knobs of sims/worlds.py along coverage and tail, so that KL(π‖μ) and χ²(π‖μ) move apart; π is the
base itself and μ the draft. The limit (M19) says what any rule needs. Simulated: the TV of each rule at that limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.laws.channel import greedy_rejection_law
from gsi_theory.laws.efficiency import best_n, needed_n
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.types import Floats
from sims.agreement import agreement, excess_tv
from sims.sampling.generators import NumpyStream
from sims.sampling.other_samplers import sample_astar, sample_greedy
from sims.sampling.sampler import alias_table, winners
from sims.worlds import World, world_instance

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How many draws does each rule need for TV ≤ ε, and is it KL, χ² or coverage that decides?"
CLAIM = (
    "Flamich and Wells (2405.04363): about 2^{KL/ε} samples suffice for approximate channel simulation (M27); "
    "(M11), (M17): χ²/ε for softmax and (1 + χ²)/ε for the race; (M19): no rule needs fewer than the limit."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "instances": (2, range(1, 1001)),
    "draws": (4000, range(100, 10_000_001)),
}
FULL: dict[str, Any] = {"instances": 20, "draws": 200_000}
FULL_MINUTES = 5.5
COVERAGES = (2.0, 5.0, 20.0, 100.0, 1000.0)
TAILS = (-1.0, 0.0, 1.0)
EPSILONS = (0.1, 0.01)
MOST = 2**20
COLUMNS = ("rule", "epsilon", "coverage", "tail", "problem", "kl", "chi2", "needed", "limit", "tv_at_limit",
           "tv_simulated", "tv_stderr")  # fmt: skip

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (coverage, tail, problem)."""
    cells = [(c, t, i) for c in COVERAGES for t in TAILS for i in range(settings["instances"])]
    return [("cell", seed, k, *cell, settings["draws"]) for k, cell in enumerate(cells)]


def _law(rule: str, pi: Floats, mu: Floats, n: int) -> Floats:
    if rule == "greedy":
        return greedy_rejection_law(pi, mu, n).log_prob
    return np.asarray(selection_law(mu, pi - mu, n, rule).log_prob)


def _outcomes(rule: str, pi: Floats, mu: Floats, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    if rule == "greedy":
        return np.asarray(sample_greedy(pi, mu, n, draws, rng))
    if rule == "race":
        return np.asarray(sample_astar(pi, mu, n, draws, rng))
    stream = NumpyStream(rng)
    return np.asarray(winners(alias_table(mu, stream), pi - mu, n, rule, draws, stream)[0])


def work(job: Job) -> list[list[Any]]:
    """Rows of one instance; `needed` and `limit` are None beyond MOST draws."""
    _, seed, cell, coverage, tail, index, draws = job
    instance = world_instance(World(coverage, tail=tail, size=60), [seed, index])
    pi, mu, rng = instance.log_base, instance.log_draft, np.random.default_rng([seed, 58, cell])
    kl, chi2 = divergence.kl(pi, mu), divergence.chi2(pi, mu)
    rows: list[list[Any]] = []
    for epsilon in EPSILONS:
        limit = best_n(pi, mu, epsilon, MOST)
        at = int(min(limit, 4096))
        for rule in ("softmax", "race", "greedy"):
            needed = needed_n(lambda n, rule=rule: _law(rule, pi, mu, n), pi, epsilon, MOST)  # type: ignore[misc]
            prob = np.exp(_law(rule, pi, mu, at))
            tv = excess_tv(prob, np.exp(pi), _outcomes(rule, pi, mu, at, draws, rng))
            known = [v if np.isfinite(v) else None for v in (needed, limit)]
            rows.append([rule, epsilon, coverage, tail, index, kl, chi2, *known, *tv])
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """The table `needed`; summary: agreement, and by rule and ε the largest needed/limit and ε·log n / KL."""
    rows = [row for result in results for row in result]
    worst, exponent = {}, {}
    for rule in ("softmax", "race", "greedy"):
        for epsilon in EPSILONS:
            own = [r for r in rows if r[:2] == [rule, epsilon] and r[7] and r[8]]
            worst[f"{rule}, {epsilon:g}"] = max((r[7] / r[8] for r in own), default=None)
            exponent[f"{rule}, {epsilon:g}"] = max((epsilon * float(np.log(r[7])) / r[5] for r in own), default=None)
    summary = agreement((r[9], r[10], r[11]) for r in rows)
    return summary | {"largest_over_limit": worst, "largest_exponent": exponent}, {"needed": (COLUMNS, rows)}
