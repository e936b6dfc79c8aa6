"""Samplers of trees, drafters, tournaments and channels against their laws, in NumPy and torch; wrong laws fail."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from gsi_theory import Scheme
from gsi_theory.instance import tilted_policy
from gsi_theory.laws.channel import greedy_rejection_law
from gsi_theory.methods import METHODS
from gsi_theory.runs.settings import checked
from gsi_theory.steps.knockout import knockout_fail
from gsi_theory.steps.soft_value import sequence_tilt, value_tilt
from gsi_theory.steps.switching import switching_law
from sims.agreement import agreement, beside, compare, excess_tv, over_problems
from sims.experiment_record import Run
from sims.experiments import samplers
from sims.sampling.generators import TorchStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.other_samplers import sample_greedy, sample_knockout
from sims.sampling.sampler import sample_scheme
from sims.sampling.tree_sampler import sample_switching, sample_transfer
from sims.worlds import KnobWorld, world_instance, world_tree

DRAWS = 20_000
KINDS = ("scheme", "method", "drafters", "channel", "tree", "tournament")
INSTANCE = world_instance(KnobWorld(20.0, size=12), [0])


def played(least: int, **settings: object) -> tuple[dict[str, object], list[samplers._Row]]:
    """Summary and rows of the cells with n from `least` on."""
    run = Run(0, checked(samplers.EXPERIMENT.settings, settings))
    cells = list(enumerate(samplers.cells(run.settings)))
    rows = [
        row for i, cell in cells if cell.n >= least for row in samplers.work(cell, dataclasses.replace(run, number=i))
    ]
    summary, tables = samplers.collect({"cells": rows}, run)
    assert tables["cells"] == rows
    return summary, rows


def test_every_kind_of_sampler_plays_its_law() -> None:
    summary, rows = played(1, draws=5000, worlds="size:12+coverage:20")
    assert {row.kind for row in rows} == set(KINDS)
    assert summary["passed"] and summary["comparisons"] > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_torch_plays_the_same_laws(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    every = samplers.cells
    monkeypatch.setattr(
        samplers, "cells", lambda chosen: [c for c in every(chosen) if c.kind == kind and c.n in (3, 4)]
    )
    summary, rows = played(1, draws=4000, worlds="size:12+coverage:20", backend="torch")
    assert summary["passed"] and len(rows) >= 2


def test_torch_outcomes_are_tensors_and_a_seed_fixes_them() -> None:
    torch = pytest.importorskip("torch")
    one, two, other = (sample_scheme(INSTANCE, Scheme(2.0, 4, 0.5), 500, TorchStream(seed))[0] for seed in (1, 1, 2))
    assert isinstance(one, torch.Tensor) and torch.equal(one, two) and not torch.equal(one, other)


def test_rounds_played_in_parts_follow_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sims.sampling.method_sampler.HELD", 256)
    for key in ("expgsi_score_gate", "pooled", "gsi"):
        scheme = Scheme(2.0, 4, None if key == "pooled" else 0.6)
        played = sample_method(key, INSTANCE, scheme, 3000, np.random.default_rng(0))
        assert played.outcome.shape == (3000,) and played.reward_calls.shape == (3000,)
        assert (
            compare(np.exp(METHODS[key].law(INSTANCE, scheme).log_prob), None, played.outcome, np.ones(1)).worst < 4.5
        )


def test_wrong_laws_are_detected() -> None:
    """One draw more, an α or a switch a little off, a judge a little better: all far beyond any bound in use."""
    pi, mu = tilted_policy(INSTANCE, 5.0), INSTANCE.log_draft
    rng = np.random.default_rng(1)
    wrong = compare(
        np.exp(greedy_rejection_law(pi, mu, 5).log_prob), None, sample_greedy(pi, mu, 4, DRAWS, rng), np.ones(1)
    )
    assert wrong.worst > 6
    tree = world_tree(KnobWorld(5.0, depth=2, size=3), [2])
    law = np.exp(value_tilt(sequence_tilt(tree, 4.0), 5.0).log_prob)
    wrong = compare(law, None, sample_transfer(tree, 2.0, 5.0, tree.total_reward, DRAWS, rng), np.ones(1))
    assert wrong.worst > 6
    scheme = Scheme(5.0, 2, 0.2)
    switch = np.sort(np.concatenate([level.reward for level in tree.levels]))[[4, 9]]
    law = np.exp(switching_law(tree, scheme, float(switch[0])).log_prob)
    wrong = compare(law, None, sample_switching(tree, scheme, float(switch[1]), DRAWS, rng)[0], np.ones(1))
    assert wrong.worst > 6
    fail = float(knockout_fail(0.3, 0.75, 8, 4))
    lost = np.asarray(sample_knockout(0.3, 0.7, 8, 4, DRAWS, rng)).astype(int)
    assert compare(np.array([1 - fail, fail]), None, lost, np.ones(1)).worst > 6


@pytest.mark.parametrize(("start", "written"), [("draft", 0), ("base", 3)])
def test_switching_goes_on_with_who_wrote(start: str, written: int) -> None:
    """Every draft passes the gate and no reward the switch: a draft goes on drafting, a base never hands over."""
    tree = world_tree(KnobWorld(5.0, depth=3, size=3), [2])
    _, found = sample_switching(tree, Scheme(5.0, 2, -1e3), 9.0, 200, np.random.default_rng(3), start)
    assert np.all(np.asarray(found) == written)


class Mean(NamedTuple):
    name: str
    value: float | None
    stderr: float | None
    spread: float | None = None


def test_pairs_and_their_agreement() -> None:
    prob, values = np.array([0.5, 0.5]), np.array([0.0, 1.0])
    exact, found, error = beside(prob, values, np.array([0, 1] * 50 + [1, 1] * 50))
    assert (exact, found) == (0.5, 0.75) and error == pytest.approx(0.5 / np.sqrt(200))
    assert beside(np.array([1.0, 0.0]), values, np.array([0]))[2] is None
    assert excess_tv(np.array([0.7, 0.3]), prob, np.array([0, 0, 0, 1]))[:2] == pytest.approx((0.2, 0.25))
    assert agreement([(0.5, 0.52, 0.01), (0.0, 0.0, None)])["worst_abs_z"] == pytest.approx(2.0)
    assert not agreement([(0.5, 0.6, 0.01)])["passed"]
    # two-sided at 0.001 shared by two comparisons
    assert agreement([(0.5, 0.5, 0.01)] * 2)["bonferroni_bound"] == pytest.approx(stats.norm.isf(0.00025))
    rows = [Mean("a", 1.0, 3.0), Mean("a", 3.0, 4.0), Mean("b", None, 1.0)]
    assert over_problems(rows, 1) == [Mean("a", 2.0, 2.5), Mean("b", None, 1.0)]
    # the means 1 and 3 have standard deviation √2, their mean √2/√2
    assert over_problems(rows, 1, "value") == [Mean("a", 2.0, 2.5, pytest.approx(1.0)), Mean("b", None, 1.0)]
