"""Transfer Q* decoding against stepwise GSI on trees: expected reward against KL to the base, and the bounds (M26).

Trees of sims/worlds.py, R the total reward in [0, 1]. Transfer Q* tilts each step of an aligned policy (the base tilted
by e^{αR}) by its expected reward; GSI draws from the draft with the tree's own step rewards as process reward. The tilt
of whole trajectories is the best there is at its KL. `loss` is what Transfer Q* earns less than ρ*, the aligned policy
tilted by e^{βR} as a whole, which is the base tilted by e^{(α+β)R}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import sequence_tilt, value_tilt
from gsi_theory.steps.stepwise import TrajectoryLaw, trajectory_law
from gsi_theory.steps.tree import Tree
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, over_problems
from sims.sampling.tree_sampler import sample_stepwise, sample_transfer, scheme_player
from sims.worlds import World, world_tree

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "Does Transfer Q* decoding earn more reward at its KL than stepwise GSI, and how loose are its bounds?"
CLAIM = (
    "Transfer Q* (2405.20495): decoding with the Q of an aligned policy loses at most β[KL(ρ*‖ρ_sft) - "
    "KL(ρ_BL‖ρ_sft) - KL(ρ*‖ρ_BL)] of reward to ρ*, and stays within (1/β + T/α)R of the base (M26)."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "trees": (4, range(1, 10_001)),
    "depth": (3, range(1, 6)),
    "size": (4, range(2, 9)),
    "draws": (4000, range(100, 10_000_001)),
}
FULL: dict[str, Any] = {"trees": 50, "depth": 4, "size": 5, "draws": 100_000}
FULL_MINUTES = 9.5
COVERAGE = 10.0
ALPHAS = (1.0, 5.0)
BETAS = tuple(float(2.0 ** (k / 2)) for k in range(-2, 11))
NS = (4, 32)
COLUMNS = ("method", "parameter", "beta", "reward", "simulated", "stderr", "kl", "largest_log_ratio", "ratio_bound",
           "loss", "loss_bound")  # fmt: skip

Job = tuple[Any, ...]
Loss = tuple[float | None, float | None]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a tree."""
    names = ("depth", "size", "draws")
    return [("cell", seed, i, *(settings[k] for k in names)) for i in range(settings["trees"])]


def _row(method: str, parameter: float | None, beta: float, law: TrajectoryLaw, base: Floats, reward: Floats,
         outcomes: np.ndarray | None, bound: float | None, loss: Loss = (None, None)) -> list[Any]:  # fmt: skip
    prob = np.exp(law.log_prob)
    pair: tuple[float, float | None, float | None] = (float(prob @ reward), None, None)
    if outcomes is not None:
        pair = beside(prob, reward, outcomes)
    largest = float(np.max((law.log_prob - base)[prob > 0]))
    return [method, parameter, beta, *pair, divergence.kl(law.log_prob, base), largest, bound, *loss]


def _loss(tree: Tree, alpha: float, beta: float, law: Floats, base: Floats) -> Loss:
    """(E_{ρ*} R - E_alg R, its bound (M26)), in reward units; the bound's β is 1/α here.

    As log(ρ_BL/ρ_sft) is α R up to a constant, the bound is E_{ρ*} R - E_{ρ_BL} R whatever ρ* is.
    """
    aligned, best = sequence_tilt(tree, alpha).log_prob, sequence_tilt(tree, alpha + beta).log_prob
    terms = divergence.kl(best, base) - divergence.kl(aligned, base) - divergence.kl(best, aligned)
    return float((np.exp(best) - np.exp(law)) @ tree.total_reward), terms / alpha


def work(job: Job) -> list[list[Any]]:
    """Rows of one tree."""
    _, seed, cell, depth, size, draws = job
    tree = world_tree(World(COVERAGE, correlation=0.5, depth=depth, size=size), [seed, 60, cell])
    rng, reward = np.random.default_rng([seed, 61, cell]), tree.total_reward
    base = trajectory_law(tree, lambda i: i.log_base).log_prob
    top = float(reward.max())
    rows: list[list[Any]] = []
    for beta in BETAS:
        rows.append(_row("sequence tilt", None, beta, sequence_tilt(tree, beta), base, reward, None, beta * top))
        for alpha in ALPHAS:
            law = value_tilt(sequence_tilt(tree, alpha), beta)
            outcomes = np.asarray(sample_transfer(tree, alpha, beta, reward, draws, rng))
            # In our β, which multiplies rewards: (α + T β) R.
            bound = (alpha + depth * beta) * top
            loss = _loss(tree, alpha, beta, law.log_prob, base)
            rows.append(_row("transfer Q*", alpha, beta, law, base, reward, outcomes, bound, loss))
        for n in NS:
            scheme = Scheme(beta, n)
            law = trajectory_law(tree, partial(gsi_law, scheme=scheme))
            played = sample_stepwise(tree, scheme_player(scheme), draws, rng)
            rows.append(_row("gsi_ungated", float(n), beta, law, base, reward, np.asarray(played), None))
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over trees; summary: agreement, how often either bound is broken, how tight it is at best."""
    rows = [row for result in results for row in result]
    bounded = [r for r in rows if r[0] == "transfer Q*"]
    broken = sum(r[7] > r[8] + 1e-9 for r in bounded) + sum(r[9] > r[10] + 1e-9 for r in bounded)
    summary = agreement((r[3], r[4], r[5]) for r in rows if r[4] is not None)
    tightest = {
        "ratio": max(r[7] / r[8] for r in bounded),
        "loss": max((r[9] / r[10] for r in bounded if r[10] > 1e-9), default=None),
    }
    return summary | {"bounds_broken": broken, "tightest_bound": tightest, "depth": settings["depth"]}, {
        "plane": (COLUMNS, over_problems(rows, 3, 5))
    }
