"""Worlds: each knob does what it says; texts and pool files are read or refused with the cure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gsi_theory import divergence
from gsi_theory.errors import InputError
from sims.pool_world import pool_instances
from sims.worlds import WORLDS, KnobWorld, checked_worlds, instance_of, world_instance, world_tree


def pool(path: Path, **changed: list[object]) -> Path:
    columns: dict[str, list[object]] = {
        "prompt_id": ["a", "a", "a", "b", "b"], "step": [0, 0, 0, 0, 1],
        "source": ["draft", "draft", "base", "draft", "draft"],
        "candidate": [0, 1, 0, 0, 0], "logp_draft": [-1.0, -2.0, -1.5, -1.0, -3.0],
        "logp_base": [-1.5, -1.0, -0.5, -1.0, -2.0], "reward": [0.2, 0.8, 0.5, 0.1, 0.9],
    }  # fmt: skip
    pq.write_table(pa.table({k: v for k, v in (columns | changed).items() if v}), path)
    return path


@pytest.mark.parametrize("coverage", [1.0, 3.0, 1e3, 1e6])
@pytest.mark.parametrize("tail", [-1.0, 0.0, 1.0])
def test_coverage_is_the_largest_ratio(coverage: float, tail: float) -> None:
    instance = world_instance(KnobWorld(coverage, tail=tail), [0])
    assert np.exp(np.max(instance.log_ratio)) == pytest.approx(coverage, rel=1e-9)


def test_correlation_moves_rewards_with_the_ratio() -> None:
    found = []
    for correlation in (-1.0, -0.5, 0.0, 0.5, 1.0):
        instance = world_instance(KnobWorld(30.0, correlation, size=500), [1])
        found.append(float(np.corrcoef(np.argsort(np.argsort(instance.log_ratio)), instance.reward)[0, 1]))
    assert found == sorted(found) and found[0] == pytest.approx(-1.0) and found[-1] == pytest.approx(1.0)
    assert abs(found[2]) < 0.15


def test_a_heavier_tail_has_less_kl_at_the_same_coverage() -> None:
    kl = [
        divergence.kl(i.log_base, i.log_draft)
        for t in (-1.0, 0.0, 1.0)
        for i in [world_instance(KnobWorld(tail=t), [2])]
    ]
    assert kl[0] > kl[1] > kl[2] > 0


def test_good_counts_the_answers_of_reward_one() -> None:
    reward = world_instance(KnobWorld(good=3), [3]).reward
    assert sorted(set(reward)) == [0.0, 1.0] and reward.sum() == 3
    graded = world_instance(KnobWorld(), [3]).reward
    assert graded.min() == 0.0 and graded.max() == 1.0 and len(set(graded)) == 100


def test_depth_is_the_number_of_steps_and_a_trajectory_earns_at_most_one() -> None:
    tree = world_tree(KnobWorld(depth=3, size=3), [4])
    assert tree.depth == 3 and len(tree.trajectories) == 27
    assert tree.total_reward.min() >= 0.0 and tree.total_reward.max() <= 1.0 + 1e-12
    assert not np.array_equal(tree.instance((0,)).log_draft, tree.instance((1,)).log_draft)


def test_seeds_give_other_instances_and_the_same_again() -> None:
    for name in WORLDS:
        one, two = (instance_of(name, [5], index) for index in range(2))
        assert np.array_equal(instance_of(name, [5]).reward, one.reward)
        assert not np.array_equal(one.reward, two.reward)


@pytest.mark.parametrize(
    ("text", "words"),
    [("nonesuch", "give one of strong"), ("coverage:0.5", "knob coverage = 0.5"), ("good:many", "not a number"),
     ("size:3+good:3", "knob good"), ("pool:nowhere.parquet", "no pool at nowhere.parquet"), ("", "give one of")],
)  # fmt: skip
def test_bad_worlds_name_the_place_and_the_cure(text: str, words: str) -> None:
    with pytest.raises(InputError, match="setting worlds" if "knob" not in words else words) as caught:
        checked_worlds(text, "setting worlds")
    assert words in str(caught.value)


def test_a_pool_file_is_a_world(tmp_path: Path) -> None:
    path = pool(tmp_path / "p.parquet")
    (text,) = checked_worlds(f"pool:{path}", "here")
    first, second, third = pool_instances(text.removeprefix("pool:"), 9)
    assert np.array_equal(instance_of(text, [0], 9).reward, third.reward)
    assert (first.size, second.size, third.size) == (2, 1, 1)
    assert np.exp(first.log_draft) == pytest.approx([0.5, 0.5])
    assert np.exp(first.log_base) == pytest.approx(np.exp([-0.5, 1.0]) / np.exp([-0.5, 1.0]).sum())
    assert checked_worlds(text, "here") == (text,)
    pool(path, reward=[0.3, 0.8, 0.5, 0.1, 0.9])
    assert checked_worlds(text, "here") != (text,)
    with pytest.raises(InputError, match="is not the pool this run began with"):
        instance_of(text, [0])


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"reward": []}, "no column 'reward'"), ({"source": ["base"] * 5}, "no draft candidates"),
     ({"reward": [None, 0.8, 0.5, 0.1, 0.9]}, "step 0 of prompt 'a'")],
)  # fmt: skip
def test_bad_pools_name_the_file_and_the_fault(tmp_path: Path, changed, words: str) -> None:
    with pytest.raises(InputError, match=words):
        instance_of(f"pool:{pool(tmp_path / 'p.parquet', **changed)}", [0], 2)
