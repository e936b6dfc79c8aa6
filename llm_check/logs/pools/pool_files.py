"""Pool files as tables: Parquet, and JSONL with one object a line, of any size. No torch here.

`read_table` gives columns in SCHEMA's types, and where each row stands in its file. In strict mode the first line that
cannot be read raises; otherwise such lines are returned as `LeftOut`, for their prompts to be left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gsi_theory.errors import InputError
from gsi_theory.runs.json_input import JsonFault, parse_json, shown, text_lines
from gsi_theory.runs.json_output import SCHEMAS
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Ints, Json, Record
from llm_check.logs.pools.schema import CASCADE_REQUIRED, FIELDS, ONE, ONE_REQUIRED, REQUIRED, SCHEMA

__all__ = [
    "ABSENT",
    "LINE",
    "METADATA_KEY",
    "LeftOut",
    "TableFile",
    "file_metadata",
    "is_cascade",
    "is_one_model",
    "json_lines",
    "json_tables",
    "left_out_lines",
    "left_out_record",
    "parquet_metadata",
    "read_table",
    "refuse_one_model",
    "require_text",
    "required_of",
    "rows_table",
    "said",
    "table_of",
    "typed",
]

METADATA_KEY, _SCHEMA_KEY = b"gsi_pool", b"gsi_pool_schema"
LINE = "__line__"  # a column of tables that stand for lines of JSONL
# In place of the value of a field that a line lacks.
ABSENT = "(absent)"
# Lines held as Python objects at a time: tens of megabytes.
_LINES = 20_000
FAULTS_SHOWN = 10


@dataclass(frozen=True)
class LeftOut:
    """A bad row: `row` as its file counts (Parquet rows from 0, JSONL lines from 1), `field`, `value`, `reason`, and
    the prompt that was left out because of it (None where the row does not say)."""

    row: int
    field: str
    value: Json
    reason: str
    prompt_id: str | None
    file: str = ""  # of a log in several files

    @property
    def place(self) -> str:
        """Where it is, as lists of faults say it."""
        return f"{self.file}, row or line {self.row}" if self.file else f"row or line {self.row}"


NumberedLine = tuple[int, Record | LeftOut]  # a line's number, and its object or why it is none


@dataclass(frozen=True)
class TableFile:
    """Files read: `table`, what their provenance says, the line or row of each row (None: rows from 0), lines unread;
    files: their names where there are several, owner: which of them each row is of."""

    table: pa.Table
    metadata: Record
    lines: Ints | None
    left_out: tuple[LeftOut, ...]
    files: tuple[str, ...] = ()
    owner: Ints | None = None

    def number(self, row: int) -> int:
        """The number of a row, as its file counts."""
        return row if self.lines is None else int(self.lines[row])

    def file_of(self, row: int) -> str:
        """The file of a row; "" where there is one."""
        return "" if self.owner is None else self.files[int(self.owner[row])]

    def place(self, row: int, path: Path, beside: bool = False) -> str:
        """A row in the words of its file; path: the file where there is one, left out beside a place in it."""
        name = self.file_of(row)
        number = f"{'row' if self.lines is None or path.suffix == '.parquet' else 'line'} {self.number(row)}"
        return number if beside and not name else f"{name or path}, {number}"


def table_of(columns: Mapping[str, Json], path: Path) -> pa.Table:
    """A table from columns given as sequences; InputError for values of another type or unequal lengths."""
    arrays = {}
    for name, values in columns.items():
        # the type is inferred, and cast by `typed`: given here, it would cut 0.5 to 0 and take true for 1
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}, column {name}: not {_kind(name)} ({reason}): give that type") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path} got columns of unequal length {lengths}: give one value per row")
    return pa.table(arrays)


def _needs(required: Sequence[str]) -> str:
    kinds = {REQUIRED: "pool", CASCADE_REQUIRED: "log of two models without log-probabilities"}
    kind = kinds.get(tuple(required), "log of one model")
    return f"a {kind} needs {', '.join(required)}; gsi import reads other fields"


def is_one_model(names: Collection[str], source: object) -> bool:
    """Whether columns of these names, rows of that source (None: there is no such column), are of one model: they say
    so, or say no source and lack a log-probability of two."""
    return source == ONE or (source is None and not {"logp_draft", "logp_base"} <= set(names))


def is_cascade(names: Collection[str], source: object) -> bool:
    """Whether columns of these names, rows of these sources, are of two models without any log-probability."""
    sources = source if isinstance(source, list) else [source]
    return source is not None and ONE not in sources and not {"logp_draft", "logp_base"} & set(names)


def required_of(names: Collection[str], source: object, either: bool = True, cascade: bool = True) -> tuple[str, ...]:
    """Columns that every row has of a log with columns of these names and rows of that source, or list of them; either:
    of one model too, cascade: of two without log-probabilities too."""
    if either and is_one_model(names, source):
        return ONE_REQUIRED
    return CASCADE_REQUIRED if cascade and is_cascade(names, source) else REQUIRED


def refuse_one_model(path: Path, names: Collection[str], source: object) -> None:
    """InputError where a pool was asked for and the file is a log of one model."""
    if is_one_model(names, source) and set(ONE_REQUIRED) <= set(names):
        raise InputError(
            f"{path} is a log of one model: gsi curve reads it (llm_check.read_log); a pool has two models, with "
            "source, logp_draft and logp_base of every row"
        )


def typed(table: pa.Table, path: Path, required: Sequence[str] = REQUIRED) -> pa.Table:
    """The table with SCHEMA's columns in SCHEMA's types and order, then the other columns."""
    missing = [name for name in required if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks the column(s) {', '.join(missing)}: {_needs(required)}")
    if table.num_rows == 0:
        raise InputError(f"{path} has no rows: a pool needs at least one candidate")
    if len(set(table.column_names)) < len(table.column_names):
        raise InputError(f"{path} has a column twice among {', '.join(table.column_names)}: keep one of each")
    columns = {}
    for field in SCHEMA:
        if field.name not in table.column_names:
            continue
        if not _castable(table[field.name].type, field.type):
            raise InputError(
                f"{path}, column {field.name}: {table[field.name].type}, not {field.type}: write that type"
            )
        try:
            columns[field.name] = table[field.name].cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}, column {field.name}: not {field.type} ({reason}): write that type") from error
    columns.update({name: table[name] for name in table.column_names if name not in FIELDS})
    return pa.table(columns)


def _castable(type_: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a column may become one of SCHEMA's kinds: numbers numbers, text text. Arrow would read text as numbers
    and truth values as 0 and 1."""
    types = pa.types
    if types.is_dictionary(type_):
        type_ = type_.value_type
    if types.is_null(type_):
        return True
    if types.is_list(kind):
        nested = types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)
        return nested and _castable(type_.value_type, kind.value_type)
    if types.is_string(kind):
        return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))
    if types.is_boolean(kind):
        return bool(types.is_boolean(type_))
    return bool(types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_))


