"""Trees of steps: what a method that works step by step acts on (section "Several steps" of THEORY.md).

Symbols. A prefix is the tuple of steps taken so far, () at the root, step k of K written k = 0..K-1. A prefix that
continues is a node and holds an `Instance`: draft, base and step reward of its next steps, K its own. A prefix that
does not continue is the end of a trajectory. Level t (from 0) holds the N_t nodes with t steps and the E_t steps out
of them; the depth T is the largest number of steps.

Layout. "By node" is a tuple of T arrays, entry t of shape (N_t,); "by step" one with entries of shape (E_t,). Nodes
and steps of a level are in lexicographic order, so a level is one flat array and work by level costs O(nodes).
Trajectories, L of them, are in lexicographic order too: depth first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gsi_theory.errors import InputError
from gsi_theory.instance import Instance
from gsi_theory.types import Flags, Floats, Json

__all__ = ["ByNode", "ByStep", "Level", "Prefix", "Tree", "place"]

Prefix = tuple[int, ...]
ByNode = tuple[Floats, ...]
ByStep = tuple[Floats, ...]
Indices = NDArray[np.intp]
Given = TypeVar("Given")

FIELDS = ("draft", "base", "reward", "children")
# A function of the prefix that never returns None, or nested data that contains itself, must end in an error.
MOST_NODES, MOST_STEPS = 1_000_000, 10_000
SHOWN_STEPS = 12
# Differences of total rewards must not overflow.
LARGEST_REWARD = 1e300


def place(prefix: Prefix) -> str:
    """A prefix as errors name it; long ones are cut."""
    shown = ", ".join(map(str, prefix[:SHOWN_STEPS]))
    return f"prefix ({shown}, … {len(prefix)} steps)" if len(prefix) > SHOWN_STEPS else f"prefix ({shown})"


@dataclass(frozen=True)
class Level:
    """The nodes with equally many steps: instances (N,), and ends (E,): which steps end their trajectory.

    Node i of the next level is where the i-th step that does not end leads.
    """

    instances: tuple[Instance, ...]
    ends: Flags

    @cached_property
    def start(self) -> Indices:
        """(N + 1,): the steps of node i are start[i] to start[i + 1] - 1."""
        return np.concatenate([[0], np.cumsum([i.size for i in self.instances])]).astype(np.intp)

    @cached_property
    def node(self) -> Indices:
        """(E,): the node a step starts from."""
        return np.repeat(np.arange(len(self.instances)), np.diff(self.start))

    @cached_property
    def log_draft(self) -> Floats:
        """log π_S(step | prefix), (E,)."""
        return np.concatenate([i.log_draft for i in self.instances])

    @cached_property
    def log_base(self) -> Floats:
        """log π_B(step | prefix), (E,)."""
        return np.concatenate([i.log_base for i in self.instances])

    @cached_property
    def reward(self) -> Floats:
        """Step rewards (E,), reward units."""
        return np.concatenate([i.reward for i in self.instances])

    def total(self, values: Floats) -> Floats:
        """Sums (N,) over the steps of each node."""
        return np.asarray(np.add.reduceat(values, self.start[:-1]))

    def largest(self, values: Floats) -> Floats:
        """Maxima (N,) over the steps of each node."""
        return np.asarray(np.maximum.reduceat(values, self.start[:-1]))

    def log_total(self, log_terms: Floats) -> Floats:
        """log Σ exp (N,) over the steps of each node, each of which has a finite term."""
        top = self.largest(log_terms)
        return top + np.log(self.total(np.exp(log_terms - top[self.node])))


@dataclass(frozen=True)
class Tree:
    """A tree of steps, level by level; build it with `from_nested` or `grow`.

    Branching may differ from node to node, length from path to path. Raises InputError when the levels do not fit
    together or a total reward exceeds 1e300.
    """

    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        nodes = 1
        for t, level in enumerate(self.levels):
            if len(level.instances) != nodes or level.ends.shape != (level.start[-1],):
                raise InputError(
                    f"level {t} has {len(level.instances)} nodes and {level.ends.size} steps: give {nodes} nodes, one "
                    "for each step before that does not end, and one entry of `ends` for each step"
                )
            nodes = int(np.sum(~level.ends))
        if not self.levels or nodes:
            raise InputError(f"{len(self.levels)} levels, the last with {nodes} steps that do not end: give every node")
        for t, sums in enumerate(self.collected):
            bad = np.flatnonzero(~(np.abs(sums) <= LARGEST_REWARD))
            if bad.size:
                at, found = place(self._step_prefixes[t][bad[0]]), float(sums[bad[0]])
                raise InputError(f"rewards up to {at} sum to {found!r}: keep total rewards within ±{LARGEST_REWARD:g}")

    @classmethod
    def from_nested(cls, data: Mapping[str, Json]) -> Tree:
        """From {"draft": [...], "base": [...], "reward": [...], "children": [node or null, ...]}, nodes alike.

        draft and base are probabilities (K,); children (K,) may be left out where every step ends. Raises InputError
        naming the prefix of the node at fault.
        """
        return cls(_grown(data, _read_nested))

    @classmethod
    def grow(cls, instance_at: Callable[[Prefix], Instance | None]) -> Tree:
        """From a function of the prefix: its next steps as an `Instance`, or None where the trajectory ends.

        Called once a prefix, shorter ones first. Raises InputError when the root ends, when something else is
        returned, or beyond 1 000 000 nodes or 10 000 steps.
        """

        def read(prefix: Prefix, instance: Instance) -> tuple[Instance, Sequence[Instance | None]]:
            if not isinstance(instance, Instance):
                raise InputError(f"{place(prefix)}: a {type(instance).__name__}: give an Instance, or None for an end")
            return instance, [instance_at((*prefix, k)) for k in range(instance.size)]

        root = instance_at(())
        if root is None:
            raise InputError(f"{place(())}: None: give an Instance at the root, a tree has at least one step")
        return cls(_grown(root, read))

    @property
    def depth(self) -> int:
        """T, the largest number of steps."""
        return len(self.levels)

    @cached_property
    def nodes(self) -> int:
        """Number of prefixes that continue."""
        return sum(len(level.instances) for level in self.levels)

    @cached_property
    def collected(self) -> ByStep:
        """Sum of the step rewards of the prefix that ends with each step, by step."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.accumulate([level.reward for level in self.levels])

    @cached_property
    def total_reward(self) -> Floats:
        """Σ_t r_t of each trajectory, (L,)."""
        return self.arrange(self.collected)

    @cached_property
    def trajectories(self) -> tuple[Prefix, ...]:
        """The L trajectories in lexicographic order, the order of every (L,) array."""
        return self.prefixes(self.depth)

    @cached_property
    def first(self) -> tuple[Indices, ...]:
        """By step: index of the first trajectory that goes through the step (of the trajectory, where it ends)."""
        below: list[Indices] = []
        of_nodes = np.zeros(0, dtype=np.intp)
        for level in reversed(self.levels):
            below.append(np.ones(level.ends.size, dtype=np.intp))
            below[-1][~level.ends] = of_nodes
            of_nodes = np.add.reduceat(below[-1], level.start[:-1])
        out: list[Indices] = []
        begin = np.zeros(1, dtype=np.intp)
        for level, count in zip(self.levels, reversed(below), strict=True):
            before = np.cumsum(count) - count
            out.append(begin[level.node] + before - before[level.start[level.node]])
            begin = out[-1][~level.ends]
        return tuple(out)

    def accumulate(self, by_step: Sequence[Floats]) -> ByStep:
        """Sums of by-step values along each path from the root, by step (products, of log-probabilities)."""
        out: list[Floats] = []
        so_far = np.zeros(1)
        for level, values in zip(self.levels, by_step, strict=True):
            out.append(so_far[level.node] + values)
            so_far = out[-1][~level.ends]
        return tuple(out)

    def at_nodes(self, accumulated: Sequence[Floats]) -> ByNode:
        """By-step values handed to the nodes that the steps lead to, by node; 0 at the root."""
        pairs = zip(accumulated[:-1], self.levels[:-1], strict=True)
        return (np.zeros(1), *(values[~level.ends] for values, level in pairs))

    def prefixes(self, depth: int) -> tuple[Prefix, ...]:
        """What the first `depth` steps can be, shorter where a trajectory has ended; lexicographic order."""
        flat = [prefix for t, keep in self._atoms(depth) for prefix in _kept(self._step_prefixes[t], keep)]
        return tuple(flat[i] for i in self._order(depth))

    def arrange(self, by_step: Sequence[Floats], depth: int | None = None) -> Floats:
        """Values by step as one array in the order of `prefixes(depth)`; without depth that of the trajectories."""
        depth = self.depth if depth is None else depth
        return np.concatenate([by_step[t][keep] for t, keep in self._atoms(depth)])[self._order(depth)]

    def at_ends(self, values: ArrayLike, name: str = "reward") -> ByStep:
        """Values of the trajectories (L,) by step: on the step that ends the trajectory, 0 elsewhere.

        Raises InputError unless `values` are L numbers within ±1e300.
        """
        array = np.asarray(values, dtype=np.float64)
        count = self.total_reward.size
        if array.shape != (count,):
            raise InputError(f"{name} of shape {array.shape}: give {count} numbers, one for each trajectory")
        bad = np.flatnonzero(~(np.abs(array) <= LARGEST_REWARD))
        if bad.size:
            raise InputError(f"{name}[{bad[0]}] = {float(array[bad[0]])!r}: give numbers within ±{LARGEST_REWARD:g}")
        return tuple(np.where(level.ends, array[f], 0.0) for level, f in zip(self.levels, self.first, strict=True))

    def by_step(self, values: Sequence[ArrayLike], name: str = "step rewards") -> ByStep:
        """`values` as float64 arrays by step. Raises InputError on shapes that do not fit, and on NaN or infinities."""
        if len(values) != self.depth:
            raise InputError(f"{name} for {len(values)} levels: give {self.depth}, one array for each level")
        arrays = tuple(np.asarray(v, dtype=np.float64) for v in values)
        for t, (level, array) in enumerate(zip(self.levels, arrays, strict=True)):
            if array.shape != level.ends.shape:
                raise InputError(f"{name} of level {t} have shape {array.shape}: give {level.ends.shape}")
            if not np.isfinite(array).all():
                bad = self._step_prefixes[t][int(np.argmin(np.isfinite(array)))]
                raise InputError(f"{name} at {place(bad)} are not finite: give finite numbers")
        return arrays

    def with_reward(self, step_reward: Sequence[ArrayLike]) -> Tree:
        """The same tree with other step rewards, given by step; errors as in `by_step`."""
        levels = []
        for level, values in zip(self.levels, self.by_step(step_reward), strict=True):
            pairs = zip(level.instances, np.split(values, level.start[1:-1]), strict=True)
            levels.append(Level(tuple(Instance(i.log_draft, i.log_base, r) for i, r in pairs), level.ends))
        return Tree(tuple(levels))

    def instance(self, prefix: Sequence[int]) -> Instance:
        """The instance at a prefix; InputError when there is none."""
        node = 0
        for t, k in enumerate(prefix):
            level = self.levels[t]
            step = level.start[node] + k
            if not 0 <= k < level.instances[node].size or level.ends[step]:
                raise InputError(f"{place(tuple(prefix))}: its step {t} leads to no node: give a prefix that continues")
            node = int(np.sum(~level.ends[:step]))
        return self.levels[len(prefix)].instances[node]

    def node_prefixes(self, t: int) -> tuple[Prefix, ...]:
        """The prefixes of the nodes of level t, in their order."""
        return ((),) if t == 0 else tuple(_kept(self._step_prefixes[t - 1], ~self.levels[t - 1].ends))

    @cached_property
    def _step_prefixes(self) -> tuple[list[Prefix], ...]:
        out: list[list[Prefix]] = []
        nodes: Sequence[Prefix] = ((),)
        for level in self.levels:
            out.append([(*p, k) for p, i in zip(nodes, level.instances, strict=True) for k in range(i.size)])
            nodes = _kept(out[-1], ~level.ends)
        return tuple(out)

    def _atoms(self, depth: int) -> list[tuple[int, Flags]]:
        """(level, which of its steps) whose prefixes are the outcomes of the first `depth` steps."""
        if not 1 <= depth <= self.depth:
            raise InputError(f"depth = {depth}: give a number of steps from 1 to {self.depth}")
        past = [(t, self.levels[t].ends) for t in range(depth - 1)]
        return [*past, (depth - 1, np.ones_like(self.levels[depth - 1].ends))]

    def _order(self, depth: int) -> Indices:
        return np.argsort(np.concatenate([self.first[t][keep] for t, keep in self._atoms(depth)]))


