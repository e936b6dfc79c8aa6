"""The one exception that bad input raises anywhere in the project, and the tables of names that raise it."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn, TypeVar

__all__ = ["InputError", "Named", "UnknownName", "nearest", "quoted", "require_name"]

T = TypeVar("T")

_QUOTED = 80
_CUTOFF = 0.5  # of difflib's ratio: a longer name that begins with the one given still counts as near


class InputError(ValueError):
    """Bad input: one line that names the value received, the place it came from, and the cure.

    The command line prints the message without a traceback and exits with status 2.
    """


class UnknownName(InputError, KeyError):
    """A name that a table does not hold; a KeyError too, because the tables are dicts."""

    __str__ = Exception.__str__  # KeyError's shows the quoted message


class Named(dict[str, T]):
    """A dict of named members; looking up an unknown name raises UnknownName with the nearest names."""

    def __init__(self, kind: str, members: dict[str, T]) -> None:
        super().__init__(members)
        self.kind = kind

    def __missing__(self, name: object) -> NoReturn:
        cure = nearest(name, self) or f": give one of {', '.join(self)}"
        raise UnknownName(f"no {self.kind} {name!r}{cure}")


def nearest(name: object, known: Iterable[str]) -> str:
    """The at most three known names nearest to `name`, as " (did you mean 'a', 'b' or 'c'?)"; "" if none is near."""
    by_folded = {each.casefold(): each for each in known}
    close = get_close_matches(str(name).casefold(), by_folded, 3, _CUTOFF)
    quoted = [repr(by_folded[each]) for each in close]
    if not quoted:
        return ""
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
    return f" (did you mean {listed}?)"


def quoted(value: object) -> str:
    """repr(value) for a message: one line of at most 80 characters."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer beyond Python's limit of digits
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= _QUOTED else f"{text[:_QUOTED]}..."


def require_name(name: object, kind: str, known: Iterable[str]) -> None:
    """InputError with the nearest names unless `name` is one of `known`; arrays and other strangers are none."""
    members = tuple(known)
    if not isinstance(name, str) or name not in members:
        near = nearest(name, members) if isinstance(name, str) else ""
        raise InputError(f"{kind} {quoted(name)}{near}: give one of {', '.join(members)}")
