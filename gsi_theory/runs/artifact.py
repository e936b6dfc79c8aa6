"""Artifacts: the files that stand between computing and drawing.

An artifact is a JSON file: a name, a provenance record, a `summary` (scalars and small nested values) and `tables`
(each a mapping of column name to a list, all columns of a table equally long). The tables are in the JSON
(`write_artifact`) or each in a Parquet file beside it (`write_parquet_artifact`); `read_artifact` reads both. Infinite
floats are stored as the strings "inf" and "-inf", because JSON has no infinity; NaN is refused. Keys are sorted and
nothing depends on the clock, so a rerun with the same seed, versions and command writes the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import read_json, shown
from gsi_theory.runs.json_output import SCHEMAS, plain, with_schema
from gsi_theory.runs.output import atomic_write_bytes, atomic_write_files, atomic_write_text, require_writable
from gsi_theory.types import Column, Json, Record

__all__ = [
    "Artifact",
    "atomic_write_bytes",
    "atomic_write_text",
    "is_current",
    "provenance",
    "read_artifact",
    "require_writable",
    "write_artifact",
    "write_parquet_artifact",
]

# table -> column -> values, equally many in all columns of a table
Tables: TypeAlias = Mapping[str, Mapping[str, Column]]
KINDS = ("artifact", "artifact_with_tables")  # tables in the JSON; in Parquet files beside it, named with digests
_CURE = "rerun the command that wrote it"
_VERSIONED = ("gsi-theory", "numpy", "scipy", "pyarrow", "torch", "transformers")


@dataclass(frozen=True)
class Artifact:
    """What `read_artifact` returns: name, provenance, summary and tables of equally long columns."""

    name: str
    provenance: Record
    summary: Record
    tables: dict[str, dict[str, list[Json]]]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def _commit() -> str | None:
    """The commit of the checkout this package runs from, with "+changes" if files differ; None outside a checkout."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        line = ["git", "-C", str(here), *words]
        return subprocess.run(line, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        commit, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def provenance(command: str, seed: int | None) -> Record:
    """What produced an artifact: command, seed, package versions and commit. No clock, no paths of the machine."""
    return {"command": command, "seed": seed, "versions": _versions(), "commit": _commit()}


def _lift(value: Json) -> Json:
    if value in ("inf", "-inf"):
        return float(value)
    if isinstance(value, list):
        return [_lift(v) for v in value]
    if isinstance(value, dict):
        return {k: _lift(v) for k, v in value.items()}
    return value


def is_current(path: str | os.PathLike[str], name: str, record: Mapping[str, object]) -> bool:
    """Whether `path` already holds artifact `name` made by the same command, seed, versions and commit.

    Never true while the checkout has uncommitted changes: the code may have changed since.
    """
    if str(record["commit"] or "").endswith("+changes"):
        return False
    try:
        found = read_artifact(path, name)
    except InputError:
        return False
    return found.provenance == dict(record)


def write_artifact(
    path: str | os.PathLike[str],
    name: str,
    record: Mapping[str, object],
    summary: Mapping[str, object],
    tables: Tables,
) -> Path:
    """Write one artifact; `record` is what `provenance` returned.

    Raises InputError when a table's columns differ in length or a NaN is found (place named).
    """
    _check_lengths(name, tables)
    return atomic_write_text(path, _text("artifact", name, record, summary, tables))


def _text(
    kind: str, name: str, record: Mapping[str, object], summary: Mapping[str, object], tables: Mapping[str, object]
) -> str:
    body = {"name": name, "provenance": record, "summary": summary, "tables": tables}
    text = json.dumps(plain(with_schema(kind, body), name), indent=1, sort_keys=True, allow_nan=False)
    return f"{text}\n"


def write_parquet_artifact(
    path: str | os.PathLike[str],
    name: str,
    record: Mapping[str, object],
    summary: Mapping[str, object],
    tables: Tables,
) -> Path:
    """As `write_artifact`, with each table in a Parquet file beside the JSON at `path`, named STEM.TABLE.parquet.

    The JSON comes last and holds the tables' digests: until it is written readers see the old artifact, or are told
    that its tables have been replaced. Each column holds one type.
    """
    # pyarrow is slow to import, and most commands need no table
    from gsi_theory.runs.artifact_tables import table_bytes

    path = Path(path)
    _check_lengths(name, tables)
    named, content = {}, {}
    for table, columns in tables.items():
        file = f"{path.stem}.{table}.parquet"
        about = with_schema("artifact_with_tables", {"artifact": name, "table": table, **record})
        content[file] = table_bytes(columns, about, f"{name}.tables.{table}")
        rows = len(next(iter(columns.values()), ()))
        named[table] = {"file": file, "rows": rows, "sha256": hashlib.sha256(content[file]).hexdigest()}
    text = _text("artifact_with_tables", name, record, summary, named)
    folder = path.resolve().parent
    atomic_write_files({folder / file: table for file, table in content.items()} | {path: text.encode()})
    return path


def _check_lengths(name: str, tables: Tables) -> None:
    for table, columns in tables.items():
        lengths = {column: len(values) for column, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"table {table!r} of artifact {name!r} has columns of unequal length {lengths}")


def _read_tables(path: Path, named: Json) -> dict[str, dict[str, list[Json]]]:
    """The tables of an artifact of format 2, from the files beside it."""
    from gsi_theory.runs.artifact_tables import read_table

    folder = path.resolve().parent
    try:
        entries = [(table, folder / Path(entry["file"]).name, entry["sha256"]) for table, entry in named.items()]
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{path} names its tables wrongly ({error!r}): {_CURE}") from error
    return {table: read_table(file, digest) for table, file, digest in entries}


def read_artifact(path: str | os.PathLike[str], name: str | None = None) -> Artifact:
    """Read an artifact; with `name`, insist that it is that one.

    Raises InputError naming the file when it is missing, is not JSON, or is not an artifact of this format.
    """
    path = Path(path)
    body = read_json(path, "an artifact, which the command that writes it makes anew (gsi report runs all)")
    fields = ("name", "provenance", "summary", "tables")
    # before schemas the number was called format
    numbers = [body[key] for key in ("schema", "format") if key in body] if isinstance(body, dict) else []
    known = [SCHEMAS[kind] for kind in KINDS]
    if not numbers or any(number not in known for number in numbers) or any(field not in body for field in fields):
        raise InputError(f"{path} is not an artifact of schema {' or '.join(map(str, known))}: {_CURE}")
    for field in ("provenance", "summary", "tables"):
        if not isinstance(body[field], dict):
            raise InputError(f"{path}: {field} = {shown(body[field])} is no object: {_CURE}")
    if name is not None and body["name"] != name:
        raise InputError(f"{path} holds artifact {body['name']!r}, expected {name!r}: give the right file")
    tables = _lift(body["tables"]) if numbers[0] == known[0] else _read_tables(path, body["tables"])
    for table, columns in tables.items():
        if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
            raise InputError(f"{path}: table {table!r} is no object of lists: {_CURE}")
        _check_lengths(str(path), {table: columns})
    return Artifact(body["name"], body["provenance"], _lift(body["summary"]), tables)
