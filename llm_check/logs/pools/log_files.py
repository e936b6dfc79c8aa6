"""A log in one file or in many, read in groups of whole prompts: memory is that of a group, however long the log.

A log is a file (`.parquet`, `.jsonl`), a folder (the files directly in it), a glob, or a URL of either that fsspec
knows (s3://bucket/run/*.parquet). Its files are taken in the order of their names, and say the same of how they were
drawn. A prompt's rows may be spread over files and row groups in any way: the prompts of a group are looked up wherever
they are, so a log whose prompts are contiguous is read twice (once for its prompt ids alone), one whose prompts are
scattered once for every group. JSONL is first written as Parquet to a temporary folder.

What a group holds depends on the log and on `most_rows` alone, never on who reads it: a `PromptGroup` is a job that any
process may do that sees the files under the same names.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gsi_theory.arrays.memory import require_memory
from gsi_theory.errors import InputError
from gsi_theory.runs.credentials import scrubbed
from gsi_theory.types import Ints, Record
from llm_check.logs.pools.pool_files import (
    LINE,
    LeftOut,
    TableFile,
    json_tables,
    parquet_metadata,
    require_text,
    required_of,
    typed,
)
from llm_check.logs.pools.schema import FIELDS, REQUIRED

__all__ = ["GROUP_ROWS", "LogFiles", "LogSource", "PromptGroup", "group_file", "small_file"]

GROUP_ROWS = 1 << 19  # rows of a group, about: tens of megabytes without texts
_BATCH = 1 << 17  # rows decoded at a time
_COPIES = 4.0  # of what is stored, while it is read and checked
_SUFFIXES = (".parquet", ".jsonl")
_SMALL = 1 << 26  # bytes of a file that is read at once
# A file, folder, glob or URL, or several of them.
LogSource = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class _Part:
    """Rows that are read together: a row group of the Parquet file `stored`, which holds lines of `name`."""

    name: str
    stored: str
    row_group: int
    first: int  # number of the first row in the file, where it is Parquet itself


@dataclass(frozen=True)
class PromptGroup:
    """Some prompts of a log, `rows` rows of them, and the parts of its files where they are."""

    prompts: tuple[str | None, ...]
    rows: int
    parts: tuple[_Part, ...]
    metadata: Record = field(compare=False)
    several: bool  # files: messages name the one


def small_file(source: LogSource) -> Path | None:
    """The path of a source that is one file, if it is small enough to be read at once, or is none at all."""
    if not isinstance(source, str | os.PathLike) or _is_url(os.fspath(source)):
        return None
    path = Path(source)
    if path.is_dir() or (not path.exists() and any(c in str(path) for c in "*?[")):
        return None
    return path if not path.is_file() or path.suffix not in _SUFFIXES or path.stat().st_size <= _SMALL else None


def _is_url(source: str) -> bool:
    return "://" in source


def _expanded(source: str) -> list[str]:
    """The names of the files that a source stands for, in order. Raises InputError for none."""
    cure = "give a .parquet or .jsonl file, a folder or a glob of them (gsi import writes one)"
    if _is_url(source):
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError as error:
            raise InputError(
                f"{scrubbed(source)}: a URL needs fsspec: pip install fsspec, or copy the files"
            ) from error
        try:
            system, path = url_to_fs(source)
            if any(c in path for c in "*?["):
                names = system.glob(path)
            else:
                names = system.ls(path, detail=False) if system.isdir(path) else [path]
            urls = [system.unstrip_protocol(name) for name in names]
        except (OSError, ValueError, ImportError, NotImplementedError) as error:
            reason = scrubbed((str(error).splitlines() or [type(error).__name__])[0])
            raise InputError(f"{scrubbed(source)} cannot be listed ({reason}): {cure}") from error
    else:
        path_ = Path(source)
        if path_.is_dir():
            urls = [str(p) for p in path_.iterdir() if p.is_file()]
        elif any(c in source for c in "*?[") and not path_.exists():
            root = Path(path_.anchor) if path_.is_absolute() else Path()
            urls = [str(p) for p in root.glob(str(path_.relative_to(path_.anchor)))]
        else:
            return [source]
    files = sorted(name for name in urls if name.endswith(_SUFFIXES))
    if not files:
        raise InputError(f"no log at {scrubbed(source)}: {cure}")
    return files


def _opened(name: str, stack: ExitStack) -> pq.ParquetFile:
    """The Parquet file of a name, open until the stack ends. Raises InputError."""
    try:
        if not _is_url(name):
            return stack.enter_context(pq.ParquetFile(name))
        import fsspec

        return stack.enter_context(pq.ParquetFile(stack.enter_context(fsspec.open(name, "rb"))))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(name, error) from error


def _batches(file: pq.ParquetFile, name: str, row_group: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of a row group, some rows at a time. Raises InputError for pages that are broken, and text that is."""
    try:
        for batch in file.iter_batches(_BATCH, [row_group], list(columns)):
            require_text(batch, Path(scrubbed(name)))
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> InputError:
    reason = scrubbed((str(error).splitlines() or [type(error).__name__])[0])
    return InputError(f"{scrubbed(name)} is not a whole Parquet file ({reason}): copy or write it again")


