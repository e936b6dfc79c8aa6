"""Soft values, the tilt of whole trajectories as a stepwise method, and its distance to tilting step by step (M29).

Symbols. R: reward of a trajectory, the sum of its step rewards, or any terminal reward given as `reward` (L,) in the
order of tree.trajectories. V(prefix) = β⁻¹ log E[e^{βR} | prefix] under the base, or under the law `under`; at β = 0
its limit E[R | prefix]. Values in reward units, divergences in nats; layouts "by node" and "by step" as in
gsi_theory/steps/tree.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.instance import as_beta
from gsi_theory.laws.selection_law import EPS, LARGEST_LOG
from gsi_theory.steps.stepwise import TrajectoryLaw, trajectory_law
from gsi_theory.steps.tree import ByNode, ByStep, Level, Tree
from gsi_theory.types import Floats

__all__ = [
    "SoftValue",
    "TiltGap",
    "log_normalizers",
    "sequence_tilt",
    "soft_value",
    "stepwise_tilt",
    "tilt_gap",
    "value_tilt",
]


@dataclass(frozen=True)
class SoftValue:
    """V of every prefix: node (prefixes that continue) by node, step (prefix and next step) by step, reward units.

    increment: V(prefix, step) - V(prefix) by step, the step reward whose stepwise tilt is the sequence tilt (M29).
    """

    node: ByNode
    step: ByStep
    increment: ByStep

    @property
    def root(self) -> float:
        """V() = β⁻¹ log E e^{βR}."""
        return float(self.node[0][0])


def soft_value(
    tree: Tree, beta: float, reward: ArrayLike | None = None, under: TrajectoryLaw | None = None
) -> SoftValue:
    """V(prefix) = β⁻¹ log E[e^{βR} | prefix] by backward recursion, in O(nodes).

    Expectations under the base, or `under`. The recursion is V(prefix) = β⁻¹ log Σ_y P(y | prefix) e^{βV(prefix, y)}
    with V = R at the ends; sums of step rewards are carried as what is still to come, so a long common past costs no
    digits. Raises InputError when `reward` is not L finite numbers or β·|R| exceeds 1e12 nats.
    """
    node, step = _to_go(tree, _law(tree, under), beta, reward)
    increment = tuple(s - n[level.node] for s, n, level in zip(step, node, tree.levels, strict=True))
    if reward is None:
        past = tree.at_nodes(tree.collected)
        step = tuple(s + c[level.node] for s, c, level in zip(step, past, tree.levels, strict=True))
        node = tuple(n + c for n, c in zip(node, past, strict=True))
    return SoftValue(node, step, increment)


def sequence_tilt(
    tree: Tree, beta: float, reward: ArrayLike | None = None, under: TrajectoryLaw | None = None
) -> TrajectoryLaw:
    """The tilt of whole trajectories, ∝ π_B e^{βR} (or ∝ under·e^{βR}), as a stepwise method.

    Step by step it is π_B(y | prefix) e^{β(V(prefix, y) - V(prefix))}: the Doob transform of the base. A method that
    samples it needs V, that is the future; errors as in `soft_value`.
    """
    law = _law(tree, under)
    _, step = _to_go(tree, law, beta, reward)
    return _tilted(tree, law, step, as_beta(beta))


def stepwise_tilt(tree: Tree, beta: float, step_reward: Sequence[ArrayLike] | None = None) -> TrajectoryLaw:
    """Π_t of the tilted policies (M1) of the step rewards: what stepwise methods try to sample.

    Step rewards are the tree's, or `step_reward` by step (scores of a process reward model).
    """
    rewards = tuple(level.reward for level in tree.levels) if step_reward is None else tree.by_step(step_reward)
    return _tilted(tree, _law(tree, None), rewards, as_beta(beta))


def value_tilt(law: TrajectoryLaw, beta: float, reward: ArrayLike | None = None) -> TrajectoryLaw:
    """Each step of `law` tilted by its own expected reward: ∝ law·e^{βQ}, Q(prefix, y) = E_law[R | prefix, y].

    With `law` the base it is controlled decoding (arXiv 2310.17022), with `law` a sequence tilt it is Transfer Q*
    (arXiv 2405.20495, M26; its α is 1/β here).
    """
    _, step = _to_go(law.tree, law, 0.0, reward)
    return _tilted(law.tree, law, step, as_beta(beta))


def log_normalizers(tree: Tree, beta: float) -> ByNode:
    """log Z(prefix) = log E_{π_B}[e^{β r} | prefix] of the step reward r at each node, nats, by node."""
    beta = as_beta(beta)
    return tuple(beta * _soft_mean(level, level.log_base, level.reward, beta) for level in tree.levels)


@dataclass(frozen=True)
class TiltGap:
    """Distance between the sequence tilt and the stepwise tilt.

    kl_sequence = KL(sequence‖stepwise) and kl_stepwise = KL(stepwise‖sequence), nats; tv in [0, 1]; the expected
    terminal reward R under each, reward units; and the two laws.
    """

    kl_sequence: float
    kl_stepwise: float
    tv: float
    reward_sequence: float
    reward_stepwise: float
    sequence: TrajectoryLaw
    stepwise: TrajectoryLaw


def tilt_gap(
    tree: Tree, beta: float, reward: ArrayLike | None = None, step_reward: Sequence[ArrayLike] | None = None
) -> TiltGap:
    """What is lost by tilting step by step with step rewards instead of whole trajectories with R (M29).

    Step rewards are the tree's, or `step_reward` by step. Zero when r_t(prefix, y) = V(prefix, y) - V(prefix) +
    c(prefix) for any function c of the prefix.
    """
    sequence, stepwise = sequence_tilt(tree, beta, reward), stepwise_tilt(tree, beta, step_reward)
    total = tree.total_reward if reward is None else np.asarray(reward, dtype=np.float64)
    return TiltGap(
        kl_sequence=divergence.kl(sequence.log_prob, stepwise.log_prob),
        kl_stepwise=divergence.kl(stepwise.log_prob, sequence.log_prob),
        tv=divergence.tv(sequence.log_prob, stepwise.log_prob),
        reward_sequence=sequence.expectation(total),
        reward_stepwise=stepwise.expectation(total),
        sequence=sequence,
        stepwise=stepwise,
    )


def _law(tree: Tree, under: TrajectoryLaw | None) -> TrajectoryLaw:
    if under is None:
        return trajectory_law(tree, lambda instance: instance.log_base)
    if under.tree is not tree:
        raise InputError("`under` is a law on another tree: build it with trajectory_law on this tree")
    return under


def _to_go(tree: Tree, law: TrajectoryLaw, beta: float, reward: ArrayLike | None) -> tuple[ByNode, ByStep]:
    """Soft value of the reward still to come at each node, and with the step taken (its reward counted), by step."""
    beta = as_beta(beta)
    rewards = tuple(level.reward for level in tree.levels) if reward is None else tree.at_ends(reward)
    _check_nats(beta, tree.accumulate(rewards))
    node: list[Floats] = []
    step: list[Floats] = []
    for t in reversed(range(tree.depth)):
        level = tree.levels[t]
        values = rewards[t].copy()
        if node:
            values[~level.ends] += node[-1]
        step.append(values)
        node.append(_soft_mean(level, law.log_step[t], values, beta))
    return tuple(reversed(node)), tuple(reversed(step))


def _soft_mean(level: Level, log_p: Floats, values: Floats, beta: float) -> Floats:
    """β⁻¹ log Σ p e^{β·value} (N,) over the steps of each node; at β = 0 the mean Σ p·value.

    Relative to the largest value m in the support it is m + β⁻¹ log1p(-s), s = Σ p (1 - e^{β(value - m)}), a sum of
    positive terms: small β costs no digits. For s ≥ ½ the logarithm is of the sum itself.
    """
    held = np.isfinite(log_p)
    top = level.largest(np.where(held, values, -np.inf))
    below = np.where(held, values - top[level.node], 0.0)
    mean = level.total(np.exp(log_p) * below)
    if beta == 0:
        return top + mean
    s = level.total(np.exp(log_p) * -np.expm1(beta * below))
    nats = np.where(s < 0.5, np.log1p(-np.minimum(s, 0.5)), level.log_total(log_p + beta * below))
    # Where β·range is below half a unit of rounding, the second term β·Var/2 is lost beside the mean.
    spread = -np.minimum.reduceat(below, level.start[:-1])
    return top + np.where(beta * spread < EPS / 2, mean, nats / beta)


def _check_nats(beta: float, values: ByStep) -> None:
    top = max(float(np.max(np.abs(v))) for v in values)
    if beta > 0 and top > LARGEST_LOG / beta:
        raise InputError(f"beta = {beta!r} times a reward of {top!r}: keep β·|R| within {LARGEST_LOG:g} nats")


def _tilted(tree: Tree, law: TrajectoryLaw, values: ByStep, beta: float) -> TrajectoryLaw:
    """Each step's law tilted by e^{β·value}, normalized at each node."""
    _check_nats(beta, values)
    log_step, error = [], []
    for t, (level, log_p, value) in enumerate(zip(tree.levels, law.log_step, values, strict=True)):
        held = np.isfinite(log_p)
        # Relative to the largest value that the law can take, so that only differences are multiplied by β.
        top = level.largest(np.where(held, value, -np.inf))
        terms = np.where(held, log_p + beta * (value - top[level.node]), -np.inf)
        log_step.append(terms - level.log_total(terms)[level.node])
        # A value passes through at most T - t soft means, each good to a few units of K and of its exponents in nats.
        size = level.largest(np.where(held, np.abs(log_p), 0.0) + beta * np.abs(value))
        error.append(4.0 * EPS * (tree.depth - t) * (np.diff(level.start) + size))
    return TrajectoryLaw(tree, tuple(log_step), tuple(error))
