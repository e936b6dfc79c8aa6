"""VGB, the value-guided walk on a tree that may take steps back, exactly (M42).

Our reading of arXiv 2510.03149 (second-hand). States: the root, every prefix that continues, every leaf. With chance ½
the walk stays; else it goes from a prefix to one of its next steps y in proportion to π_B(y | prefix) V̂(prefix, y), or
one step back in proportion to V̂(prefix); the root has no way back, a leaf no other. V̂ estimates e^{βV}, V the soft
value (M29), and is exact at the leaves. So the chain is reversible with conductance π_B(prefix, y) V̂(prefix, y) on the
step to (prefix, y), and the stationary law given a leaf is the tilt of trajectories.

log_value: log V̂ by step, nats (layouts of gsi_theory/steps/tree.py); with at most a factor 1 + ε between V̂ and e^{βV},
and trajectories of at most H steps, `leaf_share_bound`, `mixing_bound`, `forward_kl_bound`, `first_leaf_kl_bound` hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import spsolve
from scipy.special import ndtr

from gsi_theory.errors import InputError
from gsi_theory.instance import as_beta
from gsi_theory.laws.selection_law import EPS, LARGEST_LOG
from gsi_theory.steps.soft_value import soft_value
from gsi_theory.steps.stepwise import TrajectoryLaw
from gsi_theory.steps.tree import ByStep, Tree
from gsi_theory.types import Floats

__all__ = [
    "BacktrackingWalk",
    "WalkLaw",
    "first_leaf_kl_bound",
    "forward_kl_bound",
    "leaf_share_bound",
    "mixing_bound",
    "noisy_log_value",
    "worst_forward_bound",
]

# Up to so many states a long walk goes by powers of the dense matrix, in O(S³ log t).
DENSE_STATES = 600
MOST_WALK = 10**9


def noisy_log_value(
    tree: Tree, beta: float, noise: Sequence[ArrayLike], reward: ArrayLike | None = None
) -> tuple[ByStep, float]:
    """(log V̂ by step: βV + noise where the trajectory goes on, βR at its end; the factor 1 + ε = max e^{|noise|}).

    noise: by step, nats; that of steps that end is not used. Raises InputError as `soft_value` and `Tree.by_step`.
    """
    value, errors = soft_value(tree, beta, reward), tree.by_step(noise, "noise")
    inner = [np.where(level.ends, 0.0, e) for level, e in zip(tree.levels, errors, strict=True)]
    reached = [np.isfinite(level.log_base) for level in tree.levels]
    largest = max(float(np.max(np.abs(e[r]), initial=0.0)) for e, r in zip(inner, reached, strict=True))
    if largest > LARGEST_LOG:
        raise InputError(f"noise of {largest!r} nats: keep it within {LARGEST_LOG:g}")
    with np.errstate(over="ignore"):
        factor = float(np.exp(largest))
    return tuple(as_beta(beta) * v + e for v, e in zip(value.step, inner, strict=True)), factor


@dataclass(frozen=True)
class WalkLaw:
    """The walk after `steps` steps from the root: prob (S,), states as in `BacktrackingWalk`; leaf (L,), P(at that
    leaf), and their sum leaf_share; evaluations: expected number of values V̂ asked for; error: bound on the TV error
    of prob.

    A walk without memory asks for the values of all next steps whenever it leaves a prefix that continues.
    """

    steps: int
    prob: Floats
    leaf: Floats
    leaf_share: float
    evaluations: float
    error: float

    @property
    def log_prob(self) -> Floats:
        """log P(leaf | at a leaf) (L,). Raises InputError where no leaf can be reached in so few steps."""
        if self.leaf_share == 0.0:
            raise InputError(f"steps = {self.steps}: no leaf is reached so soon: give at least the depth of a leaf")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.leaf) - np.log(self.leaf_share))


@dataclass(frozen=True)
class BacktrackingWalk:
    """The walk on `tree` with log_value, log V̂ by step. States (S,): the root, then what each step leads to, level by
    level. Raises InputError when log_value is not finite numbers by step, or beyond 1e12 nats."""

    tree: Tree
    log_value: ByStep

    def __post_init__(self) -> None:
        checked = self.tree.by_step(self.log_value, "log values")
        top = max(float(np.max(np.abs(v))) for v in checked)
        if top > LARGEST_LOG:
            raise InputError(f"log values up to {top!r}: keep them within {LARGEST_LOG:g} nats")
        object.__setattr__(self, "log_value", checked)

    @property
    def states(self) -> int:
        """S."""
        return 1 + sum(level.ends.size for level in self.tree.levels)

    @cached_property
    def log_edge(self) -> ByStep:
        """log π_B(prefix, y) V̂(prefix, y), the conductance of each step, by step."""
        path = self.tree.accumulate([level.log_base for level in self.tree.levels])
        return tuple(p + v for p, v in zip(path, self.log_value, strict=True))

    @cached_property
    def _moves(self) -> tuple[list[Floats], list[Floats]]:
        """By step: log chance of going down that step from its prefix, and back up it, given that the walk moves."""
        down, up = [], []
        own = np.full(1, -np.inf)  # log V̂ of the node itself, its weight for going back
        for level, value in zip(self.tree.levels, self.log_value, strict=True):
            terms = level.log_base + value
            total = np.logaddexp(level.log_total(terms), own)
            down.append(terms - total[level.node])
            up.append(own - total)
            own = value[~level.ends]
        back = []
        for t, level in enumerate(self.tree.levels):
            values = np.zeros(level.ends.size)
            if not level.ends.all():
                values[~level.ends] = up[t + 1]
            back.append(values)
        return down, back

    @cached_property
    def _start(self) -> list[np.ndarray]:
        """By step: the states that steps of the level lead to."""
        ends = np.cumsum([1, *(level.ends.size for level in self.tree.levels)])
        return [np.arange(a, b) for a, b in pairwise(ends)]

    @cached_property
    def transition(self) -> Any:
        """The matrix (S, S), row: from, column: to; SciPy sparse."""
        down, back = self._moves
        rows, columns, values = [np.arange(self.states)], [np.arange(self.states)], [np.full(self.states, 0.5)]
        parents = np.zeros(1, dtype=np.intp)
        for t, level in enumerate(self.tree.levels):
            child, parent = self._start[t], parents[level.node]
            rows += [parent, child]
            columns += [child, parent]
            values += [0.5 * np.exp(down[t]), 0.5 * np.exp(back[t])]
            parents = child[~level.ends]
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return csr_array(entries, shape=(self.states, self.states))

    @cached_property
    def stationary(self) -> Floats:
        """The stationary law (S,): in proportion to the conductances of the steps at each state."""
        top = max(float(np.max(e)) for e in self.log_edge)
        mass = np.zeros(self.states)
        parents = np.zeros(1, dtype=np.intp)
        for t, (level, edge) in enumerate(zip(self.tree.levels, self.log_edge, strict=True)):
            c = np.exp(edge - top)
            mass[self._start[t]] += c
            np.add.at(mass, parents[level.node], c)
            parents = self._start[t][~level.ends]
        return np.asarray(mass / mass.sum())

    @cached_property
    def leaf_share(self) -> float:
        """P(at a leaf) of the stationary law."""
        return float(sum(self.stationary[s[level.ends]].sum() for s, level in self._pairs))

    @property
    def _pairs(self) -> list[tuple[np.ndarray, Any]]:
        return list(zip(self._start, self.tree.levels, strict=True))

    def leaves(self, prob: Floats) -> Floats:
        """Of a law (S,) the masses (L,) of the leaves, in the order of the trajectories."""
        by_step = [np.where(level.ends, prob[s], 0.0) for s, level in self._pairs]
        return self.tree.arrange(by_step)

    @cached_property
    def _asked(self) -> Floats:
        """Expected number of values asked for at each state (S,): all next steps of the base, if the walk moves."""
        count = np.zeros(self.states)
        parents = np.zeros(1, dtype=np.intp)
        for t, level in enumerate(self.tree.levels):
            np.add.at(count, parents[level.node], 0.5 * np.isfinite(level.log_base))
            parents = self._start[t][~level.ends]
        return count

    def after(self, times: Sequence[int]) -> list[WalkLaw]:
        """The walk at each of `times`, whole numbers ≥ 0 in ascending order.

        One product with the sparse matrix a step, O(S); where the time between two of them exceeds four times S, and S
        is at most 600, powers of the dense one. Raises InputError on other times or beyond 1e9.
        """
        clock = list(times)
        if any(not isinstance(t, int | np.integer) or not 0 <= t <= MOST_WALK for t in clock) or clock != sorted(clock):
            raise InputError(f"times {clock!r}: give whole numbers from 0 to {MOST_WALK:g}, ascending")
        prob, asked, now = np.zeros(self.states), 0.0, 0
        prob[0] = 1.0
        forward, laws = csr_array(self.transition.T), []
        size = 1.0 + max(float(np.max(np.abs(v))) for v in self.log_value)
        width = max(int(np.max(np.diff(level.start))) for level in self.tree.levels)
        for time in clock:
            steps = int(time) - now
            if steps > 4 * self.states and self.states <= DENSE_STATES:
                grown = np.linalg.matrix_power(self._counting, steps)
                whole = np.append(prob, asked) @ grown
                prob, asked = whole[:-1] / whole[:-1].sum(), float(whole[-1])
            else:
                for _ in range(steps):
                    asked += float(prob @ self._asked)
                    prob = forward @ prob
            now = int(time)
            leaf = self.leaves(prob)
            # A chance of the matrix is off by 4 units of its exponent, a sum by its length; squaring sums over S.
            error = min(1.0, EPS * now * (4.0 * size + 2.0 * width + self.states))
            laws.append(WalkLaw(now, prob, leaf, float(leaf.sum()), asked, error))
        return laws

    @cached_property
    def _counting(self) -> Floats:
        """The matrix with a last column that adds up the values asked for."""
        matrix = np.zeros((self.states + 1, self.states + 1))
        matrix[:-1, :-1] = self.transition.toarray()
        matrix[:-1, -1], matrix[-1, -1] = self._asked, 1.0
        return matrix

    @cached_property
    def forward(self) -> TrajectoryLaw:
        """The law without steps back: down to a leaf, each step in proportion to π_B(y | prefix) V̂(prefix, y)."""
        return self._downward(self.log_value)

    @cached_property
    def first_leaf(self) -> TrajectoryLaw:
        """The law of the first leaf that the walk reaches.

        The walk ends below a step in proportion to the effective conductance of the way over that step to the leaves,
        1/g = 1/c + 1/Σ g of the steps that follow (c the step's own).
        """
        log_way: list[Floats] = []  # log g of the level, less log π_B(prefix, y)
        for t in reversed(range(self.tree.depth)):
            level, values = self.tree.levels[t], self.log_value[t].copy()
            if log_way:
                deeper = self.tree.levels[t + 1]
                below = deeper.log_total(deeper.log_base + log_way[-1])
                values[~level.ends] -= np.logaddexp(0.0, values[~level.ends] - below)
            log_way.append(values)
        return self._downward(log_way[::-1])

    @cached_property
    def first_leaf_evaluations(self) -> float:
        """Expected number of values asked for until the first leaf is reached; the visits by one linear system."""
        inner = np.concatenate([[True], *(~level.ends for level in self.tree.levels)])
        among = self.transition[inner][:, inner]
        start = np.zeros(int(inner.sum()))
        start[0] = 1.0
        visits = spsolve(csc_array(eye_array(start.size) - among.T), start)
        return float(np.atleast_1d(visits) @ self._asked[inner])

    def _downward(self, log_weight: Sequence[Floats]) -> TrajectoryLaw:
        """Each step ∝ π_B(y | prefix) e^{log_weight}."""
        steps, errors = [], []
        for level, weight in zip(self.tree.levels, log_weight, strict=True):
            reached = np.isfinite(level.log_base)
            terms = np.where(reached, level.log_base + np.where(reached, weight, 0.0), -np.inf)
            steps.append(terms - level.log_total(terms)[level.node])
            size = level.largest(np.where(reached, np.abs(level.log_base) + np.abs(weight), 0.0))
            errors.append(4.0 * EPS * self.tree.depth * (np.diff(level.start) + size))
        return TrajectoryLaw(self.tree, tuple(steps), tuple(errors))


def _checked(factor: ArrayLike, depth: ArrayLike) -> tuple[Floats, Floats]:
    values, steps = np.asarray(factor, dtype=np.float64), np.asarray(depth, dtype=np.float64)
    if not bool(np.all(values >= 1.0)) or not bool(np.all(steps >= 1.0)):
        raise InputError(f"factor = {factor!r}, depth = {depth!r}: give factors 1 + ε ≥ 1 and depths ≥ 1")
    return values, steps


def leaf_share_bound(factor: ArrayLike, depth: ArrayLike) -> Floats:
    """1/(2(1 + (1+ε)(H-1))) ≤ stationary P(at a leaf) (M42); factor = 1 + ε, depth = H. InputError below 1."""
    values, steps = _checked(factor, depth)
    return np.asarray(0.5 / (1.0 + values * (steps - 1.0)))


def mixing_bound(times: ArrayLike, factor: ArrayLike, depth: ArrayLike) -> Floats:
    """Bound on TV(law after so many steps from the root, stationary law) (M42); arrays that broadcast.

    ½ √(1/μ₀ - 1) (1 - 1/(4HB))^t, B = 1 + 2((1+ε)²(H-2) + 1 + ε) and 1/μ₀ = 2(1+ε)(1 + (1+ε)(H-1)); at H = 1 B = 1
    and μ₀ = ½. InputError below 1 for factor or depth.
    """
    values, steps = _checked(factor, depth)
    single = steps == 1.0
    way = np.where(single, 1.0, 1.0 + 2.0 * (values * values * np.maximum(steps - 2.0, 0.0) + values))
    root = np.where(single, 2.0, 2.0 * values * (1.0 + values * (steps - 1.0)))
    # Where the factor overflows the bound is infinite, and says nothing.
    rate = np.log1p(-1.0 / (4.0 * steps * way))
    return np.asarray(0.5 * np.sqrt(root - 1.0) * np.exp(np.asarray(times, dtype=np.float64) * rate))


def forward_kl_bound(factor: ArrayLike, depth: ArrayLike) -> Floats:
    """½ (H-1) log²(1+ε) ≥ KL(tilt of trajectories‖law without steps back), nats (M42). InputError below 1."""
    values, steps = _checked(factor, depth)
    return np.asarray(0.5 * (steps - 1.0) * np.log(values) ** 2)


def first_leaf_kl_bound(factor: float, depth: int) -> float:
    """⅛ Σ_{d=2}^{H} log²[((d-1)(1+ε) + 1)/((d-1)/(1+ε) + 1)] ≥ KL(tilt‖law of the first leaf reached), nats (M42).

    Only where every trajectory has H steps. InputError below 1.
    """
    values, _ = _checked(factor, depth)
    ahead = np.arange(1, depth, dtype=np.float64)
    return float(0.125 * np.sum(np.log((ahead * values + 1.0) / (ahead / values + 1.0)) ** 2))


def worst_forward_bound(factor: ArrayLike, depth: ArrayLike) -> Floats:
    """A lower bound on the worst TV(tilt, law without steps back) over trees and V̂ (M42), arrays that broadcast.

    √(m/(m+1)) (Φ(a√(m+1)) - ½), a = log(1+ε), m the largest odd number ≤ H - 1; 0 at H = 1. At least
    0.24 min(a√(H-1), 1). InputError below 1.
    """
    values, steps = _checked(factor, depth)
    odd = 2.0 * np.floor(steps / 2.0) - 1.0
    m = np.maximum(odd, 1.0)
    return np.asarray(
        np.where(odd < 1.0, 0.0, np.sqrt(m / (m + 1.0)) * (ndtr(np.log(values) * np.sqrt(m + 1.0)) - 0.5))
    )
