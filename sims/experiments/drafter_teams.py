"""Several drafters each of which misses part of the base's support: each alone, and together by the balance heuristic.

The base lives on K outcomes; drafter j covers two thirds of them, and no two the same. Alone a drafter can never bring
its law nearer to π than the mass it misses. Together, with n/3 draws from each (fixed) or n from their mixture
(random), weights π/p_mix, they reach π (M20).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.drafters import fixed_allocation_bound, log_mixture
from gsi_theory.limits import best_tv
from gsi_theory.methods import several_drafters
from gsi_theory.types import Floats
from sims.agreement import agreement, excess_tv, over_problems
from sims.sampling.other_samplers import sample_drafters
from sims.worlds import World, world_instance

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "Can several drafters, each blind to part of the base's support, replace one that sees it all?"
CLAIM = (
    "Balance heuristic (Veach and Guibas 1995) in the form of (M20): the fixed allocation obeys "
    "KL ≤ log(1 + (1 + χ² - min_j E_{p_j} w)/n), below a random one; a drafter alone keeps TV = π(missed)."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "instances": (4, range(1, 10_001)),
    "draws": (4000, range(100, 10_000_001)),
    "beta": (3, range(1, 1001)),
}
FULL: dict[str, Any] = {"instances": 30, "draws": 20_000}
FULL_MINUTES = 1.4
TEAM = 3
NS = (3, 6, 12, 24, 48, 96, 192)
COLUMNS = ("team", "rule", "n", "tv", "simulated", "stderr", "kl", "kl_bound", "tv_limit")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (problem, n)."""
    cells = [(i, n) for i in range(settings["instances"]) for n in NS]
    return [("cell", seed, k, *cell, settings["beta"], settings["draws"]) for k, cell in enumerate(cells)]


def _team(seed: int, index: int) -> tuple[Instance, Floats]:
    """An instance and its drafters (3, K): each third of the outcomes, in random order, is missed by one of them."""
    instance = world_instance(World(10.0, size=60), [seed, index])
    third = np.random.default_rng([seed, 62, index]).permutation(instance.size) % TEAM
    return instance, np.stack([normalize(np.where(third == j, -np.inf, instance.log_draft)) for j in range(TEAM)])


def work(job: Job) -> list[list[Any]]:
    """Rows of one problem at one n: each rule, the best drafter alone, and the team with both allocations."""
    _, seed, cell, index, n, beta, draws = job
    instance, drafters = _team(seed, index)
    log_pi, rng = tilted_policy(instance, beta), np.random.default_rng([seed, 63, cell])
    pi, scheme = np.exp(log_pi), Scheme(beta, n)
    each = (n // TEAM,) * TEAM
    teams: list[tuple[str, Floats, tuple[int, ...], str]] = [
        ("fixed", drafters, each, "fixed"), ("random", drafters, each, "random"),
        *((f"alone {j + 1}", drafters[j : j + 1], (n,), "random") for j in range(TEAM)),
    ]  # fmt: skip
    rows: list[list[Any]] = []
    for rule in ("softmax", "race"):
        for team, own, counts, allocation in teams:
            law = several_drafters(instance, scheme, own, counts, rule, allocation)
            outcomes = np.asarray(sample_drafters(log_pi, own, counts, rule, allocation, draws, rng))
            kl = divergence.kl(log_pi, law.log_prob)
            bound = fixed_allocation_bound(log_pi, drafters, each) if (team, rule) == ("fixed", "softmax") else None
            limit = best_tv(log_pi, log_mixture(own, counts), n) if allocation == "random" else None
            rows.append([team, rule, n, *excess_tv(np.exp(law.log_prob), pi, outcomes), kl if np.isfinite(kl) else None,
                         bound, limit])  # fmt: skip
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over problems; summary: agreement, violated bounds, and TV at the largest n of team and best alone."""
    rows = [row for result in results for row in result]
    table = over_problems(rows, 3, 5)
    broken = sum(r[7] is not None and r[6] > r[7] + 1e-9 for r in rows)
    last = {r[0]: r[3] for r in table if r[1] == "softmax" and r[2] == NS[-1]}
    alone = min(v for k, v in last.items() if k.startswith("alone"))
    summary = agreement((r[3], r[4], r[5]) for r in rows)
    return summary | {"bounds_broken": broken, "tv_team": last["fixed"], "tv_best_alone": alone}, {
        "teams": (COLUMNS, table)
    }
