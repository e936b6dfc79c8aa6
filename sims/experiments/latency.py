"""Value and reward against FLOPs and against seconds a step on fixed hardware (M33), along n, for every method.

The value of a law is E r - KL(law‖base)/β, what the tilted policy maximizes: reward alone would praise any method that
leaves the base far behind.

GSI goes with two thresholds, those that let half and nine tenths of the tilted policy pass.

Hardware and model sizes: gsi_theory/runs/costs.py. Soft best-of-n writes with the base, GSI with the draft and
scores with the base: scoring n candidates takes the base as many FLOPs as writing them, but far less time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory.instance import Scheme
from gsi_theory.methods import METHODS
from gsi_theory.runs.costs import flops, seconds, value_of
from sims.agreement import agreement, beside, over_problems
from sims.instance_families import passing_threshold
from sims.sampling.method_sampler import sample_method
from sims.worlds import checked_worlds, instances_of

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "At equal time, and at equal FLOPs, which method has most value, and when is it soft best-of-n on the base?"
CLAIM = (
    "GSI (arXiv 2506.04118), Section 5: at equal reward GSI is faster than soft best-of-n on the base. (M33): it saves "
    "time, not FLOPs."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "worlds": ("strong,weak,lucky", checked_worlds),
    "instances": (6, range(1, 10_001)),
    "draws": (1000, range(100, 10_000_001)),
    "beta": (10, range(1, 1001)),
}
FULL: dict[str, Any] = {"instances": 200, "draws": 20_000}
FULL_MINUTES = 26.0
# (name in the table, method, share of π that its gate on r̃ passes)
WAYS = (
    ("base", "base", 1.0), ("soft_bon_base", "soft_bon_base", 1.0), ("soft_bon_draft", "soft_bon_draft", 1.0),
    ("rsd", "rsd", 1.0), ("gsi_ungated", "gsi_ungated", 1.0), ("gsi", "gsi", 0.5), ("gsi_90", "gsi", 0.9),
    ("gsi_score_gate", "gsi_score_gate", 1.0),
)  # fmt: skip
NS = tuple(2**k for k in range(0, 9))
COLUMNS = ("world", "method", "n", "reward", "simulated", "stderr", "value", "flops", "seconds", "p_accept")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (world, problem)."""
    cells = [(w, i) for w in settings["worlds"] for i in range(settings["instances"])]
    return [("cell", seed, k, *cell, settings["beta"], settings["draws"]) for k, cell in enumerate(cells)]


def work(job: Job) -> list[list[Any]]:
    """Rows of one problem."""
    _, seed, cell, world, index, beta, draws = job
    instance = instances_of(world, [seed], index + 1)[-1]
    rng = np.random.default_rng([seed, 56, cell])
    rows: list[list[Any]] = []
    for name, key, share in WAYS:
        method, threshold = METHODS[key], passing_threshold(instance, beta, share)
        for n in NS if method.id not in ("base", "rsd") else (1,):
            scheme = Scheme(beta, n, threshold if method.threshold == "tilted_reward" else None)
            law = method.law(instance, scheme)
            played = sample_method(key, instance, scheme, draws, rng)
            pair = beside(np.exp(law.log_prob), instance.reward, played.outcome)
            value = value_of(instance, beta, law.log_prob)
            rows.append([world, name, n, *pair, value, flops(law), seconds(law), law.p_accept])
    return rows


def _winner(table: Sequence[Sequence[Any]], world: str, cost: int) -> dict[str, str]:
    """Which method has the largest value within each budget: twice the least cost, four times, and so on."""
    own = [r for r in table if r[0] == world]
    least, most = min(r[cost] for r in own), max(r[cost] for r in own)
    found, budget = {}, 2.0 * least
    while budget < 2.0 * most:
        found[f"{budget:.3g}"] = max((r for r in own if r[cost] <= budget), key=lambda r: r[6])[1]
        budget *= 2.0
    return found


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over problems; summary: agreement, and the best method within each budget of seconds and of FLOPs."""
    rows = [row for result in results for row in result]
    table = over_problems(rows, 3, 5)
    best = {
        world: {"seconds": _winner(table, world, 8), "flops": _winner(table, world, 7)} for world in settings["worlds"]
    }
    pairs = [(r[3], r[4], r[5]) for r in rows]
    return agreement(pairs) | {"beta": settings["beta"], "best": best}, {"cost": (COLUMNS, table)}
