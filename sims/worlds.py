"""Worlds: instances from knobs, by name, or from a pool file.

A world is written as text, so that a setting, a job and an artifact can hold it:

    strong                            a name of WORLDS
    coverage:1000+good:1              knobs, the rest at their defaults
    pool:pool.parquet                 every (prompt_id, step) of a pool, one after the other

Knobs. coverage ≥ 1: sup π_B/π_S, exactly. correlation in [-1, 1]: of the rewards with the log-ratio, through normal
scores. tail in [-1, 2]: shape ξ of the generalized Pareto quantiles that the log-ratios follow up to an affine map: -1
spreads them evenly, 0 exponentially (a power tail of the ratios), above 0 a few outcomes hold the largest ratios.
good: 0 for graded rewards, ranks spread evenly over [0, 1]; m > 0 for reward 1 on m answers and 0 on the others. depth:
steps of a `world_tree`. size: K. The base is Zipf's law of exponent 1 in an order of its own. A positive correlation
means that the draft finds good answers too rarely, a negative one that it prefers them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri

from gsi_theory.arrays.logscale import log_sum, normalize
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance
from gsi_theory.runs.options import distinct
from gsi_theory.steps.tree import Prefix, Tree
from gsi_theory.types import Floats
from sims.pool_world import pool_instances

__all__ = ["WORLDS", "KnobWorld", "checked_worlds", "instance_of", "world_instance", "world_tree"]


@dataclass(frozen=True)
class KnobWorld:
    """One setting of the knobs. Raises InputError naming the knob, its value and its range."""

    coverage: float = 10.0
    correlation: float = 0.0
    tail: float = 0.0
    good: int = 0
    depth: int = 1
    size: int = 100

    def __post_init__(self) -> None:
        ranges = {
            "coverage": (1.0, 1e12),
            "correlation": (-1.0, 1.0),
            "tail": (-1.0, 2.0),
            "good": (0, self.size - 1),
            "depth": (1, 12),
            "size": (2, 1_000_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"knob {name} = {getattr(self, name)!r} of a world: give {low:g} to {high:g}")


WORLDS: dict[str, KnobWorld] = {
    "strong": KnobWorld(coverage=2.0, correlation=0.5),
    "medium": KnobWorld(coverage=30.0, correlation=0.5),
    "weak": KnobWorld(coverage=1000.0, correlation=0.5, tail=-0.5),
    "one_answer": KnobWorld(coverage=30.0, correlation=0.5, good=1),
    "blind": KnobWorld(coverage=30.0, correlation=0.9, good=5, tail=-0.5),
    "lucky": KnobWorld(coverage=30.0, correlation=-0.9, good=5, tail=-0.5),
    "outliers": KnobWorld(coverage=1000.0, tail=1.0),
    "even_tail": KnobWorld(coverage=30.0, tail=-1.0),
}
WHOLE = ("good", "depth", "size")


def _scores(size: int, tail: float) -> Floats:
    """Generalized Pareto quantiles at (i - ½)/K, ascending, scaled to [0, 1]."""
    q = (np.arange(size) + 0.5) / size
    z = -np.log1p(-q) if tail == 0 else ((1.0 - q) ** -tail - 1.0) / tail
    return np.asarray((z - z[0]) / (z[-1] - z[0]))


def _draft(log_base: Floats, z: Floats, coverage: float) -> Floats:
    """π_S ∝ π_B e^{-a z} with the a at which sup log(π_B/π_S) = a max z + log E_B e^{-a z} is log coverage."""

    def gap(a: float) -> float:
        return float(a * z.max() + log_sum(log_base - a * z) - np.log(coverage))

    if coverage == 1.0:
        return log_base
    high = 1.0
    while gap(high) < 0:
        high *= 2.0
    return normalize(log_base - brentq(gap, 0.0, high, xtol=1e-14) * z)


def world_instance(world: KnobWorld, seed: Sequence[int]) -> Instance:
    """One instance of a world; `seed` (whole numbers) fixes which."""
    rng = np.random.default_rng([*seed, 71])
    size = world.size
    log_base = normalize(-np.log(1.0 + rng.permutation(size)))
    rank = rng.permutation(size)
    z = _scores(size, world.tail)[rank]
    normal = ndtri((rank + 0.5) / size)
    score = world.correlation * normal + np.sqrt(1.0 - world.correlation**2) * rng.normal(size=size)
    standing = np.argsort(np.argsort(score))
    reward = standing / (size - 1.0) if world.good == 0 else (standing >= size - world.good).astype(np.float64)
    return Instance(_draft(log_base, z, world.coverage), log_base, reward)


def world_tree(world: KnobWorld, seed: Sequence[int]) -> Tree:
    """`depth` steps, each node an instance of the world of its own; step rewards are the instances' divided by depth,
    so that a trajectory earns at most 1."""

    def instance_at(prefix: Prefix) -> Instance | None:
        if len(prefix) == world.depth:
            return None
        node = world_instance(world, [*seed, len(prefix), *prefix])
        return Instance(node.log_draft, node.log_base, node.reward / world.depth)

    return Tree.grow(instance_at)


def _parsed(text: str, place: str) -> str:
    """The text of one world in its checked form."""
    if text.startswith("pool:"):
        path = Path(text.removeprefix("pool:").partition("#")[0])
        if not path.is_file():
            raise InputError(f"{place}: no pool at {path}: give pool:FILE.parquet")
        # The digest makes a changed file another world, so that kept cells of the old one are not used.
        return f"pool:{path}#{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    _knobs(text, place)
    return text


def _knobs(text: str, place: str = "world") -> KnobWorld:
    if text in WORLDS:
        return WORLDS[text]
    names, knobs = asdict(KnobWorld()), {}
    for part in text.split("+"):
        name, colon, value = part.partition(":")
        if name not in names or not colon:
            cure = f"give one of {', '.join(WORLDS)}, knobs like coverage:100+good:1 ({', '.join(names)}), or pool:FILE"
            raise InputError(f"{place} = {text!r}{nearest(text, WORLDS)}: {cure}")
        try:
            knobs[name] = int(value) if name in WHOLE else float(value)
        except ValueError as error:
            raise InputError(f"{place} = {text!r}: knob {name} = {value!r} is not a number: give one") from error
    return replace(KnobWorld(), **knobs)  # type: ignore[arg-type]


def checked_worlds(value: object, place: str) -> tuple[str, ...]:
    """A setting that lists worlds with commas, each once. InputError naming place, world and what may be given."""
    worlds = value.split(",") if isinstance(value, str) else value
    if not isinstance(worlds, list | tuple) or not all(isinstance(v, str) for v in worlds) or not worlds:
        raise InputError(f"{place} = {value!r}: give worlds, comma separated ({', '.join(WORLDS)})")
    return distinct(_parsed(text.strip(), place) for text in worlds)


def instance_of(text: str, seed: Sequence[int], index: int = 0) -> Instance:
    """Problem number `index` of a world given as text; of a pool that step, or its last one where it has fewer."""
    if text.startswith("pool:"):
        return pool_instances(text.removeprefix("pool:"), index + 1)[-1]
    return world_instance(_knobs(text), [*seed, index])
