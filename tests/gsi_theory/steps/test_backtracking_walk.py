"""The value-guided walk with steps back (M42) against Fractions, its bounds, and simulation."""

from __future__ import annotations

from fractions import Fraction as F
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.steps.backtracking_walk import (
    BacktrackingWalk,
    first_leaf_kl_bound,
    forward_kl_bound,
    leaf_share_bound,
    mixing_bound,
    noisy_log_value,
    worst_forward_bound,
)
from gsi_theory.steps.soft_value import sequence_tilt
from gsi_theory.steps.tree import Tree
from tests.gsi_theory.sample_trees import RAGGED, build, exact_tree, ragged_tree
from tests.oracles import walk_enumeration as oracle

TIMES = (0, 1, 2, 5, 9)


def exact_values(node: dict[str, Any], seed: int) -> dict[tuple[int, ...], F]:
    """Random positive values of every prefix; some of them far apart."""
    rng = np.random.default_rng([42, seed])
    scale = int(rng.choice([1, 10, 10_000]))
    return {path: F(int(rng.integers(1, 9 * scale)), 8) for path in oracle.moves(node, _Ones()) if path}


class _Ones(dict[Any, Any]):
    def __missing__(self, key: object) -> F:
        return F(1)


def walk_of(node: dict[str, Any], values: dict[tuple[int, ...], F]) -> tuple[Tree, BacktrackingWalk]:
    tree = build(node)
    by_step = [
        np.array(
            [float(np.log(float(values[(*p, k)]))) for p in tree.node_prefixes(t) for k in range(tree.instance(p).size)]
        )
        for t in range(tree.depth)
    ]
    return tree, BacktrackingWalk(tree, tuple(by_step))


def states(tree: Tree) -> list[tuple[int, ...]]:
    steps = [(*p, k) for t in range(tree.depth) for p in tree.node_prefixes(t) for k in range(tree.instance(p).size)]
    return [(), *steps]


@pytest.mark.parametrize("block", range(20))
def test_the_walk_equals_fractions(block: int) -> None:
    """400 trees: the law at five times, values asked for, the stationary law, forward and first leaf."""
    for seed in range(20 * block, 20 * block + 20):
        node = ragged_tree(seed, zeros=bool(seed % 2), depth=1 + seed % 3)
        values = exact_values(node, seed)
        tree, walk = walk_of(node, values)
        for law, time in zip(walk.after(TIMES), TIMES, strict=True):
            truth = oracle.after(node, values, time)
            exact = np.array([float(truth.get(s, F(0))) for s in states(tree)])
            assert np.max(np.abs(law.prob - exact)) <= 1e-12
            assert 0.5 * np.abs(law.prob - exact).sum() <= law.error
            leaves = [float(truth.get(leaf, F(0))) for leaf in tree.trajectories]
            assert np.max(np.abs(law.leaf - leaves)) <= 1e-12
            assert law.evaluations == pytest.approx(float(oracle.asked(node, values, time)), abs=1e-12)
        still = oracle.stationary(node, values)
        assert np.max(np.abs(walk.stationary - [float(still.get(s, F(0))) for s in states(tree)])) <= 1e-12
        first, cost = oracle.first_leaf(node, values)
        assert walk.first_leaf_evaluations == pytest.approx(float(cost), rel=1e-12)
        for law, truth in ((walk.forward, oracle.forward(node, values)), (walk.first_leaf, first)):
            exact = np.array([float(truth[leaf]) for leaf in tree.trajectories])
            assert np.max(np.abs(np.exp(law.log_prob) - exact)) <= 1e-12
            assert 0.5 * np.abs(np.exp(law.log_prob) - exact).sum() <= law.error + 1e-15


def noisy(tree: Tree, beta: float, size: float, seed: int) -> tuple[BacktrackingWalk, float]:
    rng = np.random.default_rng([43, seed])
    shapes = [rng.choice([-1.0, 0.3, 1.0], level.ends.size) for level in tree.levels]
    values, factor = noisy_log_value(tree, beta, [size * s for s in shapes])
    return BacktrackingWalk(tree, values), factor


