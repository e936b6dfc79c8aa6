"""What commands share: options that mean the same everywhere, those that hold lists (`--n 1,2,4`), those without
effect, and the panels of --help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gsi_theory.errors import InputError
from gsi_theory.runs.workers import Pool, cluster_pool, local_pool

__all__ = [
    "OUTPUT",
    "RUN",
    "ArtifactsOption",
    "ClusterOption",
    "JsonOption",
    "MissingOption",
    "PoolArgument",
    "SeedOption",
    "WorkersOption",
    "distinct",
    "given_options",
    "listed",
    "refuse_options",
    "workers_of",
]

# Panels of --help; what a command computes stays in the first, "Options".
OUTPUT = "Output"
RUN = "Seed, speed, stopping"

SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of every random stream.", rich_help_panel=RUN)
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=1024,
        help="Processes; the result does not depend on it.",
        rich_help_panel=RUN,
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="tcp://HOST:PORT", help="A dask scheduler, in place of processes.", rich_help_panel=RUN
    ),
]
PoolArgument = Annotated[
    str,
    typer.Argument(
        metavar="POOL", help="Pool: .parquet or .jsonl with one candidate a line, or a folder, glob or URL of them."
    ),
]
MissingOption = Annotated[
    str | None,
    typer.Option(
        "--missing",
        metavar="CHOICE",
        help="Rewards that are null: drop-row, worst or drop-prompt (default: the last; the others are told).",
    ),
]
ArtifactsOption = Annotated[
    Path, typer.Option("--out", metavar="FOLDER", help="Folder of the artifact.", rich_help_panel=OUTPUT)
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.", rich_help_panel=OUTPUT)]

Member = TypeVar("Member")
_SHOWN = 60  # characters of a list that an error repeats


def distinct(members: Iterable[Member]) -> tuple[Member, ...]:
    """Every member once, in the order of first appearance: what is given twice is computed and counted once."""
    return tuple(dict.fromkeys(members))


def listed(text: str, kind: Callable[[str], Member], name: str) -> tuple[Member, ...]:
    """The members of a comma-separated list, each once; kind: int, float or str.

    Raises InputError, naming the option --name, for a member that is not of its kind or empty.
    """
    try:
        members = [kind(part.strip()) for part in text.split(",")]
    except ValueError:
        members = []
    if not members or "" in members:
        what = {int: "whole numbers", float: "numbers"}.get(kind, "names")  # type: ignore[call-overload]
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise InputError(f"--{name} {shown!r}: give {what} separated by commas") from None
    return distinct(members)


def workers_of(workers: int, cluster: str | None) -> Pool:
    """Who does the jobs of a command: so many processes, or the cluster's. Raises InputError as `cluster_pool`."""
    return local_pool(workers) if cluster is None else cluster_pool(cluster)


def given_options(context: typer.Context | None, but: Sequence[str] = ()) -> list[str]:
    """The parameters, by name, that the command line gave, but those named in `but`; none without a context, outside
    the command line."""
    if context is None:
        return []
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name == "COMMANDLINE" and name not in but]


def refuse_options(context: typer.Context | None, names: Sequence[str], why: str) -> None:
    """InputError where the command line gave one of these parameters, which would have no effect; `why` says the
    case and the cure."""
    if context is None:
        return
    given = set(given_options(context)) & set(names)
    options = [parameter.opts[0] for parameter in context.command.params if parameter.name in given]
    if options:
        raise InputError(f"{', '.join(options)} would have no effect {why}")
