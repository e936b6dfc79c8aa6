"""The rows of a file that are right, and the faults of the others: refused at the first, or their prompts left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError
from gsi_theory.types import Record
from llm_check.logs.pools.missing_values import without_missing
from llm_check.logs.pools.pool_files import LeftOut, TableFile, said
from llm_check.logs.pools.position_arrays import RowOrder, row_order
from llm_check.logs.pools.row_checks import Range, offences

__all__ = ["CheckedRows", "NothingLeft", "checked_rows"]


class CheckedRows(NamedTuple):
    """Rows of prompts without a bad row, their order where all are kept, faults of the others in file order, and what
    was done about missing rewards (empty: none was missing, or nothing was chosen)."""

    table: pa.Table
    order: RowOrder | None
    faults: tuple[LeftOut, ...]
    missing: Record


class NothingLeft(InputError):
    """Every prompt has a bad row; `faults`: all of them."""

    def __init__(self, message: str, faults: tuple[LeftOut, ...]) -> None:
        super().__init__(message)
        self.faults = faults


def checked_rows(
    path: Path, file: TableFile, limits: Range, strict: bool, one_model: bool = False, missing: str | None = None
) -> CheckedRows:
    """What is right of a file, and the faults of the rest.

    The table of `file` has SCHEMA's types; limits: the stated range of the reward; missing: what is done about rewards
    that are null, of MISSING (None: they are faults). Raises InputError naming file, row or line, field, value and cure
    for the first fault where `strict`, or where no prompt is left.
    """
    record: Record = {}
    if missing is not None:
        file, record = _without_missing(path, file, limits, missing)
    table, rows = file.table, row_order(file.table)
    faults_of = offences(table, limits, lambda row: file.place(row, path, beside=True), rows, one_model)
    if strict and faults_of:
        worst = min(faults_of, key=lambda offence: int(offence.rows[0]))
        row = int(worst.rows[0])
        fault = LeftOut(file.number(row), worst.field, table[worst.field][row].as_py(), worst.reason(row), None)
        raise InputError(f"{file.place(row, path)}{said(fault)}")
    names, faults = table["prompt_id"], list(file.left_out)
    for offence in faults_of:
        for row in offence.rows.tolist():
            value, prompt = table[offence.field][row].as_py(), names[row].as_py()
            reason, owner = offence.reason(row), file.file_of(row)
            faults.append(LeftOut(file.number(row), offence.field, value, reason, prompt, owner))
    if not faults:
        return CheckedRows(table, rows, (), record)
    faults.sort(key=lambda fault: (fault.file, fault.row))
    gone = pa.array(sorted({f.prompt_id for f in faults if f.prompt_id is not None}), type=pa.string())
    kept = table.filter(pc.and_(names.is_valid(), pc.invert(pc.is_in(names, gone))))
    if kept.num_rows == 0:
        first = faults[0]
        alike = sum(fault.field == first.field for fault in faults)
        more = f"; {alike:,} of {len(faults):,} faults are of that field" if len(faults) > 1 else ""
        place = first.place
        if not first.file:
            place = f"{'row' if file.lines is None or path.suffix == '.parquet' else 'line'} {first.row}"
        raise NothingLeft(f"{path} has no prompt without a bad row: {place}{said(first)}{more}", tuple(faults))
    return CheckedRows(kept, None, tuple(faults), record)


def _without_missing(path: Path, file: TableFile, limits: Range, choice: str) -> tuple[TableFile, Record]:
    """The file with missing rewards treated by `choice`, and what was done."""
    low = limits[0] if np.isfinite(limits[0]) else None
    table, stays, record = without_missing(file.table, choice, low, lambda row: file.place(row, path))
    lines = np.arange(stays.size) if file.lines is None else file.lines
    owner = None if file.owner is None else file.owner[stays]
    if stays.all():
        return replace(file, table=table), record
    return replace(file, table=table, lines=lines[stays], owner=owner), record
