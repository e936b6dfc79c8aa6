"""Pools: what two language models drew at some positions, in a table that any engine can write. No torch here.

A row is one candidate next step of one position, and a position is a pair (prompt_id, step). `source` says which
model drew it; both models scored it. A file is Parquet, or JSONL with one object per row (log-probabilities of a
support miss as -Infinity or "-inf"). `SCHEMA` lists the columns; columns of other names are kept and ignored.

A pool is a weighted set of candidates of mass 1/N each, so it enters the same laws as an exact instance (M30); its
log-ratio stays raw (never normalized), because thresholds are compared with raw tilted rewards.

What is refused, with the row and the cure: missing columns, nulls or wrong types in required columns, an unknown
source, rewards that are not finite, log-probabilities that are NaN or positive or, under the model that drew the
row, infinite, two rows of one (prompt_id, step, source, candidate), and rows of several sampling temperatures.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gsi_theory import Candidates
from gsi_theory.artifact import atomic_write_bytes
from gsi_theory.errors import InputError

__all__ = ["SCHEMA", "SOURCES", "Field", "Pool", "pool_from_columns", "read_pool", "write_pool"]

SOURCES = ("draft", "base")
_METADATA_KEY = b"gsi_pool"
# log-softmax never exceeds 0 by more than rounding: a larger value is no log-probability.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Field:
    """One column of a pool."""

    name: str
    type: pa.DataType
    required: bool
    unit: str
    meaning: str


SCHEMA: tuple[Field, ...] = (
    Field("prompt_id", pa.string(), True, "", "the problem or prompt"),
    Field("step", pa.int32(), True, "", "position within the solution, from 0; all rows of a position share a prefix"),
    Field("source", pa.string(), True, "", 'the model that drew the candidate: "draft" or "base"'),
    Field("candidate", pa.int32(), True, "", "number of the draw within (prompt_id, step, source), from 0"),
    Field("logp_draft", pa.float64(), True, "nats", "log-probability of the whole step under the draft"),
    Field("logp_base", pa.float64(), True, "nats", "log-probability of the whole step under the base"),
    Field("reward", pa.float64(), True, "reward", "reward of the step, from the reward model"),
    Field("gold_reward", pa.float64(), False, "reward", "reward of the step, from an exact checker"),
    Field("correct", pa.bool_(), False, "", "whether the whole solution that the step belongs to is right"),
    Field("n_tokens", pa.int32(), False, "tokens", "length of the step"),
    Field("finish_reason", pa.string(), False, "", 'why the step ended: "stop", "eos" or "length" (cut by the cap)'),
    Field("text", pa.string(), False, "", "the step as text"),
    Field("token_ids", pa.list_(pa.int32()), False, "", "the step as token ids"),
    Field("token_logp_draft", pa.list_(pa.float64()), False, "nats", "log-probability of each token, draft"),
    Field("token_logp_base", pa.list_(pa.float64()), False, "nats", "log-probability of each token, base"),
    Field("sampling_temperature", pa.float64(), False, "", "temperature the candidates were drawn at, one per pool"),
)
_FIELDS = {field.name: field for field in SCHEMA}
_REQUIRED = tuple(field.name for field in SCHEMA if field.required)


@dataclass(frozen=True)
class Pool:
    """A validated pool: `table` (pyarrow, columns of SCHEMA) and `metadata`, what produced it.

    Made by `read_pool` or `write_pool`; the arrays that its methods return are in the order of `candidate`.
    """

    table: pa.Table
    metadata: dict[str, Any]

    @cached_property
    def _groups(self) -> dict[tuple[str, int, str], NDArray[np.int64]]:
        """Rows of each (prompt_id, step, source), in the order of candidate; keys in the order of appearance."""
        order, starts = _sorted_groups(self.table)
        pieces = np.split(order, starts[1:])
        names = {name: self.table[name].to_pylist() for name in ("prompt_id", "step", "source")}
        pieces.sort(key=lambda rows: int(rows.min()))
        return {(names["prompt_id"][r[0]], names["step"][r[0]], names["source"][r[0]]): r for r in pieces}

    @cached_property
    def _numbers(self) -> dict[str, NDArray[np.float64]]:
        return {name: _floats(self.table, name) for name in ("logp_draft", "logp_base", "reward")}

    def keys(self) -> list[tuple[str, int]]:
        """The positions (prompt_id, step), in the order of first appearance."""
        return list(dict.fromkeys((prompt_id, step) for prompt_id, step, _ in self._groups))

    def positions(self, source: str) -> list[tuple[str, int]]:
        """The positions that have candidates of one source, in the order of first appearance."""
        return [(prompt_id, step) for prompt_id, step, drawn_by in self._groups if drawn_by == source]

    def rows(self, prompt_id: str, step: int, source: str) -> NDArray[np.int64]:
        """Row numbers in `table` of one position and source. Raises InputError when there are none."""
        if source not in SOURCES:
            raise InputError(f"source {source!r}: use one of {', '.join(SOURCES)}")
        found = self._groups.get((prompt_id, step, source))
        if found is None:
            raise InputError(f"the pool has no {source} candidates at {prompt_id!r}, step {step}: see Pool.keys()")
        return found

    def draft_candidates(self, prompt_id: str, step: int) -> Candidates:
        """The N draft draws of a position: log_mass -log N, reward, raw log_ratio = logp_base - logp_draft (nats)."""
        return self._candidates(self.rows(prompt_id, step, "draft"))

    def base_candidates(self, prompt_id: str, step: int) -> Candidates:
        """The N_B base draws of a position, as `draft_candidates`; log-ratio +inf where the draft cannot draw it."""
        return self._candidates(self.rows(prompt_id, step, "base"))

    def _candidates(self, rows: NDArray[np.int64]) -> Candidates:
        logp_draft, logp_base, reward = (self._numbers[n][rows] for n in ("logp_draft", "logp_base", "reward"))
        return Candidates(np.full(len(rows), -np.log(len(rows))), reward, logp_base - logp_draft)

    def column(self, prompt_id: str, step: int, source: str, name: str) -> NDArray[Any] | list[Any]:
        """One column of one position and source: an array for numbers and truth values, a list otherwise.

        Nulls of a number column become NaN. Raises InputError for a column that the pool does not have.
        """
        if name not in self.table.column_names:
            raise InputError(f"the pool has no column {name!r}: it has {', '.join(self.table.column_names)}")
        taken = self.table[name].take(pa.array(self.rows(prompt_id, step, source)))
        if pa.types.is_nested(taken.type) or pa.types.is_string(taken.type):
            return taken.to_pylist()
        return taken.to_numpy()


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def _sorted_groups(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row order by (prompt, step, source, candidate), and where in it each (prompt, step, source) starts."""
    prompt = table["prompt_id"].combine_chunks().dictionary_encode()
    source = np.asarray(table["source"].to_numpy(zero_copy_only=False)) == "base"
    codes = [prompt.indices.to_numpy(zero_copy_only=False), table["step"].to_numpy(), source]
    order = np.lexsort([table["candidate"].to_numpy(), *codes[::-1]])
    changes = np.zeros(len(order), dtype=bool)
    changes[0] = True
    for code in codes:
        changes[1:] |= code[order][1:] != code[order][:-1]
    return order, np.flatnonzero(changes)


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """The table with SCHEMA's columns in SCHEMA's types, then the other columns."""
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks the column(s) {', '.join(missing)}: a pool needs {', '.join(_REQUIRED)}")
    if table.num_rows == 0:
        raise InputError(f"{path} has no rows: a pool needs at least one candidate")
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(f"{path} has a column twice among {', '.join(table.column_names)}: keep one of each")
    known = [field for field in SCHEMA if field.name in table.column_names]
    columns = {}
    for field in known:
        try:
            columns[field.name] = table[field.name].cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}, column {field.name}: not {field.type} ({reason}): write that type") from error
    columns.update({name: table[name] for name in table.column_names if name not in _FIELDS})
    return pa.table(columns)