@pytest.mark.parametrize("size", [0.0, 0.1, 0.7, 3.0])
@pytest.mark.parametrize("seed", range(12))
def test_bounds_hold_and_the_stationary_leaf_law_is_the_tilt(size: float, seed: int) -> None:
    node = ragged_tree(seed + 300) if seed % 2 else exact_tree(1 + seed // 3, 2)
    tree = build(node)
    walk, factor = noisy(tree, 2.0, size, seed)
    tilt, depth = sequence_tilt(tree, 2.0).log_prob, tree.depth
    stay = walk.stationary
    assert np.max(np.abs(walk.leaves(stay) / walk.leaf_share - np.exp(tilt))) <= 1e-13
    assert 1.0 / (2.0 * factor * depth) <= leaf_share_bound(factor, depth) <= walk.leaf_share * (1 + 1e-12)
    assert divergence.kl(tilt, walk.forward.log_prob) <= forward_kl_bound(factor, depth) + 1e-13
    if seed % 2 == 0:
        assert divergence.kl(tilt, walk.first_leaf.log_prob) <= first_leaf_kl_bound(factor, depth) + 1e-13
        assert first_leaf_kl_bound(factor, depth) <= forward_kl_bound(factor, depth) + 1e-15
    for law in walk.after((0, 1, 7, 40, 300, 5000)):
        apart = 0.5 * np.abs(law.prob - stay).sum()
        assert apart <= mixing_bound(law.steps, factor, depth) + law.error
        if law.leaf_share:
            assert divergence.tv(law.log_prob, tilt) <= apart / max(law.leaf_share, walk.leaf_share) + 1e-12


def test_exact_values_give_the_tilt_at_every_time_if_all_trajectories_are_equally_long() -> None:
    tree = build(exact_tree(3, 3))
    walk, factor = noisy(tree, 3.0, 0.0, 0)
    assert factor == 1.0
    tilt = sequence_tilt(tree, 3.0).log_prob
    for law in walk.after((3, 4, 10)):
        assert divergence.tv(law.log_prob, tilt) <= 1e-14
    ragged = build(RAGGED[3])
    uneven = noisy(ragged, 3.0, 0.0, 0)[0].after((4,))[0]
    assert divergence.tv(uneven.log_prob, sequence_tilt(ragged, 3.0).log_prob) > 1e-3


def test_long_walks_by_powers_are_those_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    walk, _ = noisy(build(RAGGED[1]), 2.0, 0.5, 4)
    fast = walk.after((700, 3000))
    monkeypatch.setattr("gsi_theory.steps.backtracking_walk.DENSE_STATES", 0)
    for one, other in zip(fast, walk.after((700, 3000)), strict=True):
        assert np.max(np.abs(one.prob - other.prob)) <= 1e-13
        assert one.evaluations == pytest.approx(other.evaluations, rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 9, 30, 301])
@pytest.mark.parametrize("log_factor", [0.0, 1e-3, 0.05, 0.4, 1.0, 5.0])
def test_the_worst_case_without_steps_back_lies_between_its_bounds(depth: int, log_factor: float) -> None:
    """Fair coins, no reward, values off by (1+ε)^±1 by the last step: two binomial laws, H - 1 steps of them."""
    factor, steps = float(np.exp(log_factor)), depth - 1
    k = np.arange(steps + 1)
    fair, loaded = stats.binom.pmf(k, steps, 0.5), stats.binom.pmf(k, steps, factor**2 / (1.0 + factor**2))
    worst = 0.5 * float(np.abs(fair - loaded).sum())
    low, high = float(worst_forward_bound(factor, depth)), float(np.sqrt(forward_kl_bound(factor, depth) / 2.0))
    assert 0.24 * min(log_factor * np.sqrt(steps), 1.0) <= low + 1e-12 and low <= worst + 1e-12
    assert worst <= high + 1e-12


