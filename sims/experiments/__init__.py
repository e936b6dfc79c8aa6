"""The table of experiments and the one way in which they run.

An experiment is a module with QUESTION, CLAIM (what it answers), SETTINGS (name -> (default, allowed)),
FULL (settings of the full profile), FULL_MINUTES (its cost in minutes of one core, by `--dry-run`), plan(seed,
settings) -> jobs, work(job) -> result, and collect(seed, settings, results) -> (summary, tables). Jobs are independent
tuples whose repr says all that their results depend on, seed and cell included, and results are JSON. So the artifact
depends on neither workers, nor order, nor interruptions. To add an experiment, write such a module and name it in
`_MODULES`.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from gsi_theory.errors import InputError, Named, nearest
from gsi_theory.runs.artifact import provenance, require_writable, write_parquet_artifact
from gsi_theory.runs.journal import Journal, code_fingerprint
from gsi_theory.runs.progress import Report
from gsi_theory.runs.settings import checked, whole
from gsi_theory.runs.workers import Pool, local_pool
from sims.experiments import (
    bounds_vs_n,
    coverage,
    drafter_teams,
    exact_vs_mc,
    frontier,
    gate_ablation,
    latency,
    methods,
    overoptimization,
    process_reward,
    reward_vs_n,
    sample_complexity,
    samplers,
    steps,
    switching,
    tournaments,
    transfer_q,
    uniform_race,
)

__all__ = [
    "EXPERIMENTS",
    "PROFILES",
    "WORKERS",
    "Cost",
    "Experiment",
    "estimate",
    "run_experiment",
]

WORKERS = min(8, os.cpu_count() or 1)
PROFILES = ("quick", "full")
# A dry run measures at most so many cells of each kind, taken at random because costs follow patterns along the list,
# and after so many seconds of computing no more than two of each.
MEASURED, LONGEST_DRY_RUN = 12, 20.0

Collected = tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]


@dataclass(frozen=True)
class Experiment:
    """What a module of the table states; full_minutes: minutes of one core that the full profile takes."""

    name: str
    question: str
    claim: str
    settings: Mapping[str, tuple[Any, Any]]  # as runs/settings.py reads them
    full: Mapping[str, Any]
    full_minutes: float
    plan: Callable[[int, Mapping[str, Any]], Sequence[tuple[Any, ...]]]
    work: Callable[[Any], Any]
    collect: Callable[[int, Mapping[str, Any], Sequence[Any]], Collected]

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings of the quick profile."""
        return {key: default for key, (default, _) in self.settings.items()}

    def profile(self, name: str) -> dict[str, Any]:
        """What the profile sets beyond the defaults. InputError for an unknown profile."""
        if name not in PROFILES:
            raise InputError(f"profile {name!r}{nearest(name, PROFILES)}: give one of {', '.join(PROFILES)}")
        return dict(self.full) if name == "full" else {}


@dataclass(frozen=True)
class Cost:
    """Cells by kind, seconds measured of some cells of each kind, the estimate of all in core-seconds, its error."""

    cells: Mapping[str, int]
    measured: Mapping[str, Sequence[float]]
    seconds: float
    stderr: float


def run_experiment(
    name: str,
    seed: int,
    out: Path,
    settings: Mapping[str, Any],
    pool: Pool | None = None,
    progress: Report | None = None,
    command: str = "",
) -> Path:
    """Write the artifact of experiment `name` to the path `out`, its tables as Parquet beside it; returns `out`.

    `settings` overrides defaults by name (numbers or their text); progress(done, total) counts cells. Finished cells
    are kept in the folder beside `out` until the artifact is written, so a killed run goes on where it stopped. Same
    seed and settings give the same bytes. Raises InputError on an unknown experiment or setting, a bad value or a bad
    seed, before anything is computed.
    """
    experiment = EXPERIMENTS[name]
    seed = whole(seed, range(2**63), "seed")
    chosen = checked(experiment.settings, settings, f" of experiment {name!r}")
    record = {"seed": seed, "settings": chosen, "code": code_fingerprint(), "versions": provenance("", 0)["versions"]}
    require_writable(out)
    journal = Journal(out.with_suffix(".cells"), record)
    jobs = experiment.plan(seed, chosen)
    results = journal.run(jobs, experiment.work, local_pool(WORKERS) if pool is None else pool, progress)
    summary, tables = experiment.collect(seed, chosen, results)
    columns = {
        table: {column: [row[i] for row in rows] for i, column in enumerate(header)}
        for table, (header, rows) in tables.items()
    }
    path = write_parquet_artifact(out, name, provenance(command, seed), summary, columns)
    journal.close()
    return path


def estimate(name: str, seed: int, settings: Mapping[str, Any]) -> Cost:
    """Cost of a run, from cells done here one by one, some of each kind (first entry of the job).

    Times are of this process, so that other load on the machine does not count. The first cell of all is done once
    before, so that compilation and imports are not counted either.
    """
    experiment = EXPERIMENTS[name]
    chosen = checked(experiment.settings, settings, f" of experiment {name!r}")
    jobs = experiment.plan(whole(seed, range(2**63), "seed"), chosen)
    kinds: dict[str, list[Any]] = {}
    for job in jobs:
        kinds.setdefault(job[0] if isinstance(job[0], str) else "cell", []).append(job)
    experiment.work(jobs[0])
    measured: dict[str, list[float]] = {kind: [] for kind in kinds}
    began, pick = time.process_time(), random.Random(0)
    chosen_of = {kind: pick.sample(own, min(MEASURED, len(own))) for kind, own in kinds.items()}
    for at in range(MEASURED):
        for kind, own in chosen_of.items():
            if at >= len(own) or (at > 1 and time.process_time() - began > LONGEST_DRY_RUN):
                continue
            start = time.process_time()
            experiment.work(own[at])
            measured[kind].append(time.process_time() - start)
    cells = {kind: len(own) for kind, own in kinds.items()}
    seconds = sum(cells[kind] * statistics.mean(found) for kind, found in measured.items())
    # of cells that were all measured nothing is estimated
    errors = [
        cells[kind] * statistics.stdev(found) / math.sqrt(len(found))
        for kind, found in measured.items() if 1 < len(found) < cells[kind]
    ]  # fmt: skip
    return Cost(cells, measured, seconds, math.hypot(*errors))


def _experiment(module: ModuleType) -> Experiment:
    name = module.__name__.rpartition(".")[2]
    return Experiment(
        name, module.QUESTION, module.CLAIM, module.SETTINGS, module.FULL, module.FULL_MINUTES, module.plan,
        module.work, module.collect,
    )  # fmt: skip


_MODULES = (
    exact_vs_mc,
    bounds_vs_n,
    methods,
    steps,
    samplers,
    reward_vs_n,
    gate_ablation,
    frontier,
    coverage,
    overoptimization,
    latency,
    process_reward,
    sample_complexity,
    tournaments,
    transfer_q,
    drafter_teams,
    uniform_race,
    switching,
)

EXPERIMENTS: dict[str, Experiment] = Named("experiment", {e.name: e for e in map(_experiment, _MODULES)})
