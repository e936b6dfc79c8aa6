"""Monte Carlo sampler of stepwise methods on trees: trajectories one step at a time, in NumPy or torch.

A player is a function (instance, rounds, stream) -> outcomes; at each level the rounds that stand at one node play
together. Rewards and values are recomputed here from the tree's records, so laws and sampler check each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gsi_theory.instance import Instance, Scheme
from gsi_theory.steps.tree import Prefix, Tree
from gsi_theory.types import Array, Floats
from sims.sampling.generators import Stream, as_stream
from sims.sampling.method_sampler import sample_method
from sims.sampling.sampler import alias_table, draw, sample_scheme

__all__ = ["Player", "method_player", "sample_stepwise", "sample_switching", "sample_transfer", "scheme_player"]

Player = Callable[[Instance, int, Stream], Array]


def method_player(method: str, scheme: Scheme) -> Player:
    """A method of METHODS as a player."""
    return lambda instance, rounds, stream: sample_method(method, instance, scheme, rounds, stream).outcome


def scheme_player(scheme: Scheme) -> Player:
    """GSI under a scheme as a player."""
    return lambda instance, rounds, stream: sample_scheme(instance, scheme, rounds, stream)[0]


def _walk(tree: Tree, rounds: int, stream: Stream, step: Callable[[int, int, Instance, Array], Array]) -> Array:
    """Trajectory indices (rounds,); step(level, node, instance, rounds at the node) gives their outcomes."""
    xp = stream.xp
    node = xp.zeros_like(stream.table(np.empty(rounds, dtype=np.int64)))
    ended = xp.zeros_like(node) - 1
    for t, level in enumerate(tree.levels):
        child = np.cumsum(~level.ends) - 1
        taken = xp.zeros_like(node)
        for at, instance in enumerate(level.instances):
            here = xp.nonzero((node == at) & (ended < 0))[0]
            if here.shape[0]:
                taken[here] = step(t, at, instance, here) + int(level.start[at])
        alive = ended < 0
        stops = stream.table(level.ends)[taken] & alive
        ended = xp.where(stops, stream.table(tree.first[t])[taken], ended)
        following = stream.table(child)[taken]
        node = xp.where(alive & ~stops, following, -1)
    return ended


def sample_stepwise(tree: Tree, player: Player, rounds: int, rng: np.random.Generator | Stream) -> Array:
    """Trajectories (rounds,), as indices into tree.trajectories, of `player` at every node."""
    stream = as_stream(rng)
    return _walk(tree, rounds, stream, lambda t, at, instance, here: player(instance, int(here.shape[0]), stream))


def sample_switching(
    tree: Tree, scheme: Scheme, switch: float, rounds: int, rng: np.random.Generator | Stream, start: str = "base"
) -> tuple[Array, Array]:
    """Trajectories (rounds,) of the method of gsi_theory.steps.switching, and how many steps the base wrote in each."""
    stream = as_stream(rng)
    xp = stream.xp
    drafting = xp.zeros_like(stream.table(np.empty(rounds, dtype=np.int64))) + (1 if start == "draft" else 0)
    written = xp.zeros_like(drafting)
    base_only = Scheme(scheme.beta, scheme.base_draws, target=scheme.target)

    def step(t: int, at: int, instance: Instance, here: Array) -> Array:
        chosen = xp.zeros_like(here)
        by_base = drafting[here] == 0
        drafts = xp.nonzero(~by_base)[0]
        if drafts.shape[0]:
            played = sample_method("gsi", instance, scheme, int(drafts.shape[0]), stream)
            chosen[drafts] = played.outcome
            # Where the gate rejects, the method has already let the base do the step.
            by_base[drafts] = ~played.accepted
        bases = xp.nonzero(drafting[here] == 0)[0]
        if bases.shape[0]:
            chosen[bases] = sample_method("soft_bon_base", instance, base_only, int(bases.shape[0]), stream).outcome
        up = stream.table(instance.reward >= switch)[chosen]
        drafting[here] = xp.where(by_base, xp.where(up, 1, 0), 1)
        written[here] = written[here] + xp.where(by_base, 1, 0)
        return chosen

    return _walk(tree, rounds, stream, step), written


def sample_transfer(
    tree: Tree, alpha: float, beta: float, reward: Floats, rounds: int, rng: np.random.Generator | Stream
) -> Array:
    """Trajectories of Transfer Q* decoding (M26): each step ∝ ρ_BL(y | prefix) e^{β Q}, Q = E_BL[R | prefix, y].

    ρ_BL is the base tilted by e^{αR} as a whole. Both are summed over the leaves below each prefix, by brute force.
    """
    stream = as_stream(rng)
    logs = _path_sums(tree)
    tilted = np.exp(logs + alpha * reward - np.max(logs + alpha * reward))
    below: dict[Prefix, list[int]] = {}
    for leaf, path in enumerate(tree.trajectories):
        for k in range(len(path) + 1):
            below.setdefault(path[:k], []).append(leaf)
    tables: dict[tuple[int, int], Array] = {}

    def step(t: int, at: int, instance: Instance, here: Array) -> Array:
        if (t, at) not in tables:
            prefix = tree.node_prefixes(t)[at]
            tables[t, at] = alias_table(_transfer_step(prefix, instance.size, below, tilted, reward, beta), stream)
        return draw(tables[t, at], (int(here.shape[0]),), stream)

    return _walk(tree, rounds, stream, step)


def _path_sums(tree: Tree) -> Floats:
    """log π_B of each trajectory, by walking every path."""
    return np.array(
        [sum(float(tree.instance(path[:k]).log_base[path[k]]) for k in range(len(path))) for path in tree.trajectories]
    )


def _transfer_step(
    prefix: Prefix, size: int, below: dict[Prefix, list[int]], tilted: Floats, reward: Floats, beta: float
) -> Floats:
    terms = []
    for k in range(size):
        leaves: Sequence[int] = below[(*prefix, k)]
        mass = float(tilted[leaves].sum())
        terms.append(np.log(mass) + beta * float(tilted[leaves] @ reward[leaves]) / mass)
    found = np.array(terms)
    return found - found.max()
