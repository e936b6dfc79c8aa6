"""Monte Carlo samplers of methods that move on a whole tree: particles, and the walk that may take steps back.

Both play on the tree's states written out one by one (the root, then every prefix), from its records alone, so that the
exact laws of gsi_theory/steps and these check each other. NumPy; all rounds at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.steps.tree import ByStep, Prefix, Tree
from gsi_theory.types import Floats, Ints

__all__ = ["sample_particles", "sample_walk"]


@dataclass(frozen=True)
class _States:
    """Of each state (S,): its parent, its children (S, K), -1 for none, their chances under draft and base, the leaf's
    number among the trajectories, -1 for none; and of the step to it: level and number there."""

    prefixes: list[Prefix]
    parent: Ints
    children: Ints
    draft: Floats
    base: Floats
    leaf: Ints
    level: Ints
    step: Ints


def _states(tree: Tree) -> _States:
    prefixes: list[Prefix] = [()]
    level, step = [-1], [-1]
    for t in range(tree.depth):
        number = 0
        for node in tree.node_prefixes(t):
            for k in range(tree.instance(node).size):
                prefixes.append((*node, k))
                level.append(t)
                step.append(number)
                number += 1
    at = {prefix: i for i, prefix in enumerate(prefixes)}
    leaves = {prefix: i for i, prefix in enumerate(tree.trajectories)}
    width = max(tree.instance(p).size for t in range(tree.depth) for p in tree.node_prefixes(t))
    children = np.full((len(prefixes), width), -1)
    draft, base = np.zeros(children.shape), np.zeros(children.shape)
    for t in range(tree.depth):
        for node in tree.node_prefixes(t):
            instance = tree.instance(node)
            children[at[node], : instance.size] = [at[*node, k] for k in range(instance.size)]
            draft[at[node], : instance.size] = np.exp(instance.log_draft)
            base[at[node], : instance.size] = np.exp(instance.log_base)
    parent = np.array([0, *(at[p[:-1]] for p in prefixes[1:])])
    leaf = np.array([leaves.get(p, -1) for p in prefixes])
    return _States(prefixes, parent, children, draft, base, leaf, np.array(level), np.array(step))


def _draw(chances: Floats, u: Floats) -> Ints:
    """Indices by the inverse of the distribution function along the last axis; the last with mass where u rounds."""
    total = np.cumsum(chances, axis=-1)
    index = np.sum(u[..., None] * total[..., -1:] >= total, axis=-1)
    last = chances.shape[-1] - 1 - np.argmax(chances[..., ::-1] > 0, axis=-1)
    return np.asarray(np.minimum(index, last))


def _by_state(states: _States, by_step: ByStep) -> Floats:
    return np.array([0.0, *(by_step[t][i] for t, i in zip(states.level[1:], states.step[1:], strict=True))])


def sample_particles(tree: Tree, beta: float, n: int, resampling: str, rounds: int, rng: np.random.Generator) -> Ints:
    """Trajectories (rounds,) that n particles return, as indices into tree.trajectories; drafts, weights e^{βr + ℓ}."""
    states = _states(tree)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(states.draft > 0, np.log(states.base) - np.log(states.draft), 0.0)
    reward = _by_state(states, tuple(level.reward for level in tree.levels))
    weight = np.zeros(len(states.prefixes))
    has = states.children >= 0
    weight[states.children[has]] = beta * reward[states.children[has]] + ratio[has]
    crowd, log_w = np.zeros((rounds, n), dtype=np.int64), np.zeros((rounds, n))
    rank = {p: i for i, p in enumerate(sorted(states.prefixes))}
    order = np.array([rank[p] for p in states.prefixes])
    for t in range(tree.depth):
        going = states.leaf[crowd] < 0
        chosen = _draw(states.draft[crowd], rng.random((rounds, n)))
        moved = np.where(going, np.take_along_axis(states.children[crowd], chosen[..., None], axis=-1)[..., 0], crowd)
        log_w = log_w + np.where(going, weight[moved], 0.0)
        crowd = moved
        top = log_w.max(axis=1, keepdims=True)
        share = np.where(top > -np.inf, np.exp(log_w - np.where(top > -np.inf, top, 0.0)), 1.0)
        if t == tree.depth - 1 or resampling == "none":
            continue
        if resampling == "multinomial":
            picked = _draw(share[:, None, :], rng.random((rounds, n)))
        else:
            by = np.argsort(order[crowd], axis=1, kind="stable")
            crowd, share = np.take_along_axis(crowd, by, axis=1), np.take_along_axis(share, by, axis=1)
            points = (rng.random((rounds, 1)) + np.arange(n)) / n
            picked = _draw(share[:, None, :], points)
        crowd, log_w = np.take_along_axis(crowd, picked, axis=1), np.zeros((rounds, n))
    picked = _draw(share, rng.random(rounds))
    return np.asarray(states.leaf[crowd[np.arange(rounds), picked]])


def sample_walk(tree: Tree, log_value: ByStep, steps: int, rounds: int, rng: np.random.Generator) -> Ints:
    """Where walks of so many steps from the root are: indices (rounds,) into tree.trajectories, -1 where at no leaf."""
    states = _states(tree)
    value = np.exp(_by_state(states, log_value))
    chances = np.zeros((len(states.prefixes), states.children.shape[1] + 1))
    chances[:, 1:] = states.base * np.where(states.children >= 0, value[states.children], 0.0)
    chances[1:, 0] = value[1:]
    to = np.concatenate([states.parent[:, None], states.children], axis=1)
    at = np.zeros(rounds, dtype=np.int64)
    for _ in range(steps):
        moving = rng.random(rounds) < 0.5
        at = np.where(moving, to[at, _draw(chances[at], rng.random(rounds))], at)
    return np.asarray(states.leaf[at])
