"""`gsi import` and `llm_check.read_log`: logs in any format of `FORMATS`, or in memory, as a `Log` of one model or two.

What is read is checked before anything is written: bad lines stop it, or with `skip_bad` their prompts are left out and
counted; a reward that is missing is treated by a stated choice; draws that depend on each other are refused, or taken
and marked (`facts["iid"]` is false), and then nothing is recommended from the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gsi_theory.errors import InputError, require_name
from gsi_theory.runs.artifact import provenance
from gsi_theory.runs.credentials import scrubbed
from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents
from llm_check.logs.formats.field_maps import AGGREGATES, FieldMap
from llm_check.logs.formats.load_format import FORMATS
from llm_check.logs.formats.log_format import LogFormat, Reading
from llm_check.logs.formats.log_rows import log_rows
from llm_check.logs.formats.unfit import NotIid
from llm_check.logs.log import Log, log_of_file, read_log_file, write_log
from llm_check.logs.pools.independence import sign_of_dependence
from llm_check.logs.pools.missing_values import MISSING, without_missing
from llm_check.logs.pools.pool_files import TableFile, rows_table, said
from llm_check.logs.pools.row_checks import checked_range
from llm_check.logs.pools.schema import ONE_REQUIRED

__all__ = ["ImportChoices", "import_log", "read_log"]

PathLike: TypeAlias = str | os.PathLike[str]
Report: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class ImportChoices:
    """How logs are read: a name of FORMATS, maps (`field_maps.py`), lists to explode, fields of counts, the scorer or
    filter to pick, how scores of steps are aggregated, what is done about missing rewards, declared facts, whether
    dependent draws are taken, whether prompts of bad lines are left out, the range of the reward, whether text is kept.

    Raises InputError for names that no table knows.
    """

    from_format: str = "table"
    maps: tuple[FieldMap, ...] = ()
    explode: tuple[str, ...] = ()
    counts: tuple[str, str] | None = None
    pick: str | None = None
    aggregate: str = "last"
    missing: str | None = None
    facts: Mapping[str, Json] | None = None
    not_iid: bool = False
    skip_bad: bool = False
    reward_range: tuple[float, float] | None = None
    text: bool = True

    def __post_init__(self) -> None:
        require_name(self.from_format, "format", FORMATS)
        require_name(self.aggregate, "--aggregate", AGGREGATES)
        if self.missing is not None:
            require_name(self.missing, "--missing", MISSING)
        if (self.explode or self.counts) and self.from_format != "table":
            raise InputError(f"--explode and --counts are for --from table: {self.from_format} knows its lists")
        if self.not_iid and dict(self.facts or {}).get("iid"):
            raise InputError("--not-iid and --fact iid=true: give one")

    def words(self) -> str:
        """The options that give these choices on the command line."""
        parts = [f"--from {self.from_format}", *(item.option() for item in self.maps)]
        parts += [f"--explode {','.join(self.explode)}"] if self.explode else []
        parts += [f"--counts {','.join(self.counts)}"] if self.counts else []
        parts += [f"--pick {self.pick}"] if self.pick else []
        parts += [f"--aggregate {self.aggregate}"] if self.aggregate != "last" else []
        parts += [f"--missing {self.missing}"] if self.missing else []
        parts += [f"--fact {name}={value}" for name, value in (self.facts or {}).items()]
        parts += ["--not-iid"] * self.not_iid + ["--skip-bad"] * self.skip_bad + ["--no-text"] * (not self.text)
        return " ".join(parts)


_DEFAULT = ImportChoices()

_Opened: TypeAlias = tuple[Path, Callable[[], Documents]]  # what messages call a log, and its objects


def _not_iid(how: str, cure: str = "") -> InputError:
    return InputError(
        f"{how}: not independent draws, so curves and plans would be wrong; --not-iid takes them, marked, and nothing "
        f"is recommended from the file{cure}"
    )


def _read(
    logs: Sequence[_Opened], form: LogFormat, choices: ImportChoices, reading: Reading, progress: Report | None
) -> Iterator[tuple[int, TableFile]]:
    """(number of the log, its rows as far as they are rows) of every log that holds draws."""
    if form.scorings is not None:
        for _, objects in logs:
            form.scorings(objects(), reading)
    for k, (path, objects) in enumerate(logs):
        if progress is not None:
            progress(k, len(logs))
        reading.name, reading.file = path.name, path.name if len(logs) > 1 else ""
        rows = log_rows(
            form.rows(objects(), reading), choices.maps, reading, (choices.facts or {}).get("temperature"), choices.text
        )
        try:
            first = next(rows, None)
            if first is None and reading.draws:
                continue  # scorings of the draws in other files
            yield k, rows_table(path, chain(() if first is None else (first,), rows), False, ONE_REQUIRED)
        except NotIid as found:
            raise _not_iid(f"{path}, line {found.number}: {found}") from found


def _facts(form: LogFormat, choices: ImportChoices, reading: Reading, table: pa.Table) -> Record:
    """What is said of the draws. Raises InputError where they show that they depend on each other."""
    declared = dict(choices.facts or {})
    facts: Record = {"format": form.name, "iid": form.iid, **reading.facts, **declared}
    if (kept := facts.get("kept")) is not None:
        facts["law"] = "renormalized over the kept tokens; what the base has outside them is not covered"
        facts["kept"] = {**kept, "mean_mass": kept["mean_mass"] / max(1, kept["tokens"])}
    if reading.facts.get("iid") is False:
        facts["iid"] = False
    known = facts["iid"] is False or declared.get("iid") or "order" in reading.facts
    sign = None if known else sign_of_dependence(table)
    if choices.not_iid:
        facts["iid"] = False
        facts |= {"how": sign} if sign and "how" not in facts else {}
    elif sign:
        raise _not_iid(sign, "; --fact iid=true if chance did it")
    if facts["iid"] is False:
        facts.setdefault("how", "declared so")
    scrubbed_facts: Record = scrubbed(facts)
    return scrubbed_facts


def _checked(logs: Sequence[_Opened], choices: ImportChoices, progress: Report | None = None) -> Log:
    """The log that the choices make of some logs: read, checked, with its facts. Raises InputError."""
    form = FORMATS[choices.from_format]
    limits = None if choices.reward_range is None else checked_range(*choices.reward_range, "--reward-range")
    declared = (choices.facts or {}).get("iid") is False
    reading = Reading(choices.pick, choices.aggregate, choices.explode, choices.counts, choices.not_iid or declared)
    files = dict(_read(logs, form, choices, reading, progress))
    owner = np.repeat(list(files), [file.table.num_rows for file in files.values()])
    lines = np.concatenate([np.asarray(file.lines) for file in files.values()])
    left_out = [fault for file in files.values() for fault in file.left_out]
    for k, file in files.items():
        if file.left_out and not choices.skip_bad:
            raise InputError(f"{logs[k][0]}, line {file.left_out[0].row}{said(file.left_out[0])}")
    table, kept, missing = without_missing(
        pa.concat_tables([file.table for file in files.values()], promote_options="permissive"),
        choices.missing,
        None if limits is None or not np.isfinite(limits[0]) else limits[0],
        lambda row: f"{logs[owner[row]][0]}, line {lines[row]}",
    )
    owner, lines = owner[kept], lines[kept]
    metadata: Record = {"facts": _facts(form, choices, reading, table)}
    metadata |= {"missing": missing} if missing else {}
    metadata |= {} if limits is None else {"reward": dict(zip(("low", "high"), limits, strict=True))}
    for k, (path, _) in enumerate(logs):
        rows = np.flatnonzero(owner == k)
        if rows.size:
            part = TableFile(table.take(pa.array(rows)), metadata, lines[rows], ())
            left_out += log_of_file(path, part, strict=not choices.skip_bad).left_out
    gone = {fault.prompt_id for fault in left_out if fault.prompt_id is not None}
    table = table.filter(pc.invert(pc.is_in(table["prompt_id"], pa.array(sorted(gone), pa.string()))))
    if table.num_rows == 0:
        raise InputError(f"{logs[0][0]} has no prompt without a bad row: line {left_out[0].row}{said(left_out[0])}")
    if left_out:
        metadata["left_out"] = {"rows": len(left_out), "prompts": len(gone)}
    metadata |= {"notes": reading.notes} if reading.notes else {}
    log = log_of_file(logs[0][0], TableFile(table, metadata, None, ()), strict=True)
    return replace(log, left_out=tuple(left_out))


def import_log(
    logs: PathLike | Sequence[PathLike],
    out: PathLike,
    choices: ImportChoices = _DEFAULT,
    progress: Report | None = None,
) -> Log:
    """Write the log `out` (Parquet) from logs in a format of `FORMATS`, and return it; progress(files done, files).

    Raises InputError naming file, line, field, value and cure for what cannot be read; then nothing is written.
    """
    paths = _paths(logs)
    log = _checked([(path, _opener(path, choices)) for path in paths], choices, progress)
    names = " ".join(path.name for path in paths)
    record = provenance(scrubbed(f"gsi import {names} {choices.words()}"), None)
    return replace(write_log(out, log.table, record | log.metadata), left_out=log.left_out)


def _paths(logs: PathLike | Sequence[PathLike]) -> list[Path]:
    paths = [Path(log) for log in ([logs] if isinstance(logs, str | os.PathLike) else logs)]
    if not paths:
        raise InputError("no log: give the path of one")
    return paths


def _opener(path: Path, choices: ImportChoices) -> Callable[[], Documents]:
    return lambda: FORMATS[choices.from_format].open(path)


def _records(source: object) -> list[Record]:
    """The rows of a table in memory: pandas, pyarrow, `datasets`, or a list of objects. InputError for others."""
    if isinstance(source, pa.Table):
        return source.to_pylist()
    if hasattr(source, "with_format") and not isinstance(source, Mapping):  # datasets.Dataset
        return _records(source.with_format("arrow")[:])
    if hasattr(source, "to_records") and hasattr(source, "columns"):  # pandas.DataFrame
        try:
            return _records(pa.Table.from_pandas(source, preserve_index=False))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(f"a data frame that no table holds ({error}): give columns of one type each") from error
    if isinstance(source, Sequence) and source and all(isinstance(row, Mapping) for row in source):
        return [dict(row) for row in source]
    raise InputError(
        f"a log given as {type(source).__name__}: give a path or several, a pandas, pyarrow or datasets table, or a "
        "list of rows"
    )


def read_log(source: object, choices: ImportChoices | str | None = None) -> Log:
    """A log of one model or two from files (a folder, a glob, a URL), a pandas, pyarrow or `datasets` table, or rows.

    Files that `gsi import` or `gsi pool` wrote, and JSONL with the names of SCHEMA, need no choices; any other format
    ("monkeys", or `ImportChoices`) and tables in memory (default: "table") are read as `gsi import` reads them. Raises
    InputError naming file, line, field, value and cure.
    """
    if isinstance(choices, str):
        choices = ImportChoices(choices)
    of_paths = isinstance(source, str | os.PathLike) or (
        isinstance(source, Sequence) and bool(source) and all(isinstance(part, str | os.PathLike) for part in source)
    )
    if not of_paths:
        records = _records(source)
        return _checked([(Path("table"), lambda: enumerate(records, start=1))], choices or _DEFAULT)
    if choices is not None:
        paths = _paths(source)  # type: ignore[arg-type]  # checked above
        return _checked([(path, _opener(path, choices)) for path in paths], choices)
    return read_log_file(source)  # type: ignore[arg-type]  # checked above
