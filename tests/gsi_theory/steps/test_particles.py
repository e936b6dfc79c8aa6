"""Sequential Monte Carlo with few particles (M42b) against ordered enumeration, its bound, and simulation."""

from __future__ import annotations

import mpmath  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import pytest
from scipy import stats

from gsi_theory import divergence
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.steps.particles import PROPOSALS, RESAMPLINGS, log_second_moment, particle_law
from gsi_theory.steps.soft_value import sequence_tilt, soft_value
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.tree import Tree
from tests.gsi_theory.sample_trees import RAGGED, build, exact_tree, ragged_tree
from tests.oracles import particle_enumeration as oracle

BETAS = (0.0, 0.5, 2.0, 20.0)


def cases(block: int) -> list[tuple[int, float, int, str, str]]:
    """Twenty of 420 cases: tree, beta, n, resampling, proposal; three steps with two particles, else two with three."""
    out = []
    for i in range(20 * block, 20 * block + 20):
        out.append((i, BETAS[i % 4], 1 + i % 3, RESAMPLINGS[(i // 3) % 3], PROPOSALS[(i // 2) % 2]))
    return out


@pytest.mark.parametrize("block", range(21))
def test_the_law_equals_ordered_enumeration(block: int) -> None:
    for seed, beta, n, resampling, proposal in cases(block):
        node = ragged_tree(seed + 1000, zeros=bool(seed % 4), depth=2 if n == 3 else 3)
        tree = build(node)
        law = particle_law(tree, beta, n, resampling, proposal)
        truth, draws, first, second = oracle.returned(node, beta, n, resampling, proposal)
        exact = np.array([float(truth.get(path, 0)) for path in tree.trajectories])
        assert np.max(np.abs(np.exp(law.log_prob) - exact)) <= 1e-12
        assert 0.5 * np.abs(np.exp(law.log_prob) - exact).sum() <= law.error
        assert law.draws == pytest.approx(float(draws), abs=1e-12)
        if not first:
            continue
        with mpmath.workdps(50):
            moment = mpmath.log(second / first**2)
        tilt = sequence_tilt(tree, beta).log_prob
        uncovered = divergence.kl(tilt, law.log_prob) == np.inf
        if resampling != "systematic":
            expected = np.inf if uncovered else float(moment)
            assert log_second_moment(tree, beta, n, resampling, proposal) == pytest.approx(expected, abs=1e-11)
        if not uncovered:
            assert divergence.kl(tilt, law.log_prob) <= float(moment) + 1e-12


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("beta", [0.0, 3.0, 1e6])
def test_one_particle_is_a_draft_and_one_step_is_softmax_selection(resampling: str, beta: float) -> None:
    tree = build(RAGGED[0])
    one = particle_law(tree, beta, 1, resampling)
    draft = trajectory_law(tree, lambda i: i.log_draft)
    assert np.max(np.abs(np.exp(one.log_prob) - np.exp(draft.log_prob))) <= 1e-14
    assert one.draws == pytest.approx(draft.expected_steps)
    node = exact_tree(1, 4)
    flat = build(node)
    instance = flat.instance(())
    weight = beta * instance.reward + instance.log_base - instance.log_draft
    for n in (2, 5):
        rule = selection_law(instance.log_draft, weight, n).log_prob
        assert np.max(np.abs(np.exp(particle_law(flat, beta, n, resampling).log_prob) - np.exp(rule))) <= 1e-13


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_zero_weights_everywhere_count_as_equal(resampling: str) -> None:
    """The base cannot take what the draft draws: the returned particle is a draft."""
    blind = Instance(np.log([0.5, 0.5, 1e-300]), np.array([-np.inf, -np.inf, 0.0]), np.array([0.0, 1.0, 2.0]))
    tree = Tree.grow(lambda prefix: blind if len(prefix) < 2 else None)
    law = particle_law(tree, 2.0, 3, resampling)
    drawn = np.exp(trajectory_law(tree, lambda i: i.log_draft).log_prob)
    assert np.max(np.abs(np.exp(law.log_prob) - drawn)) <= 1e-14


def test_ties_and_whole_expected_counts_leave_nothing_to_chance() -> None:
    """Four particles, two of each of two steps of equal weight: systematic resampling keeps two and two."""
    half = {"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [0.25, 0.25]}
    tree = Tree.from_nested(half | {"children": [half, half]})
    for beta in (0.0, 1e6):
        for n in (2, 4):
            law = particle_law(tree, beta, n, "systematic")
            assert np.exp(law.log_prob) == pytest.approx([0.25] * 4, abs=1e-15)
    # Weights 1 and 3 of two particles that differ: shares 1/4 and 3/4 of n = 2, so U decides between (0, 2) and (1, 1).
    one, three = 0.0, float(np.log(3.0))
    skew = {"draft": [0.5, 0.5], "base": [0.5, 0.5], "reward": [one, three]}
    sure = {"draft": [1.0], "base": [1.0], "reward": [0.0]}
    tree = Tree.from_nested(skew | {"children": [sure, sure]})
    assert np.exp(particle_law(tree, 1.0, 2, "systematic").log_prob) == pytest.approx([0.375, 0.625], abs=1e-15)


@pytest.mark.parametrize("beta", [1e3, 1e6])
@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("seed", range(6))
def test_large_beta_stays_within_the_stated_error(beta: float, resampling: str, seed: int) -> None:
    node = ragged_tree(seed + 2000, depth=3)
    tree = build(node)
    law = particle_law(tree, beta, 2, resampling)
    truth = oracle.returned(node, beta, 2, resampling, "draft")[0]
    exact = np.array([float(truth.get(path, 0)) for path in tree.trajectories])
    assert 0.5 * np.abs(np.exp(law.log_prob) - exact).sum() <= law.error <= 1e-6


@pytest.mark.parametrize("n", [1, 2, 6, 1000])
def test_bound_of_many_particles(n: int) -> None:
    """With soft value increments the moment is that of M11 at one step, and falls like 1/n beyond."""
    tree = build(exact_tree(3, 3))
    tree = tree.with_reward(soft_value(tree, 2.0).increment)
    moments = [np.expm1(log_second_moment(tree, 2.0, k)) for k in (n, 2 * n)]
    assert 0 < moments[1] < moments[0] <= 2.1 * moments[1] or n < 10
    if n <= 2:
        tilt = sequence_tilt(tree, 2.0).log_prob
        assert divergence.kl(tilt, particle_law(tree, 2.0, n).log_prob) <= np.log1p(moments[0]) + 1e-12


@pytest.mark.parametrize("resampling", RESAMPLINGS)
def test_simulation_agrees(resampling: str) -> None:
    """6,000 plays of four particles; one chance of a hundred thousand that any count is off by so much."""
    tree, beta, n, rounds = build(ragged_tree(7, zeros=False, depth=3)), 2.0, 4, 6_000
    rng = np.random.default_rng(3)
    nodes = {p: tree.instance(p) for t in range(tree.depth) for p in tree.node_prefixes(t)}
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(rounds):
        crowd, log_w = [()] * n, np.zeros(n)
        for t in range(tree.depth):
            for i, path in enumerate(crowd):
                if path in nodes:
                    node = nodes[path]
                    k = int(rng.choice(node.size, p=np.exp(node.log_draft)))
                    crowd[i] = (*path, k)
                    log_w[i] += beta * node.reward[k] + node.log_base[k] - node.log_draft[k]
            share = np.exp(log_w - log_w.max())
            share /= share.sum()
            if t == tree.depth - 1:
                chosen = crowd[int(rng.choice(n, p=share))]
                counts[chosen] = counts.get(chosen, 0) + 1
            elif resampling == "multinomial":
                crowd, log_w = [crowd[i] for i in rng.choice(n, n, p=share)], np.zeros(n)
            elif resampling == "systematic":
                order = sorted(range(n), key=lambda i: crowd[i])
                ends = np.cumsum(share[order])
                picked = np.searchsorted(ends, (rng.random() + np.arange(n)) / n, side="right")
                crowd, log_w = [crowd[order[min(i, n - 1)]] for i in picked], np.zeros(n)
    prob = np.exp(particle_law(tree, beta, n, resampling).log_prob)
    seen = np.array([counts.get(path, 0) for path in tree.trajectories])
    kept = rounds * prob >= 10
    z = (seen - rounds * prob)[kept] / np.sqrt(rounds * prob * (1 - prob))[kept]
    assert np.max(np.abs(z)) <= stats.norm.isf(1e-5 / (2 * kept.sum()))


def test_mistakes_are_named() -> None:
    tree = build(RAGGED[0])
    with pytest.raises(InputError, match="resampling"):
        particle_law(tree, 1.0, 2, "residual")
    with pytest.raises(InputError, match="proposal"):
        particle_law(tree, 1.0, 2, proposal="reward")
    with pytest.raises(InputError, match="at most 64"):
        particle_law(tree, 1.0, 65)
    with pytest.raises(InputError, match="fewer particles"):
        particle_law(build(exact_tree(4, 6)), 1.0, 20)
    with pytest.raises(InputError, match="n = 0"):
        particle_law(tree, 1.0, 0)
    with pytest.raises(InputError, match="systematic"):
        log_second_moment(tree, 1.0, 2, "systematic")
