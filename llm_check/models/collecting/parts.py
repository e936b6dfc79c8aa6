"""A pool while it is collected: a folder of parts beside the file, each written whole or not at all, then one file.

`OUT.parquet.parts/` holds `settings.json` (what the parts belong to) and one Parquet file for each (block of prompts,
step), which also says how the trajectories go on. A part appears by renaming a synced temporary file, so a process
killed at any moment leaves whole parts only, and a run with equal settings goes on where it stopped. The finished file
is put together from the parts in their order and appears by one rename: its bytes depend on the parts alone.
"""

from __future__ import annotations

import fcntl
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gsi_theory.errors import InputError
from gsi_theory.runs.output import atomic_write_bytes, is_replaceable, require_writable, stage, writing
from gsi_theory.types import Json, Record
from llm_check.logs.pools.pool_files import METADATA_KEY, file_metadata

__all__ = ["Part", "Parts", "first_difference", "open_parts"]

_PART_KEY = b"gsi_pool_part"
# Parts are joined to row groups of at least this many rows, so that small parts do not make a slow file.
_ROW_GROUP = 1 << 16

Onward = list[list[int] | None]


@dataclass(frozen=True)
class Part:
    """The candidates of one block of prompts at one step, and for each position in it the token ids of the step by
    which its trajectory goes on (None where it ends)."""

    table: pa.Table
    onward: Onward


def first_difference(given: Json, kept: Json, place: str = "") -> tuple[str, Json, Json] | None:
    """(name, given, kept) of the first value that differs between two JSON values; None if there is none."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key in [*given, *(k for k in kept if k not in given)]:
            difference = first_difference(given.get(key), kept.get(key), f"{place}.{key}" if place else key)
            if difference is not None:
                return difference
        return None
    return None if given == kept else (place, given, kept)


def _require_same(record: Mapping[str, Json], kept: Mapping[str, Json], where: Path, cure: str) -> None:
    # The command repeats the settings: the settings name a difference better.
    differing = first_difference({**record, "command": None}, {**kept, "command": None})
    if differing is not None:
        name, given, there = differing
        raise InputError(f"{where} was begun with {name} = {there!r}, this run has {given!r}: {cure}")


@dataclass(frozen=True)
class Parts:
    """The parts of one pool; made by `open_parts`."""

    out: Path
    record: Record

    @property
    def folder(self) -> Path:
        """Where the parts are until the pool is finished."""
        return self.out.with_name(self.out.name + ".parts")

    def _path(self, block: int, step: int) -> Path:
        return self.folder / f"{block:08d}-{step:04d}.parquet"

    def onward(self, block: int, step: int) -> Onward | None:
        """How the trajectories of a finished part go on; None while the part is not there."""
        try:
            head = pq.read_schema(self._path(block, step)).metadata
        except FileNotFoundError:
            return None
        onward: Onward = json.loads(head[_PART_KEY])
        return onward

    def write(self, block: int, step: int, part: Part) -> None:
        """Keep one part; it is there after this returns, whatever happens."""
        buffer = io.BytesIO()
        head = {_PART_KEY: json.dumps(part.onward).encode()}
        pq.write_table(part.table.replace_schema_metadata(head), buffer, compression="zstd")
        atomic_write_bytes(self._path(block, step), buffer.getvalue(), durable=True)

    def _row_groups(self, names: Sequence[tuple[int, int]]) -> Iterator[pa.Table]:
        held: list[pa.Table] = []
        for block, step in names:
            with pq.ParquetFile(self._path(block, step)) as file:
                held.append(file.read().replace_schema_metadata(None))
            if sum(table.num_rows for table in held) >= _ROW_GROUP:
                yield pa.concat_tables(held).combine_chunks()
                held = []
        if held:
            yield pa.concat_tables(held).combine_chunks()

    def finish(self, names: Sequence[tuple[int, int]]) -> None:
        """Join the parts `names` (block, step), in that order, to the pool, and remove them."""
        record = json.dumps(self.record, sort_keys=True)
        with stage(self.out, durable=True, folder=self.folder) as temporary, ExitStack() as open_file:
            writer = None
            for group in self._row_groups(names):
                if writer is None:
                    schema = group.schema.with_metadata(file_metadata(record))
                    writer = open_file.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
                writer.write_table(group, row_group_size=group.num_rows)
        shutil.rmtree(self.folder)


def _finished(out: Path, record: Mapping[str, Json]) -> bool:
    """Whether `out` is the pool of this record. Raises InputError if it is anything else."""
    if not out.exists():
        return False
    cure = "give another file name, or delete that file"
    try:
        head = (pq.read_schema(out).metadata or {}).get(METADATA_KEY)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{out} is there and is no pool: {cure}") from error
    if head is None:
        raise InputError(f"{out} is there and says nothing of its settings: {cure}")
    _require_same(record, json.loads(head), out, cure)
    return True


@contextmanager
def open_parts(out: Path, record: Mapping[str, Json]) -> Iterator[Parts | None]:
    """The parts of the pool `out` that `record` (JSON) describes, to be collected or gone on with; None if it is
    finished.

    Raises InputError when `out`, or the parts beside it, were begun with another record (the difference is named), or
    while another process collects them.
    """
    if out.suffix != ".parquet":
        raise InputError(f"{out} ends in {out.suffix!r}: a pool is written as .parquet")
    if not is_replaceable(out):
        raise InputError(f"{out} is no regular file: a pool is written in parts, name a file of its own")
    # The parts lie beside the file that links lead to, so that the whole can take its place by one rename.
    parts = Parts(out.resolve(), json.loads(json.dumps(dict(record))))
    if _finished(out, parts.record):
        shutil.rmtree(parts.folder, ignore_errors=True)  # a run was killed after it had put the file in place
        yield None
        return
    require_writable(out)
    with writing(parts.folder):
        parts.folder.mkdir(parents=True, exist_ok=True)
        lock_file = (parts.folder / "lock").open("w")
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is collecting {out}: wait for it, or end it") from error
        head = parts.folder / "settings.json"
        if head.exists():
            kept = json.loads(head.read_text(encoding="utf-8"))
            _require_same(parts.record, kept, parts.folder, "run with the same settings, or delete that folder")
        else:
            atomic_write_bytes(head, json.dumps(parts.record, sort_keys=True, indent=1).encode(), durable=True)
        yield parts
