"""JSON that programs read: every answer of a command and every file we write says which schema it follows.

A schema number is an integer of one kind of record; it grows when a field is renamed, removed or changes its meaning,
not when one is added. Readers take the numbers that they know, and files of before schemas, which carry none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from gsi_theory.errors import InputError, Named
from gsi_theory.types import Json, Record

__all__ = ["SCHEMAS", "answer", "plain", "with_schema"]

# kind of record -> its number today. CHANGELOG.md says what each number changed.
SCHEMAS: dict[str, int] = Named(
    "schema",
    {
        # files
        "artifact": 1,  # tables in the JSON
        "artifact_with_tables": 2,  # each table with its digest, in a Parquet file beside the JSON
        "pool": 1,
        "journal": 1,
        "training": 1,
        # answers of commands, --json
        "audit": 1,
        "claims": 1,
        "conform": 1,
        "conform_lists": 1,
        "conform_lm": 1,
        "curve": 1,
        "decode": 1,
        "doctor": 2,
        "import": 1,
        "law": 1,
        "models": 1,
        "mutants": 1,
        "plan": 2,  # tokens: of a step; tokens_through: by model; low, high over prompts; method: a key of METHODS
        "predict": 1,
        "refute": 1,
        "report": 1,
    },
)


def plain(value: object, place: str | None = None) -> Json:
    """`value` as strict JSON holds it: infinities as "inf" and "-inf", arrays and tuples as lists, never -0.0.

    NaN (not computed) becomes null. With `place`, the words that say where the value stands, NaN and values of types
    that JSON does not have are refused with an InputError that names it.
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), place)
    if isinstance(value, float):
        if math.isnan(value):
            if place is not None:
                raise InputError(f"NaN at {place}: an artifact holds no NaN; leave the row out or store null")
            return None
        return value + 0.0 if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, Mapping):
        return {str(k): plain(v, place and f"{place}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(v, place and f"{place}[{i}]") for i, v in enumerate(value)]
    if place is not None and not (value is None or isinstance(value, str | int)):
        cure = "store numbers, strings, lists or mappings"
        raise InputError(f"a value of type {type(value).__name__} at {place}: {cure}")
    return value


def with_schema(kind: str, record: Mapping[str, object]) -> Record:
    """`record` with its number in front, as `schema`; UnknownName for a kind that `SCHEMAS` does not hold."""
    return {"schema": SCHEMAS[kind], **record}


def answer(kind: str, record: Mapping[str, object], indent: int | None = None) -> str:
    """The JSON text of a command's answer: `plain`, with its schema number; what JSON has no type for as its text."""
    return json.dumps(plain(with_schema(kind, record)), indent=indent, allow_nan=False, default=str)