def _prompt_ids(file: pq.ParquetFile, row_group: int, name: str) -> Iterator[pa.Array]:
    """The prompt ids of a row group, some rows at a time."""
    for batch in _batches(file, name, row_group, ["prompt_id"]):
        column = batch.column(0)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
            raise InputError(f"{scrubbed(name)}, column prompt_id: {column.type}, not string: write that type")
        yield column


class LogFiles:
    """The files of a log, opened together; to be used in a `with` statement, as JSONL is kept in a temporary folder.

    Attributes: names, its files; metadata, what they say of how it was made; left_out, lines that are no rows.
    Raises InputError for no files, files that cannot be read, or files that contradict each other.
    """

    def __init__(self, source: LogSource, strict: bool = True) -> None:
        sources = [source] if isinstance(source, str | os.PathLike) else list(source)
        self.names = tuple(name for one in sources for name in _expanded(os.fspath(one)))
        if not self.names:
            raise InputError("no log: give the path of one")
        self.strict = strict
        self.left_out: tuple[LeftOut, ...] = ()
        self._stack = ExitStack()
        self._files: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        folder: str | None = None
        faults: list[LeftOut] = []
        metadata: list[tuple[str, Record]] = []
        for number, name in enumerate(self.names):
            if not name.endswith(".jsonl"):
                self._files.append((name, name))
                with ExitStack() as stack:
                    metadata.append((name, parquet_metadata(_opened(name, stack).schema_arrow, Path(scrubbed(name)))))
                continue
            if _is_url(name):
                raise InputError(f"{scrubbed(name)}: JSONL behind a URL is not read: gsi import it, or copy it here")
            folder = folder or self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gsi-log-"))
            metadata.append((name, {}))
            for k, (table, unfit) in enumerate(json_tables(Path(name), self.strict)):
                faults += [replace(fault, file=name if len(self.names) > 1 else "") for fault in unfit]
                if table.num_rows:
                    stored = f"{folder}/{number}-{k}.parquet"
                    pq.write_table(table, stored, compression="lz4")
                    self._files.append((name, stored))
        self.left_out = tuple(faults)
        self.metadata = _agreed(metadata)

    @cached_property
    def _index(self) -> tuple[list[_Part], list[Ints], list[Ints], list[str | None]]:
        """(parts, prompts of each part, their rows in it, prompts in the order of first appearance)."""
        parts: list[_Part] = []
        members: list[Ints] = []
        counts: list[Ints] = []
        code: dict[str | None, int] = {}
        for name, stored in self._files:
            first = 0
            with ExitStack() as stack:
                file = _opened(stored, stack)
                if "prompt_id" not in file.schema_arrow.names:
                    typed(file.schema_arrow.empty_table(), Path(scrubbed(name)), ("prompt_id",))
                for g in range(file.num_row_groups):
                    rows: dict[int, int] = {}
                    for column in _prompt_ids(file, g, name):
                        for entry in pc.value_counts(column).to_pylist():
                            k = code.setdefault(entry["values"], len(code))
                            rows[k] = rows.get(k, 0) + entry["counts"]
                    parts.append(_Part(name, stored, g, first))
                    members.append(np.fromiter(rows.keys(), np.int64, len(rows)))
                    counts.append(np.fromiter(rows.values(), np.int64, len(rows)))
                    first += file.metadata.row_group(g).num_rows
        return parts, members, counts, list(code)

    @cached_property
    def prompt_rows(self) -> Ints:
        """Rows of every prompt, in the order of first appearance."""
        _, members, counts, prompts = self._index
        total = np.zeros(len(prompts), dtype=np.int64)
        for member, count in zip(members, counts, strict=True):
            total[member] += count
        return total

    def _evenly(self, most_rows: int, but: Collection[str | None]) -> Ints:
        """Numbers of all prompts but some or, where they have more rows, of as many, evenly spread, as have so many."""
        names = self._index[3]
        numbers = np.array([k for k, name in enumerate(names) if name not in but], dtype=np.int64)
        count, rows = numbers.size, int(self.prompt_rows[numbers].sum())
        kept = count if rows <= most_rows else max(1, int(count * most_rows / rows))
        return numbers[np.unique(np.linspace(0, count - 1, kept).astype(np.int64))] if count else numbers

    def together(self, most_rows: int | None = None, but: Collection[str | None] = ()) -> TableFile:
        """The log as one table, or of evenly spread prompts, of so many rows; but: prompts to leave out. Raises
        InputError where memory does not hold it."""
        most = self.rows if most_rows is None else most_rows
        group = self.groups(max(1, self.rows), self._evenly(most, but))[0]
        need = group.rows * (100.0 + _COPIES * self._row_bytes)
        require_memory(need, f"{scrubbed(self.names[0])}, {group.rows:,} rows", "leave out columns that are not needed")
        return replace(group_file(group), left_out=self.left_out)

    @cached_property
    def _row_bytes(self) -> float:
        """Bytes of a row, as stored but not compressed."""
        size, rows = 0, 0
        for _, stored in self._files:
            with ExitStack() as stack:
                about = _opened(stored, stack).metadata
                size += sum(about.row_group(g).total_byte_size for g in range(about.num_row_groups))
                rows += about.num_rows
        return size / max(1, rows)

    @cached_property
    def ratios(self) -> bool:
        """Whether the log is of two models with log-probabilities, by its first rows."""
        with ExitStack() as stack:
            file = _opened(self._files[0][1], stack)
            names = file.schema_arrow.names
            if "source" not in names:
                return required_of(names, None) == REQUIRED
            groups = range(file.num_row_groups)
            first = next((b for g in groups for b in _batches(file, self._files[0][0], g, ["source"])), None)
            sources = [] if first is None else first.column(0).unique().to_pylist()
            return required_of(names, sources[0] if len(sources) == 1 else sources) == REQUIRED

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return int(self.prompt_rows.sum())

    def groups(self, most_rows: int | None = None, chosen: Ints | None = None) -> list[PromptGroup]:
        """All prompts without an unread line, or the `chosen` numbers, ascending, in groups of at most `most_rows` rows
        (default: GROUP_ROWS), or of one prompt that has more. Raises InputError for a log without rows."""
        most_rows = most_rows or GROUP_ROWS
        parts, members, _, prompts = self._index
        rows = self.prompt_rows
        unread = {fault.prompt_id for fault in self.left_out}
        every = np.array([k for k, name in enumerate(prompts) if name not in unread], dtype=np.int64)
        numbers = every if chosen is None else np.asarray(chosen)
        if numbers.size == 0:
            raise InputError(f"{scrubbed(self.names[0])} has no rows: a log needs at least one draw")
        group_of = np.full(len(prompts), -1, dtype=np.int64)
        group, size = 0, 0
        for k in numbers.tolist():
            if size and size + rows[k] > most_rows:
                group, size = group + 1, 0
            group_of[k] = group
            size += int(rows[k])
        where: list[list[_Part]] = [[] for _ in range(group + 1)]
        for part, member in zip(parts, members, strict=True):
            for g in np.unique(group_of[member]).tolist():
                if g >= 0:
                    where[g].append(part)
        several = len(self.names) > 1
        chosen_groups = [numbers[group_of[numbers] == g] for g in range(group + 1)]
        return [
            PromptGroup(tuple(prompts[k] for k in ks), int(rows[ks].sum()), tuple(where[g]), self.metadata, several)
            for g, ks in enumerate(chosen_groups)
        ]


