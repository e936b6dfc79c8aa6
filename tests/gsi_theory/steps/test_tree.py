"""Trees of steps: laws of trajectories and the chain rule (M28) against listing every trajectory, and by sampling."""

from __future__ import annotations

from collections import Counter
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gsi_theory import InputError, Instance, Scheme, gsi_law, selection_law, tilted_policy
from gsi_theory.steps.soft_value import sequence_tilt, soft_value, stepwise_tilt, tilt_gap
from gsi_theory.steps.stepwise import chain_rule, trajectory_law
from gsi_theory.steps.tree import Tree
from sims.sampling.sampler import sample_scheme
from tests.gsi_theory.sample_trees import BIG, BIG_TREE, RAGGED, TREES, as_array, build, grown, worst
from tests.oracles import enumeration
from tests.oracles import tree_enumeration as oracle

BETA, CUT = 1.5, 0.371
SCHEMES = {
    "softmax, gated": Scheme(BETA, 3, CUT),
    "race, gated": Scheme(BETA, 3, CUT, "race"),
    "softmax": Scheme(BETA, 2),
    "one draft": Scheme(BETA, 1),
}


def step_of(scheme: Scheme):
    return lambda node: oracle.gsi_step(node, scheme.beta, scheme.n, scheme.threshold, scheme.rule)[0]


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_1296_trajectories_equal_enumeration(scheme: Scheme) -> None:
    truth = oracle.law(BIG, step_of(scheme))
    law = trajectory_law(BIG_TREE, lambda i: gsi_law(i, scheme))
    assert BIG_TREE.trajectories == tuple(sorted(truth)) and len(truth) == 1296
    error = np.abs(np.exp(law.log_prob) - as_array(truth))
    assert error.max() <= 1e-12 and 0.5 * error.sum() <= law.error + 1e-16 * 1296
    for depth in (1, 2, 3):
        marginal = oracle.marginal(truth, depth)
        assert BIG_TREE.prefixes(depth) == tuple(sorted(marginal))
        assert worst(np.exp(law.prefix_log_prob(depth)), as_array(marginal)) <= 1e-12
    rewards = oracle.totals(BIG)
    assert law.expected_reward == pytest.approx(float(sum(truth[p] * rewards[p] for p in truth)), abs=1e-12)
    assert law.expectation(BIG_TREE.total_reward) == pytest.approx(law.expected_reward, abs=1e-12)
    assert law.expected_steps == pytest.approx(4.0, abs=1e-12)


@pytest.mark.parametrize("name", ["softmax, gated", "race, gated"])
def test_chain_rule_of_1296_trajectories_equals_enumeration(name: str) -> None:
    scheme = SCHEMES[name]
    tilt, step = (lambda node: oracle.tilted_step(node, BETA)), step_of(scheme)
    p, q = oracle.law(BIG, tilt), oracle.law(BIG, step)
    law = trajectory_law(BIG_TREE, lambda i: gsi_law(i, scheme))
    ideal = trajectory_law(BIG_TREE, lambda i: tilted_policy(i, BETA))
    assert worst(np.exp(ideal.log_prob), as_array(p)) <= 1e-12
    assert worst(np.exp(stepwise_tilt(BIG_TREE, BETA).log_prob), as_array(p)) <= 1e-12
    found = chain_rule(ideal, law)
    depths = range(1, 5)
    assert worst(found.kl, [oracle.kl(oracle.marginal(p, d), oracle.marginal(q, d)) for d in depths]) <= 1e-12
    assert worst(found.tv, [oracle.tv(oracle.marginal(p, d), oracle.marginal(q, d)) for d in depths]) <= 1e-12
    assert worst(np.cumsum(found.kl_step), found.kl) <= 1e-12
    with mpmath.workdps(oracle.DIGITS):
        shared = [
            1 - sum(oracle.law(BIG, lambda v: [min(a, b) for a, b in zip(tilt(v), step(v), strict=True)]).values())
        ]
    assert worst(found.tv_coupling[-1:], shared) <= 1e-12


