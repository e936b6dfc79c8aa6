"""Starting with the base and switching to the draft, against GSI at every step: reward against what the base writes.

Trees of sims/worlds.py. The method of gsi_theory/steps/switching.py (our reading of the SPECS cascade) starts with the
base, or with the draft; its threshold u is a quantile of the tilted rewards, its switch v the median step reward. GSI
with the same u begins every step with the draft, which is switching with v = -∞ and start "draft".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory.instance import Scheme, tilted_policy, tilted_reward
from gsi_theory.steps.switching import switching_law
from gsi_theory.steps.tree import Tree
from sims.agreement import agreement, beside, over_problems
from sims.sampling.tree_sampler import sample_switching
from sims.worlds import World, world_tree

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "Is it better to start with the base and hand over to the draft, or to begin every step with the draft?"
CLAIM = (
    "SPECS (speculative drafts with deferral by reward, our reading): starting with the base and switching keeps the "
    "base's reward at a fraction of its tokens."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "trees": (3, range(1, 10_001)),
    "depth": (3, range(1, 6)),
    "size": (6, range(2, 9)),
    "draws": (3000, range(100, 10_000_001)),
    "beta": (4, range(1, 1001)),
}
FULL: dict[str, Any] = {"trees": 20, "draws": 50_000}
FULL_MINUTES = 3.2
COVERAGES = (3.0, 30.0)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
NS = (4, 16)
WAYS = ("start base", "start draft", "gsi")
COLUMNS = ("coverage", "way", "n", "share", "reward", "simulated", "stderr", "written", "written_simulated", "steps")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (coverage, tree, n)."""
    names = ("depth", "size", "beta", "draws")
    cells = [(c, i, n) for c in COVERAGES for i in range(settings["trees"]) for n in NS]
    return [("cell", seed, k, *cell, *(settings[v] for v in names)) for k, cell in enumerate(cells)]


def _typical(tree: Tree, beta: float, share: float) -> float:
    """The largest threshold whose gate passes `share` of the tilted policies on average over all nodes."""
    nodes = [instance for level in tree.levels for instance in level.instances]
    found = np.concatenate([tilted_reward(instance, beta) for instance in nodes])
    mass = np.concatenate([np.exp(tilted_policy(instance, beta)) for instance in nodes]) / len(nodes)
    order = np.argsort(-found, kind="stable")
    return float(found[order[np.searchsorted(np.cumsum(mass[order]), share)]])


def work(job: Job) -> list[list[Any]]:
    """Rows of one tree at one n: every way along the thresholds."""
    _, seed, cell, coverage, index, n, depth, size, beta, draws = job
    world = World(coverage, correlation=0.5, tail=-0.5, depth=depth, size=size)
    tree = world_tree(world, [seed, 66, index])
    rng, reward = np.random.default_rng([seed, 67, cell]), tree.total_reward
    # Step rewards are divided by the depth; β is given for whole trajectories.
    middle = float(np.median(np.concatenate([level.reward for level in tree.levels])))
    rows: list[list[Any]] = []
    for share in SHARES:
        scheme = Scheme(beta * depth, n, _typical(tree, beta * depth, share))
        for way in WAYS:
            start, switch = ("base" if way == "start base" else "draft"), (-np.inf if way == "gsi" else middle)
            law = switching_law(tree, scheme, switch, start)
            outcomes, written = sample_switching(tree, scheme, switch, draws, rng, start)
            pair = beside(np.exp(law.log_prob), reward, np.asarray(outcomes))
            rows.append([coverage, way, n, share, *pair, law.written, float(np.mean(written)), float(depth)])
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over trees; summary: agreement of the simulated rewards with the exact ones."""
    rows = [row for result in results for row in result]
    return agreement((r[4], r[5], r[6]) for r in rows) | {"beta": settings["beta"], "depth": settings["depth"]}, {
        "plane": (COLUMNS, over_problems(rows, 4, 6))
    }
