"""The experiment of Uniform Race, exactly: TV to the tilted law against n when candidates are drawn from a pool.

A pool of N candidates with weights w: n are drawn with replacement, one is chosen by softmax or by race, the tilted
law is ∝ w. Pools: log-normal weights of several widths, or those of a pool file. The paper's figure takes 10⁶ trials
a point; here the points are exact for every n, with a simulation of both rules beside it and the bounds of (M17).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.limits import best_tv
from gsi_theory.types import Floats
from sims.agreement import agreement, excess_tv
from sims.sampling.generators import NumpyStream
from sims.sampling.sampler import alias_table, winners
from sims.worlds import checked_worlds, instances_of

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How fast do softmax and race converge on a pool, at every n and without simulation?"
CLAIM = (
    "Uniform Race, its experiment of TV against n on pools (10⁶ trials): the race falls geometrically, below "
    "(1-1/C)^n and 2(1+χ²)/(e n), where softmax falls like 1/n (M17)."
)
WIDTHS = {"pool of width 0.5": 0.5, "pool of width 1": 1.0, "pool of width 2": 2.0}


def _pools(value: Any, place: str) -> tuple[str, ...]:
    """Names of WIDTHS, or worlds (pool:FILE among them)."""
    texts = value.split(",") if isinstance(value, str) else tuple(value)
    known = tuple(t.strip() for t in texts if t.strip() in WIDTHS)
    others = [t for t in texts if t.strip() not in WIDTHS]
    return known + (checked_worlds(others, place) if others else ())


SETTINGS: dict[str, tuple[Any, Any]] = {
    "pools": (",".join(WIDTHS), _pools),
    "candidates": (64, range(2, 100_001)),
    "largest_n": (256, range(2, 100_001)),
    "trials": (20_000, range(1000, 1_000_000_001)),
    "beta": (5, range(1, 1001)),
}
FULL: dict[str, Any] = {"trials": 1_000_000, "candidates": 256, "largest_n": 1024}
FULL_MINUTES = 2.9
COLUMNS = ("pool", "rule", "n", "tv", "bound_tail", "bound_chi2", "limit")
SIMULATED = ("pool", "rule", "n", "tv", "simulated", "stderr", "trials")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (pool, rule) for the curves, one a (pool, rule, n) for the simulation."""
    names, largest = settings["pools"], settings["largest_n"]
    rest = (settings["candidates"], settings["beta"])
    jobs: list[Job] = [("exact", seed, 0, pool, rule, largest, *rest, 0) for pool in names for rule in RULES]
    ladder = [2**k for k in range(0, int(np.log2(largest)) + 1)]
    cells = [(pool, rule, n) for pool in names for rule in RULES for n in ladder]
    return jobs + [("simulated", seed, i, *cell, *rest, settings["trials"]) for i, cell in enumerate(cells)]


RULES = ("softmax", "race")


def _pool(seed: int, name: str, candidates: int, beta: float) -> tuple[Floats, Floats]:
    """(log-masses, log-weights) of a pool: uniform masses; of a world the draft and β r̃."""
    if name in WIDTHS:
        rng = np.random.default_rng([seed, 64, list(WIDTHS).index(name)])
        return normalize(np.zeros(candidates)), WIDTHS[name] * rng.normal(size=candidates)
    instance = instances_of(name, [seed])[0]
    return instance.log_draft, beta * instance.reward + instance.log_ratio


def work(job: Job) -> tuple[str, list[list[Any]]]:
    """(kind, rows) of one job."""
    kind, seed, cell, name, rule, n, candidates, beta, trials = job
    mass, weight = _pool(seed, name, candidates, beta)
    log_pi = normalize(mass + weight)
    if kind == "simulated":
        stream = NumpyStream(np.random.default_rng([seed, 65, cell]))
        prob = np.exp(selection_law(mass, weight, n, rule).log_prob)
        outcomes, _ = winners(alias_table(mass, stream), weight, n, rule, trials, stream)
        return kind, [[name, rule, n, *excess_tv(prob, np.exp(log_pi), np.asarray(outcomes)), trials]]
    ns = np.arange(1, n + 1)
    w = np.exp(log_pi - mass)
    chi2 = float(np.exp(log_pi) @ w) - 1.0
    tail = (1.0 - 1.0 / float(w.max())) ** ns
    slow = np.minimum(1.0, 2.0 * (1.0 + chi2) / (math.e * ns))
    columns = (tv_curve(mass, weight, ns, rule), tail, slow, best_tv(log_pi[None], mass[None], ns[:, None])[:, 0])
    return kind, [[name, rule, k, *map(float, row)] for k, row in zip(ns.tolist(), zip(*columns, strict=True),
                                                                      strict=True)]  # fmt: skip


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[str, list[list[Any]]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Tables `exact` (every n) and `simulated`; summary: agreement, and how often the race breaks a bound of (M17)."""
    exact = [row for kind, rows in results if kind == "exact" for row in rows]
    simulated = [row for kind, rows in results if kind == "simulated" for row in rows]
    broken = sum(r[1] == "race" and r[3] > min(r[4], r[5]) + 1e-9 for r in exact)
    summary = agreement((r[3], r[4], r[5]) for r in simulated)
    return summary | {"bounds_broken": broken}, {"exact": (COLUMNS, exact), "simulated": (SIMULATED, simulated)}