def _validate(table: pa.Table, path: Path, place: Callable[[int], str]) -> None:
    """Raise InputError for the first offence; `place(i)` names row i in the words of the file."""

    def refuse(bad: NDArray[np.bool_], name: str, cure: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"{path}, {place(row)}, {name} = {table[name][row].as_py()!r}: {cure}")

    for name in _REQUIRED:
        refuse(np.asarray(table[name].is_null().to_numpy()), name, "required columns hold no nulls, fill it")
    source = np.asarray(table["source"].to_numpy())
    refuse(~np.isin(source.astype(str), SOURCES), "source", f"use one of {', '.join(SOURCES)}")
    for name in ("step", "candidate"):
        refuse(table[name].to_numpy() < 0, name, "count from 0")
    for name in ("logp_draft", "logp_base"):
        logp = _floats(table, name)
        refuse(np.isnan(logp) | (logp > _ROUNDING), name, "give a log-probability in nats, at most 0")
        own = source == name.removeprefix("logp_")
        refuse((logp == -np.inf) & own, name, "the model drew this step, so it gave it mass: score it again")
    refuse(~np.isfinite(_floats(table, "reward")), "reward", "give a finite reward")
    if "sampling_temperature" in table.column_names:
        distinct = table["sampling_temperature"].unique().to_pylist()
        if len(distinct) > 1:
            other = np.array([t != distinct[0] for t in table["sampling_temperature"].to_pylist()])
            refuse(other, "sampling_temperature", f"other rows have {distinct[0]!r}: write one pool per temperature")
    order, _ = _sorted_groups(table)
    key = [np.asarray(table[name].to_numpy())[order] for name in ("prompt_id", "step", "source", "candidate")]
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in key])
    if same.any():
        first, second = sorted(int(r) for r in order[int(np.argmax(same)) :][:2])
        refuse(np.arange(table.num_rows) == second, "candidate", f"already used at {place(first)}: number the draws")