@pytest.mark.parametrize("index", range(len(RAGGED)))
def test_ragged_trees_equal_enumeration(index: int) -> None:
    """Zero masses, uncovered steps, nodes of one step, paths of different lengths: terms, values and acceptances."""
    node, scheme = RAGGED[index], SCHEMES["softmax, gated"]
    tree, step = build(node), step_of(scheme)
    truth, base = oracle.law(node, step), oracle.law(node, lambda v: v["base"])
    law = trajectory_law(tree, lambda i: gsi_law(i, scheme))
    assert tree.trajectories == tuple(sorted(truth))
    assert worst(np.exp(law.log_prob), as_array(truth)) <= 1e-12
    found = chain_rule(trajectory_law(tree, lambda i: i.log_base), law)
    terms = [oracle.chain_terms(node, lambda v: v["base"], step, d) for d in (enumeration.kl, enumeration.tv)]
    for values, exact in zip((found.kl_step, found.tv_step), terms, strict=True):
        finite = np.isfinite(values)
        assert list(finite) == [mpmath.isfinite(x) for x in exact]
        assert worst(values[finite], [x for x, keep in zip(exact, finite, strict=True) if keep]) <= 1e-12
    assert (found.kl[-1] == np.inf) == (oracle.kl(base, truth) == mpmath.inf)
    lengths = sum(float(p) * len(path) for path, p in truth.items())
    assert law.expected_steps == pytest.approx(lengths, abs=1e-12)
    expected = 0.0
    for prefix, v in oracle.nodes(node):
        reach = sum((p for path, p in truth.items() if path[: len(prefix)] == prefix), mpmath.mpf(0))
        expected += float(reach * oracle.gsi_step(v, scheme.beta, scheme.n, scheme.threshold, scheme.rule)[1])
    assert law.expected_accepted == pytest.approx(expected, abs=1e-12)
    assert law.expected_rejected == pytest.approx(lengths - expected, abs=1e-12)
    assert law.expected_draws(scheme) == pytest.approx((3 * lengths, 3 * (lengths - expected)), abs=1e-11)


@given(grown(), st.floats(0.0, 30.0), st.integers(1, 50))
def test_accumulation_bounds(tree: Tree, beta: float, n: int) -> None:
    p = stepwise_tilt(tree, beta)
    q = trajectory_law(tree, lambda i: selection_law(i.log_base, beta * i.reward, n))
    found = chain_rule(p, q)
    assert worst(np.cumsum(found.kl_step), found.kl) <= 1e-12
    assert np.all(found.tv <= found.tv_coupling + 1e-14)
    assert np.all(found.tv_coupling <= np.cumsum(found.tv_step) + 1e-14)
    assert np.all(np.diff(found.tv) >= -1e-14) and np.all(found.kl_step >= 0)
    same = chain_rule(q, q)
    assert max(np.max(v) for v in (same.kl_step, same.kl, same.tv_step, same.tv, same.tv_coupling)) == 0.0


def sampled(tree: Tree, scheme: Scheme, count: int, rng: np.random.Generator) -> tuple[Counter, int]:
    """Trajectories of `count` runs that sample each step, and the number of steps accepted."""
    found: Counter = Counter()
    accepted = 0
    waiting = {(): count}
    while waiting:
        prefix, runs = waiting.popitem()
        steps, kept = sample_scheme(tree.instance(prefix), scheme, runs, rng)
        accepted += int(kept.sum())
        for k, times in Counter(steps.tolist()).items():
            path = (*prefix, k)
            target = found if path in ENDS[id(tree)] else waiting
            target[path] = times
    return found, accepted


ENDS = {id(tree): set(tree.trajectories) for tree in TREES.values()}


