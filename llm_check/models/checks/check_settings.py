"""Settings of a check, given as key=value text: each read by the one entry of its name, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gsi_theory.errors import InputError, nearest
from gsi_theory.laws.draws import MOST
from gsi_theory.rules.table import is_rule, rule_names
from gsi_theory.runs.options import distinct

__all__ = ["read_settings"]


@dataclass(frozen=True)
class _Kind:
    """What one value of a setting may be: read from text, accepted, and in words."""

    read: Callable[[str], Any]
    fits: Callable[[Any], bool]
    words: str


def _whole(least: int, most: int, words: str) -> _Kind:
    return _Kind(int, lambda value: least <= value <= most, words)


_COUNT = _whole(1, MOST, "a whole number from 1 to 2^53")
# Log-weights reach 1e12 nats (gsi_theory.laws.selection_law), and rewards of models are of order 1.
_BETA = _Kind(float, lambda value: 0.0 <= value <= 1e12, "a number from 0 to 1e12")
# By the name that every check gives the setting; names of lists are plurals.
_KINDS: dict[str, _Kind] = {
    "beta": _BETA,
    "betas": _BETA,
    "epsilon": _Kind(float, lambda value: 0.0 < value < math.inf, "a finite number above 0 (nats)"),
    "threshold": _Kind(float, lambda value: not math.isnan(value), "a number in reward units, inf and -inf included"),
    "tolerance": _Kind(float, lambda value: 0.0 <= value < 1.0, "a mass of at least 0 and below 1"),
    "rules": _Kind(str.strip, is_rule, f"one of {', '.join(rule_names())}"),
    "exact": _whole(0, MOST, "a whole number of at least 0"),
    "threads": _whole(1, 1024, "a whole number from 1 to 1024"),
    "problems": _whole(1, 20_000, "a whole number from 1 to 20000"),
    **dict.fromkeys(("n", "ns", "more", "draws", "runs", "candidates", "repeats"), _COUNT),
}


def read_settings(given: Mapping[str, str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`defaults` updated by `given`; where the default is a tuple, values are written with commas, each once.

    Raises InputError naming the setting, the value and what is allowed: for an unknown key, text that does not read as
    the setting's kind, a value outside its range (NaN is in none), or one given twice in a list.
    """
    values = dict(defaults)
    for key, text in given.items():
        if key not in defaults:
            raise InputError(f"setting {key!r}{nearest(key, defaults)}: give one of {', '.join(defaults)}")
        kind, several = _KINDS[key], isinstance(defaults[key], tuple)
        found = []
        for part in text.split(",") if several else [text]:
            try:
                value = kind.read(part)
                fits = kind.fits(value)
            except ValueError:
                fits = False
            if not fits:
                raise InputError(f"setting {key} = {text[:60]!r}: give {kind.words}{_LIST if several else ''}")
            found.append(value)
        values[key] = distinct(found) if several else found[0]
    return values


_LIST = ", several with commas"
