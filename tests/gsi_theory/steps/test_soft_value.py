"""Soft values, the sequence tilt and its gap to the stepwise tilt (M29), Transfer Q* (M26), against enumeration."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gsi_theory.steps.soft_value import log_normalizers, sequence_tilt, soft_value, tilt_gap, value_tilt
from gsi_theory.steps.stepwise import chain_rule, trajectory_law
from gsi_theory.steps.tree import Tree
from tests.gsi_theory.sample_trees import BIG, BIG_TREE, RAGGED, TREES, as_array, build, grown, worst
from tests.oracles import tree_enumeration as oracle

BETA = 1.5


@pytest.mark.parametrize("beta", [0.0, 1e-40, 1e-9, 0.7, 20.0])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("index", [0, 3, 4])
def test_soft_values_and_sequence_tilt_equal_enumeration(beta: float, terminal: bool, index: int) -> None:
    node = RAGGED[index]
    tree = build(node)
    reward = oracle.totals(node)
    if terminal:
        rng = np.random.default_rng(5)
        reward = {path: mpmath.mpf(int(rng.integers(-64, 65))) / 32 for path in sorted(reward)}
    given_reward = as_array(reward) if terminal else None
    value = soft_value(tree, beta, given_reward)
    for t in range(tree.depth):
        at_nodes = [float(oracle.soft_value(node, beta, reward, p)) for p in tree.node_prefixes(t)]
        assert worst(value.node[t], at_nodes) <= 1e-12
    at_steps = [float(oracle.soft_value(node, beta, reward, p)) for p in tree.prefixes(2)] if tree.depth > 1 else []
    if at_steps:
        assert worst(tree.arrange(value.step, 2), at_steps) <= 1e-12
    assert worst(tree.arrange(value.step), as_array(reward)) <= 1e-12
    law, truth = sequence_tilt(tree, beta, given_reward), oracle.sequence_tilt(node, beta, reward)
    assert worst(np.exp(law.log_prob), as_array(truth)) <= 1e-12


def test_sequence_tilt_of_1296_trajectories() -> None:
    law, truth = sequence_tilt(BIG_TREE, BETA), oracle.sequence_tilt(BIG, BETA, oracle.totals(BIG))
    assert worst(np.exp(law.log_prob), as_array(truth)) <= 1e-12
    gap, ideal = tilt_gap(BIG_TREE, BETA), oracle.law(BIG, lambda node: oracle.tilted_step(node, BETA))
    distances = (oracle.kl(truth, ideal), oracle.kl(ideal, truth), oracle.tv(truth, ideal))
    assert worst(np.array([gap.kl_sequence, gap.kl_stepwise, gap.tv]), distances) <= 1e-12
    rewards = oracle.totals(BIG)
    for found, of in ((gap.reward_sequence, truth), (gap.reward_stepwise, ideal)):
        assert found == pytest.approx(float(sum(of[p] * rewards[p] for p in of)), abs=1e-12)


@pytest.mark.parametrize("index", range(len(RAGGED)))
def test_large_beta_stays_within_the_stated_error(index: int) -> None:
    """At β = 2²⁰, rewards 1 + k/2²⁰ leave a law that is not degenerate, and V loses six digits against them."""
    node, beta = RAGGED[index], 2.0**20
    tree = build(node)
    steps = np.random.default_rng(index).integers(0, 4, tree.total_reward.size)
    reward = {path: 1 + mpmath.mpf(int(k)) / 2**20 for path, k in zip(tree.trajectories, steps, strict=True)}
    law = sequence_tilt(tree, beta, as_array(reward))
    truth = as_array(oracle.sequence_tilt(node, beta, reward))
    assert 0.5 * np.abs(np.exp(law.log_prob) - truth).sum() <= law.error <= 1e-7
    steep = sequence_tilt(tree, beta)
    truth = as_array(oracle.sequence_tilt(node, beta, oracle.totals(node)))
    assert 0.5 * np.abs(np.exp(steep.log_prob) - truth).sum() <= steep.error <= 1e-7


@pytest.mark.parametrize("index", range(len(RAGGED)))
def test_value_tilt_of_the_base_equals_enumeration(index: int) -> None:
    """Each step ∝ π_B e^{βQ} with Q the mean reward below the prefix and the step."""
    node, beta = RAGGED[index], 1.7
    tree, reward = build(node), oracle.totals(node)
    law = value_tilt(trajectory_law(tree, lambda i: i.log_base), beta)
    for t in range(tree.depth):
        found = np.split(np.exp(law.log_step[t]), tree.levels[t].start[1:-1])
        for prefix, step in zip(tree.node_prefixes(t), found, strict=True):
            base = np.exp(tree.instance(prefix).log_base)
            q = np.array([float(oracle.soft_value(node, 0, reward, (*prefix, k))) for k in range(base.size)])
            mass = base * np.exp(beta * q)
            assert worst(step, mass / mass.sum()) <= 1e-12


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
@pytest.mark.parametrize("beta", [0.3, 5.0])
def test_stepwise_tilt_is_a_sequence_tilt_by_another_reward(tree: Tree, beta: float) -> None:
    """(M29): by Σ r_t - β⁻¹ Σ log Z_t; and both gaps in closed form from log Z."""
    logs = [z[level.node] for z, level in zip(log_normalizers(tree, beta), tree.levels, strict=True)]
    paid = tree.arrange(tree.accumulate(logs))
    equal = sequence_tilt(tree, beta, tree.total_reward - paid / beta)
    gap = tilt_gap(tree, beta)
    assert worst(np.exp(equal.log_prob), np.exp(gap.stepwise.log_prob)) <= 1e-12
    root = beta * soft_value(tree, beta).root
    closed = (gap.sequence.expectation(paid) - root, root - gap.stepwise.expectation(paid))
    assert worst(np.array([gap.kl_sequence, gap.kl_stepwise]), closed) <= 1e-12


@pytest.mark.parametrize("tree", TREES.values(), ids=TREES)
@pytest.mark.parametrize("beta", [0.3, 5.0])
def test_no_gap_when_rewards_are_increments_up_to_a_function_of_the_prefix(tree: Tree, beta: float) -> None:
    rng = np.random.default_rng(17)
    increments = soft_value(tree, beta).increment
    shifts = [rng.normal(size=len(level.instances))[level.node] for level in tree.levels]
    shifted = tree.with_reward([v + c for v, c in zip(increments, shifts, strict=True)])
    gap = tilt_gap(shifted, beta, tree.total_reward)
    assert max(gap.kl_sequence, gap.kl_stepwise) <= 1e-24 and gap.tv <= 1e-12
    assert worst(np.exp(gap.sequence.log_prob), np.exp(sequence_tilt(tree, beta).log_prob)) <= 1e-12
    again = tilt_gap(tree, beta, step_reward=[level.reward for level in shifted.levels])
    assert worst(np.exp(again.stepwise.log_prob), np.exp(gap.stepwise.log_prob)) <= 1e-14


def test_there_is_a_gap_otherwise() -> None:
    """Two steps by hand: after step 0 the reward is certain, after step 1 a coin decides between 0 and 1."""
    leaf = {"draft": [0.5, 0.5], "base": [0.5, 0.5]}
    tree = Tree.from_nested(
        leaf | {"reward": [0, 0], "children": [leaf | {"reward": [0.5, 0.5]}, leaf | {"reward": [0, 1]}]}
    )
    z = (1 + math.e**2) / 2
    gap = tilt_gap(tree, 2.0)
    pi = np.array([math.e, math.e, 1, math.e**2]) / (2 * math.e + 2 * z)
    assert worst(np.exp(gap.sequence.log_prob), pi) <= 1e-15
    step = np.array([0.25, 0.25, 0.25 / z, 0.25 * math.e**2 / z])
    assert gap.kl_sequence == pytest.approx(float(np.sum(pi * np.log(pi / step))), rel=1e-12)
    assert gap.reward_sequence - gap.reward_stepwise == pytest.approx(float((pi - step) @ [0.5, 0.5, 0, 1]), rel=1e-12)


@given(grown(), st.floats(0.01, 20.0), st.floats(0.01, 20.0))
def test_value_tilt_obeys_the_bounds_of_transfer_q(tree: Tree, beta: float, alpha: float) -> None:
    """(M26): log(ρ_alg/ρ_base) ≤ (β + αT) osc(R), and the suboptimality against any ρ*, here the tilt at 2β."""
    low = float(np.min(tree.total_reward))
    reward = tree.total_reward - low
    base = trajectory_law(tree, lambda i: i.log_base)
    tilt = sequence_tilt(tree, beta, reward)
    alg = value_tilt(tilt, alpha, reward)
    held = np.isfinite(base.log_prob)
    assert np.max(alg.log_prob[held] - base.log_prob[held]) <= (beta + alpha * tree.depth) * reward.max() + 1e-10
    best = sequence_tilt(tree, 2 * beta, reward)
    kl = [chain_rule(a, b).kl[-1] for a, b in ((best, base), (tilt, base), (best, tilt))]
    assert best.expectation(reward) - alg.expectation(reward) <= (kl[0] - kl[1] - kl[2]) / beta + 1e-10
    assert best.expectation(reward) - tilt.expectation(reward) == pytest.approx(
        (kl[0] - kl[1] - kl[2]) / beta, abs=1e-9
    )


def test_soft_value_under_another_law_is_a_tilt_of_that_law() -> None:
    tree = TREES["ragged 0"]
    draft = trajectory_law(tree, lambda i: i.log_draft)
    tilt = sequence_tilt(tree, 2.0, under=draft)
    mass = np.exp(draft.log_prob + 2.0 * tree.total_reward)
    assert worst(np.exp(tilt.log_prob), mass / mass.sum()) <= 1e-12
    assert soft_value(tree, 2.0, under=draft).root == pytest.approx(np.log(mass.sum()) / 2.0, abs=1e-12)
