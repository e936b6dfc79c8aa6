"""Other engines' logs as pools: JSONL in, Parquet out, by a map of field names and unit conversions. No torch here.

    gsi pool --import LOG.jsonl OUT.parquet --map prompt_id=problem.id --map step=@0 --map candidate=@count
        --map source=model:small=draft,large=base --map logp_draft=small_lp:log10 --map logp_base=large_lp:mean

A map is FIELD=THEIRS[:CONVERSION,...]. FIELD is a column of the pool schema. THEIRS is the name of a field of the log
(dots go into nested objects), or @VALUE for a constant (JSON, or plain text), or @count for the number of the row
within its (prompt_id, step, source). Conversions, left to right:

    log10, log2     logarithms to these bases become nats         prob    a probability becomes its logarithm
    negative        the sign is turned (a loss becomes a log-probability)
    sum             a list of token values becomes their sum
    mean            a mean over tokens becomes the sum, by n_tokens (or the length of token_ids)
    old=new         this value becomes that one (a text that none names is kept as it is)

Fields of the schema that no map names are taken under their own name where the log has them. A log with other
temperatures on either side is no pool: record `sampling_temperature` where it is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.artifact import provenance
from gsi_theory.runs.json_input import JsonFault, parse_json
from gsi_theory.types import Json, Record
from llm_check.logs.pools.pool import Pool, pool_of_file, write_pool
from llm_check.logs.pools.pool_files import ABSENT, LeftOut, NumberedLine, json_lines, rows_table
from llm_check.logs.pools.row_checks import checked_range
from llm_check.logs.pools.schema import FIELDS

__all__ = ["CONVERSIONS", "FieldMap", "import_log", "parse_maps"]

_COUNT = "@count"


def _tokens(row: Mapping[str, Json]) -> float:
    if row.get("n_tokens") is not None:
        return float(row["n_tokens"])
    if row.get("token_ids") is not None:
        return float(len(row["token_ids"]))
    raise ValueError("a mean needs n_tokens or token_ids beside it")


# name -> converted value, of (value, the row as mapped so far)
CONVERSIONS: dict[str, Callable[[Json, Mapping[str, Json]], Json]] = {
    "log10": lambda value, row: float(value) * math.log(10.0),
    "log2": lambda value, row: float(value) * math.log(2.0),
    "prob": lambda value, row: math.log(value) if value > 0 else -math.inf,
    "negative": lambda value, row: -float(value),
    "sum": lambda value, row: math.fsum(value),
    "mean": lambda value, row: float(value) * _tokens(row),
}


@dataclass(frozen=True)
class FieldMap:
    """`field` of the schema comes from `theirs` through `conversions`, then `renamed` values."""

    field: str
    theirs: str
    conversions: tuple[str, ...]
    renamed: Mapping[str, str]

    def option(self) -> str:
        """What gives the map on the command line; "" for a field taken under its own name as it is."""
        changes = ",".join([*self.conversions, *(f"{old}={new}" for old, new in self.renamed.items())])
        if self.theirs == self.field and not changes:
            return ""
        return f"--map {self.field}={self.theirs}" + (f":{changes}" if changes else "")


def parse_maps(texts: Sequence[str]) -> list[FieldMap]:
    """Maps from their command-line text, those that a mean needs first.

    Raises InputError for an unknown field or conversion, a field mapped twice, or a text that is no map.
    """
    maps: dict[str, FieldMap] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or not rest or name not in FIELDS:
            raise InputError(f"--map {text!r}: write FIELD=THEIRS[:CONVERSION,...], FIELD one of {', '.join(FIELDS)}")
        if name in maps:
            raise InputError(f"--map {text!r}: {name} is mapped twice, map it once")
        theirs, _, how = (rest, "", "") if rest.startswith("@") else rest.partition(":")
        parts = how.split(",") if how else []
        renamed = dict(part.split("=", 1) for part in parts if "=" in part)
        conversions = tuple(part for part in parts if "=" not in part)
        for conversion in conversions:
            if conversion not in CONVERSIONS:
                cure = f"use one of {', '.join(CONVERSIONS)}"
                raise InputError(
                    f"--map {text!r}: no conversion {conversion!r}{nearest(conversion, CONVERSIONS)}, {cure}"
                )
        maps[name] = FieldMap(name, theirs, conversions, renamed)
    same = [FieldMap(name, name, (), {}) for name in FIELDS if name not in maps]
    lengths = ("n_tokens", "token_ids")
    return sorted([*maps.values(), *same], key=lambda m: (m.theirs == _COUNT, m.field not in lengths))


def _constant(text: str) -> Json:
    try:
        return parse_json(text)
    except JsonFault:
        return text


_NOTHING = object()


def _their_value(row: Mapping[str, Json], name: str) -> Json:
    if name in row:
        return row[name]
    value: Json = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _NOTHING
        value = value[part]
    return value


def _mapped(row: Mapping[str, Json], maps: Sequence[FieldMap], counts: Counter[tuple[Json, ...]]) -> Record:
    """The row in our names and units. Raises _Unfit for a value that a conversion does not take."""
    ours: Record = {}
    for item in maps:
        if item.theirs == _COUNT:
            key = tuple(ours.get(name) for name in ("prompt_id", "step", "source"))
            ours[item.field] = counts[key]
            counts[key] += 1
            continue
        value = _constant(item.theirs[1:]) if item.theirs.startswith("@") else _their_value(row, item.theirs)
        if value is _NOTHING:
            if item.theirs != item.field or item.conversions:
                raise _Unfit(item, ABSENT, f"correct the map of {item.field}")
            continue
        if isinstance(value, str) and value in item.renamed:
            value = item.renamed[value]
        for name in item.conversions:
            try:
                value = CONVERSIONS[name](value, ours)
            except (TypeError, ValueError, OverflowError) as error:
                raise _Unfit(item, value, f"{name} does not take it ({error}): correct the map or the line") from error
        ours[item.field] = value
    return ours


class _Unfit(Exception):
    def __init__(self, item: FieldMap, value: Json, reason: str) -> None:
        super().__init__(reason)
        self.item, self.value, self.reason = item, value, reason


def _rows(path: Path, maps: Sequence[FieldMap]) -> Iterator[NumberedLine]:
    counts: Counter[tuple[Json, ...]] = Counter()
    for number, row in json_lines(path):
        if isinstance(row, LeftOut):
            yield number, row
            continue
        try:
            yield number, _mapped(row, maps, counts)
        except _Unfit as unfit:
            name = unfit.item.theirs if unfit.value is ABSENT else unfit.item.field
            yield number, LeftOut(number, name, unfit.value, unfit.reason, None)


def import_log(log: Path, out: Path, maps: Sequence[FieldMap], limits: tuple[float, float] | None = None) -> Pool:
    """Write the pool `out` from a JSONL log; `limits` is the stated range of its reward.

    Raises InputError naming line, field, value and cure for the first row that is none of a pool; nothing is written.
    """
    if not log.is_file():
        raise InputError(f"no log at {log}: give a JSONL file")
    file = rows_table(log, _rows(log, maps), strict=True)
    text = " ".join(option for item in maps if (option := item.option()))
    record: Record = provenance(f"gsi pool --import {log.name} {text}".strip(), None)
    if limits is not None:
        record["reward"] = dict(zip(("low", "high"), checked_range(*limits, "--reward-range"), strict=True))
    checked = pool_of_file(log, replace(file, metadata=record))
    return write_pool(out, checked.table, record)
