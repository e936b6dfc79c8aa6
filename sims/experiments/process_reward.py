"""Step-wise against sequence-wise tilting over depth, when the process reward is noisy (M29).

Random trees of sims/experiments/steps.py, R = 1 for a correct trajectory. The step reward is the increment of the soft
value plus normal noise; without noise tilting step by step is tilting whole trajectories. GSI goes with it at two n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import sequence_tilt, soft_value
from gsi_theory.steps.stepwise import TrajectoryLaw, trajectory_law
from gsi_theory.steps.tree import Tree
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, with_spread
from sims.experiments.steps import random_tree
from sims.sampling.generators import Stream
from sims.sampling.sampler import alias_table, draw
from sims.sampling.tree_sampler import Player, sample_stepwise, scheme_player

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "What does tilting step by step lose against tilting whole trajectories, as steps and reward noise grow?"
CLAIM = (
    "GSI (arXiv 2506.04118) tilts step by step with a process reward model as if that tilted the response; (M29): "
    "that is exact for soft values, and noise costs KL at every step."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "trees": (12, range(1, 10_001)),
    "depth": (5, range(1, 8)),
    "branching": (3, range(2, 7)),
    "draws": (2000, range(100, 10_000_001)),
}
FULL: dict[str, Any] = {"trees": 40, "depth": 6, "draws": 10_000}
FULL_MINUTES = 7.0
BETA = 5.0
NOISES = (0.0, 0.1, 0.3, 1.0)
Way = tuple[str, int | None]
WAYS: tuple[Way, ...] = (("stepwise tilt", None), ("gsi_ungated", 4), ("gsi_ungated", 16), ("gsi", 16))
COLUMNS = ("noise", "method", "n", "steps", "correct", "simulated", "stderr", "kl", "tv", "sequence_correct",
           "base_correct", "spread")  # fmt: skip

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (depth, tree)."""
    cells = [(d, i) for d in range(1, settings["depth"] + 1) for i in range(settings["trees"])]
    return [("cell", seed, k, *cell, settings["branching"], settings["draws"]) for k, cell in enumerate(cells)]


def _tilted_player(instance: Instance, rounds: int, stream: Stream) -> Any:
    return draw(alias_table(tilted_policy(instance, BETA), stream), (rounds,), stream)


def _way(tree: Tree, method: str, n: int | None) -> tuple[TrajectoryLaw, Player]:
    if n is None:
        return trajectory_law(tree, partial(tilted_policy, beta=BETA)), _tilted_player
    # Increments of the value are around zero: the gate asks that the winner's step is no loss.
    scheme = Scheme(BETA, n, 0.0 if method == "gsi" else None)
    return trajectory_law(tree, partial(gsi_law, scheme=scheme)), scheme_player(scheme)


def work(job: Job) -> list[list[Any]]:
    """Rows of one tree; its noise is the same, scaled, at every level of noise."""
    _, seed, cell, depth, index, branching, draws = job
    tree, correct = random_tree(seed, index, depth, branching)
    rng = np.random.default_rng([seed, 57, cell])
    value = soft_value(tree, BETA, correct)
    shape: list[Floats] = [rng.normal(size=v.size) for v in value.increment]
    sequence = sequence_tilt(tree, BETA, correct)
    tilted = float(np.exp(sequence.log_prob) @ correct)
    base = float(np.exp(trajectory_law(tree, lambda i: i.log_base).log_prob) @ correct)
    rows: list[list[Any]] = []
    for noise in NOISES:
        noisy = tree.with_reward([v + noise * e for v, e in zip(value.increment, shape, strict=True)])
        for method, n in WAYS:
            law, player = _way(noisy, method, n)
            pair = beside(np.exp(law.log_prob), correct, sample_stepwise(noisy, player, draws, rng))
            kl, tv = divergence.kl(sequence.log_prob, law.log_prob), divergence.tv(sequence.log_prob, law.log_prob)
            rows.append([noise, method, n, depth, *pair, kl, tv, tilted, base])
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over trees, `spread` the standard error of `correct` over them.

    Summary: agreement, and the largest KL of the stepwise tilt without noise (rounding).
    """
    rows = [row for result in results for row in result]
    pairs = [(r[4], r[5], r[6]) for r in rows]
    zero = max(r[7] for r in rows if r[0] == 0.0 and r[2] is None)
    return agreement(pairs) | {"beta": BETA, "largest_kl_without_noise": zero}, {
        "depth": (COLUMNS, with_spread(rows, 4, 6, 4))
    }