def read_table(path: Path, strict: bool, either: bool = False, cascade: bool = False) -> TableFile:
    """The table of a `.parquet` or `.jsonl` file; either: also one of one model; cascade: also one of two models
    without log-probabilities. Raises InputError for a file that cannot be read at all."""
    if not path.is_file():
        what, command = ("log", "import") if either else ("pool", "pool")
        raise InputError(f"no {what} at {path}: give a .parquet or .jsonl file (gsi {command} writes one)")
    if path.suffix == ".jsonl":
        lines = json_lines(path)
        first = next(((n, row) for n, row in lines if isinstance(row, dict)), None)
        lines, head = json_lines(path), first[1] if first else {}
        if not either:
            refuse_one_model(path, head, head.get("source"))
        return rows_table(path, lines, strict, required_of(head, head.get("source"), either, cascade))
    if path.suffix != ".parquet":
        cure = f"gsi import {path} --out LOG.parquet makes one that is"
        raise InputError(f"{path} ends in {path.suffix!r}, and is no .parquet or .jsonl file: {cure}")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a whole Parquet file ({reason}): copy or write it again") from error
    require_text(table, path)
    names, source = table.column_names, None
    if names.count("source") == 1:  # twice is refused below
        sources = table["source"].unique().to_pylist()[:2]
        source = sources[0] if len(sources) == 1 else sources
    if not either:
        refuse_one_model(path, names, source)
    required = required_of(names, source, either, cascade)
    return TableFile(typed(table, path, required), parquet_metadata(table.schema, path), None, ())


def require_text(table: pa.Table | pa.RecordBatch, path: Path) -> None:
    """InputError for text of SCHEMA's columns that is not UTF-8, which Arrow takes from a file as it is."""
    for name in dict.fromkeys(n for n in table.schema.names if n in FIELDS and pa.types.is_string(FIELDS[n].type)):
        for k in table.schema.get_all_field_indices(name):
            try:
                table.column(k).validate(full=True)
            except pa.ArrowException as error:
                raise InputError(f"{path}, column {name}: text that is not UTF-8: write it as UTF-8") from error


def file_metadata(record: str) -> dict[bytes, bytes]:
    """What a pool's Parquet file carries beside its columns: provenance as JSON, and the number of the format."""
    return {METADATA_KEY: record.encode(), _SCHEMA_KEY: str(SCHEMAS["pool"]).encode()}


