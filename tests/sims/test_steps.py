"""The experiment on several steps: its tables obey the chain rule and its bounds, its trees are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from figures.plot_steps import draw
from figures.style import house_style
from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.workers import local_pool
from gsi_theory.steps.soft_value import soft_value
from sims.experiments import run_experiment, steps

TINY = {"trees": 3, "depth": 3, "branching": 2}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    out = tmp_path_factory.mktemp("steps") / "steps.json"
    return read_artifact(run_experiment("steps", 0, out, TINY, local_pool(1), None, "test"), "steps")


def columns(artifact: Artifact, table: str) -> dict[str, np.ndarray]:
    return {name: np.array(values) for name, values in artifact.tables[table].items()}


def test_artifact_has_the_schema_and_small_rounding(artifact) -> None:
    assert {t: tuple(c) for t, c in artifact.tables.items()} == {
        "accumulation": steps.Accumulated._fields,
        "gap": steps.Gap._fields,
    }
    assert artifact.summary["largest_chain_error"] <= 1e-12
    assert artifact.summary["largest_increment_gap"] <= 1e-24
    assert len(artifact.tables["accumulation"]["n"]) == len(steps.METHODS) * 3
    assert len(artifact.tables["gap"]["beta"]) == len(steps.KINDS) * len(steps.BETAS) * 2


def test_accumulation_obeys_its_bounds(artifact) -> None:
    table = columns(artifact, "accumulation")
    for low, high in (("tv", "tv_coupling"), ("tv_coupling", "tv_sum"), ("tv", "tv_from_kl"), ("kl", "kl_high"),
                      ("kl_low", "kl"), ("tv_low", "tv"), ("tv", "tv_high")):  # fmt: skip
        assert np.all(table[low] <= table[high] + 1e-12), (low, high)
    for method, n in {(m, n) for m, n in zip(table["method"], table["n"], strict=True)}:
        own = (table["method"] == method) & (table["n"] == n)
        assert table["steps"][own].tolist() == [1, 2, 3]
        assert np.cumsum(table["kl_step"][own]) == pytest.approx(table["kl"][own], rel=1e-12)
        assert np.cumsum(table["tv_step"][own]) == pytest.approx(table["tv_sum"][own], rel=1e-12)
    ungated = table["method"] != "gsi"
    assert np.all(table["accepted_share"][ungated] == pytest.approx(1.0, abs=1e-12))
    assert np.all(table["accepted_share"][~ungated] < 1.0)
    race, softmax = (table["kl"][table["method"] == m] for m in ("race", "gsi_ungated"))
    assert np.all(race <= softmax)


def test_gap_is_zero_for_increments_and_only_for_them(artifact) -> None:
    table = columns(artifact, "gap")
    exact = (table["kind"] == "soft_increment") & (table["noise"] == 0)
    assert np.all(table["kl_stepwise"][exact] <= 1e-24)
    assert np.all(table["kl_sequence"][~exact & (table["steps"] > 1)] > 1e-9)
    assert table["reward_stepwise"][exact] == pytest.approx(table["reward_sequence"][exact], abs=1e-12)
    # One step with the reward on it is the sequence.
    last = (table["kind"] == "last_step") & (table["steps"] == 1)
    assert np.all(table["kl_sequence"][last] <= 1e-24)
    noisy = [table["kl_sequence"][(table["kind"] == "soft_increment") & (table["noise"] == s)] for s in (0.1, 0.3)]
    assert np.all(noisy[0] < noisy[1])


def test_bytes_depend_on_the_seed_alone(tmp_path) -> None:
    settings = TINY | {"trees": 1, "depth": 2}
    runs = [
        run_experiment("steps", seed, tmp_path / f"{k}.json", settings, local_pool(1), None, "test")
        for k, seed in enumerate((0, 0, 1))
    ]
    one, again, other = (read_artifact(path) for path in runs)
    assert one.tables == again.tables != other.tables


def test_tree_is_what_it_says() -> None:
    tree, correct = steps.random_tree(3, 1, 4, 3)
    assert tree.depth == 4 and correct.shape == (81,) and set(correct) == {0.0, 1.0}
    assert not any(level.reward.any() for level in tree.levels)
    value = soft_value(tree, 0.0, correct)
    assert 0.0 < value.root < 1.0
    assert np.array_equal(tree.arrange(value.step), correct)


def test_figure_draws_every_quantity(artifact) -> None:
    with house_style():
        figure = draw(artifact)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == "error after t steps" and titles[2:] == [
        "gap between the two tilts, 3 steps",
        "what the stepwise tilt earns, 3 steps",
    ]
    gap, earned = figure.axes[2:]
    assert len(gap.lines) == len(steps.KINDS) and len(earned.lines) == len(steps.KINDS) + 1
    exact = next(line for line in gap.lines if line.get_label() == "soft value, exact: gap 0")
    assert len(exact.get_xdata()) == 0
