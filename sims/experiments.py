"""The table of experiments and the one way in which they run.

An experiment is a module with QUESTION, SETTINGS (name -> (default, allowed)), plan(seed, settings) -> jobs,
work(job) -> result, and collect(seed, settings, results) -> (summary, tables). Jobs are independent and carry their own
random streams, results come back in the order of the jobs, so the artifact does not depend on the number of workers.
To add an experiment, write such a module and name it in `_MODULES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from gsi_theory.artifact import provenance, write_artifact
from gsi_theory.errors import InputError
from sims import bounds_vs_n, exact_vs_mc, methods, steps
from sims.workers import worker_pool

__all__ = ["EXPERIMENTS", "Experiment", "Progress", "checked_settings", "checked_whole"]

Progress = Callable[[int, int], None]
WORKERS = {"workers": (min(8, os.cpu_count() or 1), range(1, 1025))}


@dataclass(frozen=True)
class Experiment:
    """name, question, run(seed, out, settings, progress, command) -> path of the artifact, defaults of the settings.

    `run` writes the artifact to the path `out`. `settings` overrides defaults by name (numbers or their text);
    progress(done, total), if not None, is called after each job. Same seed and settings give the same bytes. Raises
    InputError on an unknown setting, a bad value, or a bad seed, before anything is computed.
    """

    name: str
    question: str
    run: Callable[[int, Path, Mapping[str, Any], Progress | None, str], Path]
    defaults: Mapping[str, Any]


def checked_whole(value: Any, allowed: range, place: str) -> int:
    """`value` as a whole number of the range; InputError names the place."""
    cure = f"give a whole number from {allowed.start} to {allowed.stop - 1}"
    try:
        number = int(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number not in allowed or (isinstance(value, float) and value != number):
        raise InputError(f"{place} = {value!r}: {cure}")
    return number


def _names(value: Any, allowed: tuple[str, ...], place: str) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    names = [name.strip() if isinstance(name, str) else name for name in given]
    for name in names:
        if name not in allowed:
            raise InputError(f"{place} = {value!r} names {name!r}: give some of {', '.join(allowed)}, comma separated")
    return tuple(name for name in allowed if name in names)


def checked_settings(name: str, known: Mapping[str, tuple[Any, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of `known` overridden by `given`: whole numbers as int, lists of names as tuples in table order.

    `known` maps a setting to (default, allowed): a range, or a tuple of names. Raises InputError naming the setting,
    the value and what is allowed.
    """
    for key in given:
        if key not in known:
            raise InputError(f"setting {key!r} of experiment {name!r}: give one of {', '.join(known)}")
    checked: dict[str, Any] = {}
    for key, (default, allowed) in known.items():
        check = checked_whole if isinstance(allowed, range) else _names
        checked[key] = check(given.get(key, default), allowed, f"setting {key} of experiment {name!r}")
    return checked


@contextmanager
def _mapped(work: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[Iterable[Any]]:
    """Results of the jobs in order, from `workers` processes (one: from this one)."""
    if min(workers, len(jobs)) <= 1:
        yield map(work, jobs)
        return
    with worker_pool(min(workers, len(jobs))) as pool:
        yield pool.map(work, jobs)


def _run(
    module: ModuleType,
    seed: int,
    out: Path,
    settings: Mapping[str, Any],
    progress: Progress | None = None,
    command: str = "",
) -> Path:
    name = module.__name__.rpartition(".")[2]
    seed = checked_whole(seed, range(2**63), "seed")
    chosen = checked_settings(name, module.SETTINGS | WORKERS, settings)
    jobs = module.plan(seed, chosen)
    results = []
    with _mapped(module.work, jobs, chosen["workers"]) as stream:
        for result in stream:
            results.append(result)
            if progress is not None:
                progress(len(results), len(jobs))
    summary, tables = module.collect(seed, chosen, results)
    columns = {
        table: {column: [row[i] for row in rows] for i, column in enumerate(header)}
        for table, (header, rows) in tables.items()
    }
    return write_artifact(out, name, provenance(command, seed), summary, columns)


def _experiment(module: ModuleType) -> Experiment:
    known = module.SETTINGS | WORKERS
    defaults = {key: default for key, (default, _) in known.items()}
    return Experiment(module.__name__.rpartition(".")[2], module.QUESTION, partial(_run, module), defaults)


_MODULES = (exact_vs_mc, bounds_vs_n, methods, steps)

EXPERIMENTS: dict[str, Experiment] = {e.name: e for e in map(_experiment, _MODULES)}
