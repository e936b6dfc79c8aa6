"""Expected reward against KL to the base, all methods on one plane, and against β.

The tilt is the best there is at its KL (Gibbs). Soft best-of-n and the race run along β at fixed n, best-of-n along n,
best-of-Poisson along its mean; GSI with and without its gate goes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.draws import Draws
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats
from sims.agreement import agreement, beside
from sims.instance_families import passing_threshold
from sims.sampling.generators import NumpyStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.sampler import alias_table, winners
from sims.worlds import checked_worlds, instances_of

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "How much reward does each method buy with its divergence from the base, and how does β set it?"
CLAIM = (
    "GSI (arXiv 2506.04118), Figure 6 in form; Verdun et al. (2505.03156): soft best-of-n is near the tilt; "
    "best-of-Poisson (2506.19248): its KL gap to the tilt of equal mean stays below 8e-4 for uniform rewards (M23)."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "worlds": ("medium,weak", checked_worlds),
    "draws": (5000, range(100, 10_000_001)),
}
FULL: dict[str, Any] = {"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,blind"}
FULL_MINUTES = 14.0
BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
NS = (4, 16, 64)
LADDER = tuple(2**k for k in range(11))
COLUMNS = ("world", "method", "n", "beta", "kl", "reward", "simulated", "stderr", "tilt_kl")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (world, method, n, β); n or β is None where the method has none."""
    cells: list[tuple[Any, ...]] = []
    for world in (*settings["worlds"], "uniform"):
        cells += [(world, "tilted", None, beta) for beta in BETAS]
        cells += [(world, key, n, None) for key in ("best_of_n_base", "best_of_poisson") for n in LADDER]
        along = ("soft_bon_base", "race_base") if world == "uniform" else ("soft_bon_base", "race_base", "gsi_ungated",
                                                                          "gsi")  # fmt: skip
        cells += [(world, key, n, beta) for key in along for n in NS for beta in BETAS]
    return [("cell", seed, i, *cell, settings["draws"]) for i, cell in enumerate(cells)]


def _instance(world: str, seed: int) -> Instance:
    """A world's instance; "uniform" is 2000 equally likely outcomes of evenly spread rewards, as in (M23)."""
    if world != "uniform":
        return instances_of(world, [seed])[0]
    even: Floats = np.array(normalize(np.zeros(2000)), dtype=np.float64)
    return Instance(even, even, np.linspace(0.0, 1.0, 2001)[1:] - 0.5 / 2000.0)


def _tilt_of_mean(instance: Instance, mean: float) -> float | None:
    """KL to the base of the tilt with this expected reward; None where no β up to 10⁴ has it."""
    low, high = 0.0, 1e4

    def earned(beta: float) -> float:
        return float(np.exp(tilted_policy(instance, beta)) @ instance.reward)

    if not earned(low) <= mean <= earned(high):
        return None
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if earned(middle) < mean else (low, middle)
    return divergence.kl(tilted_policy(instance, low), instance.log_base)


def _law(instance: Instance, key: str, n: int, beta: float | None) -> tuple[Floats, Scheme]:
    scheme = Scheme(1.0 if beta is None else beta, n)
    if key == "race_base":
        return selection_law(instance.log_base, scheme.beta * instance.reward, n, "race").log_prob, scheme
    if key == "gsi":
        scheme = Scheme(scheme.beta, n, passing_threshold(instance, scheme.beta))
    if key == "best_of_poisson":
        # The method's own default, spelled out: 1 + Poisson(n - 1) draws.
        log_prob = selection_law(instance.log_base, instance.reward, Draws(1, float(n - 1)), "max").log_prob
        return log_prob, scheme
    return METHODS[key].law(instance, scheme).log_prob, scheme


def _played(instance: Instance, key: str, scheme: Scheme, draws: int, rng: np.random.Generator) -> np.ndarray:
    if key != "race_base":
        return np.asarray(sample_method(key, instance, scheme, draws, rng).outcome)
    stream = NumpyStream(rng)
    table, weight = alias_table(instance.log_base, stream), scheme.beta * instance.reward
    return np.asarray(winners(table, weight, scheme.n, "race", draws, stream)[0])


def work(job: Job) -> list[Any]:
    """One row of the table."""
    _, seed, cell, world, key, n, beta, draws = job
    instance = _instance(world, seed)
    if key == "tilted":
        log_prob = tilted_policy(instance, beta)
        pair: tuple[float, float | None, float | None] = (float(np.exp(log_prob) @ instance.reward), None, None)
    else:
        log_prob, scheme = _law(instance, key, n, beta)
        outcomes = _played(instance, key, scheme, draws, np.random.default_rng([seed, 52, cell]))
        pair = beside(np.exp(log_prob), instance.reward, outcomes)
    kl = divergence.kl(log_prob, instance.log_base)
    return [world, key, n, beta, kl, *pair, _tilt_of_mean(instance, pair[0])]


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[Any]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """The table `plane`; summary: agreement, and the largest KL gap of best-of-Poisson to the tilt, uniform rewards."""
    gaps = [r[4] - r[8] for r in results if r[0] == "uniform" and r[1] == "best_of_poisson" and r[8] is not None]
    summary = agreement((r[5], r[6], r[7]) for r in results if r[6] is not None)
    return summary | {"largest_poisson_gap": max(gaps)}, {"plane": (COLUMNS, results)}
