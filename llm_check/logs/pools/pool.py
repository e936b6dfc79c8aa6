"""Pools: what two language models drew at some positions, in a table that any engine can write. No torch here.

A row is one candidate next step of one position, and a position is a pair (prompt_id, step). `source` says which
model drew it; both models scored it. A file is Parquet, or JSONL with one object per row (log-probabilities of a
support miss as -Infinity or "-inf"). `SCHEMA` lists the columns; columns of other names are kept and ignored.

A pool is a weighted set of candidates of mass 1/N each, so it enters the same laws as an exact instance (M30); its
log-ratio stays raw (never normalized), because thresholds are compared with raw tilted rewards.

What is refused, with the row and the cure: missing columns, nulls or wrong types in required columns, an unknown
source, rewards that are not finite or outside the range that the file states, log-probabilities that are NaN or
positive or, under the model that drew the row, infinite, negative token counts, two rows of one (prompt_id, step,
source, candidate), and rows of several sampling temperatures.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gsi_theory import Candidates
from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.artifact import atomic_write_bytes
from gsi_theory.types import Ints, Json, Record
from llm_check.logs.pools.checked_rows import NothingLeft, checked_rows
from llm_check.logs.pools.log_files import LogFiles, LogSource, group_file, small_file
from llm_check.logs.pools.pool_files import (
    LeftOut,
    TableFile,
    file_metadata,
    left_out_record,
    read_table,
    refuse_one_model,
    table_of,
    typed,
)
from llm_check.logs.pools.position_arrays import PositionArrays, position_arrays
from llm_check.logs.pools.row_checks import Range, checked_range
from llm_check.logs.pools.schema import REQUIRED, SCHEMA, SOURCES, Field

__all__ = [
    "SCHEMA",
    "SOURCES",
    "Field",
    "LeftOut",
    "Pool",
    "as_pool",
    "pool_from_columns",
    "pool_of_file",
    "read_pool",
    "write_pool",
]


# Columns that a row can be judged by, of those of some length.
_NUMBERS = (*REQUIRED, "gold_reward", "n_tokens", "sampling_temperature")


@dataclass(frozen=True)
class Pool:
    """A validated pool: `arrays`, its rows flattened once, `metadata`, what produced it, and `left_out`, the bad rows
    whose prompts are not in the table (empty unless read with strict=False); whole: rows and prompts of the files it is
    of, where it may be less.

    Made by `read_pool`, `write_pool` or `pool_from_columns`; the arrays that its methods return are in the order of
    `candidate`.
    """

    arrays: PositionArrays
    metadata: Record
    left_out: tuple[LeftOut, ...] = ()
    whole: tuple[int, int] | None = None

    @property
    def table(self) -> pa.Table:
        """The rows as pyarrow, columns of SCHEMA."""
        return self.arrays.table

    @property
    def prompts_left_out(self) -> int:
        """Prompts that are not in the table because one of their rows is bad."""
        return int(self.left_out_record()["prompts"])

    @property
    def read(self) -> tuple[int, tuple[int, int]] | None:
        """(prompts, `whole`): what the pool is of the files it was read from, where it may be less."""
        return None if self.whole is None else (len({name for name, _ in self.arrays.names}), self.whole)

    def left_out_record(self) -> Record:
        """Rows and prompts that reading left out because of bad rows, as commands report them."""
        return left_out_record(self.left_out)

    def keys(self) -> list[tuple[str, int]]:
        """The positions (prompt_id, step), in the order of first appearance."""
        return list(self.arrays.names)

    def positions(self, source: str) -> list[tuple[str, int]]:
        """The positions that have candidates of one source, in the order of first appearance."""
        return [key for key in self.arrays.names if (*key, source) in self.arrays.sets]

    def has(self, prompt_id: str, step: int, source: str) -> bool:
        """Whether the position has candidates of the source."""
        return (prompt_id, step, source) in self.arrays.sets

    def _places(self, prompt_id: str, step: int, source: str) -> slice:
        """Where `arrays` hold one position and source. Raises InputError when they hold none."""
        if source not in SOURCES:
            raise InputError(f"source {source!r}{nearest(source, SOURCES)}: use one of {', '.join(SOURCES)}")
        places = self.arrays.sets.get((prompt_id, step, source))
        if places is None:
            raise InputError(f"the pool has no {source} candidates at {prompt_id!r}, step {step}: draw some there")
        return places

    def rows(self, prompt_id: str, step: int, source: str) -> Ints:
        """Row numbers in `table` of one position and source. Raises InputError when there are none."""
        return self.arrays.order[self._places(prompt_id, step, source)]

    def draft_candidates(self, prompt_id: str, step: int) -> Candidates:
        """The N draft draws of a position: log_mass -log N, reward, raw log_ratio = logp_base - logp_draft (nats)."""
        return self._candidates(self._places(prompt_id, step, "draft"))

    def base_candidates(self, prompt_id: str, step: int) -> Candidates:
        """The N_B base draws of a position, as `draft_candidates`; log-ratio +inf where the draft cannot draw it."""
        return self._candidates(self._places(prompt_id, step, "base"))

    def _candidates(self, places: slice) -> Candidates:
        # copies: sums of a view round as its place in memory has it
        reward, log_ratio = (values[places].copy() for values in (self.arrays.floats("reward"), self.arrays.log_ratio))
        return Candidates(np.full(reward.size, -np.log(reward.size)), reward, log_ratio)

    def column(self, prompt_id: str, step: int, source: str, name: str) -> Sequence[Json]:
        """One column of one position and source: an array for numbers and truth values, a list otherwise.

        Nulls of a number column become NaN. Raises InputError for a column that the pool does not have.
        """
        if name not in self.table.column_names:
            raise InputError(f"the pool has no column {name!r}: it has {', '.join(self.table.column_names)}")
        taken = self.table[name].take(pa.array(self.rows(prompt_id, step, source)))
        if pa.types.is_nested(taken.type) or pa.types.is_string(taken.type):
            return taken.to_pylist()
        return taken.to_numpy()


def reward_range(metadata: Mapping[str, Json], place: str = "the pool") -> Range:
    """The range of the reward that provenance states under "reward"; an absent bound is infinite. InputError names
    `place` where it states no range."""
    stated = metadata.get("reward")
    low, high = (stated.get(k) if isinstance(stated, Mapping) else None for k in ("low", "high"))
    return checked_range(low, high, f"{place}, provenance, range of the reward")


def pool_of_file(path: Path, file: TableFile, strict: bool, missing: str | None = None) -> Pool:
    """The pool of a file already read, its bad rows refused or, with their prompts, left out. Errors as `read_pool`."""
    checked = checked_rows(path, file, reward_range(file.metadata, str(path)), strict, missing=missing)
    metadata = file.metadata | ({"missing": checked.missing} if checked.missing else {})
    return Pool(position_arrays(checked.table, checked.order), metadata, checked.faults)


def read_pool(source: LogSource, strict: bool = True, most_rows: int | None = None, missing: str | None = None) -> Pool:
    """Read and validate a pool from a `.parquet` or `.jsonl` file, or from what else `LogFiles` takes for a log.

    With strict=False prompts that have a bad row are left out whole, and `left_out` lists the bad rows; a file that
    cannot be read at all, or of which nothing is left, raises all the same. most_rows: of a pool that has more, only so
    many rows are read, of prompts evenly spread, and `whole` says of how many. missing: what is done about rewards that
    are null, of `MISSING`; None: such rows are bad.
    Raises InputError naming file, row (Parquet: counted from 0) or line (JSONL: from 1), field, value and cure.
    """
    if (path := small_file(source)) is not None:
        return pool_of_file(path, read_table(path, strict), strict, missing)
    with LogFiles(source, strict) as files:
        faults: list[LeftOut] = []
        if most_rows is not None and files.rows > most_rows:  # what is not kept is checked all the same
            for group in files.groups():
                faults += _of_files(group_file(group, _NUMBERS), strict, missing, keep=False)[1]
        pool, more = _of_files(files.together(most_rows, {fault.prompt_id for fault in faults}), strict, missing)
        assert pool is not None
        left = tuple(sorted([*faults, *more], key=lambda fault: (fault.file, fault.row)))
        return replace(pool, left_out=left, whole=(files.rows, files.prompt_rows.size))


def _of_files(
    file: TableFile, strict: bool, missing: str | None, keep: bool = True
) -> tuple[Pool | None, tuple[LeftOut, ...]]:
    """The pool of rows of some files, if asked to `keep` it, and the faults in them."""
    path = Path(file.files[0])
    refuse_one_model(path, file.table.column_names, file.table["source"][0].as_py())
    try:
        pool = pool_of_file(path, file, strict, missing)
    except NothingLeft as error:
        if keep:
            raise
        return None, error.faults
    return pool if keep else None, pool.left_out


def as_pool(
    pool: Pool | LogSource, strict: bool = False, most_rows: int | None = None, missing: str | None = None
) -> Pool:
    """A pool that was read already, or that of a file or several; the rest and errors as `read_pool`."""
    return pool if isinstance(pool, Pool) else read_pool(pool, strict, most_rows, missing)


def write_pool(
    path: str | os.PathLike[str], columns: pa.Table | Mapping[str, Json], provenance: Mapping[str, Json]
) -> Pool:
    """Validate and write a pool as Parquet, `provenance` with it as JSON; returns it as `read_pool` would.

    The file appears whole or not at all, and equal content gives equal bytes. Errors as `read_pool`.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise InputError(f"{path} ends in {path.suffix!r}: write_pool writes .parquet")
    table = columns if isinstance(columns, pa.Table) else table_of(columns, path)
    record = json.dumps(dict(provenance), sort_keys=True)
    pool = pool_of_file(path, TableFile(typed(table, path), json.loads(record), None, ()), strict=True)
    buffer = io.BytesIO()
    pq.write_table(pool.table.replace_schema_metadata(file_metadata(record)), buffer, compression="zstd")
    atomic_write_bytes(path, buffer.getvalue())
    return pool


def pool_from_columns(columns: Mapping[str, Json]) -> Pool:
    """A validated pool held in memory, from columns as `collect_pool` returns them. Errors as `read_pool`."""
    place = Path("columns")
    return pool_of_file(place, TableFile(typed(table_of(columns, place), place), {}, None, ()), strict=True)
