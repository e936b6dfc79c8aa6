"""Weak, medium and strong drafters: coverage sup π_B/π_S from 1 to 10⁶, and where GSI stops paying.

The value of a law is E r - KL(law‖base)/β, what the tilted policy maximizes (there it is β⁻¹ log Z). `gain` is the
value minus that of soft best-of-n on the base with the most candidates that take no more expected seconds a step on the
machine of gsi_theory/runs/costs.py, and where not even one fits, minus that of the base alone, which is in favor of
the base. Positive: the draft pays. The base writes up to a hundred candidates in the time of one, so the gain has
steps: it is large as long as a method is faster than one base step and near zero after that. GSI goes with two
thresholds, those that let half and nine tenths of the tilted policy pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.methods import METHODS, MethodLaw
from gsi_theory.runs.costs import seconds, value_of
from sims.agreement import agreement, beside, over_problems
from sims.instance_families import passing_threshold
from sims.sampling.method_sampler import sample_method
from sims.worlds import World, world_instance

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How weak may the draft be before GSI no longer pays?"
CLAIM = (
    "GSI (arXiv 2506.04118), Theorem 1: the number of drafts grows with χ²(π_B‖π_S), so a weak draft needs many; its "
    "Section 5: the gate protects reward when drafts are poor."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "instances": (6, range(1, 10_001)),
    "draws": (2000, range(100, 10_000_001)),
    "beta": (10, range(1, 1001)),
}
FULL: dict[str, Any] = {"instances": 200, "draws": 20_000}
FULL_MINUTES = 14.0
COVERAGES = tuple(float(10.0**k) for k in np.arange(0.0, 6.5, 0.5))
CORRELATIONS = (-0.8, 0.0, 0.8)
# (name in the table, method, share of π that its gate on r̃ passes)
WAYS = (
    ("gsi", "gsi", 0.5), ("gsi_90", "gsi", 0.9), ("gsi_ungated", "gsi_ungated", 1.0),
    ("gsi_score_gate", "gsi_score_gate", 1.0), ("rsd", "rsd", 1.0), ("soft_bon_base", "soft_bon_base", 1.0),
)  # fmt: skip
N = 16
LADDER = np.unique(np.round(2.0 ** (np.arange(0, 57) / 8.0))).astype(int)
COLUMNS = ("correlation", "coverage", "method", "reward", "simulated", "stderr", "p_accept", "tv", "seconds",
           "gain", "log_chi2")  # fmt: skip

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (correlation, coverage, problem); problems share their base and noise along the coverages."""
    cells = [(r, c, i) for r in CORRELATIONS for c in COVERAGES for i in range(settings["instances"])]
    return [("cell", seed, k, *cell, settings["beta"], settings["draws"]) for k, cell in enumerate(cells)]


def _equal_time(instance: Instance, beta: float, limit: float) -> float:
    """Value of soft best-of-n on the base with the most candidates that take no longer than `limit` seconds."""
    best = float(np.exp(instance.log_base) @ instance.reward)
    for n in LADDER.tolist():
        law = METHODS["soft_bon_base"].law(instance, Scheme(beta, n))
        if seconds(law) > limit:
            break
        best = value_of(instance, beta, law.log_prob)
    return best


def work(job: Job) -> list[list[Any]]:
    """Rows of one problem."""
    _, seed, cell, correlation, coverage, index, beta, draws = job
    # more outcomes than usual, so that a coverage of 10⁶ is reached by a graded draft
    instance = world_instance(World(coverage, correlation, size=200), [seed, index])
    log_pi, rng = tilted_policy(instance, beta), np.random.default_rng([seed, 53, cell])
    chi2 = divergence.chi2(log_pi, instance.log_draft)
    rows: list[list[Any]] = []
    for name, key, share in WAYS:
        gated = METHODS[key].threshold == "tilted_reward"
        scheme = Scheme(beta, N, passing_threshold(instance, beta, share) if gated else None)
        law: MethodLaw = METHODS[key].law(instance, scheme)
        pair = beside(np.exp(law.log_prob), instance.reward, sample_method(key, instance, scheme, draws, rng).outcome)
        took = seconds(law)
        value, own = value_of(instance, beta, law.log_prob), key == "soft_bon_base"
        gain = 0.0 if own else value - _equal_time(instance, beta, took)
        rows.append([correlation, coverage, name, *pair, law.p_accept, divergence.tv(law.log_prob, log_pi), took, gain,
                     float(np.log(chi2))])  # fmt: skip
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over problems; summary: agreement, and the least coverage at which the gain of each method is negative."""
    rows = [row for result in results for row in result]
    table = over_problems(rows, 3, 5)
    ends: dict[str, dict[str, float | None]] = {}
    for correlation in CORRELATIONS:
        losing = {name: [r[1] for r in table if r[0] == correlation and r[2] == name and r[9] < 0] for name, *_ in WAYS}
        ends[f"{correlation:g}"] = {name: min(found, default=None) for name, found in losing.items()}
    pairs = [(r[3], r[4], r[5]) for r in rows]
    summary = agreement(pairs) | {"beta": settings["beta"], "n": N, "stops_paying_at": ends}
    return summary, {"coverage": (COLUMNS, table)}