def parquet_metadata(schema: pa.Schema, path: Path) -> Record:
    """Provenance of a pool; InputError for a file of a later format, or provenance that is no object."""
    stated = {key: value for key, value in (schema.metadata or {}).items() if key.startswith(METADATA_KEY)}
    try:
        texts = {key: value.decode() for key, value in stated.items()}
    except UnicodeDecodeError as error:
        raise InputError(f"{path} has provenance that is not UTF-8: write it with write_pool") from error
    number, newest = texts.get(_SCHEMA_KEY, "1"), SCHEMAS["pool"]  # pools of before numbers read as 1
    if not number.isdecimal() or not 1 <= int(number) <= newest:
        raise InputError(f"{path} is a pool of format {shown(number)}, this version reads 1 to {newest}: update it")
    if METADATA_KEY not in texts:
        return {}
    try:
        record = parse_json(texts[METADATA_KEY])
    except ValueError as error:
        raise InputError(f"{path} has provenance that is not JSON ({error}): write it with write_pool") from error
    if not isinstance(record, dict):
        raise InputError(f"{path} has provenance that is no object ({shown(record)}): write it with write_pool")
    return record


def json_lines(path: Path) -> Iterator[NumberedLine]:
    """(line number, object) of every line that is not blank; a LeftOut in place of what is no JSON object."""
    for number, line in text_lines(path):
        try:
            row = parse_json(line)
        except JsonFault as fault:
            place = "" if fault.column is None else f"column {fault.column}: "
            yield number, LeftOut(number, "", line.strip()[:80], f"{place}{fault.reason}; one object a line", None)
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            reason = f"column 1: {shown(row)} is not an object of named values"
            yield number, LeftOut(number, "", line.strip()[:80], reason, None)


def _batches(
    lines: Iterator[NumberedLine], required: Sequence[str]
) -> Iterator[tuple[list[int], list[Record], list[LeftOut]]]:
    """Line numbers and objects of some lines at a time, and the lines among them that are no rows."""
    numbers: list[int] = []
    rows: list[Record] = []
    faults: list[LeftOut] = []
    for number, row in lines:
        if isinstance(row, LeftOut):
            faults.append(row)
        elif (absent := next((name for name in required if name not in row), None)) is not None:
            faults.append(LeftOut(number, absent, ABSENT, _needs(required), _prompt(row)))
        else:
            numbers.append(number)
            rows.append(row)
        if len(rows) + len(faults) >= _LINES:
            yield numbers, rows, faults
            numbers, rows, faults = [], [], []
    yield numbers, rows, faults


def _row_tables(
    path: Path, rows: Iterator[NumberedLine], strict: bool, required: Sequence[str]
) -> Iterator[tuple[pa.Table, Ints, list[LeftOut]]]:
    """(table, line of each row, lines that are no rows) of some lines at a time."""
    for numbers, objects, unread in _batches(rows, required):
        table, kept, unfit = _chunk(path, objects, numbers)
        faults = sorted([*unread, *unfit], key=lambda fault: fault.row)
        if strict and faults:
            raise InputError(f"{path}, line {faults[0].row}{said(faults[0])}")
        yield table, np.asarray(numbers, dtype=np.int64)[kept], faults


def rows_table(path: Path, rows: Iterator[NumberedLine], strict: bool, required: Sequence[str] = REQUIRED) -> TableFile:
    """The table of numbered objects, as `json_lines` gives them; `path` names them in messages."""
    tables: list[pa.Table] = []
    lines: list[Ints] = []
    left_out: list[LeftOut] = []
    for table, numbers, faults in _row_tables(path, rows, strict, required):
        left_out += faults
        if numbers.size:
            tables.append(table)
            lines.append(numbers)
    if not tables:
        raise _no_rows(path, left_out)
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"{path} has a column of several types ({error}): write one type") from error
    return TableFile(typed(table, path, required), {}, np.concatenate(lines), tuple(left_out))


def json_tables(path: Path, strict: bool) -> Iterator[tuple[pa.Table, list[LeftOut]]]:
    """Tables of some lines at a time of a JSONL log of one model or two, with the column LINE, and lines that are no
    rows. Raises InputError for a file that cannot be read or has no rows."""
    head = next((row for _, row in json_lines(path) if isinstance(row, dict)), {})
    required, rows, left_out = required_of(head, head.get("source")), 0, list[LeftOut]()
    for table, numbers, faults in _row_tables(path, json_lines(path), strict, required):
        rows, left_out = rows + numbers.size, [*left_out, *faults][:FAULTS_SHOWN]
        known = table.select([name for name in table.column_names if name in FIELDS])
        yield known.append_column(LINE, pa.array(numbers)), faults
    if not rows:
        raise _no_rows(path, left_out)