def test_that_case_is_the_walks() -> None:
    """The same number from a tree: H = 4, coins, (1+ε)^±1."""
    leaf = {"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0.0, 0.0]}
    node: dict[str, Any] = leaf
    for _ in range(3):
        node = leaf | {"children": [node, node]}
    tree = Tree.from_nested(node)
    shapes = [np.tile([1.0, -1.0], level.ends.size // 2) for level in tree.levels]
    values, factor = noisy_log_value(tree, 1.0, [0.4 * s for s in shapes])
    forward = BacktrackingWalk(tree, values).forward.log_prob
    k = np.arange(4)
    p = factor**2 / (1.0 + factor**2)
    apart = 0.5 * np.abs(stats.binom.pmf(k, 3, 0.5) - stats.binom.pmf(k, 3, p)).sum()
    assert divergence.tv(forward, np.full(16, -np.log(16.0))) == pytest.approx(apart, abs=1e-14)


def test_simulation_agrees() -> None:
    """20,000 walks of 12 steps, one chance of a hundred thousand that any of the counts is off by so much."""
    tree = build(RAGGED[1])
    walk, _ = noisy(tree, 2.0, 1.0, 3)
    rng, rounds = np.random.default_rng(1), 20_000
    values = {s: float(np.exp(v)) for s, v in zip(states(tree)[1:], np.concatenate(walk.log_value), strict=True)}
    nodes = {p for t in range(tree.depth) for p in tree.node_prefixes(t)}
    ways = {}
    for s in states(tree):
        to = [(*s, k) for k in range(tree.instance(s).size)] if s in nodes else []
        weights = [float(np.exp(tree.instance(s).log_base[p[-1]])) * values[p] for p in to]
        if s:
            to, weights = [*to, s[:-1]], [*weights, values[s]]
        ways[s] = to, np.cumsum(weights) / np.sum(weights)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(rounds):
        state: tuple[int, ...] = ()
        for _ in range(12):
            if rng.random() < 0.5:
                to, chances = ways[state]
                state = to[int(np.searchsorted(chances, rng.random(), side="right"))]
        counts[state] = counts.get(state, 0) + 1
    prob = walk.after((12,))[0].prob
    seen = np.array([counts.get(s, 0) for s in states(tree)])
    kept = rounds * prob >= 10
    z = (seen - rounds * prob)[kept] / np.sqrt(rounds * prob * (1 - prob))[kept]
    assert np.max(np.abs(z)) <= stats.norm.isf(1e-5 / (2 * kept.sum()))


def test_extreme_values_and_mistakes_are_named() -> None:
    tree = build(RAGGED[1])
    steep = BacktrackingWalk(tree, tuple(1e6 * np.cos(np.arange(level.ends.size)) for level in tree.levels))
    for law in steep.after((4, 50)):
        assert np.isfinite(law.prob).all() and law.prob.sum() == pytest.approx(1.0)
    assert np.isfinite(np.exp(steep.first_leaf.log_prob)).all()
    walk, _ = noisy(tree, 0.0, 0.5, 0)
    with pytest.raises(InputError, match="no leaf is reached"):
        _ = walk.after((0,))[0].log_prob
    with pytest.raises(InputError, match="ascending"):
        walk.after((3, 1))
    with pytest.raises(InputError, match="log values"):
        BacktrackingWalk(tree, walk.log_value[:-1])
    with pytest.raises(InputError, match="1e\\+12"):
        BacktrackingWalk(tree, tuple(v * 0 + 1e13 for v in walk.log_value))
    with pytest.raises(InputError, match="noise"):
        noisy_log_value(tree, 1.0, [v * 0 + 1e13 for v in walk.log_value])
    with pytest.raises(InputError, match="factor"):
        leaf_share_bound(0.5, 2)