@pytest.mark.parametrize("name", ["softmax, gated", "race, gated"])
@pytest.mark.parametrize("tree", [TREES["ragged 0"], TREES["ragged 3"], BIG_TREE], ids=["ragged 0", "ragged 3", "big"])
def test_sampled_trajectories_follow_the_law(tree: Tree, name: str) -> None:
    """40 000 runs; every outcome within the Bonferroni bound at 1e-4, mean reward and acceptances at 4.5 errors."""
    scheme, count = SCHEMES[name], 40_000
    law = trajectory_law(tree, lambda i: gsi_law(i, scheme))
    found, accepted = sampled(tree, scheme, count, np.random.default_rng(23))
    p = np.exp(law.log_prob)
    seen = np.array([found[path] for path in tree.trajectories])
    assert seen.sum() == count and not np.any(seen[p == 0])
    common = count * p >= 10
    z = (seen - count * p)[common] / np.sqrt(count * p * (1 - p))[common]
    assert np.max(np.abs(z)) <= stats.norm.isf(0.5e-4 / z.size)
    spread = np.sqrt(p @ (tree.total_reward - law.expected_reward) ** 2 / count)
    assert abs(seen @ tree.total_reward / count - law.expected_reward) <= 4.5 * spread + 1e-12
    # Between 0 and T accepted steps a run: the standard deviation is at most T/2.
    assert abs(accepted / count - law.expected_accepted) <= 4.5 * tree.depth / 2 / np.sqrt(count)


def test_one_step_is_the_law_of_the_instance() -> None:
    instance = Instance.from_probabilities([0.5, 0.5, 0.0], [0.2, 0.0, 0.8], [1.0, 0.0, 0.3])
    tree = Tree.grow(lambda prefix: None if prefix else instance)
    for beta in (0.0, 2.0, 1e6):
        law = gsi_law(instance, Scheme(beta, 4, 0.5))
        whole = trajectory_law(tree, lambda i: gsi_law(i, Scheme(beta, 4, 0.5)))  # noqa: B023
        assert np.array_equal(whole.log_prob, law.log_prob) and whole.expected_accepted == law.p_accept
        assert whole.expected_steps == 1.0
        assert tilt_gap(tree, beta).tv <= 1e-12
        assert worst(np.exp(sequence_tilt(tree, beta).log_prob), np.exp(tilted_policy(instance, beta))) <= 1e-12


def test_one_choice_is_certain() -> None:
    sure = Instance.from_probabilities([1.0], [1.0], [-0.25])
    tree = Tree.grow(lambda prefix: sure if len(prefix) < 300 else None)
    law = trajectory_law(tree, lambda i: gsi_law(i, Scheme(1e6, 7, 0.0)))
    assert tree.trajectories == ((0,) * 300,) and abs(law.log_prob[0]) <= 1e-12
    # 300 steps, each with the 4e-16 of log G(0) that gate.py's rounding leaves.
    expected = (law.expected_reward, law.expected_accepted, law.expected_rejected)
    assert expected == pytest.approx((-75.0, 0.0, 300.0), abs=1e-10)
    assert soft_value(tree, 1e6).root == -75.0
    assert np.all(chain_rule(law, stepwise_tilt(tree, 3.0)).kl <= 1e-24)


def test_what_one_law_cannot_reach_costs_nothing_and_what_the_other_cannot_costs_infinity() -> None:
    leaf = {"draft": [0.5, 0.5], "base": [0.0, 1.0], "reward": [0.0, 1.0]}
    tree = Tree.from_nested(leaf | {"children": [leaf | {"base": [1.0, 0.0], "draft": [0.0, 1.0]}, None]})
    base, draft = (trajectory_law(tree, m) for m in (lambda i: i.log_base, lambda i: i.log_draft))
    found = chain_rule(base, draft)
    assert found.kl_step.tolist() == pytest.approx([np.log(2), 0.0]) and found.kl[-1] == pytest.approx(np.log(2))
    assert chain_rule(draft, base).kl.tolist() == [np.inf, np.inf]
    assert base.expected_steps == 1.0 and draft.expected_steps == 1.5
    assert soft_value(tree, 3.0).root == 1.0


def test_nested_and_grown_trees_are_the_same() -> None:
    tree = build(RAGGED[3])
    ends = set(tree.trajectories)
    again = Tree.grow(lambda prefix: None if prefix in ends else tree.instance(prefix))
    assert again.trajectories == tree.trajectories and again.depth == tree.depth and again.nodes == tree.nodes
    assert np.array_equal(again.total_reward, tree.total_reward)
    kept = tree.with_reward([level.reward for level in tree.levels])
    assert np.array_equal(kept.total_reward, tree.total_reward)


