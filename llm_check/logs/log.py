"""Logs of one model or two, as one record. No torch here.

A log of two models is a pool (`llm_check.logs.pools.pool`) or, where it has no log-probabilities at all, a cascade:
draws of a draft and of a base with rewards, by which to defer from the one to the other. A log of one model has the
same columns with source "one", and needs no log-probabilities: `prompt_id`, `candidate`, and at least one of `reward`,
`correct`, `answer` (or, not yet graded, what was drawn). A row may stand for `count` draws that are alike. `correct` is
null where nobody graded the draw, `answer` where the draw has none; a reward that some rows have, all have.

`Log.facts` is what the file says of its draws: format, engine, version, model, temperature, top_p, top_k, raw or
processed log-probabilities, and `iid`: true (so its format draws), null (nobody said), or false (dependent draws, which
somebody insisted on: curves are of what was drawn, and nothing may be recommended from them); and `reward_is_grade`,
where the reward is a bench's score, so that choosing by it needs the answer key.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gsi_theory.errors import InputError
from gsi_theory.runs.artifact import atomic_write_bytes
from gsi_theory.types import Ints, Json, Record
from llm_check.logs.pools.pool import Pool, pool_of_file, reward_range, write_pool
from llm_check.logs.pools.pool_files import (
    LeftOut,
    TableFile,
    file_metadata,
    is_cascade,
    is_one_model,
    read_table,
    said,
    typed,
)
from llm_check.logs.pools.position_arrays import row_order
from llm_check.logs.pools.row_checks import offences
from llm_check.logs.pools.schema import CASCADE_REQUIRED, ONE, ONE_REQUIRED, VALUES

__all__ = ["Log", "draw_counts", "log_of_file", "one_model_table", "read_log_file", "write_log"]

# What a draw that nobody has graded is known by.
_DRAWN = ("text", "token_ids", "logp_draft", "token_logp_draft")


@dataclass(frozen=True)
class Log:
    """A validated log: `table`, columns of SCHEMA; `models`, 1 or 2; `metadata`, what produced it; `left_out`, bad rows
    whose prompts are not in the table. Made by `read_log_file`, `write_log` or `llm_check.read_log`."""

    table: pa.Table
    models: int
    metadata: Record
    left_out: tuple[LeftOut, ...] = ()

    @property
    def facts(self) -> Record:
        """What the file says of its draws; empty for a file that no import wrote."""
        facts = self.metadata.get("facts")
        return dict(facts) if isinstance(facts, Mapping) else {}

    @property
    def values(self) -> tuple[str, ...]:
        """Which of reward, correct and answer some row has."""
        names = self.table.column_names
        return tuple(n for n in VALUES if n in names and self.table[n].null_count < self.table.num_rows)

    @property
    def cascade(self) -> bool:
        """Whether it is of two models, without log-probabilities."""
        return self.models == 2 and not {"logp_draft", "logp_base"} & set(self.table.column_names)

    @property
    def draws(self) -> int:
        """Draws that the rows stand for."""
        return int(draw_counts(self.table).sum())

    @property
    def prompts(self) -> int:
        """Different prompts."""
        return int(pc.count_distinct(self.table["prompt_id"]).as_py())

    def pool(self) -> Pool:
        """The log of two models as a pool. Raises InputError for a log of one model, or without log-probabilities."""
        if self.cascade:
            raise InputError("a log without log-probabilities is no pool: a pool has logp_draft and logp_base")
        if self.models == 1:
            raise InputError("a log of one model is no pool: gsi curve reads it; a pool has logp_draft and logp_base")
        return pool_of_file(Path("log"), TableFile(self.table, self.metadata, None, ()), strict=True)


def draw_counts(table: pa.Table) -> Ints:
    """Draws that each row stands for, (R,)."""
    if "count" not in table.column_names:
        return np.ones(table.num_rows, dtype=np.int64)
    return np.asarray(table["count"].fill_null(1).to_numpy(), dtype=np.int64)


def one_model_table(table: pa.Table) -> pa.Table:
    """The table with steps (0) and sources ("one") filled in where it has no such column."""
    rows = table.num_rows
    for name, value, kind in (("step", 0, pa.int32()), ("source", ONE, pa.string())):
        if name not in table.column_names:
            table = table.append_column(name, pa.repeat(pa.scalar(value, kind), rows))
    return table


def log_of_file(path: Path, file: TableFile, strict: bool = True) -> Log:
    """The log of a file already read, its bad rows refused or, with their prompts, left out. Errors as `read_pool`."""
    table = file.table
    sources = table["source"].unique().to_pylist() if "source" in table.column_names else []
    one_model = is_one_model(table.column_names, sources[0] if len(sources) == 1 else sources or None)
    if not one_model:
        if ONE in sources:
            raise InputError(f'{path} has rows of source "one" beside others: write one log for each')
        if not is_cascade(table.column_names, sources):
            pool = pool_of_file(path, file, strict)
            return Log(pool.table, 2, pool.metadata, pool.left_out)
    table = typed(one_model_table(table), path, ONE_REQUIRED if one_model else CASCADE_REQUIRED)
    if one_model:
        _require_values(path, table)
    models = 1 if one_model else 2
    unit = "row" if file.lines is None else "line"

    def number(row: int) -> int:
        return row if file.lines is None else int(file.lines[row])

    limits = reward_range(file.metadata, str(path))
    faults = list(file.left_out)
    for offence in offences(table, limits, lambda row: f"{unit} {number(row)}", row_order(table), one_model):
        for row in offence.rows.tolist():
            value, prompt = table[offence.field][row].as_py(), table["prompt_id"][row].as_py()
            faults.append(LeftOut(number(row), offence.field, value, offence.reason(row), prompt))
    if not faults:
        return Log(table, models, file.metadata)
    faults.sort(key=lambda fault: fault.row)
    if strict:
        raise InputError(f"{path}, {unit} {faults[0].row}{said(faults[0])}")
    gone = pa.array(sorted({f.prompt_id for f in faults if f.prompt_id is not None}), type=pa.string())
    names = table["prompt_id"]
    kept = table.filter(pc.and_(names.is_valid(), pc.invert(pc.is_in(names, gone))))
    if kept.num_rows == 0:
        raise InputError(f"{path} has no prompt without a bad row: {unit} {faults[0].row}{said(faults[0])}")
    return Log(kept, models, file.metadata, tuple(faults))


def _require_values(path: Path, table: pa.Table) -> None:
    there = {name for name in table.column_names if table[name].null_count < table.num_rows}
    if not there & {*VALUES, *_DRAWN}:
        raise InputError(
            f"{path} has no {', '.join(VALUES[:-1])} or {VALUES[-1]}: a log of one model needs one of them to choose by"
        )


def read_log_file(path: str | os.PathLike[str], strict: bool = True) -> Log:
    """Read and validate a log of one model or two from `.parquet` or `.jsonl` with SCHEMA's names.

    strict and errors as `llm_check.read_pool`.
    """
    return log_of_file(Path(path), read_table(Path(path), strict, either=True, cascade=True), strict)


def write_log(path: str | os.PathLike[str], table: pa.Table, provenance: Mapping[str, Json]) -> Log:
    """Validate and write a log as Parquet, `provenance` with it; returns it as `read_log_file` would.

    The file appears whole or not at all, and equal content gives equal bytes. Errors as `read_pool`.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise InputError(f"{path} ends in {path.suffix!r}: a log is written as .parquet")
    record = json.dumps(dict(provenance), sort_keys=True)
    log = log_of_file(path, TableFile(table, json.loads(record), None, ()), strict=True)
    if log.models == 2 and not log.cascade:
        return replace(log, table=write_pool(path, log.table, provenance).table)
    buffer = io.BytesIO()
    pq.write_table(log.table.replace_schema_metadata(file_metadata(record)), buffer, compression="zstd")
    atomic_write_bytes(path, buffer.getvalue())
    return log
