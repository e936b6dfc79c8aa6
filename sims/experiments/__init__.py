"""The table of experiments and the one way in which they run.

An experiment is a file of this folder that exports EXPERIMENT, a record of `sims.experiment_record`: to add one, write
the file (and for the gallery `figures/plot_NAME.py`). The table finds it by its name, and imports no other.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import pkgutil
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gsi_theory.errors import InputError, UnknownName, nearest
from gsi_theory.runs.artifact import provenance, require_writable, write_parquet_artifact
from gsi_theory.runs.journal import Journal, code_fingerprint, journal_path
from gsi_theory.runs.progress import Report
from gsi_theory.runs.settings import checked, whole
from gsi_theory.runs.user_file import load_member, names_file
from gsi_theory.runs.workers import Pool, local_pool
from gsi_theory.types import Record
from sims.experiment_record import PROFILES, Experiment, Rows, Run, Settings

__all__ = ["EXPERIMENTS", "PROFILES", "WORKERS", "RunCost", "estimate", "experiment_at", "run_experiment"]

WORKERS = min(8, os.cpu_count() or 1)
# A dry run measures at most so many cells of each kind, taken at random because costs follow patterns along the list,
# and after so many seconds of computing no more than two of each.
MEASURED, LONGEST_DRY_RUN = 12, 20.0
# Experiments whose file has another name, because a file of the library has theirs.
_FILES = {"methods": "method_comparison", "switching": "switching_trees"}


@cache
def _names() -> tuple[str, ...]:
    names = {file: name for name, file in _FILES.items()}
    return tuple(sorted(names.get(m.name, m.name) for m in pkgutil.iter_modules(__path__)))


class _Table(Mapping[str, Experiment]):
    """The experiments of this folder by name; a file is imported when its experiment is asked for."""

    def __getitem__(self, name: str) -> Experiment:
        if name not in _names():
            cure = nearest(name, _names()) or f": give one of {', '.join(_names())}, or FILE.py:NAME"
            raise UnknownName(f"no experiment {name!r}{cure}")
        experiment: Experiment = importlib.import_module(f"{__name__}.{_FILES.get(name, name)}").EXPERIMENT
        return experiment

    def __iter__(self) -> Iterator[str]:
        return iter(_names())

    def __len__(self) -> int:
        return len(_names())


EXPERIMENTS = _Table()


def _absolute(address: str) -> str:
    """A user's file by its whole path, so that workers of other folders find it."""
    file, _, name = address.rpartition(":")
    return f"{Path(file).resolve()}:{name}" if names_file(address) and name else address


def _digest(address: str) -> str | None:
    """Digest of a user's file, which the fingerprint of this package does not cover."""
    file = Path(address.rpartition(":")[0])
    return hashlib.sha256(file.read_bytes()).hexdigest() if names_file(address) and file.is_file() else None


@cache
def _loaded(address: str, digest: str | None) -> Experiment:
    return load_member(address, Experiment) if names_file(address) else EXPERIMENTS[address]


def experiment_at(address: str) -> Experiment:
    """The experiment of a name, or NAME of a user's FILE.py:NAME. InputError where there is none."""
    return _loaded(address, _digest(address))


class Job(NamedTuple):
    """One cell, as plain values that any worker can read; its repr says all that the result depends on."""

    address: str
    digest: str | None
    seed: int
    number: int
    cell: tuple[Any, ...]
    settings: Record


@dataclass(frozen=True)
class RunCost:
    """Cells by kind, seconds measured of some cells of each kind, the estimate of all in core-seconds, its error."""

    cells: Mapping[str, int]
    measured: Mapping[str, Sequence[float]]
    seconds: float
    stderr: float


def _run_of(experiment: Experiment, seed: int, settings: Settings) -> Run:
    """Seed and settings, checked. InputError otherwise."""
    seed = whole(seed, range(2**63), "seed")
    return Run(seed, checked(experiment.settings, settings, f" of experiment {experiment.name!r}"))


def _jobs(address: str, run: Run) -> list[Job]:
    cells, digest, position = experiment_at(address).cells(run.settings), _digest(address), _absolute(address)
    return [Job(position, digest, run.seed, i, tuple(cell), dict(run.settings)) for i, cell in enumerate(cells)]


