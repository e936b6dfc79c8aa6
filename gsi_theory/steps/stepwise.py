"""Laws of whole trajectories of a method that works step by step, and how its error accumulates (M28).

A stepwise method is a function of one `Instance`: tilted_policy at some beta, gsi_law under some scheme, or any other.
On a tree (gsi_theory/steps/tree.py: layout, order of trajectories) it is applied at every node, and the laws multiply
along each path. Shapes: by node (N_t,), by step (E_t,), trajectories (L,). Log-probabilities; divergences in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import GsiLaw
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.steps.tree import ByNode, ByStep, Level, Tree, place
from gsi_theory.types import Floats

__all__ = ["ChainRule", "Method", "TrajectoryLaw", "chain_rule", "trajectory_law"]

Method = Callable[[Instance], "Floats | Law | GsiLaw"]
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class TrajectoryLaw:
    """The law of a trajectory: log_step, log P(step | prefix) by step.

    step_error: bound on the TV error of each node's law, by node (rounding of the sum alone where a method gives only
    log-probabilities). log_p_reject, p_accept: each node's probability
    of rejection (log) and of acceptance, by node, None when the method reports none.
    """

    tree: Tree
    log_step: ByStep
    step_error: ByNode
    log_p_reject: ByNode | None = None
    p_accept: ByNode | None = None

    @cached_property
    def log_prefix(self) -> ByStep:
        """log P(prefix, step), by step."""
        return self.tree.accumulate(self.log_step)

    @cached_property
    def log_reach(self) -> ByNode:
        """log P(prefix), by node."""
        return self.tree.at_nodes(self.log_prefix)

    @cached_property
    def log_prob(self) -> Floats:
        """Log-probabilities (L,) of tree.trajectories."""
        return self.prefix_log_prob(self.tree.depth)

    def prefix_log_prob(self, depth: int) -> Floats:
        """Log-probabilities of tree.prefixes(depth): the law of the first `depth` steps."""
        return self.tree.arrange(self.log_prefix, depth)

    @cached_property
    def expected_reward(self) -> float:
        """E Σ_t r_t, reward units."""
        levels = self.tree.levels
        return sum(float(np.exp(p) @ level.reward) for p, level in zip(self.log_prefix, levels, strict=True))

    @cached_property
    def expected_steps(self) -> float:
        """Expected number of steps of a trajectory."""
        return sum(float(np.sum(np.exp(reach))) for reach in self.log_reach)

    @cached_property
    def expected_rejected(self) -> float:
        """Expected number of steps that the gate rejects. InputError when the method reports no acceptance."""
        return float(sum(_means(self.log_reach, tuple(np.exp(r) for r in _reported(self.log_p_reject)))))

    @cached_property
    def expected_accepted(self) -> float:
        """Expected number of steps that the gate accepts. InputError when the method reports no acceptance."""
        return float(sum(_means(self.log_reach, _reported(self.p_accept))))

    def expected_draws(self, scheme: Scheme) -> tuple[float, float]:
        """(candidates drawn from the draft, from the base) a trajectory, when the method is gsi_law under `scheme`."""
        return scheme.n * self.expected_steps, scheme.base_draws * self.expected_rejected

    def expectation(self, values: ArrayLike) -> float:
        """E f for values f (L,) of the trajectories."""
        array = np.asarray(values, dtype=np.float64)
        if array.shape != self.log_prob.shape:
            raise InputError(f"values of shape {array.shape}: give {self.log_prob.shape}, one for each trajectory")
        return float(np.exp(self.log_prob) @ array)

    @cached_property
    def error(self) -> float:
        """Bound on the TV error of the law of trajectories: Σ_t E[TV error of step t], as in (M28)."""
        return min(float(sum(_means(self.log_reach, self.step_error))), 1.0)


def _reported(by_node: ByNode | None) -> ByNode:
    if by_node is None:
        raise InputError("the method reports no acceptance: let it return what gsi_law returns")
    return by_node


def trajectory_law(tree: Tree, method: Method) -> TrajectoryLaw:
    """The law of trajectories of `method` applied at every node of `tree`.

    method(instance) returns log-probabilities (K,), a Law, or a GsiLaw of an instance (then rejections are counted).
    It is called once a node, level by level. Raises InputError naming the prefix when what it returns is no law on
    the node's K steps.
    """
    parts = [_level_laws(tree, t, method) for t in range(tree.depth)]
    step, error, reject, accept = zip(*parts, strict=True)
    gated = all(r is not None for r in reject)
    return TrajectoryLaw(tree, step, error, reject if gated else None, accept if gated else None)


def _level_laws(tree: Tree, t: int, method: Method) -> tuple[Floats, Floats, Floats | None, Floats | None]:
    """Of one level: log-probabilities by step; TV errors, log P(reject) and P(accept) by node, the last two or None."""
    level = tree.levels[t]
    found = [method(instance) for instance in level.instances]
    laws = [np.asarray(law.log_prob if isinstance(law, Law | GsiLaw) else law, dtype=np.float64) for law in found]
    for i, (law, instance) in enumerate(zip(laws, level.instances, strict=True)):
        if law.shape != (instance.size,):
            at = place(tree.node_prefixes(t)[i])
            raise InputError(f"{at}: the method returned shape {law.shape}: give log-probabilities ({instance.size},)")
    log_step = np.concatenate(laws)
    sums = level.total(np.exp(np.minimum(log_step, 1.0)))
    # Written so that a NaN fails it.
    bad = np.flatnonzero(~(np.abs(sums - 1.0) <= SUM_TOLERANCE))
    if bad.size:
        at = place(tree.node_prefixes(t)[bad[0]])
        raise InputError(f"{at}: the method's probabilities sum to {sums[bad[0]]}: give log-probabilities of a law")
    error = np.array([law.error if isinstance(law, Law | GsiLaw) else EPS * law.size for law in found])
    gated = [law for law in found if isinstance(law, GsiLaw)]
    if len(gated) < len(found):
        return log_step, error, None, None
    return log_step, error, np.array([g.log_p_reject for g in gated]), np.array([g.p_accept for g in gated])


@dataclass(frozen=True)
class ChainRule:
    """Two laws P, Q of trajectories compared after d = 1..T steps; every field has shape (T,), entry d - 1 for d.

    kl_step: E_{prefix ~ P} KL(P^t‖Q^t) of step d alone. kl: KL of the laws of the first d steps, summed over
    prefixes, so that kl = cumsum(kl_step) is (M28). tv_step: E_{prefix ~ P} TV(P^t, Q^t) of step d alone. tv: TV of
    the laws of the first d steps. tv_coupling: 1 - Σ Π_t min(P^t, Q^t). Always tv ≤ tv_coupling ≤ cumsum(tv_step).
    """

    kl_step: Floats
    kl: Floats
    tv_step: Floats
    tv: Floats
    tv_coupling: Floats


def chain_rule(p: TrajectoryLaw, q: TrajectoryLaw) -> ChainRule:
    """Both sides of the chain rule (M28) for KL(p‖q) and the accumulation bounds for TV, depth by depth.

    Costs O(T·L), because `kl` and `tv` are summed over all prefixes. Raises InputError unless p and q are laws on one
    tree.
    """
    tree = p.tree
    if not _alike(tree, q.tree):
        raise InputError(f"laws on trees of different shapes (depths {tree.depth}, {q.tree.depth}): give one tree")
    levels = range(tree.depth)
    pairs = [(p.log_step[t], q.log_step[t]) for t in levels]
    kl = tuple(_by_node(tree.levels[t], divergence.kl, *pairs[t]) for t in levels)
    tv = tuple(_by_node(tree.levels[t], divergence.tv, *pairs[t]) for t in levels)
    shared = tree.accumulate([np.minimum(*pair) for pair in pairs])
    marginals = [(p.prefix_log_prob(d), q.prefix_log_prob(d)) for d in range(1, tree.depth + 1)]
    return ChainRule(
        kl_step=_means(p.log_reach, kl),
        kl=np.array([divergence.kl(*pair) for pair in marginals]),
        tv_step=_means(p.log_reach, tv),
        tv=np.array([divergence.tv(*pair) for pair in marginals]),
        # 1 - M_T = Σ_t (M_t - M_{t+1}) with M_t the shared mass of t steps: a sum of positive terms.
        tv_coupling=np.cumsum(_means(tree.at_nodes(shared), tv)),
    )


def _alike(one: Tree, other: Tree) -> bool:
    if one is other:
        return True
    pairs = zip(one.levels, other.levels, strict=False)
    same = all(np.array_equal(a.start, b.start) and np.array_equal(a.ends, b.ends) for a, b in pairs)
    return same and one.depth == other.depth


def _by_node(level: Level, divergence_of: Callable[[Floats, Floats], float], log_p: Floats, log_q: Floats) -> Floats:
    ends = level.start[1:-1]
    pairs = zip(np.split(log_p, ends), np.split(log_q, ends), strict=True)
    return np.array([divergence_of(p, q) for p, q in pairs])


def _means(log_reach: ByNode, values: ByNode) -> Floats:
    """(T,): Σ over the nodes of a level of P(prefix)·value; a node of probability zero counts nothing, even if +inf."""
    out = []
    for reach, value in zip(log_reach, values, strict=True):
        held = np.isfinite(reach)
        infinite = bool(np.any(held & (value == np.inf)))
        out.append(np.inf if infinite else float(np.exp(reach[held]) @ value[held]))
    return np.array(out)
