"""Values of logs in the types of the schema: whole-number ids, "0.75", 1.0 for true, C and I, text of CSV cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from gsi_theory.runs.json_input import JsonFault, parse_json
from gsi_theory.types import Json, Record
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.schema import FIELDS

__all__ = ["cast_row", "truth_of"]

_TRUE = ("true", "yes", "c", "correct", "pass", "passed", "1", "1.0", "t")
_FALSE = ("false", "no", "i", "incorrect", "fail", "failed", "wrong", "0", "0.0", "f")
# What stands where a number failed to come.
_MISSING = ("", "nan", "none", "null", "na", "n/a", "error", "failed", "inf", "-inf", "+inf", "infinity", "-infinity")


def _text(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("text")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _whole(value: Json) -> int:
    if isinstance(value, str):
        value = float(value) if "." in value or "e" in value.lower() else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError("a whole number")
    return int(value)


def _number(value: Json) -> float:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a number")
    return float(value)


def truth_of(value: Json) -> bool:
    """true and false, 1 and 0, and the words that benches write for them, C and I among them. ValueError for others."""
    word = str(value).strip().casefold()
    if isinstance(value, bool | int | float | str) and word in (*_TRUE, *_FALSE):
        return word in _TRUE
    raise ValueError("true or false")


def _listed(each: Callable[[Json], Any]) -> Callable[[Json], list[Any]]:
    def convert(value: Json) -> list[Any]:
        if isinstance(value, str):
            value = parse_json(value)
        if not isinstance(value, list):
            raise ValueError("a list")
        return [None if part is None else each(part) for part in value]

    return convert


def _cast_of(kind: pa.DataType) -> Callable[[Json], Any]:
    if pa.types.is_list(kind):
        return _listed(_cast_of(kind.value_type))
    if pa.types.is_string(kind):
        return _text
    return _whole if pa.types.is_integer(kind) else truth_of if pa.types.is_boolean(kind) else _number


_CASTS = {name: _cast_of(field.type) for name, field in FIELDS.items()}
# Values of these types, exactly, are what the cast makes of them.
_TYPES: dict[Callable[[Json], Any], type] = {_text: str, _whole: int, truth_of: bool}
_EXACT = {name: _TYPES.get(cast) for name, cast in _CASTS.items()}
_REWARDS = ("reward", "gold_reward")


def cast_row(row: Mapping[str, Json]) -> Record:
    """The row in the types of the schema, nulls as they are; a reward that is no finite number, or a word for its lack,
    is null. Raises Unfit for a value that is none of its type."""
    ours: Record = {}
    for name, value in row.items():
        if value is not None and type(value) is _EXACT.get(name):
            ours[name] = value
            continue
        if name in _REWARDS and (
            (isinstance(value, float) and not math.isfinite(value))
            or (isinstance(value, str) and value.strip().casefold() in _MISSING)
        ):
            value = None
        if value is None or name not in _CASTS:
            ours[name] = value
            continue
        try:
            ours[name] = _CASTS[name](value)
        except (ValueError, OverflowError, JsonFault) as error:
            raise Unfit(name, value, f"write it as {FIELDS[name].type}, or map the field that has it") from error
    return ours