def _kept(items: Sequence[Prefix], keep: Flags) -> list[Prefix]:
    return [item for item, k in zip(items, keep, strict=True) if k]


def _read_nested(prefix: Prefix, node: Json) -> tuple[Instance, Sequence[Json]]:
    if not isinstance(node, Mapping):
        raise InputError(f"{place(prefix)}: a {type(node).__name__}: give an object with {', '.join(FIELDS)}, or null")
    missing, unknown = [f for f in FIELDS[:3] if f not in node], sorted(map(str, set(node) - set(FIELDS)))
    if missing or unknown:
        raise InputError(f"{place(prefix)}: missing {missing}, unknown {unknown}: give {', '.join(FIELDS)}")
    try:
        instance = Instance.from_probabilities(*(node[f] for f in FIELDS[:3]))
    except InputError as error:
        raise InputError(f"{place(prefix)}: {error}") from error
    children = node.get("children")
    if children is None:
        return instance, [None] * instance.size
    if not isinstance(children, Sequence) or isinstance(children, str) or len(children) != instance.size:
        raise InputError(f"{place(prefix)}: children must be a list of {instance.size} nodes or nulls, one for a step")
    return instance, children


def _grown(root: Given, read: Callable[[Prefix, Given], tuple[Instance, Sequence[Given | None]]]) -> tuple[Level, ...]:
    """Levels of the tree whose node `read` turns into its instance and what is given of its children (None: ends)."""
    levels: list[Level] = []
    frontier: list[tuple[Prefix, Given]] = [((), root)]
    count = 0
    while frontier:
        count += len(frontier)
        if count > MOST_NODES or len(levels) >= MOST_STEPS:
            raise InputError(
                f"{place(frontier[0][0])}: more than {MOST_NODES} nodes or {MOST_STEPS} steps: end every path earlier"
            )
        instances: list[Instance] = []
        following: list[tuple[Prefix, Given | None]] = []
        for prefix, given in frontier:
            instance, children = read(prefix, given)
            instances.append(instance)
            following += [((*prefix, k), child) for k, child in enumerate(children)]
        levels.append(Level(tuple(instances), np.array([child is None for _, child in following])))
        frontier = [(prefix, child) for prefix, child in following if child is not None]
    return tuple(levels)
