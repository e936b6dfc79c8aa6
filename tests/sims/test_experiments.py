"""Every experiment writes its artifact, the same bytes for any number of workers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sims.experiments
from gsi_theory import InputError, Scheme
from gsi_theory.claims.facts import Facts
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.settings import checked
from gsi_theory.runs.workers import local_pool
from sims.experiment_record import Run
from sims.experiments import EXPERIMENTS, run_experiment
from sims.instance_families import FAMILIES, passing_threshold, signed
from tests.sims.tiny_runs import run_tiny, tiny_artifact, tiny_path

# Summaries and tables that others may read: no key and no column of theirs goes.
SUMMARY = {
    "exact_vs_mc": {"worst_abs_z", "bonferroni_bound", "comparisons", "level", "draws_per_cell", "passed"},
    "bounds_vs_n": {"seed", "families", "rows"},
    "methods": {
        *("seed", "beta", "worst_abs_z", "bonferroni_bound", "comparisons", "level", "draws_per_cell", "passed"),
    },
    "steps": {
        *("seed", "trees", "depth", "branching", "beta", "threshold", "largest_chain_error", "largest_increment_gap"),
    },
}
TABLES = {
    "exact_vs_mc": {"cells"},
    "bounds_vs_n": {"curves", "gate", "reward"},
    "methods": {"methods", "needed", "references"},
    "steps": {"accumulation", "gap"},
}


def run(name: str, out, seed: int = 0, progress=None, workers: int = 1, **settings):
    chosen = dict(EXPERIMENTS[name].tiny) | settings
    return run_experiment(name, seed, out / f"{name}.json", chosen, local_pool(workers), progress, "test")


def everything(path) -> dict[str, bytes]:
    """The bytes of an artifact: its JSON and its tables."""
    return {file.name: file.read_bytes() for file in sorted(path.parent.iterdir())}


@pytest.mark.parametrize("name", TABLES)
def test_artifact_has_the_schema(name, tmp_path) -> None:
    seen: list[tuple[int, int]] = []
    path = run(name, tmp_path, progress=lambda done, total: seen.append((done, total)))
    artifact = read_artifact(path, name)
    assert path == tmp_path / f"{name}.json" and artifact.provenance["seed"] == 0
    assert SUMMARY[name] <= set(artifact.summary) and set(artifact.tables) == TABLES[name]
    for table, columns in artifact.tables.items():
        assert tuple(columns) == EXPERIMENTS[name].rows[table]._fields
    assert all(len(next(iter(columns.values()))) > 0 for columns in artifact.tables.values())
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    tables = [f"{name}.{table}.parquet" for table in artifact.tables]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, *tables])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_two_seeds_differ(name) -> None:
    assert tiny_artifact(name, 0).tables != tiny_artifact(name, 1).tables


def test_bytes_do_not_depend_on_workers(tmp_path) -> None:
    """One experiment covers what the runner shares; spawning processes is the cost of this test."""
    alone = everything(run("bounds_vs_n", tmp_path / "alone"))
    assert everything(run("bounds_vs_n", tmp_path / "pair", workers=2)) == alone and len(alone) == 4


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_same_seed_same_bytes(name, tmp_path) -> None:
    files = everything(run_tiny(name, 0, tmp_path))
    assert files == {file: tiny_path(name, 0).with_name(file).read_bytes() for file in files} and len(files) >= 2


@pytest.mark.parametrize("name", [n for n in EXPERIMENTS if n not in ("bounds_vs_n", "steps")])
def test_every_simulation_has_a_stream_of_its_own(name, monkeypatch) -> None:
    """It is seeded with (seed, number of the experiment, cell), and no two cells share a number."""
    plain, seeds = np.random.default_rng, []
    monkeypatch.setattr(np.random, "default_rng", lambda seed: (seeds.append(tuple(seed)), plain(seed))[1])
    experiment = EXPERIMENTS[name]
    settings = checked(experiment.settings, experiment.tiny)
    last = list(enumerate(experiment.cells(settings)))[-3:]
    streams = []
    for number, cell in last:
        seeds.clear()
        rows = list(experiment.work(cell, Run(5, settings, number)))
        if not any(getattr(row, "simulated", getattr(row, "draws", None)) for row in rows):
            continue
        at = getattr(cell, "stream", number)
        own = [s for s in seeds if len(s) == 3 and s[0] == 5 and s[1] >= 10 and s[2] == at]
        assert own, (name, cell, seeds[:5])
        streams += own
    assert len(set(streams)) == len(streams)


def test_asking_for_one_experiment_imports_no_other() -> None:
    code = (
        "import sys; from sims.experiments import EXPERIMENTS; EXPERIMENTS['reward_vs_n'];"
        "print(*sorted(m for m in sys.modules if m.startswith('sims.experiments.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["sims.experiments.reward_vs_n"]


def test_the_table_finds_every_file_by_its_name_and_names_the_nearest() -> None:
    files = {path.stem for path in Path(sims.experiments.__path__[0]).glob("*.py")} - {"__init__"}
    assert len(EXPERIMENTS) == len(files) >= 18
    assert all(experiment.name == name for name, experiment in EXPERIMENTS.items())
    with pytest.raises(InputError, match=r"no experiment 'reward_vs_m' \(did you mean 'reward_vs_n'"):
        EXPERIMENTS["reward_vs_m"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draw": 5}, ["'draw'", "draws, families"]),
        ({"draws": "few"}, ["draws", "'few'", "whole number from 1"]),
        ({"draws": 0}, ["draws", "= 0"]),
        ({"draws": 2.5}, ["2.5"]),
        ({"draws": True}, ["True"]),
        ({"families": "zipf,nonesuch"}, ["families", "'nonesuch'", "heavy_tail"]),
    ],
)
def test_bad_settings_name_key_value_and_cure(settings, words, tmp_path) -> None:
    with pytest.raises(InputError) as caught:
        run_experiment("exact_vs_mc", 0, tmp_path / "a.json", settings)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_bad_seed(tmp_path) -> None:
    with pytest.raises(InputError, match="seed = -1"):
        run("bounds_vs_n", tmp_path, seed=-1)


def test_defaults_pass_their_own_check() -> None:
    for experiment in EXPERIMENTS.values():
        chosen = checked(experiment.settings, {})
        assert set(chosen) == set(experiment.defaults)
        assert chosen.get("families", tuple(FAMILIES)) == tuple(FAMILIES) or experiment.name == "methods"


def test_small_run_passes_its_bound(tmp_path) -> None:
    artifact = read_artifact(run("exact_vs_mc", tmp_path, families="two_point,thin_overlap"))
    assert artifact.summary["passed"] is True
    assert artifact.summary["worst_abs_z"] <= artifact.summary["bonferroni_bound"]


def test_bounds_lie_above_what_they_bound(tmp_path) -> None:
    tables = read_artifact(run("bounds_vs_n", tmp_path, families="two_point,dirichlet")).tables
    curves = {name: np.array(values) for name, values in tables["curves"].items() if name != "family"}
    # 1e-9 is far above the laws' error and far below what the curves show.
    for low, high in (
        ("kl_softmax", "bound_kl_mean"), ("bound_kl_mean", "bound_kl_chi2"), ("kl_softmax", "bound_theorem_b"),
        ("kl_race", "kl_softmax"), ("tv_race", "tv_softmax"), ("tv_race", "bound_tv_race"),
        ("tv_race", "bound_tv_tail"), ("tv_limit", "tv_race"),
    ):  # fmt: skip
        assert np.all(curves[low] <= curves[high] + 1e-9), (low, high)
    gate = tables["gate"]
    at = [i for i, n in enumerate(gate["n"]) if n == 10**6 and gate["beta"][i] == 1.0]
    for i in at:
        # (M7) is approached like χ²/n, and χ² is below 100 here.
        assert gate["tv"][i] == pytest.approx(gate["limit_tv"][i], abs=1e-4)
        assert gate["reward_gap"][i] == pytest.approx(gate["limit_reward_gap"][i], abs=1e-4)


def test_reward_table_holds_the_known_means(tmp_path) -> None:
    table = read_artifact(run("bounds_vs_n", tmp_path)).tables["reward"]
    instance = FAMILIES["two_point"].build(0)
    for method, policy in (("draft", instance.log_draft), ("base", instance.log_base)):
        values = [r for m, r in zip(table["method"], table["expected_reward"], strict=True) if m == method]
        assert values == pytest.approx([np.exp(policy[1])] * len(values))
    gated = [m in ("gsi", "gsi_race", "gsi_score_gate") for m in table["method"]]
    assert [p is not None for p in table["p_accept"]] == gated


def test_families_are_what_they_say() -> None:
    for name, family in FAMILIES.items():
        instance = family.build(4)
        assert family.name == name and not instance.uncovered
        assert instance.reward.min() >= 0 and instance.reward.max() <= 1
        assert np.array_equal(family.build(4).log_base, instance.log_base)
        assert not np.array_equal(family.build(5).log_base, instance.log_base)
        assert signed(instance).reward.min() == pytest.approx(2 * instance.reward.min() - 1)
    thin = FAMILIES["thin_overlap"].build(0)
    assert Facts.of(thin, Scheme(1.0, 1)).chi2_pair > 50


def test_passing_threshold_passes_its_share_and_no_higher_one_does() -> None:
    instance = FAMILIES["dirichlet"].build(0)
    facts = Facts.of(instance, Scheme(1.0, 1, passing_threshold(instance, 1.0, 0.3)))
    above = Facts.of(instance, Scheme(1.0, 1, np.nextafter(facts.threshold, np.inf)))
    assert facts.pi[facts.accepted].sum() >= 0.3 > above.pi[above.accepted].sum()


def test_transfer_q_bounds_by_hand(tmp_path) -> None:
    """The bound on the loss is what the aligned policy itself loses to ρ*; the tilt has no loss column."""
    tables = read_artifact(run("transfer_q", tmp_path)).tables["plane"]
    tilt, found = {}, []
    for row in zip(*(tables[c] for c in ("method", "parameter", "beta", "reward", "loss", "loss_bound")), strict=True):
        if row[0] == "sequence tilt":
            tilt[row[2]] = row[3]
            assert row[4] is None and row[5] is None
        elif row[0] == "transfer Q*" and row[1] == 1.0:
            found.append(row)
    # α = β = 1: the aligned policy is the tilt at 1, ρ* the tilt at 2
    (row,) = [r for r in found if r[2] == 1.0]
    assert row[4] == pytest.approx(tilt[2.0] - row[3]) and row[5] == pytest.approx(tilt[2.0] - tilt[1.0])
    assert all(r[4] <= r[5] + 1e-12 for r in found)


def test_no_two_experiments_draw_from_one_stream() -> None:
    folder = Path(str(sims.experiments.__file__)).parent
    streams = {f.name: set(re.findall(r"run\.rng\((\d+)", f.read_text(encoding="utf-8"))) for f in folder.glob("*.py")}
    numbers = [number for used in streams.values() for number in used]
    assert len(numbers) == len(set(numbers)) > 10
