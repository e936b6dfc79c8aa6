"""Do simulated frequencies agree with the exact law? (M3)-(M6), (M9) against `sample_scheme`, cell by cell.

A cell is (family, rule, gate, n, beta). Its comparisons are the count of every outcome expected at least ten times, the
pooled count of the rest, and the count of acceptances. The gate's threshold is the π-median of r̃, or for the score
gate M = n normalized weights. Under the exact law each count is binomial; its z is the two-sided normal deviate of
the exact binomial tail, which for large counts is (count - expected)/standard error and stays valid for small ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.types import Floats
from sims.agreement import bonferroni_bound
from sims.instance_families import FAMILIES, passing_threshold, score_threshold
from sims.sampling.sampler import sample_scheme

__all__ = ["COMBINATIONS", "QUESTION", "SETTINGS", "Comparison", "collect", "compare", "plan", "work"]

QUESTION = "Do simulated frequencies agree with the exact law of every rule and gate?"
CLAIM = "Every sampler plays the law that the exact formulas state (M2)-(M9)."
SETTINGS: dict[str, tuple[Any, Any]] = {
    "draws": (50_000, range(1, 1_000_000_001)),
    "families": (",".join(FAMILIES), tuple(FAMILIES)),
}
FULL: dict[str, Any] = {"draws": 1_000_000}
FULL_MINUTES = 2.5
NS = (1, 2, 4, 16, 64)
BETAS = (1.0, 20.0)
COMBINATIONS = (
    ("softmax", "none"),
    ("softmax", "tilted_reward"),
    ("race", "none"),
    ("race", "tilted_reward"),
    ("race", "score"),
    ("max", "none"),
    ("max", "tilted_reward"),
)
LEVEL = 0.01
POOLED_BELOW = 10.0
COLUMNS = (
    "family", "rule", "gate", "n", "beta", "draws", "outcomes", "max_abs_z", "tv_empirical", "p_accept",
    "acceptance_rate", "acceptance_z",
)  # fmt: skip

Job = tuple[int, int, str, str, str, int, float, int]


@dataclass(frozen=True)
class Comparison:
    """z of the outcome counts (cells,), z of the acceptances (None without a gate), TV of frequencies to the law."""

    z: Floats
    acceptance_z: float | None
    tv: float

    @property
    def count(self) -> int:
        """Number of comparisons made."""
        return self.z.size + (self.acceptance_z is not None)

    @property
    def worst(self) -> float:
        """Largest |z| of all."""
        return float(max(np.max(np.abs(self.z)), abs(self.acceptance_z or 0.0)))


def _deviate(count: Floats, draws: int, p: Floats) -> Floats:
    """Normal deviate of the two-sided binomial tail of `count` in `draws` at probability p; inf where impossible."""
    from scipy import stats  # slow to import

    tail = np.minimum(stats.binom.cdf(count, draws, p), stats.binom.sf(count - 1, draws, p))
    gap, variance = count - draws * p, draws * p * (1.0 - p)
    plain = np.where(variance > 0, np.abs(gap) / np.sqrt(np.where(variance > 0, variance, 1.0)), np.inf)
    # Beyond 37 deviations the tail leaves float64, and the plain quotient says enough.
    return np.sign(gap) * np.where(tail > 0, stats.norm.isf(np.clip(tail, 1e-310, 0.5)), plain)


def compare(prob: Floats, p_accept: float | None, outcomes: np.ndarray, accepted: np.ndarray) -> Comparison:
    """Counts of `outcomes` (draws,) and `accepted` (draws,) against a law: prob (K,) and p_accept (None: no gate)."""
    draws = outcomes.size
    count = np.bincount(outcomes, minlength=prob.size).astype(np.float64)
    kept = (draws * prob >= POOLED_BELOW) | (prob == 0.0)
    # The law carries rounding of 1e-15, so its largest entry may exceed one by as much.
    p, x = np.r_[prob[kept], prob[~kept].sum()], np.r_[count[kept], count[~kept].sum()]
    used = np.r_[(prob[kept] > 0) | (count[kept] > 0), bool(np.any(~kept))]
    z = _deviate(x[used], draws, np.minimum(p[used], 1.0))
    acceptance_z = None
    if p_accept is not None:
        acceptance_z = float(_deviate(np.array([float(accepted.sum())]), draws, np.array([p_accept]))[0])
    return Comparison(z, acceptance_z, 0.5 * float(np.sum(np.abs(count / draws - prob))))


def scheme_of(instance: Instance, rule: str, gate: str, n: int, beta: float) -> Scheme:
    """The scheme of a cell; gate "none" has no threshold."""
    if gate == "none":
        return Scheme(beta, n, None, rule)
    if gate == "score":
        return Scheme(beta, n, score_threshold(instance, beta, n), rule, gate="score")
    return Scheme(beta, n, passing_threshold(instance, beta), rule)


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a cell, each with its own stream (seed, cell); a cell keeps its number when families are left out."""
    jobs: list[Job] = []
    cell = 0
    for family in FAMILIES:
        for rule, gate in COMBINATIONS:
            for beta in BETAS:
                for n in NS:
                    jobs.append((seed, cell, family, rule, gate, n, beta, settings["draws"]))
                    cell += 1
    return [job for job in jobs if job[2] in settings["families"]]


def work(job: Job) -> tuple[tuple[Any, ...], int, float]:
    """One row of the table, its number of comparisons, its largest |z|."""
    seed, cell, family, rule, gate, n, beta, draws = job
    instance = FAMILIES[family].build(seed)
    scheme = scheme_of(instance, rule, gate, n, beta)
    law = gsi_law(instance, scheme)
    outcomes, accepted = sample_scheme(instance, scheme, draws, np.random.default_rng([seed, 10, cell]))
    found = compare(np.exp(law.log_prob), None if gate == "none" else law.p_accept, outcomes, accepted)
    row = (
        family, rule, gate, n, beta, draws, instance.size, float(np.max(np.abs(found.z))), found.tv, law.p_accept,
        float(accepted.mean()), found.acceptance_z,
    )  # fmt: skip
    return row, found.count, found.worst


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[tuple[Any, ...], int, float]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]]:
    """Summary and the table `cells`: the largest |z| against the Bonferroni bound at level 1 % over all comparisons."""
    comparisons = sum(count for _, count, _ in results)
    worst = max(z for _, _, z in results)
    bound = bonferroni_bound(LEVEL, comparisons)
    summary = {
        "worst_abs_z": worst,
        "bonferroni_bound": bound,
        "comparisons": comparisons,
        "level": LEVEL,
        "draws_per_cell": settings["draws"],
        "passed": worst <= bound,
    }
    return summary, {"cells": (COLUMNS, [row for row, _, _ in results])}
