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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.artifact import atomic_write_bytes
from gsi_theory.runs.credentials import scrubbed
from gsi_theory.types import Ints, Json, Record
from llm_check.logs.pools.checked_rows import checked_rows
from llm_check.logs.pools.log_files import LogFiles, LogSource, PromptGroup, group_file, small_file
from llm_check.logs.pools.pool import Pool, pool_of_file, read_pool, reward_range, write_pool
from llm_check.logs.pools.pool_files import (
    LeftOut,
    TableFile,
    file_metadata,
    is_cascade,
    is_one_model,
    read_table,
    typed,
)
from llm_check.logs.pools.schema import CASCADE_REQUIRED, ONE, ONE_REQUIRED, SOURCES, VALUES

__all__ = [
    "Log",
    "draw_counts",
    "group_log",
    "log_of_file",
    "one_model_table",
    "one_source",
    "read_either",
    "read_log_file",
    "write_log",
]

# What a draw that nobody has graded is known by.
_DRAWN = ("text", "token_ids", "logp_draft", "token_logp_draft")


@dataclass(frozen=True)
class Log:
    """A validated log: `table`, columns of SCHEMA; `models`, 1 or 2; `metadata`, what produced it; `left_out`, bad rows
    whose prompts are not in the table; whole: rows and prompts of the files it is of, where it may be less.

    Made by `read_log_file`, `write_log` or `llm_check.read_log`.
    """

    table: pa.Table
    models: int
    metadata: Record
    left_out: tuple[LeftOut, ...] = ()
    whole: tuple[int, int] | None = None

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


def log_of_file(path: Path, file: TableFile, strict: bool, missing: str | None = None) -> Log:
    """The log of a file already read, its bad rows refused or, with their prompts, left out. Errors as `read_pool`."""
    table = file.table
    sources = table["source"].unique().to_pylist() if "source" in table.column_names else []
    one_model = is_one_model(table.column_names, sources[0] if len(sources) == 1 else sources or None)
    if not one_model:
        if ONE in sources:
            raise InputError(f'{path} has rows of source "one" beside others: write one log for each')
        if not is_cascade(table.column_names, sources):
            pool = pool_of_file(path, file, strict, missing)
            return Log(pool.table, 2, pool.metadata, pool.left_out)
    table = typed(one_model_table(table), path, ONE_REQUIRED if one_model else CASCADE_REQUIRED)
    if one_model:
        _require_values(path, table)
    checked = replace(file, table=table)
    limits = reward_range(file.metadata, str(path))
    kept = checked_rows(path, checked, limits, strict, one_model, missing)
    metadata = file.metadata | ({"missing": kept.missing} if kept.missing else {})
    return Log(kept.table, 1 if one_model else 2, metadata, kept.faults)


def _require_values(path: Path, table: pa.Table) -> None:
    there = {name for name in table.column_names if table[name].null_count < table.num_rows}
    if not there & {*VALUES, *_DRAWN}:
        raise InputError(
            f"{path} has no {', '.join(VALUES[:-1])} or {VALUES[-1]}: a log of one model needs one of them to choose by"
        )


def read_log_file(source: LogSource, strict: bool = True, missing: str | None = None) -> Log:
    """Read and validate a log of one model or two, with SCHEMA's names, from what `llm_check.read_pool` takes.

    strict, missing and errors as `llm_check.read_pool`.
    """
    if (path := small_file(source)) is not None:
        return log_of_file(path, read_table(path, strict, either=True, cascade=True), strict, missing)
    with LogFiles(source, strict) as files:
        return log_of_file(Path(files.names[0]), files.together(), strict, missing)


def group_log(
    group: PromptGroup, columns: Sequence[str] | None = None, strict: bool = True, missing: str | None = None
) -> Log:
    """The rows of a group of prompts as a log; missing as `llm_check.read_pool`. Raises InputError naming file, row or
    line, field, value and cure, and for "worst" where the files do not state it: a group does not show it."""
    if missing == "worst" and not np.isfinite(reward_range(group.metadata)[0]):
        raise InputError(
            "--missing worst of a log that is read in groups: no file states the lowest reward, give --reward-range to "
            "gsi import"
        )
    return log_of_file(Path(scrubbed(group.parts[0].name)), group_file(group, columns), strict, missing)


def read_either(
    source: LogSource, strict: bool = True, most_rows: int | None = None, missing: str | None = None
) -> Pool | Log:
    """The pool of files of two models, the log of those of one model or without log-probabilities; the rest and errors
    as `llm_check.read_pool`."""
    if (path := small_file(source)) is not None:
        file = read_table(path, strict, either=True, cascade=True)
        return _either(path, file, strict, missing)
    with LogFiles(source, strict) as files:
        if not files.ratios:
            log = log_of_file(Path(files.names[0]), files.together(most_rows), strict, missing)
            return replace(log, whole=(files.rows, files.prompt_rows.size))
    return read_pool(source, strict, most_rows, missing)


def one_source(pool: Pool, source: str) -> Log:
    """What one of two models drew, as a log of one model. Raises InputError for a source that drew nothing."""
    require_name(source, "--source", SOURCES)
    table = pool.table.filter(pc.equal(pool.table["source"], source))
    if table.num_rows == 0:
        raise InputError(f"the pool has no rows of source {source!r}: give the other")
    facts = {**Log(table, 2, pool.metadata).facts, "source": source}
    one = pa.repeat(pa.scalar(ONE, pa.string()), table.num_rows)
    table = table.set_column(table.column_names.index("source"), "source", one)
    return Log(table, 1, pool.metadata | {"facts": facts}, pool.left_out, pool.whole)


def _either(path: Path, file: TableFile, strict: bool, missing: str | None) -> Pool | Log:
    names = file.table.column_names
    sources = file.table["source"].unique().to_pylist() if "source" in names else [ONE]
    two = ONE not in sources and not is_one_model(names, sources) and not is_cascade(names, sources)
    return (pool_of_file if two else log_of_file)(path, file, strict, missing)


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
