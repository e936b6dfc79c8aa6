"""What a format of logs is: a record, and the rows that it finds in the objects of a file.

A format turns the objects of a file (lines, entries, samples) into draws: a row in SCHEMA's names as far as the format
has them, and the objects around it, in which `--map FIELD=THEIRS` looks up what the format does not know, nearest
first. Everything after that (maps, casts, log-probabilities, counts, what is missing, what is not iid) is done once for
all formats, in `log_import.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gsi_theory.types import Json, Record
from llm_check.logs.formats.documents import Documents, documents
from llm_check.logs.formats.scorings import Scorings
from llm_check.logs.formats.unfit import NotIid, Unfit
from llm_check.logs.pools.pool_files import ABSENT, LeftOut

__all__ = ["Draw", "LogFormat", "Numbered", "Reading", "draws_of", "member", "optional", "parallel"]


class Draw(NamedTuple):
    """One draw: `row`, fields of SCHEMA; `parts`, the objects of the log around it, nearest first; `place`, where in
    its lists it stood."""

    row: Record
    parts: tuple[Mapping[str, Json], ...]
    place: int = 0


Numbered = Iterator[tuple[int, Draw | LeftOut]]  # the line or entry, and a draw in it, or why there is none


@dataclass
class Reading:
    """What one import carries from object to object, over all of its files.

    pick: scorer, filter or metric to read (None: the first); aggregate: how scores of steps become one; explode,
    totals: see `mapped_table.py`; not_iid: whether dependent draws are taken; name: the file being read; file: the
    same, "" where it is the only one; facts: what the log says of its draws; scorings: log-probabilities of given
    tokens, draws: the lines that hold draws beside them; seen: where what may stand once stood; counts: draws of each
    prompt so far; notes: for the user.
    """

    pick: str | None = None
    aggregate: str = "last"
    explode: tuple[str, ...] = ()
    totals: tuple[str, str] | None = None
    not_iid: bool = False
    name: str = ""
    file: str = ""
    facts: Record = field(default_factory=dict)
    scorings: Scorings = field(default_factory=Scorings)
    draws: list[int] = field(default_factory=list)
    seen: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: Counter[Json] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def line_name(self, number: int) -> str:
        """A name for the prompt of an object that has none."""
        return f"{self.file}:{number}" if self.file else str(number)

    def once(self, name: str, value: Json, number: int) -> None:
        """Raise Unfit for a value that stood in another line before."""
        place = self.line_name(number)
        before = self.seen.setdefault((name, repr(value)), place)
        if before != place:
            raise Unfit(name, value, f"stands at line {before} too: keep one, or its draws count twice")

    def once_in_file(self, name: str, value: Json, number: int) -> None:
        """`once`, of what other files may hold more draws of; null may stand as often as it likes."""
        if value is not None:
            self.once(f"{self.file} {name}".strip(), value, number)

    def number_draws(self, key: Json, draws: int) -> int:
        """The number of the first of so many further draws of a prompt, from 0."""
        self.counts[key] += draws
        return self.counts[key] - draws

    def fact(self, name: str, value: Json) -> None:
        """Note what the log says; a second value of the same name makes a list of both."""
        if value is None:
            return
        known = self.facts.get(name)
        if known is None or known == value:
            self.facts[name] = value
        elif not isinstance(known, list):
            self.facts[name] = [known, value]
        elif value not in known and len(known) < 8:
            known.append(value)

    def dependent(self, how: str) -> None:
        """Note that draws depend on each other. Raises NotIid unless such draws are taken."""
        if not self.not_iid:
            raise NotIid(how)
        self.facts |= {"iid": False, "how": how}

    def graded(self) -> None:
        """Note that the reward is a grade: who chooses by it needs the answer key."""
        self.facts["reward_is_grade"] = True
        self.note("the reward is a grade: choosing by it needs the answer key")

    def note(self, text: str) -> None:
        """Something to tell the user, once."""
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class LogFormat:
    """A format by name.

    reads: its files, for --help; rows(documents, reading): its draws; iid: whether it draws independently (None: it
    does not say); open: its objects of a file; scorings: what notes the log-probabilities of given tokens, before the
    rows.
    """

    name: str
    reads: str
    rows: Callable[[Documents, Reading], Numbered]
    iid: bool | None = None
    open: Callable[[Path], Documents] = documents
    scorings: Callable[[Documents, Reading], None] | None = None


def draws_of(objects: Documents, of_object: Callable[[int, Record], Iterator[Draw]]) -> Numbered:
    """The draws of every object; what is no object, or unfit, in the place where it stands."""
    for number, entry in objects:
        if isinstance(entry, LeftOut):
            yield number, entry
            continue
        try:
            if not isinstance(entry, dict):
                raise Unfit("", entry, "give an object of named values")
            for draw in list(of_object(number, entry)):
                yield number, draw
        except Unfit as unfit:
            yield number, LeftOut(number, unfit.name, unfit.value, unfit.reason, None)
        except NotIid as found:
            found.number = number
            raise


_KINDS = {
    str: "text",
    dict: "an object",
    list: "a list",
    int: "a whole number",
    bool: "true or false",
    float: "a number",
}


def _of_kind(value: Json, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


def member(entry: Mapping[str, Json], name: str, kind: type, place: str = "") -> Json:
    """A field that must be there. Raises Unfit, naming `place`.name, where it is absent or of another kind."""
    full = f"{place}.{name}" if place else name
    if name not in entry:
        raise Unfit(full, ABSENT, "is this the right --from?")
    if not _of_kind(entry[name], kind):
        raise Unfit(full, entry[name], f"give {_KINDS[kind]}")
    return entry[name]


def optional(entry: Mapping[str, Json], name: str, kind: type, place: str = "") -> Json:
    """A field that may be absent or null: then None. Raises Unfit for another kind."""
    return None if entry.get(name) is None else member(entry, name, kind, place)


def parallel(entry: Mapping[str, Json], names: tuple[str, ...], length: int) -> dict[str, list[Json]]:
    """Those of the lists that are there. Raises Unfit for one that is not `length` long."""
    lists = {}
    for name in names:
        values = optional(entry, name, list)
        if values is None:
            continue
        if len(values) != length:
            raise Unfit(name, values, f"{len(values)} values of {length} draws: give one each")
        lists[name] = values
    return lists
