"""Settings, given as key=value: the one way in which experiments, the audit and checks declare and read them.

    SETTINGS = {
        "draws": RunSetting(1000, range(1, 10**9)),                       # a whole number
        "families": RunSetting("zipf", ("zipf", "dirichlet")),            # some of these names, in this order
        "beta": RunSetting(5.0, values(float, lambda b: b >= 0, "a number of at least 0")),
        "worlds": RunSetting("strong,weak", checked_worlds),              # (value, place) -> checked value
    }
    checked(SETTINGS, {"draws": "20"}, " of experiment 'steps'")       # {"draws": 20, "families": ("zipf",), ...}

Every error is an InputError "setting KEY<owner> = VALUE: give WHAT IS ALLOWED", or names the unknown key and those
there are.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from gsi_theory.errors import InputError, nearest, quoted
from gsi_theory.runs.options import distinct
from gsi_theory.types import Json, Record

__all__ = ["Allowed", "Reader", "RunSetting", "checked", "read_pairs", "set_options", "some_of", "values", "whole"]

# (value or its text, place: the words of an error that name the setting) -> checked value; raises InputError.
Reader: TypeAlias = Callable[[Json, str], object]
# A range of whole numbers, the names of which some may be given, or a function of one's own.
Allowed: TypeAlias = range | tuple[str, ...] | Reader


class RunSetting(NamedTuple):
    """One setting: its default (a value, or the text of one) and what is allowed; a plain pair does as well."""

    default: Json
    allowed: Allowed


def whole(value: Json, allowed: range, place: str) -> int:
    """`value`, a number or its text, as a whole number of the range; InputError names the place."""
    try:
        number = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or number not in allowed or (isinstance(value, float) and value != number):
        cure = f"give a whole number from {allowed.start} to {allowed.stop - 1}"
        raise InputError(f"{place} = {quoted(value)}: {cure}")
    return number


def _parts(value: object) -> list[object]:
    """The members of a list, or of its text with commas; anything else is one member."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


def some_of(value: object, allowed: Sequence[str], place: str) -> tuple[str, ...]:
    """The names that `value` lists, each once and in the order of `allowed`; InputError for another name."""
    parts = _parts(value)
    for part in parts:
        if part not in allowed:
            cure = f"give some of {', '.join(allowed)}, comma separated"
            raise InputError(f"{place} = {quoted(value)} names {quoted(part)}{nearest(part, allowed)}: {cure}")
    return tuple(name for name in allowed if name in parts)


def values(read: Callable[[str], Json], fits: Callable[[Json], bool], words: str, several: bool = False) -> Reader:
    """The reader of a value that is read from text, accepted, and named by `words`; several: with commas, each once.

    Text that `read` refuses with a ValueError, and a value that does not fit (NaN fits no range), is an InputError.
    """

    def reader(value: Json, place: str) -> object:
        members = []
        for part in _parts(value) if several else [value]:
            try:
                member = read(str(part))
                accepted = fits(member)
            except ValueError:
                accepted = False
            if not accepted:
                cure = f"give {words}{', several with commas' if several else ''}"
                raise InputError(f"{place} = {quoted(value)}: {cure}")
            members.append(member)
        return distinct(members) if several else members[0]

    return reader


def checked(settings: Mapping[str, tuple[Json, Json]], given: Mapping[str, object], owner: str = "") -> Record:
    """The value of every setting: as given, else its default, both checked.

    owner: of what these are the settings, for the messages, as " of experiment 'steps'". Raises InputError for a key
    that is none of `settings` and for a value that is not allowed.
    """
    for key in given:
        if key not in settings:
            raise InputError(f"setting {key!r}{owner}{nearest(key, settings)}: give one of {', '.join(settings)}")
    record: Record = {}
    for key, (default, allowed) in settings.items():
        value, place = given.get(key, default), f"setting {key}{owner}"
        if isinstance(allowed, range):
            record[key] = whole(value, allowed, place)
        elif isinstance(allowed, tuple):
            if others := [name for name in allowed if not isinstance(name, str)]:
                cure = "give names as text, a range of whole numbers, or a function (value, place) -> value"
                raise InputError(f"{place} allows {quoted(others[0])} ({type(others[0]).__name__}): {cure}")
            record[key] = some_of(value, allowed, place)
        else:
            record[key] = allowed(value, place)
    return record


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """{"key": "value"} from "key=value" texts; InputError for a text without "=" or without a key."""
    settings: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair!r}: give key=value")
        settings[key] = value
    return settings


def set_options(settings: Mapping[str, str]) -> str:
    """The options that give these settings, each with a leading blank, quoted for a shell."""
    return "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in settings.items())
