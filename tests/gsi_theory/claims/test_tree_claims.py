"""Sides of the claims on the walk with steps back (M42) and on particles (M42b) are those of the tree judged."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, divergence, gsi_law
from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.steps.backtracking_walk import (
    BacktrackingWalk,
    first_leaf_kl_bound,
    forward_kl_bound,
    leaf_share_bound,
    mixing_bound,
    noisy_log_value,
)
from gsi_theory.steps.particles import log_second_moment, particle_law
from gsi_theory.steps.soft_value import sequence_tilt
from gsi_theory.steps.stepwise import trajectory_law
from tests.gsi_theory.claims.test_claims_methods import random_instance, two_steps


def sides(key: str, instance: Instance, scheme: Scheme) -> tuple[float, float]:
    verdict = CLAIMS[key].evaluate(instance, scheme)
    assert verdict.lhs is not None and verdict.rhs is not None
    return verdict.lhs, verdict.rhs


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("seed", range(4))
def test_claims_on_the_walk_are_those_of_the_tree(seed: int, n: int) -> None:
    instance, beta = random_instance(seed), 1.7
    tree, scheme = two_steps(instance), Scheme(beta, n)
    ratio = instance.log_draft - instance.log_base
    values, factor = noisy_log_value(tree, beta, [ratio, np.zeros(tree.levels[1].ends.size)])
    walk, tilt = BacktrackingWalk(tree, values), sequence_tilt(tree, beta).log_prob
    apart = 0.5 * np.abs(walk.after((n,))[0].prob - walk.stationary).sum()
    assert sides("M42-mixing", instance, scheme) == pytest.approx((apart, float(mixing_bound(n, factor, 2))), abs=1e-12)
    assert sides("M42-leaves", instance, scheme) == pytest.approx(
        (float(leaf_share_bound(factor, 2)), walk.leaf_share), abs=1e-13
    )
    assert sides("M42-leaves-read", instance, scheme)[0] == pytest.approx(0.25 / factor, abs=1e-13)
    kl = divergence.kl(tilt, walk.forward.log_prob)
    assert sides("M42-forward", instance, scheme) == pytest.approx((kl, float(forward_kl_bound(factor, 2))), abs=1e-13)
    assert sides("M42-forward-osc", instance, scheme) == pytest.approx((kl, np.ptp(ratio) ** 2 / 8.0), abs=1e-13)
    first = divergence.kl(tilt, walk.first_leaf.log_prob)
    assert sides("M42-first-leaf", instance, scheme) == pytest.approx(
        (first, first_leaf_kl_bound(factor, 2)), abs=1e-13
    )
    tv = divergence.tv(tilt, walk.first_leaf.log_prob)
    assert sides("M42-first-leaf-exact", instance, scheme) == pytest.approx((tv, 0.0), abs=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_claims_on_particles_are_those_of_the_tree(seed: int, n: int) -> None:
    instance, beta = random_instance(seed), 1.7
    tree, scheme = two_steps(instance), Scheme(beta, n)
    tilt, law = sequence_tilt(tree, beta).log_prob, particle_law(tree, beta, n).log_prob
    step = trajectory_law(tree, lambda node: gsi_law(node, scheme)).log_prob
    moment = divergence.kl(tilt, law), log_second_moment(tree, beta, n)
    assert sides("M42b-moment", instance, scheme) == pytest.approx(moment, abs=1e-12)
    nearer = divergence.tv(tilt, law), divergence.tv(tilt, step)
    assert sides("M42b-nearer", instance, scheme) == pytest.approx(nearer, abs=1e-12)


def test_the_reading_that_particles_are_nearer_fails_as_the_theory_says() -> None:
    same = Instance.from_probabilities([0.25, 0.75], [0.25, 0.75], [1.0, -1.0])
    verdict = CLAIMS["M42b-nearer"].evaluate(same, Scheme(1.0, 2))
    assert verdict.outcome is Outcome.REFUTED
    assert (verdict.lhs, verdict.rhs) == pytest.approx((0.2227350087, 0.2189867665), abs=1e-10)
    assert CLAIMS["M42b-moment"].evaluate(same, Scheme(1.0, 4)).outcome is Outcome.NOT_APPLICABLE
    assert CLAIMS["M42-mixing"].evaluate(same, Scheme(1.0, 257)).outcome is Outcome.NOT_APPLICABLE
