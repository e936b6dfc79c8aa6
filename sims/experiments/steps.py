"""How does the error of a stepwise method grow with the number of steps, and what does tilting step by step miss?

Random trees of reasoning steps. Each step has a quality, drawn N(0, 1); the base leans toward quality, the draft is the
base without that and with noise. A trajectory is correct, R = 1, when its qualities sum to more than √T/2. Two tables,
each cell a mean over the trees with the smallest and largest tree beside it:

accumulation  KL and TV between the stepwise tilt and each method after 1..T steps, with the terms of the chain rule
              (M28) and the bounds on TV. The step reward is the score of an ideal process reward model, E[R | prefix].
gap           distance between the stepwise tilt and the tilt of whole trajectories by R (M29), for several step
              rewards, with the probability of a correct trajectory under each.

Divergences in nats; probabilities in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import soft_value, stepwise_tilt, tilt_gap
from gsi_theory.steps.stepwise import chain_rule, trajectory_law
from gsi_theory.steps.tree import ByStep, Prefix, Tree

__all__ = ["COLUMNS", "QUESTION", "SETTINGS", "collect", "plan", "random_tree", "work"]

QUESTION = (
    "How does the error of a stepwise method accumulate over T steps, and how far is the stepwise tilt from the "
    "sequence tilt?"
)
CLAIM = "Errors of a stepwise method add up (M28); tilting steps is tilting trajectories for soft values alone (M29)."
SETTINGS: dict[str, tuple[Any, Any]] = {
    "trees": (8, range(1, 1001)),
    "depth": (6, range(1, 9)),
    "branching": (3, range(2, 7)),
}
FULL: dict[str, Any] = {"trees": 32, "depth": 7}
FULL_MINUTES = 4.5
# Process scores lie in [0, 1]: the threshold is the middle, and at this beta n = 4 is too few and n = 16 nearly enough.
BETA, THRESHOLD = 5.0, 0.5
RULES = (("gsi_ungated", "softmax", None), ("race", "race", None), ("gsi", "softmax", THRESHOLD))
METHODS = tuple((name, Scheme(BETA, n, cut, rule)) for name, rule, cut in RULES for n in (4, 16))
BETAS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
# Step rewards of the gap table: (kind, standard deviation of the noise added to each reward).
KINDS = (
    ("soft_increment", 0.0),
    ("soft_increment", 0.1),
    ("soft_increment", 0.3),
    ("mean_value", 0.0),
    ("last_step", 0.0),
)

COLUMNS: dict[str, tuple[str, ...]] = {
    "accumulation": (
        "method", "n", "beta", "threshold", "steps", "kl_step", "kl", "kl_low", "kl_high", "tv_step", "tv", "tv_low",
        "tv_high", "tv_coupling", "tv_sum", "tv_from_kl", "accepted_share",
    ),
    "gap": (
        "kind", "noise", "steps", "beta", "kl_sequence", "kl_sequence_low", "kl_sequence_high", "kl_stepwise", "tv",
        "reward_sequence", "reward_stepwise", "reward_base",
    ),
}  # fmt: skip
KEYS = {"accumulation": 5, "gap": 4}

Job = tuple[str, int, int, int, int]
Row = tuple[Any, ...]
Rows = list[Row]


def random_tree(seed: int, index: int, depth: int, branching: int) -> tuple[Tree, np.ndarray]:
    """A tree of `depth` steps with `branching` choices, step rewards 0, and the terminal reward R (L,) in {0, 1}."""
    qualities: dict[Prefix, float] = {(): 0.0}

    def instance_at(prefix: Prefix) -> Instance | None:
        if len(prefix) == depth:
            return None
        rng = np.random.default_rng([seed, index, depth, *prefix])
        quality, taste, noise = rng.normal(size=(3, branching))
        for k in range(branching):
            qualities[(*prefix, k)] = qualities[prefix] + float(quality[k])
        return Instance(normalize(taste + noise), normalize(taste + 0.5 * quality), np.zeros(branching))

    tree = Tree.grow(instance_at)
    correct = [qualities[path] > 0.5 * np.sqrt(depth) for path in tree.trajectories]
    return tree, np.array(correct, dtype=np.float64)


def _step_rewards(
    tree: Tree, correct: np.ndarray, kind: str, noise: float, beta: float, rng: np.random.Generator
) -> ByStep:
    """The step rewards of one kind; the noise of one tree is the same at every beta."""
    if kind == "last_step":
        return tree.at_ends(correct)
    value = soft_value(tree, beta if kind == "soft_increment" else 0.0, correct)
    rewards = value.increment if kind == "soft_increment" else value.step
    return tuple(r + noise * rng.normal(size=r.size) for r in rewards)


def _accumulation(tree: Tree, correct: np.ndarray) -> tuple[Rows, float]:
    """Rows, and the worst |Σ_t E KL - KL| / max(1, KL): what the chain rule says twice must agree."""
    scored = tree.with_reward(soft_value(tree, 0.0, correct).step)
    tilt = stepwise_tilt(scored, BETA)
    rows: Rows = []
    worst = 0.0
    for method, scheme in METHODS:
        law = trajectory_law(scored, partial(gsi_law, scheme=scheme))
        found = chain_rule(tilt, law)
        share = law.expected_accepted / law.expected_steps
        bound = np.sqrt(np.minimum(found.kl / 2.0, -np.expm1(-found.kl)))
        for t in range(tree.depth):
            kl, tv, tv_sum = float(found.kl[t]), float(found.tv[t]), float(np.sum(found.tv_step[: t + 1]))
            rows.append(
                (method, scheme.n, BETA, scheme.threshold, t + 1, float(found.kl_step[t]), kl, kl, kl,
                 float(found.tv_step[t]), tv, tv, tv, float(found.tv_coupling[t]), tv_sum, float(bound[t]), share)
            )  # fmt: skip
        deviation = np.abs(np.cumsum(found.kl_step) - found.kl) / np.maximum(1.0, found.kl)
        worst = max(worst, float(np.max(deviation)))
    return rows, worst


def _gap(tree: Tree, correct: np.ndarray, seed: int, index: int) -> Rows:
    base = float(np.exp(trajectory_law(tree, lambda i: i.log_base).log_prob) @ correct)
    rows: Rows = []
    for number, (kind, noise) in enumerate(KINDS):
        for beta in BETAS:
            rng = np.random.default_rng([seed, index, tree.depth, 1000 + number])
            gap = tilt_gap(tree, beta, correct, _step_rewards(tree, correct, kind, noise, beta, rng))
            kl = gap.kl_sequence
            rows.append(
                (kind, noise, tree.depth, beta, kl, kl, kl, gap.kl_stepwise, gap.tv, gap.reward_sequence,
                 gap.reward_stepwise, base)
            )  # fmt: skip
    return rows


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (table, tree, depth): accumulation on the deepest trees, the gap also on shallower ones."""
    deepest, branching = settings["depth"], settings["branching"]
    depths = {"accumulation": [deepest], "gap": [d for d in range(1, deepest + 1) if (deepest - d) % 2 == 0]}
    return [(t, seed, i, d, branching) for t in COLUMNS for d in depths[t] for i in range(settings["trees"])]


