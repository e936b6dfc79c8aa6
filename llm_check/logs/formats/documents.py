"""The objects of a file: JSONL, JSON (an array, or one object), CSV, TSV, Parquet, YAML; `.gz` of any text.

`documents` gives (number, object): lines, entries of an array and rows of Parquet count from 1; a line that cannot be
read gives a `LeftOut` in place of its object.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.parquet as pq

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import JsonFault, parse_json, read_text, text_lines
from gsi_theory.types import Json
from llm_check.logs.pools.pool_files import LeftOut

__all__ = ["Documents", "documents"]

Documents = Iterator[tuple[int, Json | LeftOut]]
_ROWS = 10_000


def _suffix(path: PurePath) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def documents(path: Path) -> Documents:
    """(number, object) of everything in the file. Raises InputError for a file that cannot be read at all."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the files in it, e.g. {path}/*")
    if not path.is_file():
        raise InputError(f"no log at {path}: give a file")
    suffix = _suffix(path)
    if suffix == ".parquet":
        return _parquet_rows(path)
    if suffix in (".csv", ".tsv"):
        return _separated_rows(path, "\t" if suffix == ".tsv" else ",")
    if suffix in (".yaml", ".yml"):
        return _yaml_object(path)
    if suffix == ".json":
        return _json_entries(path)
    return _json_lines(path)


def _json_lines(path: Path) -> Documents:
    for number, line in text_lines(path):
        try:
            yield number, parse_json(line)
        except JsonFault as fault:
            place = "" if fault.column is None else f"column {fault.column}: "
            yield number, LeftOut(number, "", line.strip()[:80], f"{place}{fault.reason}; one object a line", None)


def _json_entries(path: Path) -> Documents:
    """The entries of an array, or one object; JSONL that is called .json too."""
    text = read_text(path, "a log")
    try:
        value = parse_json(text)
    except JsonFault as fault:
        head = text.lstrip()
        if fault.reason == "Extra data" and not head.startswith("["):
            return _json_lines(path)
        place = "" if fault.line is None else f", line {fault.line}, column {fault.column}"
        raise InputError(f"{path}{place}: not usable as JSON ({fault.reason}): give JSON, or JSONL") from fault
    return enumerate(value if isinstance(value, list) else [value], start=1)


def _parquet_rows(path: Path) -> Documents:
    number = 1
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                for row in batch.to_pylist():
                    yield number, row
                    number += 1
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a whole Parquet file ({reason}): copy or write it again") from error


def _separated_rows(path: Path, separator: str) -> Documents:
    """Rows of CSV or TSV under the names of its first line; an empty cell is null."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(io.StringIO(read_text(path, "a CSV or TSV file"), newline=""), delimiter=separator)
    try:
        names = next(reader, [])
        if not names or len(set(names)) < len(names):
            raise InputError(f"{path}, line 1: {names!r:.80} are no names of columns, each once: give a header")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(names):
                reason = f"{len(cells)} cells under {len(names)} names: give one each"
                yield reader.line_num, LeftOut(reader.line_num, "", separator.join(cells)[:80], reason, None)
                continue
            yield reader.line_num, {name: cell or None for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no CSV ({error}): write it again") from error


def _yaml_object(path: Path) -> Documents:
    try:
        import yaml  # of no use elsewhere, so nothing here depends on it
    except ImportError as error:
        raise InputError(f"{path}: pip install pyyaml reads YAML; or give JSON") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(read_text(path, "a YAML file"), loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no YAML ({' '.join(str(error).split())[:120]}): write it again") from error
    return enumerate(value if isinstance(value, list) else [value], start=1)
