"""Settings of a check, given as key=value text and read by the type of their default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gsi_theory.errors import InputError

__all__ = ["read_settings"]


def read_settings(given: Mapping[str, str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` updated by `given`: integers, floats, and tuples of numbers written with commas.

    Raises InputError for an unknown key or a value that is not of its default's type.
    """
    values = dict(defaults)
    for key, text in given.items():
        if key not in defaults:
            raise InputError(f"setting {key!r}: give one of {', '.join(defaults)}")
        default = defaults[key]
        try:
            if isinstance(default, tuple):
                values[key] = tuple(type(default[0])(part) for part in text.split(","))
            else:
                values[key] = type(default)(text)
        except ValueError as error:
            raise InputError(f"setting {key} = {text!r}: give a value like the default {default!r}") from error
    return values
