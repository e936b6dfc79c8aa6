"""The runner: dead workers, other code, resuming, dry runs, a real dask scheduler, and what the command line says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from gsi_theory.errors import InputError
from gsi_theory.runs import journal
from gsi_theory.runs.artifact import read_artifact, write_parquet_artifact
from gsi_theory.runs.artifact_tables import METADATA
from gsi_theory.runs.journal import Journal
from gsi_theory.runs.workers import cluster_pool, in_this_process, lasting_pool, local_pool
from sims.command_simulate import app
from sims.experiments import EXPERIMENTS, PROFILES, estimate, run_experiment

# Importable by worker processes, which are spawned: written to a folder on the path.
MODULE = """
import os, signal
from pathlib import Path

def dies_once(job):
    folder, number, deaths = job
    marker = Path(folder) / f"died-{number}"
    if number < deaths and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number

def dies(job):
    os.kill(os.getpid(), signal.SIGKILL)
"""
RECORD = {"command": "gsi simulate x", "seed": 3, "versions": {"python": "3"}, "commit": "abc"}


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mortal.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    import mortal

    yield mortal
    sys.modules.pop("mortal", None)


def test_jobs_of_killed_workers_are_done_again(tmp_path: Path, workers) -> None:
    jobs = [(str(tmp_path), i, 2) for i in range(6)]
    assert Journal(tmp_path / "j", {}).run(jobs, workers.dies_once, local_pool(2)) == [i * i for i in range(6)]
    assert sorted(p.name for p in tmp_path.glob("died-*")) == ["died-0", "died-1"]


def test_processes_of_a_lasting_pool_stay_for_the_next_jobs(tmp_path: Path, workers) -> None:
    with lasting_pool(1) as pool, pool(3) as executor, pool(1) as again:
        assert executor is again and executor.submit(os.getpid).result() == os.getpid()
    with lasting_pool(2) as pool:
        with pool(3) as executor:
            before = {job.result() for job in [executor.submit(os.getpid) for _ in range(9)]}
        with pool(1) as executor:
            assert executor.submit(os.getpid).result() in before
        jobs = [(str(tmp_path), i, 2) for i in range(6)]
        assert Journal(tmp_path / "j", {}).run(jobs, workers.dies_once, pool) == [i * i for i in range(6)]
        with pool(1) as executor:
            assert executor.submit(os.getpid).result() not in before


def test_workers_that_always_die_end_the_run_with_the_cure(tmp_path: Path, workers) -> None:
    with pytest.raises(InputError, match=f"died {journal.DEATHS} times without finishing a job.*fewer workers"):
        Journal(tmp_path / "j", {}).run([("a",), ("b",)], workers.dies, local_pool(2))


def test_a_result_is_kept_before_the_next_job_begins(tmp_path: Path) -> None:
    """In this process too: a run that stops at job 1 has kept the three before it, 4 to 2, and goes on from there."""
    done: list[int] = []

    def work(job: tuple[int]) -> int:
        if job[0] == 1 and 1 not in done:
            done.append(1)
            raise KeyboardInterrupt
        done.append(job[0])
        return job[0]

    jobs = [(i,) for i in range(5)]
    with pytest.raises(KeyboardInterrupt):
        Journal(tmp_path / "j", {}).run(jobs, work, in_this_process)
    seen: list[tuple[int, int]] = []
    assert Journal(tmp_path / "j", {}).run(jobs, work, in_this_process, lambda *p: seen.append(p)) == list(range(5))
    assert done == [4, 3, 2, 1, 1, 0] and seen == [(4, 5), (5, 5)]


def test_many_jobs_are_not_handed_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "AHEAD", 2)
    assert Journal(tmp_path / "j", {}).run([(i,) for i in range(7)], abs_of, local_pool(1)) == list(range(7))


def abs_of(job: tuple[int]) -> int:
    return abs(job[0])


def test_a_worker_with_other_code_is_refused() -> None:
    with pytest.raises(InputError, match="runs other code than this: install the same commit"):
        journal._checked(abs_of, "another fingerprint", (1,))


def test_a_killed_driver_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gsi_theory.cli", "simulate", "uniform_race", "--workers", "1", "--out"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([".", *sys.path])}
    cells = tmp_path / "cut" / "uniform_race.json.journal.jsonl"

    def kept() -> int:
        return cells.read_bytes().count(b"\n") - 1 if cells.exists() else 0

    running = subprocess.Popen([*command, str(tmp_path / "cut")], env=environment, stderr=subprocess.DEVNULL)
    while running.poll() is None and kept() < 5:
        pass
    running.kill()
    running.wait()
    assert kept() >= 5 and not (tmp_path / "cut" / "uniform_race.json").exists()
    seen: list[tuple[int, int]] = []
    line = "gsi simulate uniform_race --seed 0"
    for name, report in (("cut", lambda *p: seen.append(p)), ("whole", None)):
        run_experiment("uniform_race", 0, tmp_path / name / "uniform_race.json", {}, in_this_process, report, line)
    assert seen[0][0] > 5
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("cut", "whole"))
    assert one == two and len(one) == 3


@pytest.mark.parametrize(("fingerprint", "first"), [(None, 4), ("other code", 1)])
def test_results_of_other_code_are_not_taken_for_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fingerprint: str | None, first: int
) -> None:
    """Three cells are kept and the run stopped; the same code goes on with the fourth, other code begins again."""
    out, settings = tmp_path / "bounds_vs_n.json", {"largest_log2_n": 2, "families": "two_point"}

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment("bounds_vs_n", 0, out, settings, in_this_process, stop)
    if fingerprint is not None:
        monkeypatch.setattr("sims.experiments.code_fingerprint", lambda: fingerprint)
    seen: list[int] = []
    run_experiment("bounds_vs_n", 0, out, settings, in_this_process, lambda done, _: seen.append(done))
    assert seen[0] == first and seen[-1] == 9


def test_a_real_scheduler_gives_the_same_bytes(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    settings = {"largest_log2_n": 2, "families": "two_point,zipf"}
    with distributed.LocalCluster(**options) as cluster:
        assert cluster.scheduler_address.startswith("tcp://")
        pool = cluster_pool(cluster.scheduler_address)
        run_experiment("bounds_vs_n", 0, tmp_path / "far" / "bounds_vs_n.json", settings, pool)
    run_experiment("bounds_vs_n", 0, tmp_path / "near" / "bounds_vs_n.json", settings, in_this_process)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("far", "near"))
    assert one == two and len(one) == 4


def test_tables_carry_provenance_and_survive_the_round_trip(tmp_path: Path) -> None:
    columns = {"x": [1, None, 3], "y": [0.5, float("inf"), None], "s": ["a", "b", None], "f": [True, False, None]}
    path = write_parquet_artifact(tmp_path / "a.json", "a", RECORD, {"n": 1}, {"t": columns})
    artifact = read_artifact(path, "a")
    assert artifact.tables == {"t": columns} and artifact.provenance == RECORD
    metadata = pq.read_schema(tmp_path / "a.t.parquet").metadata
    assert json.loads(metadata[METADATA]) == RECORD | {"schema": 2, "artifact": "a", "table": "t"}
    before = (tmp_path / "a.t.parquet").read_bytes()
    write_parquet_artifact(path, "a", RECORD, {"n": 1}, {"t": columns})
    assert (tmp_path / "a.t.parquet").read_bytes() == before


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1])])
def test_a_missing_or_changed_table_is_bad_input(tmp_path: Path, damage) -> None:
    path = write_parquet_artifact(tmp_path / "a.json", "a", RECORD, {}, {"t": {"x": [1]}})
    damage(tmp_path / "a.t.parquet")
    with pytest.raises(InputError, match=r"a\.t\.parquet.*rerun the command"):
        read_artifact(path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [({"x": [1.0, float("nan")]}, r"NaN at a\.tables\.t\.x\[1\]"), ({"x": [1, "a"]}, "mixes types"),
     ({"x": [1], "y": []}, "unequal length")],
)  # fmt: skip
def test_bad_columns_are_refused_and_nothing_is_written(tmp_path: Path, columns, words: str) -> None:
    with pytest.raises(InputError, match=words):
        write_parquet_artifact(tmp_path / "a.json", "a", RECORD, {}, {"t": columns})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_described_and_states_its_cost(name: str) -> None:
    found = CliRunner().invoke(app, [name, "--describe"])
    said = " ".join(found.output.split())  # however it is wrapped
    assert found.exit_code == 0 and EXPERIMENTS[name].question in said and "cost of the full" in said
    assert EXPERIMENTS[name].full_minutes > 0
    for profile in PROFILES:
        assert set(EXPERIMENTS[name].profile(profile)) <= set(EXPERIMENTS[name].settings)


def test_list_names_every_experiment() -> None:
    found = CliRunner().invoke(app, [])
    assert found.exit_code == 0 and all(f"{name}\n" in found.output for name in EXPERIMENTS)


def test_dry_run_writes_nothing_and_counts_all_cells(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["bounds_vs_n", "--dry-run", "--set", "families=two_point", "--out", str(tmp_path)])
    assert found.exit_code == 0 and "9 cells" in found.output and "estimate:" in found.output
    assert not list(tmp_path.iterdir())
    cost = estimate("bounds_vs_n", 0, {"families": "two_point"})
    assert cost.cells == {"curves": 3, "gate": 3, "reward": 3} and cost.seconds > 0


def test_bad_requests_name_the_cure(tmp_path: Path) -> None:
    for arguments, words in (
        (["nonesuch"], "no experiment 'nonesuch'"),
        (["steps", "--profile", "huge"], "profile 'huge'"),
        (["steps", "--set", "trees=0"], "trees"),
        (["steps", "--cluster", "localhost"], "--cluster 'localhost': give the address"),
        (["samplers", "--set", "backend=numpy,torch"], "give one of numpy, torch, cuda"),
        (["steps", "--out", str(Path(__file__) / "x")], "cannot write"),
    ):
        found = CliRunner().invoke(app, ["--out", str(tmp_path), *arguments])
        assert isinstance(found.exception, InputError) and words in str(found.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_a_simulation_that_disagrees_with_its_law_is_an_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: bool, code: int
) -> None:
    summary = {"passed": passed, "worst_abs_z": 3.0, "comparisons": 7, "bonferroni_bound": 4.0}
    path = write_parquet_artifact(tmp_path / "steps.json", "steps", RECORD, summary, {"t": {"x": [1]}})
    monkeypatch.setattr("sims.command_simulate.simulate", lambda *_, **__: path)
    found = CliRunner().invoke(app, ["steps"])
    assert found.exit_code == code and "largest |z| 3.00 of 7 comparisons, bound 4.00" in found.output
