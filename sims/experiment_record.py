"""What an experiment is: one record in one file of `sims/experiments`, and what its cells are told when they run.

An experiment is a list of independent cells. Every cell is a named tuple, `work` makes rows (named tuples too) from it,
and `collect` makes the summary and the tables of the artifact from all rows. A row depends on seed, settings and cell
alone, so that an artifact depends on neither workers, nor order, nor interruptions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gsi_theory.errors import InputError, nearest
from gsi_theory.types import Record

__all__ = ["PROFILES", "Collected", "Experiment", "Rows", "Run", "Settings", "everywhere"]

PROFILES = ("quick", "full")

# Checked settings by name.
Settings: TypeAlias = Mapping[str, Any]
# Named tuples by table; the first of a table says its columns.
Rows: TypeAlias = Mapping[str, Sequence[Any]]
Collected: TypeAlias = tuple[Record, Rows]


@dataclass(frozen=True)
class Run:
    """What a cell may depend on beside itself: seed, checked settings, and its number in the list of cells."""

    seed: int
    settings: Settings
    number: int = 0

    def rng(self, stream: int, number: int | None = None) -> np.random.Generator:
        """The generator (seed, stream, number of the cell); each experiment has a stream of its own."""
        return np.random.default_rng([self.seed, stream, self.number if number is None else number])


@dataclass(frozen=True)
class Experiment:
    """One experiment, by the name of its artifact.

    question, claim   what it asks, and what the literature says of it
    settings          name -> (default, allowed): a range, a tuple of names, or a function (value, place) -> value
    full              what the full profile sets beyond the defaults
    full_minutes      what the full profile takes, in minutes of one core (by `--dry-run`)
    tiny              settings with which it takes about a second: what tests run
    cell              the type of its cells; with a field `kind`, their costs are estimated kind by kind
    rows              table -> type of the rows that `work` makes
    cells             settings -> cells, in an order that settings alone decide
    work              (cell, run) -> rows of the types above
    collect           (rows by table, run) -> summary and tables of the artifact. What captions say must be in the
                      summary, findings among them: summary["findings"][name] = {"holds": bool or None, numbers}
    """

    name: str
    question: str
    claim: str
    settings: Mapping[str, tuple[Any, Any]]
    full: Settings
    full_minutes: float
    tiny: Settings
    cell: Callable[..., Any]
    rows: Mapping[str, type[tuple[Any, ...]]]
    cells: Callable[[Settings], Sequence[Any]]
    work: Callable[[Any, Run], Iterable[NamedTuple]]
    collect: Callable[[Rows, Run], Collected]

    @property
    def defaults(self) -> Record:
        """The settings of the quick profile."""
        return {key: default for key, (default, _) in self.settings.items()}

    def profile(self, name: str) -> Record:
        """What the profile sets beyond the defaults. InputError for an unknown profile."""
        if name not in PROFILES:
            raise InputError(f"profile {name!r}{nearest(name, PROFILES)}: give one of {', '.join(PROFILES)}")
        return dict(self.full) if name == "full" else {}


def everywhere(cases: Mapping[str, bool], **numbers: object) -> Record:
    """A finding about all cases: whether every one is true (None where there is none), and the names of the others."""
    exceptions = [name for name, true in cases.items() if not true]
    return {"holds": not exceptions if cases else None, "cases": len(cases), "exceptions": exceptions} | numbers