def _no_rows(path: Path, faults: list[LeftOut]) -> InputError:
    """Why nothing of a file is a row: the first fault, and how many are like it."""
    if not faults:
        return InputError(f"{path} has no rows: a pool needs at least one candidate")
    first = faults[0]
    alike = sum((fault.field, fault.value is ABSENT) == (first.field, first.value is ABSENT) for fault in faults)
    more = f"; {alike:,} of {len(faults):,} bad lines are like it" if len(faults) > 1 else ""
    return InputError(f"{path} has no rows: line {first.row}{said(first)}{more}")


def said(fault: LeftOut) -> str:
    """A fault after the place it is at: field, value, reason."""
    if fault.value is ABSENT:
        return f": no field {fault.field!r}, {fault.reason}"
    return f", {fault.field} = {shown(fault.value)}: {fault.reason}" if fault.field else f", {fault.reason}"


def left_out_record(faults: Sequence[LeftOut], most: int | None = None) -> Record:
    """Rows and prompts left out because of bad rows, as commands report them; at most `most` faults are listed."""
    listed = [
        vars(f) | {"said": said(f), "place": f.place} | ({} if f.value == f.value else {"value": "NaN"})
        for f in faults[:most]
    ]
    return {"rows": len(faults), "prompts": len({f.prompt_id for f in faults} - {None}), "faults": listed}


def left_out_lines(left: Record) -> list[str]:
    """What was left out, in words: the count and the first bad rows; no line when nothing was."""
    if not left["rows"]:
        return []
    faults = [f"  {fault['place']}{fault['said']}" for fault in left["faults"][:FAULTS_SHOWN]]
    more = left["rows"] - len(faults)
    return [
        f"left out: {counted(left['prompts'], 'prompt')} for {counted(left['rows'], 'bad row')}",
        *faults,
        *([f"  and {more:,} more: --json lists them all"] if more else []),
    ]


def _chunk(path: Path, rows: list[Record], numbers: list[int]) -> tuple[pa.Table, Ints, list[LeftOut]]:
    """The table of some lines, which of them are in it, and those that are not."""
    present = dict.fromkeys(name for row in rows for name in row)
    used = [name for name in FIELDS if name in present] + [name for name in present if name not in FIELDS]
    fits = np.ones(len(rows), dtype=bool)
    faults: list[LeftOut] = []
    columns: dict[str, list[Json]] = {}
    for name in used:
        columns[name] = values = _values(name, rows)
        for i in _unfit(values, _kind(name)):
            if fits[i]:
                faults.append(LeftOut(numbers[i], name, values[i], f"write it as {_kind(name)}", _prompt(rows[i])))
            fits[i] = False
    kept = np.flatnonzero(fits)
    arrays = {}
    for name in used:
        try:
            values = columns[name] if fits.all() else [columns[name][i] for i in kept]
            arrays[name] = pa.array(values, type=_kind(name))
        except (pa.ArrowException, OverflowError) as error:
            where = f"{path}, lines {numbers[0]} to {numbers[-1]}, column {name}"
            raise InputError(f"{where}: several types ({error}), write one type") from error
    return pa.table(arrays), kept, faults


def _kind(name: str) -> pa.DataType | None:
    return FIELDS[name].type if name in FIELDS else None


def _prompt(row: Record) -> str | None:
    name = row.get("prompt_id")
    return name if isinstance(name, str) else None


def _values(name: str, rows: list[Record]) -> list[Json]:
    values = [row.get(name) for row in rows]
    return [-np.inf if value == "-inf" else value for value in values] if name.startswith("logp_") else values


def _unfit(values: list[Json], kind: pa.DataType | None) -> list[int]:
    """Indices of values that are not of the column's type; none for a column that SCHEMA does not know.

    Arrow alone would take true for 1 and cut 0.5 to 0.
    """
    if kind is None or (_plain(values, kind) and _converts(values, kind)):
        return []
    return [i for i, value in enumerate(values) if not (_plain([value], kind) and _converts([value], kind))]


def _plain(values: list[Json], kind: pa.DataType) -> bool:
    """Whether all values are of the JSON types that a column of this kind is written in."""
    types = set(map(type, values)) - {type(None)}
    if pa.types.is_list(kind):
        return types <= {list} and _plain([part for value in values if value for part in value], kind.value_type)
    if pa.types.is_integer(kind):
        return types <= {int, float} and (float not in types or all(v.is_integer() for v in values if type(v) is float))
    return types <= ({int, float} if pa.types.is_floating(kind) else {bool} if pa.types.is_boolean(kind) else {str})


def _converts(values: list[Json], kind: pa.DataType) -> bool:
    try:
        pa.array(values, type=kind)
    except (pa.ArrowException, OverflowError):
        return False
    return True