def _play(job: tuple[Any, ...]) -> list[list[object]]:
    """The rows of one cell, each after the name of its table, as JSON holds them."""
    address, digest, seed, number, cell, settings = job
    if _digest(address) != digest:
        raise InputError(f"{address} is not the file this run began with: give every worker the same, or begin again")
    experiment = experiment_at(address)
    tables = {kind: table for table, kind in experiment.rows.items()}
    rows = experiment.work(experiment.cell(*cell), Run(seed, settings, number))
    return [[tables[type(row)], *row] for row in rows]


def _columns(experiment: Experiment, tables: Rows) -> Record:
    """The tables of the artifact by column; a table without rows has the columns of its type."""
    made = {}
    for table, rows in tables.items():
        names = (rows[0] if rows else experiment.rows[table])._fields  # type: ignore[union-attr]
        made[table] = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return made


def run_experiment(
    address: str,
    seed: int,
    out: Path,
    settings: Settings,
    pool: Pool | None = None,
    progress: Report | None = None,
    command: str = "",
) -> Path:
    """Write the artifact of an experiment, a name or FILE.py:NAME, to the path `out`, its tables as Parquet beside it.

    `settings` overrides defaults by name (numbers or their text); progress(done, total) counts cells. Finished cells
    are kept in a journal beside `out` until the artifact is written, so a killed run goes on where it stopped. Same
    seed and settings give the same bytes. Returns `out`. Raises InputError on an unknown experiment or setting, a bad
    value or a bad seed, before anything is computed.
    """
    experiment = experiment_at(address)
    run = _run_of(experiment, seed, settings)
    record = {"seed": run.seed, "settings": run.settings, "code": code_fingerprint()}
    require_writable(out)
    journal = Journal(journal_path(out), record | {"versions": provenance("", 0)["versions"]}, replace=True)
    results = journal.run(_jobs(address, run), _play, local_pool(WORKERS) if pool is None else pool, progress)
    rows: dict[str, list[Any]] = {table: [] for table in experiment.rows}
    for table, *values in (row for result in results for row in result):
        rows[table].append(experiment.rows[table](*values))
    summary, tables = experiment.collect(rows, run)
    path = write_parquet_artifact(
        out, experiment.name, provenance(command, run.seed), summary, _columns(experiment, tables)
    )
    journal.delete()
    return path


def estimate(address: str, seed: int, settings: Settings) -> RunCost:
    """Cost of a run, from cells done here one by one, some of each kind (the field `kind` of a cell).

    Times are of this process, so that other load on the machine does not count. The first cell of all is done once
    before, so that compilation and imports are not counted either.
    """
    experiment = experiment_at(address)
    run = _run_of(experiment, seed, settings)
    jobs, cells = _jobs(address, run), experiment.cells(run.settings)
    kinds: dict[str, list[Job]] = {}
    for job, cell in zip(jobs, cells, strict=True):
        kinds.setdefault(getattr(cell, "kind", "cell"), []).append(job)
    _play(jobs[0])
    measured: dict[str, list[float]] = {kind: [] for kind in kinds}
    began, pick = time.process_time(), random.Random(0)
    samples = {kind: pick.sample(subset, min(MEASURED, len(subset))) for kind, subset in kinds.items()}
    for at in range(MEASURED):
        for kind, sample in samples.items():
            if at >= len(sample) or (at > 1 and time.process_time() - began > LONGEST_DRY_RUN):
                continue
            start = time.process_time()
            _play(sample[at])
            measured[kind].append(time.process_time() - start)
    counts = {kind: len(subset) for kind, subset in kinds.items()}
    seconds = sum(counts[kind] * statistics.mean(times) for kind, times in measured.items())
    # of cells that were all measured nothing is estimated
    errors = [
        counts[kind] * statistics.stdev(times) / math.sqrt(len(times))
        for kind, times in measured.items()
        if 1 < len(times) < counts[kind]
    ]
    return RunCost(counts, measured, seconds, math.hypot(*errors))