def work(job: Job) -> tuple[str, Rows, float]:
    """(table, its rows, deviation between the two sides of the chain rule) of one tree."""
    table, seed, index, depth, branching = job
    tree, correct = random_tree(seed, index, depth, branching)
    if table == "accumulation":
        return table, *_accumulation(tree, correct)
    return table, _gap(tree, correct, seed, index), 0.0


def _merged(table: str, rows: Iterable[Row]) -> Rows:
    """Rows with the same key as one: the mean of each column, the extremes of those that end in _low and _high."""
    groups: dict[Row, Rows] = {}
    keys = KEYS[table]
    for row in rows:
        groups.setdefault(tuple(row[:keys]), []).append(row[keys:])
    how = {"low": min, "high": max}
    ways = [how.get(name.rpartition("_")[2], np.mean) for name in COLUMNS[table][keys:]]
    return [
        (*key, *(float(way(column)) for way, column in zip(ways, zip(*group, strict=True), strict=True)))
        for key, group in groups.items()
    ]


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[str, Rows, float]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Rows]]]:
    """The two tables over all trees.

    largest_chain_error: worst |Σ_t E KL - KL| / max(1, KL); largest_increment_gap: worst KL(sequence‖stepwise) where
    the step rewards are soft value increments. Both are rounding.
    """
    found = {table: [row for t, rows, _ in results if t == table for row in rows] for table in COLUMNS}
    tables = {table: (header, _merged(table, found[table])) for table, header in COLUMNS.items()}
    summary = {
        "seed": seed,
        "trees": settings["trees"],
        "depth": settings["depth"],
        "branching": settings["branching"],
        "beta": BETA,
        "threshold": THRESHOLD,
        "largest_chain_error": max(error for _, _, error in results),
        "largest_increment_gap": max(row[4] for row in found["gap"] if tuple(row[:2]) == KINDS[0]),
    }
    return summary, tables
