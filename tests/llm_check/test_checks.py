"""The checks on the embedded pair, at small settings: they write readable artifacts and can fail."""

from __future__ import annotations

import numpy as np
import pytest

from gsi_theory import InputError
from gsi_theory.artifact import read_artifact
from llm_check.check_accuracy import wilson
from llm_check.check_law import full_forward_difference
from llm_check.checks import CHECKS
from llm_check.command_check import check
from llm_check.exact import checked_positions, enumerate_position, frequency_test
from llm_check.world import World, load_world

SMALL = {
    "lm_headline": {"problems": "1", "tolerance": "1e-3"},
    "lm_law": {"problems": "1", "draws": "2000", "tolerance": "1e-3", "n": "2"},
    "lm_prediction": {
        "problems": "1", "candidates": "400", "runs": "300", "ns": "1,4", "betas": "5", "tolerance": "1e-3",
    },
    "lm_accuracy": {"problems": "10", "ns": "1,2"},
    "lm_speed": {"problems": "2", "repeats": "1", "n": "2", "more": "3"},
}  # fmt: skip


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


@pytest.mark.parametrize("name", CHECKS)
def test_checks_write_the_same_artifact_twice(name: str, world: World, tmp_path) -> None:
    first = check(name, world, 3, tmp_path / "a", SMALL[name])
    second = check(name, world, 3, tmp_path / "b", SMALL[name])
    if name != "lm_speed":  # its content is seconds
        assert first.read_bytes() == second.read_bytes()
    artifact = read_artifact(first, name)
    assert all(len(columns) for table in artifact.tables.values() for columns in table.values())


def test_unknown_check_and_setting_are_refused(world: World, tmp_path) -> None:
    with pytest.raises(InputError, match="no check 'lm_none'"):
        check("lm_none", world, 0, tmp_path, {})
    with pytest.raises(InputError, match="setting 'drafts'"):
        check("lm_law", world, 0, tmp_path, {"drafts": "3"})
    with pytest.raises(InputError, match="setting draws = 'many'"):
        check("lm_law", world, 0, tmp_path, {"draws": "many"})
    assert not list(tmp_path.iterdir())


def test_frequency_test_accepts_the_law_and_rejects_another() -> None:
    rng = np.random.default_rng(61)
    law = np.array([0.5, 0.3, 0.15, 0.04, 0.01])
    outcomes = rng.choice(5, 20_000, p=law)
    assert frequency_test(outcomes, law).p_value > 0.001
    wrong = np.array([0.48, 0.32, 0.15, 0.04, 0.01])
    assert frequency_test(outcomes, wrong).p_value < 1e-6
    assert frequency_test(np.r_[outcomes, np.full(100, 5)], law).p_value < 1e-6  # outcomes outside the law


def test_cached_scores_equal_a_full_forward(world: World) -> None:
    place = checked_positions(world, 5, 2)[1]
    steps = [[3, 4, 13], [14, 5, 15], [1], [9, 9, 9, 9]]
    for engine in (world.draft, world.base):
        assert full_forward_difference(engine, list(place.prefix), steps) <= 1e-4


def test_enumeration_covers_both_models(world: World) -> None:
    place = checked_positions(world, 5, 1)[0]
    found = enumerate_position(world, place, 1e-4)
    assert found.missing_draft <= 1e-4
    assert found.missing_base <= 1e-4
    assert found.leaves == 44_326
    assert found.locate(found.tokens[:7]).tolist() == list(range(7))


def test_wilson_interval_at_the_edge() -> None:
    low, high = wilson(0, 20)
    assert low == 0.0
    assert 0.1 < high < 0.2
