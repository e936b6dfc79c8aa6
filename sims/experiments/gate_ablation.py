"""What the gate of GSI does to its law: without it, with it (M6), and with the gate on the score (M9).

Thresholds of the gate let a share a of the tilted policy pass. As n grows the gated law tends to G_∞ = π (1_A + π(Aᶜ)),
off π by TV a(1 - a) (M7), whereas the ungated and the score-gated laws tend to π.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Scheme, tilted_policy, tilted_reward
from gsi_theory.laws.gate import gsi_law
from sims.agreement import agreement, beside, excess_tv
from sims.instance_families import passing_threshold, score_threshold
from sims.sampling.sampler import sample_scheme
from sims.worlds import checked_worlds, instances_of

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "Does the rejection step of GSI bring its law nearer to the tilted policy, and what does it do to reward?"
CLAIM = (
    "GSI (arXiv 2506.04118), ablation without rejection: the gate corrects the draft. (M7): at large n it is a bias of "
    "TV a(1 - a); (M9): a gate on the score has none."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "worlds": ("medium,weak,lucky", checked_worlds),
    "draws": (20_000, range(100, 10_000_001)),
    "beta": (5, range(1, 1001)),
}
FULL: dict[str, Any] = {"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,blind"}
FULL_MINUTES = 12.5
NS = (1, 4, 16, 64, 256)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
COLUMNS = ("world", "gate", "n", "share", "a", "tv", "tv_simulated", "tv_stderr", "reward_gap", "reward_simulated",
           "reward_stderr", "p_accept", "limit_tv", "limit_reward_gap")  # fmt: skip

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (world, gate, share, n)."""
    gates = [("none", 1.0), *(("tilted_reward", s) for s in SHARES), ("score", 1.0)]
    cells = [(w, gate, share, n) for w in settings["worlds"] for gate, share in gates for n in NS]
    return [("cell", seed, i, *cell, settings["beta"], settings["draws"]) for i, cell in enumerate(cells)]


def work(job: Job) -> list[Any]:
    """One row of the table."""
    _, seed, cell, world, gate, share, n, beta, draws = job
    instance = instances_of(world, [seed])[0]
    scheme, a = Scheme(beta, n), 1.0
    pi = np.exp(tilted_policy(instance, beta))
    limit_tv = limit_gap = 0.0
    if gate == "tilted_reward":
        threshold = passing_threshold(instance, beta, share)
        scheme = Scheme(beta, n, threshold)
        inside = (tilted_reward(instance, beta) >= threshold).astype(np.float64)
        a = float(pi @ inside)
        limit_tv = a * (1.0 - a)
        limit_gap = float(pi @ (inside * instance.reward)) - a * float(pi @ instance.reward)
    elif gate == "score":
        scheme = Scheme(beta, n, score_threshold(instance, beta, n), "race", gate="score")
    law = gsi_law(instance, scheme)
    prob = np.exp(law.log_prob)
    outcomes, _ = sample_scheme(instance, scheme, draws, np.random.default_rng([seed, 51, cell]))
    reward, best = beside(prob, instance.reward, outcomes), float(pi @ instance.reward)
    tv = excess_tv(prob, pi, outcomes)
    assert abs(tv[0] - divergence.tv(law.log_prob, np.log(pi))) < 1e-9
    return [world, gate, n, share, a, *tv, reward[0] - best, reward[1] - best, reward[2], law.p_accept, limit_tv,
            limit_gap]  # fmt: skip


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[Any]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """The table `gate`; summary: agreement of simulated TV and reward with the exact ones."""
    pairs = [(r[k], r[k + 1], r[k + 2]) for r in results for k in (5, 8)]
    return agreement(pairs) | {"beta": settings["beta"]}, {"gate": (COLUMNS, results)}
