"""Settings of the checks: what each may be, by the name that every check gives it; read before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gsi_theory.laws.draws import MOST
from gsi_theory.rules.table import is_rule, rule_names
from gsi_theory.runs.settings import RunSetting, checked, values
from gsi_theory.types import Json, Record

__all__ = ["read_settings"]


class _Kind(NamedTuple):
    """What one value of a setting may be: read from text, accepted, and in words."""

    read: Callable[[str], Json]
    fits: Callable[[Json], bool]
    words: str


def _whole(least: int, most: int, words: str) -> _Kind:
    return _Kind(int, lambda value: least <= value <= most, words)


_COUNT = _whole(1, MOST, "a whole number from 1 to 2^53")
# Log-weights reach 1e12 nats (gsi_theory.laws.selection_law), and rewards of models are of order 1.
_BETA = _Kind(float, lambda value: 0.0 <= value <= 1e12, "a number from 0 to 1e12")
_KINDS: dict[str, _Kind] = {  # names of lists are plurals
    "beta": _BETA,
    "betas": _BETA,
    "epsilon": _Kind(float, lambda value: 0.0 < value < math.inf, "a finite number above 0 (nats)"),
    "threshold": _Kind(float, lambda value: not math.isnan(value), "a number in reward units, inf and -inf included"),
    "tolerance": _Kind(float, lambda value: 0.0 <= value < 1.0, "a mass of at least 0 and below 1"),
    "rules": _Kind(str.strip, is_rule, f"one of {', '.join(rule_names())}"),
    "exact": _whole(0, MOST, "a whole number of at least 0"),
    "threads": _whole(1, 1024, "a whole number from 1 to 1024"),
    "problems": _whole(1, 20_000, "a whole number from 1 to 20000"),
    "batch": _whole(2, 4096, "a whole number from 2 to 4096"),
    "drafts": _Kind(str.strip, bool, "a model, or . for --draft"),
    "lengths": _whole(1, 1 << 20, "tokens, a whole number from 1 to 2^20"),
    **dict.fromkeys(("n", "ns", "more", "draws", "runs", "candidates", "fresh", "repeats"), _COUNT),
}


def read_settings(given: Mapping[str, str], defaults: Mapping[str, object]) -> Record:
    """`defaults` updated by `given`; where the default is a tuple, values are written with commas, each once.

    InputError as `gsi_theory.runs.settings.checked` raises it.
    """
    settings = {
        key: RunSetting(default, values(*_KINDS[key], several=isinstance(default, tuple)))
        for key, default in defaults.items()
    }
    return checked(settings, given)
