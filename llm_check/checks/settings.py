"""Settings of a check, given as key=value text and read by the type of their default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.options import distinct

__all__ = ["read_settings"]

# Of these none is a fair number; every other integer counts things of which a check needs one at least.
_MAY_BE_ZERO = ("exact",)


def read_settings(given: Mapping[str, str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` updated by `given`: integers, floats, and tuples of numbers written with commas, each once.

    Raises InputError for an unknown key, a value that is not of its default's type, NaN, or a count below 1 (0 for
    `exact`).
    """
    values = dict(defaults)
    for key, text in given.items():
        if key not in defaults:
            raise InputError(f"setting {key!r}: give one of {', '.join(defaults)}")
        default = defaults[key]
        parts = text.split(",") if isinstance(default, tuple) else [text]
        kind = type(default[0] if isinstance(default, tuple) else default)
        try:
            found = tuple(kind(part) for part in parts)
        except ValueError as error:
            raise InputError(f"setting {key} = {text!r}: give a value like the default {default!r}") from error
        least = 0 if key in _MAY_BE_ZERO else 1
        if kind is int and min(found) < least:
            raise InputError(f"setting {key} = {text!r}: give an integer of at least {least}")
        if any(value != value for value in found):
            raise InputError(f"setting {key} = {text!r}: give a number")
        values[key] = distinct(found) if isinstance(default, tuple) else found[0]
    return values
