"""Switching between base and draft on trees: the two extremes are known laws, and a two-step case by hand."""

from __future__ import annotations

from functools import partial

import mpmath  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import pytest

from gsi_theory import Instance, Scheme, gsi_law
from gsi_theory.errors import InputError
from gsi_theory.methods import METHODS
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.switching import switching_law
from gsi_theory.steps.tree import Tree
from tests.oracles import enumeration

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
    switch = float(np.median(two.instance(()).reward))  # one of the rewards: equality goes on
    found = np.exp(switching_law(two, SCHEME, switch).log_prob)
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


def _two_steps_exactly(instance: Instance, scheme: Scheme, switch: float, start: str) -> dict[tuple[int, ...], object]:
    """Law of two steps at the same instance in 60 digits, from its numbers as they are."""
    size = range(instance.reward.size)
    with mpmath.workdps(enumeration.MP_DIGITS):
        draft, base, reward = (
            [mpmath.mpf(float(x)) for x in part] for part in (instance.log_draft, instance.log_base, instance.reward)
        )
        beta = mpmath.mpf(scheme.beta)
        # what the draft cannot draw has no weight of its own
        ratio = [b - d if mpmath.isfinite(d) else mpmath.mpf(0) for b, d in zip(base, draft, strict=True)]
        weight = [beta * r + x for r, x in zip(reward, ratio, strict=True)]
        won = enumeration.selection_law_mp(draft, weight, scheme.n, "softmax")
        fall = enumeration.selection_law_mp(base, [beta * r for r in reward], scheme.base_draws, "softmax")
        assert scheme.threshold is not None
        kept = [w >= beta * mpmath.mpf(scheme.threshold) for w in weight]
        reject = mpmath.fsum(p for p, k in zip(won, kept, strict=True) if not k)
        up = [r >= switch for r in reward]
        step = {  # by the model that proposes: mass of (outcome, model that comes next)
            "draft": {(y, True): (won[y] if kept[y] else 0) + (reject * fall[y] if up[y] else 0) for y in size}
            | {(y, False): 0 if up[y] else reject * fall[y] for y in size},
            "base": {(y, up[y]): fall[y] for y in size},
        }
        law: dict[tuple[int, ...], object] = {(y, z): mpmath.mpf(0) for y in size for z in size}
        for (y, by_draft), first in step[start].items():
            for (z, _), second in step["draft" if by_draft else "base"].items():
                law[y, z] += first * second
        return law


CANCELING = Instance(np.log([0.5, 0.5]), np.array([0.0, -1e4]), np.array([0.0, 0.0100003]))
UNCOVERED = Instance(
    np.array([0.0, -np.inf, -np.inf]), np.log([0.2, 0.4, 0.4]), np.array([0.0, 0.0100003, 0.0100001234567])
)


@pytest.mark.parametrize(
    ("instance", "threshold", "start"),
    [
        (CANCELING, 8e-7, "draft"),
        (CANCELING, -1.0, "draft"),
        (UNCOVERED, -1.0, "base"),
        (UNCOVERED, 0.02, "base"),
        (UNCOVERED, 0.02, "draft"),
    ],
)
def test_error_bounds_what_rounding_does(instance: Instance, threshold: float, start: str) -> None:
    """At β = 10⁶ weights are rounded to 10⁻¹² or so: of drafts whose terms cancel, and of what only the base draws,
    whether or not a draft is ever rejected."""
    tree = Tree.grow(lambda prefix: instance if len(prefix) < 2 else None)
    scheme = Scheme(1e6, 2, threshold)
    found = switching_law(tree, scheme, 0.0100002, start)
    exact = _two_steps_exactly(instance, scheme, 0.0100002, start)
    with mpmath.workdps(enumeration.MP_DIGITS):
        off = sum(
            abs(mpmath.exp(float(p)) - exact[path]) for path, p in zip(tree.trajectories, found.log_prob, strict=True)
        )
    assert 1e-14 < float(off) / 2.0 <= found.error < 1e-9


def test_bad_input() -> None:
    with pytest.raises(InputError, match="give a threshold and rule softmax"):
        switching_law(tree(), Scheme(1.0, 2), 0.0)
    with pytest.raises(InputError, match="start 'both'"):
        switching_law(tree(), SCHEME, 0.0, "both")