def _agreed(metadata: Sequence[tuple[str, Record]]) -> Record:
    """What the files say of how the log was made, if they agree on what numbers mean. Raises InputError."""
    (first, known), *rest = metadata
    for name, other in rest:
        for key in ("facts", "reward"):
            if (other.get(key) or None) != (known.get(key) or None):
                raise InputError(
                    f"{scrubbed(name)} says other {key} of its draws than {scrubbed(first)} "
                    f"({other.get(key)!r}, not {known.get(key)!r}): read them as two logs, or import them together"
                )
    return known


def group_file(group: PromptGroup, columns: Sequence[str] | None = None) -> TableFile:
    """The rows of a group as a file read: columns of SCHEMA (default: all), in the order of the files.

    Raises InputError for columns that are missing, or of other types than SCHEMA's.
    """
    wanted = pa.array([p for p in group.prompts if p is not None], pa.string())
    has_null = None in group.prompts
    tables, lines, owners = [], [], []
    names = tuple(dict.fromkeys(part.name for part in group.parts))
    with ExitStack() as stack:
        files: dict[str, pq.ParquetFile] = {}
        for part in group.parts:
            file = files.get(part.stored) or files.setdefault(part.stored, _opened(part.stored, stack))
            there = file.schema_arrow.names
            read = [n for n in there if (n in FIELDS and (columns is None or n in columns)) or n == LINE]
            first = part.first
            for batch in _batches(file, part.name, part.row_group, read):
                names_ = batch.column("prompt_id")
                names_ = names_.dictionary_decode() if pa.types.is_dictionary(names_.type) else names_
                mask = pc.is_in(names_.cast(pa.string()), wanted)
                mask = pc.or_(mask, names_.is_null()) if has_null else mask
                kept = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
                table = pa.Table.from_batches([batch]) if kept.size == batch.num_rows else None
                table = table or pa.Table.from_batches([batch.take(pa.array(kept))])
                if LINE in read:
                    lines.append(table[LINE].to_numpy())
                    table = table.drop_columns([LINE])
                else:
                    lines.append(first + kept)
                owners.append(np.full(kept.size, names.index(part.name), dtype=np.int64))
                tables.append(table)
                first += batch.num_rows
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"{scrubbed(names[0])} has a column of several types ({error}): write one type") from error
    path = Path(scrubbed(names[0]))
    owner = np.concatenate(owners) if group.several else None
    sources = table["source"].unique().to_pylist() if "source" in table.column_names else []
    table = typed(table, path, required_of(table.column_names, sources[0] if len(sources) == 1 else sources or None))
    return TableFile(table, group.metadata, np.concatenate(lines), (), tuple(scrubbed(n) for n in names), owner)