def _metadata(table: pa.Table, path: Path) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(_METADATA_KEY)
    if raw is None:
        return {}
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise InputError(f"{path} has provenance that is not JSON ({error}): write it with write_pool") from error
    return dict(found)


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a whole Parquet file ({reason}): copy or write it again") from error


def _read_jsonl(path: Path) -> tuple[pa.Table, list[int]]:
    """The table, and the line number of each row."""
    rows, lines = [], []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}): write JSONL") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}, column {error.colno}: {error.msg}; one object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}, column 1: {type(row).__name__}, not an object of named values")
        absent = [name for name in _REQUIRED if name not in row]
        if absent:
            raise InputError(f"{path}, line {number}: no field {absent[0]!r}, a pool needs {', '.join(_REQUIRED)}")
        rows.append(row)
        lines.append(number)
    names = dict.fromkeys([f.name for f in SCHEMA] + [name for row in rows for name in row])
    used = [name for name in names if any(name in row for row in rows)]
    return pa.table({name: _json_column(path, name, rows, lines) for name in used}), lines


def _json_column(path: Path, name: str, rows: list[dict[str, Any]], lines: list[int]) -> pa.Array:
    values = [row.get(name) for row in rows]
    if name.startswith("logp_"):
        values = [-np.inf if value == "-inf" else value for value in values]
    kind = _FIELDS[name].type if name in _FIELDS else None
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, OverflowError):
        for number, value in zip(lines, values, strict=True):
            try:
                pa.array([value], type=kind)
            except (pa.ArrowException, OverflowError) as error:
                raise InputError(f"{path}, line {number}, {name} = {value!r}: write it as {kind}") from error
        raise InputError(f"{path}, column {name}: values of several types, write one type") from None


def read_pool(path: str | os.PathLike[str]) -> Pool:
    """Read and validate a pool from `.parquet` or `.jsonl`.

    Raises InputError naming file, row (Parquet: counted from 0) or line (JSONL: from 1), field, value and cure.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no pool at {path}: give a .parquet or .jsonl file (gsi pool writes one)")
    if path.suffix == ".jsonl":
        table, lines = _read_jsonl(path)
        typed = _typed(table, path)
        _validate(typed, path, lambda row: f"line {lines[row]}")
        return Pool(typed, {})
    if path.suffix != ".parquet":
        raise InputError(f"{path} ends in {path.suffix!r}: a pool is a .parquet or a .jsonl file")
    table = _read_parquet(path)
    typed = _typed(table, path)
    _validate(typed, path, lambda row: f"row {row}")
    return Pool(typed, _metadata(table, path))


def write_pool(
    path: str | os.PathLike[str], columns: pa.Table | Mapping[str, Any], provenance: Mapping[str, Any]
) -> Pool:
    """Validate and write a pool as Parquet, `provenance` with it as JSON; returns it as `read_pool` would.

    The file appears whole or not at all, and equal content gives equal bytes. Errors as `read_pool`.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise InputError(f"{path} ends in {path.suffix!r}: write_pool writes .parquet")
    given = columns if isinstance(columns, pa.Table) else _table(columns, path)
    typed = _typed(given, path)
    _validate(typed, path, lambda row: f"row {row}")
    record = json.dumps(dict(provenance), sort_keys=True)
    buffer = io.BytesIO()
    pq.write_table(typed.replace_schema_metadata({_METADATA_KEY: record.encode()}), buffer, compression="zstd")
    atomic_write_bytes(path, buffer.getvalue())
    return Pool(typed, json.loads(record))


def pool_from_columns(columns: Mapping[str, Any]) -> Pool:
    """A validated pool held in memory, from columns as `collect_pool` returns them. Errors as `read_pool`."""
    place = Path("columns")
    typed = _typed(_table(columns, place), place)
    _validate(typed, place, lambda row: f"row {row}")
    return Pool(typed, {})


def _table(columns: Mapping[str, Any], path: Path) -> pa.Table:
    arrays = {}
    for name, values in columns.items():
        kind = _FIELDS[name].type if name in _FIELDS else None
        try:
            arrays[name] = pa.array(values, type=kind)
        except (pa.ArrowException, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}, column {name}: not {kind} ({reason}): give that type") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path} got columns of unequal length {lengths}: give one value per row")
    return pa.table(arrays)
