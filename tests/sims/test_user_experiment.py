"""An experiment of a user's own file: run by the command, by worker processes, by a scheduler; a changed file is other
code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import read_artifact
from gsi_theory.runs.workers import cluster_pool, in_this_process, local_pool
from sims.command_simulate import app
from sims.experiments import run_experiment

MINE = """
from typing import NamedTuple

from sims.experiment_record import Experiment, everywhere


class Cell(NamedTuple):
    problem: int


class Row(NamedTuple):
    problem: int
    drawn: float
    process: int | None = None


def work(cell, run):
    yield Row(cell.problem, float(run.rng(1).normal()) * FACTOR)


def collect(rows, run):
    table = rows["draws"]
    return {"findings": {"small": everywhere({str(r.problem): abs(r.drawn) < 5 for r in table})}}, {"draws": table}


FACTOR = 1.0
EXPERIMENT = Experiment(
    name="mine",
    question="How large is a draw?",
    claim="Draws are small.",
    settings={"problems": (4, range(1, 100))},
    full={"problems": 50},
    full_minutes=0.01,
    tiny={"problems": 2},
    cell=Cell,
    rows={"draws": Row},
    cells=lambda settings: [Cell(i) for i in range(settings["problems"])],
    work=work,
    collect=collect,
)
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "my lab.py").write_text(MINE)
    return f"{tmp_path / 'my lab.py'}:EXPERIMENT"


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_processes_and_a_scheduler_load_the_file_themselves(tmp_path: Path, mine: str) -> None:
    distributed = pytest.importorskip("distributed")
    run_experiment(mine, 3, tmp_path / "here" / "mine.json", {}, in_this_process)
    run_experiment(mine, 3, tmp_path / "pair" / "mine.json", {}, local_pool(2))
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster:
        run_experiment(mine, 3, tmp_path / "far" / "mine.json", {}, cluster_pool(cluster.scheduler_address))
    here = files(tmp_path / "here")
    assert sorted(here) == ["mine.draws.parquet", "mine.json"]
    assert files(tmp_path / "pair") == here == files(tmp_path / "far")
    assert read_artifact(tmp_path / "here" / "mine.json").summary["findings"]["small"]["holds"] is True


def test_the_command_runs_describes_and_records_it(tmp_path: Path, mine: str) -> None:
    done = CliRunner().invoke(app, [mine, "--workers", "1", "--set", "problems=3", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    artifact = read_artifact(tmp_path / "out" / "mine.json", "mine")
    assert artifact.provenance["command"] == f"gsi simulate '{mine}' --seed 0 --set problems=3"
    assert len(artifact.tables["draws"]["problem"]) == 3
    described = CliRunner().invoke(app, [mine, "--describe"]).output
    assert "How large is a draw?" in described and "quick 4, full 50" in described


def test_a_changed_file_is_other_code(tmp_path: Path, mine: str) -> None:
    """Kept cells of the old file are not used, and one that changes under a run is named."""
    path, seen = Path(mine.rpartition(":")[0]), []

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(mine, 0, tmp_path / "mine.json", {}, in_this_process, stop)
    path.write_text(MINE.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    run_experiment(mine, 0, tmp_path / "mine.json", {}, in_this_process, lambda done, _: seen.append(done))
    twice = read_artifact(tmp_path / "mine.json").tables["draws"]["drawn"]
    path.write_text(MINE)
    run_experiment(mine, 0, tmp_path / "mine.json", {}, in_this_process)
    once = read_artifact(tmp_path / "mine.json").tables["draws"]["drawn"]
    assert seen == [1, 2, 3, 4] and twice == [2.0 * value for value in once]

    def change(done: int, _: int) -> None:
        path.write_text(MINE + "\n# changed\n")

    with pytest.raises(InputError, match="is not the file this run began with"):
        run_experiment(mine, 1, tmp_path / "mine.json", {}, in_this_process, change)


def test_what_is_no_experiment_names_the_cure(tmp_path: Path, mine: str) -> None:
    file = mine.rpartition(":")[0]
    for address, words in (
        (f"{file}:FACTOR", "must be an Experiment"),
        (f"{file}:EXPERIMENTS", "did you mean 'EXPERIMENT'"),
        (file, "FILE.py:NAME"),
        ("nowhere.py:X", "no file nowhere.py"),
    ):
        with pytest.raises(InputError, match=words):
            run_experiment(address, 0, tmp_path / "x.json", {}, in_this_process)