GOOD: dict[str, Any] = {"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("children", "words"),
    [
        ([None, GOOD | {"draft": [0.7, 0.7]}], r"prefix \(1\): draft sums to 1.4"),
        ([None, GOOD | {"children": [3, None]}], r"prefix \(1, 0\): a int"),
        ([{"draft": [1.0]}, None], r"prefix \(0\): missing \['base', 'reward'\]"),
        ([GOOD | {"child": []}, None], r"prefix \(0\): missing \[\], unknown \['child'\]"),
        ([None], r"prefix \(\): children must be a list of 2"),
        ("ab", r"prefix \(\): children must be a list of 2"),
        ([GOOD | {"reward": [float("nan"), 0.0]}, None], r"prefix \(0\): reward\[0\] = nan"),
        ([GOOD | {"reward": [1e301, 0.0]}, None], r"prefix \(0, 0\) sum to 1e\+301"),
    ],
)
def test_bad_nested_data_names_the_prefix(children: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Tree.from_nested(GOOD | {"children": children})


def test_endless_trees_end_in_an_error() -> None:
    loop: dict[str, Any] = dict(GOOD)
    loop["children"] = [loop, None]
    with pytest.raises(InputError, match=r"prefix \(0, 0, .* 10000 steps\): more than 1000000 nodes or 10000 steps"):
        Tree.from_nested(loop)


LAW = trajectory_law(TREES["ragged 3"], lambda i: i.log_base)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: Tree.grow(lambda prefix: None), r"prefix \(\): None: give an Instance"),
        (lambda t: Tree.grow(lambda prefix: 3), r"prefix \(\): a int: give an Instance"),
        (lambda t: trajectory_law(t, lambda i: i.log_base[:0]), r"prefix \(\): the method returned shape \(0,\)"),
        (
            lambda t: trajectory_law(t, lambda i: i.log_base + 1.0),
            r"prefix \(\): the method's probabilities sum to 2.7",
        ),
        (lambda t: trajectory_law(t, lambda i: i.log_base * np.nan), r"probabilities sum to nan"),
        (lambda t: LAW.expected_accepted, "reports no acceptance"),
        (lambda t: LAW.expectation([1.0]), r"values of shape \(1,\)"),
        (lambda t: chain_rule(LAW, trajectory_law(BIG_TREE, lambda i: i.log_base)), "trees of different shapes"),
        (lambda t: soft_value(t, -1.0), "beta = -1"),
        (lambda t: soft_value(t, 1.0, [0.0]), r"reward of shape \(1,\)"),
        (lambda t: soft_value(t, 1.0, np.full(t.total_reward.size, np.nan)), r"reward\[0\] = nan"),
        (lambda t: soft_value(t, 1e13), r"keep β·\|R\| within 1e\+12 nats"),
        (lambda t: stepwise_tilt(t, 1e13), r"keep β·\|R\| within 1e\+12 nats"),
        (lambda t: soft_value(BIG_TREE, 1.0, under=LAW), "another tree"),
        (lambda t: t.prefixes(0), "depth = 0"),
        (lambda t: t.with_reward([]), "rewards for 0 levels"),
        (lambda t: t.with_reward([np.zeros(1)] * t.depth), r"rewards of level 0 have shape \(1,\)"),
        (
            lambda t: stepwise_tilt(t, 1.0, [level.reward + np.inf for level in t.levels]),
            r"rewards at prefix \(0\) are not",
        ),
        (lambda t: t.instance((9,)), r"prefix \(9\): its step 0 leads to no node"),
        (lambda t: t.instance(t.trajectories[0]), "leads to no node"),
        (lambda t: Tree(t.levels[:-1]), "steps that do not end"),
        (lambda t: Tree(t.levels[1:]), "level 0 has"),
    ],
)
def test_bad_calls_name_the_value_and_the_cure(call: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call(TREES["ragged 3"])
