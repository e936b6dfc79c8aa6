"""Samplers of particles and of the walk with steps back against their exact laws."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory.steps.backtracking_walk import BacktrackingWalk, noisy_log_value
from gsi_theory.steps.particles import RESAMPLINGS, particle_law
from sims.agreement import bonferroni_bound, compare
from sims.sampling.tree_states_sampler import sample_particles, sample_walk
from tests.gsi_theory.sample_trees import TREES, build, ragged_tree

ROUNDS = 40_000


@pytest.mark.parametrize("resampling", RESAMPLINGS)
@pytest.mark.parametrize("seed", [3, 11])
def test_particles_agree(resampling: str, seed: int) -> None:
    tree = build(ragged_tree(seed, depth=3))
    outcome = sample_particles(tree, 2.0, 3, resampling, ROUNDS, np.random.default_rng([1, seed]))
    found = compare(np.exp(particle_law(tree, 2.0, 3, resampling).log_prob), None, outcome, outcome)
    assert found.worst <= bonferroni_bound(1e-5, found.count)


@pytest.mark.parametrize("name", ["ragged 1", "ragged 4"])
@pytest.mark.parametrize("steps", [5, 30])
def test_walks_agree(name: str, steps: int) -> None:
    tree, rng = TREES[name], np.random.default_rng(2)
    values, _ = noisy_log_value(tree, 2.0, [rng.normal(size=level.ends.size) for level in tree.levels])
    law = BacktrackingWalk(tree, values).after((steps,))[0]
    outcome = sample_walk(tree, values, steps, ROUNDS, np.random.default_rng(3))
    prob = np.append(law.leaf, 1.0 - law.leaf_share)
    found = compare(prob, None, np.where(outcome < 0, prob.size - 1, outcome), outcome)
    assert found.worst <= bonferroni_bound(1e-5, found.count)
