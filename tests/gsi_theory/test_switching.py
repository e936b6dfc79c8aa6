"""Switching between base and draft on trees: the two extremes are known laws, and a two-step case by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.stepwise import trajectory_law
from gsi_theory.switching import switching_law
from gsi_theory.tree import Tree

SCHEME = Scheme(2.0, 3, 0.4)


def tree(depth: int = 3) -> Tree:
    def instance_at(prefix: tuple[int, ...]) -> Instance | None:
        if len(prefix) == depth or prefix[-1:] == (2,):
            return None
        rng = np.random.default_rng([1, len(prefix), *prefix])
        return Instance.from_probabilities(*rng.dirichlet(np.ones(3), 2), rng.uniform(size=3))

    return Tree.grow(instance_at)


def test_never_leaving_the_draft_is_gsi_and_never_leaving_the_base_is_soft_best_of_n() -> None:
    found = switching_law(tree(), SCHEME, -np.inf, "draft")
    gsi = trajectory_law(tree(), partial(gsi_law, scheme=SCHEME))
    assert np.exp(found.log_prob) == pytest.approx(np.exp(gsi.log_prob), abs=1e-13)
    assert found.proposed == pytest.approx(gsi.expected_steps)
    assert found.kept == pytest.approx(gsi.expected_accepted)
    assert found.written == pytest.approx(gsi.expected_rejected)
    base = switching_law(tree(), SCHEME, np.inf, "base")
    soft = trajectory_law(tree(), lambda i: METHODS["soft_bon_base"].law(i, SCHEME).log_prob)
    assert np.exp(base.log_prob) == pytest.approx(np.exp(soft.log_prob), abs=1e-13)
    assert base.proposed == 0.0 and base.written == pytest.approx(soft.expected_steps)


def test_two_steps_by_hand() -> None:
    """Path (a, b) starting with the base: b comes from the draft where r(a) ≥ v, else from the base."""
    two = tree(2)
    found, switch = np.exp(switching_law(two, SCHEME, 0.5).log_prob), 0.5
    for path, p in zip(two.trajectories, found, strict=True):
        root = two.instance(())
        first = np.exp(gsi_law(root, SCHEME).fallback_log_prob)[path[0]]
        if len(path) == 1:
            assert p == pytest.approx(first, abs=1e-13)
            continue
        law = gsi_law(two.instance(path[:1]), SCHEME)
        second = law.log_prob if root.reward[path[0]] >= switch else law.fallback_log_prob
        assert p == pytest.approx(first * np.exp(second)[path[1]], abs=1e-13)
    assert found.sum() == pytest.approx(1.0)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="give a threshold and rule softmax"):
        switching_law(tree(), Scheme(1.0, 2), 0.0)
    with pytest.raises(InputError, match="start 'both'"):
        switching_law(tree(), SCHEME, 0.0, "both")
