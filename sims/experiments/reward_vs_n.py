"""Reward, or accuracy where answers are right or wrong, of every method against n in several worlds.

Means over `instances` problems of a world. On an instance each method's law is exact; its simulation stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Scheme, tilted_policy
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, with_spread
from sims.instance_families import passing_threshold
from sims.sampling.method_sampler import sample_method
from sims.worlds import checked_worlds, instances_of

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How much reward does each method earn at n candidates, in easy and hard worlds?"
CLAIM = (
    "GSI (arXiv 2506.04118), Figure 1 and Section 5: GSI earns more than RSD and than soft best-of-n on the draft, and "
    "comes close to soft best-of-n on the base as n grows."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "worlds": ("strong,medium,weak,one_answer", checked_worlds),
    "instances": (8, range(1, 10_001)),
    "draws": (2000, range(100, 10_000_001)),
    "beta": (10, range(1, 1001)),
}
FULL: dict[str, Any] = {"instances": 200, "draws": 20_000}
FULL_MINUTES = 8.2
METHOD_KEYS = ("draft", "base", "soft_bon_draft", "soft_bon_base", "best_of_n_base", "rsd", "gsi_ungated", "gsi",
               "gsi_score_gate")  # fmt: skip
NS = (1, 2, 4, 8, 16, 32, 64)
COLUMNS = ("world", "method", "n", "reward", "simulated", "stderr", "p_accept", "tv", "spread")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (world, problem)."""
    names = ("beta", "draws")
    jobs = [(w, i) for w in settings["worlds"] for i in range(settings["instances"])]
    return [("cell", seed, cell, w, i, *(settings[k] for k in names)) for cell, (w, i) in enumerate(jobs)]


def work(job: Job) -> list[list[Any]]:
    """Rows (world, method, n, exact, simulated, stderr, p_accept, tv) of one problem."""
    _, seed, cell, world, index, beta, draws = job
    instance = instances_of(world, [seed], index + 1)[-1]
    rng = np.random.default_rng([seed, 50, cell])
    log_pi = tilted_policy(instance, beta)
    threshold = passing_threshold(instance, beta)
    rows: list[list[Any]] = []
    for key in METHOD_KEYS:
        method = METHODS[key]
        gated = method.threshold == "tilted_reward"
        for n in NS:
            scheme = Scheme(beta, n, threshold if gated else None)
            law, played = method.law(instance, scheme), sample_method(key, instance, scheme, draws, rng)
            pair = beside(np.exp(law.log_prob), instance.reward, played.outcome)
            rows.append([world, key, n, *pair, law.p_accept, divergence.tv(law.log_prob, log_pi)])
    pi: Floats = np.exp(log_pi)
    rows.append([world, "tilted", None, float(pi @ instance.reward), None, None, None, 0.0])
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over problems, `spread` their standard errors over them; summary: agreement of simulated with exact."""
    rows = [row for result in results for row in result]
    pairs = [(r[3], r[4], r[5]) for r in rows if r[4] is not None]
    return agreement(pairs) | {"beta": settings["beta"], "instances": settings["instances"]}, {
        "reward": (COLUMNS, with_spread(rows, 3, 5, 3))
    }
