"""Named instance families, their usual thresholds, and random small cases.

A family builds one `Instance` from a seed: policies over K completions and unsigned rewards in [0, 1]; `signed` maps
those rewards to [-1, 1]. Each family stands for one way in which a draft can miss its base. Thresholds are in reward
units, as in `Scheme`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.logscale import log_sum, normalize
from gsi_theory.instance import Instance, Scheme, as_beta, tilted_policy, tilted_reward
from gsi_theory.laws.selection_law import as_count
from gsi_theory.methods import METHODS
from gsi_theory.rules.table import RULES, rules_and_gates
from gsi_theory.types import Floats

__all__ = [
    "COMBINATIONS",
    "FAMILIES",
    "REWARDS",
    "InstanceFamily",
    "method_scheme",
    "passing_threshold",
    "random_case",
    "score_threshold",
    "signed",
    "usual_scheme",
]

REWARDS = ("unsigned", "signed")
LISTED_BETAS = (0.0, 0.5, 1.0, 5.0, 20.0)
# Rules and gates that go together.
COMBINATIONS = rules_and_gates()


@dataclass(frozen=True)
class InstanceFamily:
    """name, what it stands for, and build(seed) -> Instance (rewards in [0, 1])."""

    name: str
    description: str
    build: Callable[[int], Instance]


def _zipf(size: int, exponent: float) -> Floats:
    return normalize(-exponent * np.log(np.arange(1.0, size + 1.0)))


def _two_point(seed: int) -> Instance:
    """A good completion that the draft finds four times too rarely; both masses move a little with the seed."""
    rng = np.random.default_rng([seed, 0])
    draft, base = rng.uniform(0.08, 0.12), rng.uniform(0.36, 0.44)
    return Instance.from_probabilities([1 - draft, draft], [1 - base, base], [0.0, 1.0])


def _zipf_pair(seed: int) -> Instance:
    """Zipf laws of exponents 1.0 (draft) and 1.3 (base) that agree on ranks up to a perturbation."""
    rng = np.random.default_rng([seed, 1])
    size = 200
    rank = np.argsort(np.arange(size) + rng.normal(0.0, 4.0, size))
    base = np.empty(size)
    base[rank] = _zipf(size, 1.3)
    return Instance(_zipf(size, 1.0), base, rng.uniform(0.0, 1.0, size))


def _dirichlet(seed: int) -> Instance:
    """Two independent points of the simplex."""
    rng = np.random.default_rng([seed, 2])
    size = 50
    draft, base = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size))
    return Instance.from_probabilities(draft, base, rng.uniform(0.0, 1.0, size))


def _thin_overlap(seed: int) -> Instance:
    """Each policy spends 1 % of its mass where the other spends 99 %."""
    rng = np.random.default_rng([seed, 3])
    half = 20
    common, other = rng.dirichlet(np.full(half, 2.0), 2), rng.dirichlet(np.full(half, 2.0), 2)
    draft = np.concatenate([0.99 * common[0], 0.01 * other[0]])
    base = np.concatenate([0.01 * common[1], 0.99 * other[1]])
    return Instance.from_probabilities(draft, base, rng.uniform(0.0, 1.0, 2 * half))


def _heavy_tail(seed: int) -> Instance:
    """Ratios π_B/π_S with the quantiles of a Pareto law of index 1.1 (finite mean, no variance) over an even draft."""
    rng = np.random.default_rng([seed, 4])
    size = 300
    draft = normalize(np.log(rng.uniform(0.5, 1.5, size)))
    quantile = (rng.permutation(size) + 0.5) / size
    return Instance(draft, normalize(draft - np.log(quantile) / 1.1), rng.uniform(0.0, 1.0, size))


FAMILIES: dict[str, InstanceFamily] = {
    family.name: family
    for family in (
        InstanceFamily("two_point", "two completions, the good one four times rarer in the draft", _two_point),
        InstanceFamily("zipf", "200 completions, Zipf laws whose ranks nearly agree", _zipf_pair),
        InstanceFamily("dirichlet", "50 completions, two unrelated policies", _dirichlet),
        InstanceFamily(
            "thin_overlap", "40 completions, each policy has 1 % of its mass where the other lives", _thin_overlap
        ),
        InstanceFamily("heavy_tail", "300 completions, ratios base/draft without a finite variance", _heavy_tail),
    )
}


def signed(instance: Instance) -> Instance:
    """The signed variant: rewards r in [0, 1] become 2r - 1 in [-1, 1]."""
    return Instance(instance.log_draft, instance.log_base, 2.0 * instance.reward - 1.0)


def passing_threshold(instance: Instance, beta: float, share: float = 0.5) -> float:
    """The largest u with π(r̃ ≥ u) ≥ share: what the gate of (M6) needs to pass that much of the tilted policy."""
    reward, pi = tilted_reward(instance, beta), np.exp(tilted_policy(instance, beta))
    order = np.argsort(-reward, kind="stable")
    at = int(np.searchsorted(np.cumsum(pi[order]), share))
    return float(reward[order[min(at, order.size - 1)]])


def score_threshold(instance: Instance, beta: float, n: int) -> float:
    """The threshold of the score gate (M9) that means M = n normalized weights: u = (log n + log Z)/β, for β > 0.

    About 1/e of the rounds are then rejected, and the bias E_M vanishes as n grows.
    """
    log_z = float(log_sum(instance.log_base + as_beta(beta) * instance.reward))
    return (float(np.log(as_count(n, "n"))) + log_z) / beta


def usual_scheme(instance: Instance, rule: str, gate: str, n: int, beta: float) -> Scheme:
    """The scheme of one of COMBINATIONS with its usual threshold; gate "none" has none."""
    if gate == "none":
        return Scheme(beta, n, None, rule)
    if gate == "score":
        return Scheme(beta, n, score_threshold(instance, beta, n), rule, gate="score")
    return Scheme(beta, n, passing_threshold(instance, beta), rule)


def method_scheme(key: str, instance: Instance, beta: float, n: int, share: float = 0.5) -> Scheme:
    """The scheme with which a method plays: a gate on r̃ passes `share` of π; other gates take their own default."""
    gated = METHODS[key].threshold == "tilted_reward"
    return Scheme(beta, n, passing_threshold(instance, beta, share) if gated else None)


def random_case(rng: np.random.Generator, rewards: tuple[str, ...] = REWARDS) -> tuple[Instance, Scheme]:
    """A random small case for the claims.

    K in 1..6; each policy Dirichlet with a concentration log-uniform in [0.1, 10]; rewards of a kind in `rewards`,
    uniform in [0, 1] or [-1, 1], one time in four rounded to whole numbers; beta from a short list or log-uniform in
    [0.05, 50]; n log-uniform in 1..1000; no threshold, or a tilted reward of the instance, or uniform in [-1, 2].
    """
    size = int(rng.integers(1, 7))
    draft, base = (rng.dirichlet(np.full(size, np.exp(rng.uniform(np.log(0.1), np.log(10.0))))) for _ in range(2))
    low = -1.0 if rewards[int(rng.integers(len(rewards)))] == "signed" else 0.0
    reward = rng.uniform(low, 1.0, size)
    if rng.random() < 0.25:
        reward = np.rint(reward)
    instance = Instance.from_probabilities(draft, base, reward)
    listed = rng.random() < 0.5
    beta = float(rng.choice(LISTED_BETAS)) if listed else float(np.exp(rng.uniform(np.log(0.05), np.log(50.0))))
    n = int(np.exp(rng.uniform(0.0, np.log(1001.0))))
    names = ("softmax", *RULES)
    rule = names[int(rng.integers(len(names)))]
    finite = tilted_reward(instance, beta)
    finite = finite[np.isfinite(finite)]
    kind = rng.random()
    threshold = None if kind < 0.125 else float(rng.uniform(-1.0, 2.0))
    if kind > 0.5 and finite.size:
        threshold = float(rng.choice(finite))
    return instance, Scheme(beta, n, threshold, rule)
