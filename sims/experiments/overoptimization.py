"""Proxy against gold reward: what is selected by a proxy as n and β grow.

A world of K outcomes: gold rewards are normal, the proxy is gold plus an error of the same size that is normal except
for `hacked` outcomes, rare under both policies, whose proxy is high and whose gold is low (rewards that can be gamed).
Policies know nothing of either. Gold is what the method earns, KL is to the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, with_spread
from sims.instance_families import passing_threshold
from sims.sampling.method_sampler import sample_method

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "work"]

QUESTION = "When does more selection by a proxy reward lower the gold reward, and does soft selection prevent it?"
CLAIM = (
    "Gao et al. (2210.10760): gold reward first rises and then falls as best-of-n goes on; Verdun et al. (2505.03156): "
    "a finite β guards soft best-of-n against it."
)
SETTINGS: dict[str, tuple[Any, Any]] = {
    "instances": (6, range(1, 10_001)),
    "draws": (2000, range(100, 10_000_001)),
    "size": (2000, range(100, 100_001)),
}
FULL: dict[str, Any] = {"instances": 200, "draws": 20_000, "size": 20_000}
FULL_MINUTES = 38.0
# Share of hacked outcomes, and their proxy above its mean, in standard deviations of gold.
WORLDS = {"honest error": 0.0, "can be gamed": 0.002}
HACKED_PROXY, HACKED_GOLD = 5.0, -1.0
NS = tuple(2**k for k in range(0, 15))
BETAS = tuple(float(2.0 ** (k / 2)) for k in range(-4, 9))
ALONG_N = (("best_of_n_base", 1.0), ("soft_bon_base", 1.0), ("soft_bon_base", 4.0), ("gsi_ungated", 1.0), ("gsi", 1.0))
MOST_SIMULATED = 256
COLUMNS = ("world", "method", "n", "beta", "gold", "simulated", "stderr", "proxy", "kl", "spread")

Job = tuple[Any, ...]


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a (world, problem)."""
    cells = [(w, i) for w in WORLDS for i in range(settings["instances"])]
    return [("cell", seed, k, *cell, settings["size"], settings["draws"]) for k, cell in enumerate(cells)]


def _problem(seed: int, world: str, index: int, size: int) -> tuple[Instance, Floats]:
    """An instance whose reward is the proxy, and the gold rewards (K,)."""
    rng = np.random.default_rng([seed, 54, index])
    gold, error = rng.normal(size=(2, size))
    base, drift = rng.normal(size=(2, size))
    hacked = rng.permutation(size) < WORLDS[world] * size
    gold = np.where(hacked, HACKED_GOLD, gold)
    proxy = np.where(hacked, HACKED_PROXY, gold + error)
    return Instance(normalize(base + 0.5 * drift), normalize(base), proxy), gold


def work(job: Job) -> list[list[Any]]:
    """Rows of one problem: methods along n, and the tilt and soft best-of-64 along β."""
    _, seed, cell, world, index, size, draws = job
    instance, gold = _problem(seed, world, index, size)
    rng = np.random.default_rng([seed, 55, cell])
    rows: list[list[Any]] = []
    played = {"soft_bon_64": "soft_bon_base"}

    def note(key: str, n: int | None, beta: float, log_prob: Floats, scheme: Scheme | None) -> None:
        prob = np.exp(log_prob)
        pair: tuple[float, float | None, float | None] = (float(prob @ gold), None, None)
        if scheme is not None and scheme.n <= MOST_SIMULATED:
            pair = beside(prob, gold, sample_method(played.get(key, key), instance, scheme, draws, rng).outcome)
        kl = divergence.kl(log_prob, instance.log_base)
        rows.append([world, key, n, beta, *pair, float(prob @ instance.reward), kl])

    for key, beta in ALONG_N:
        threshold = passing_threshold(instance, beta) if key == "gsi" else None
        for n in NS:
            scheme = Scheme(beta, n, threshold)
            note(key, n, beta, METHODS[key].law(instance, scheme).log_prob, scheme)
    for beta in BETAS:
        note("tilted", None, beta, tilted_policy(instance, beta), None)
        scheme = Scheme(beta, 64)
        note("soft_bon_64", 64, beta, METHODS["soft_bon_base"].law(instance, scheme).log_prob, scheme)
    return rows


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[list[list[Any]]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """Means over problems, `spread` the standard error of `gold` over them; summary: agreement, n of largest gold."""
    rows = [row for result in results for row in result]
    table = with_spread(rows, 4, 6, 4)
    peaks = {}
    for world in WORLDS:
        for key, beta in ALONG_N:
            own = [r for r in table if r[:2] == (world, key) and r[3] == beta]
            peaks[f"{world}, {key}, beta {beta:g}"] = max(own, key=lambda r: r[4])[2]
    pairs = [(r[4], r[5], r[6]) for r in rows if r[5] is not None]
    return agreement(pairs) | {"best_n": peaks, "size": settings["size"]}, {"gold": (COLUMNS, table)}
