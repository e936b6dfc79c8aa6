"""Maps from the fields of a log to ours: `--map FIELD=THEIRS[:CONVERSION,...]`.

FIELD is a column of the pool schema. THEIRS is the name of a field of the log, in which dots go into nested objects,
whole numbers into lists (`scores.0.-1`: the last of the first), `*` into every entry of a list (`content.*.logprob`: a
list) and `@i` into the entry of the draw's own place; or @VALUE, a constant (JSON, or plain text), or @count, the
number of the draw within its (prompt_id, step, source), or @line, the number of the line. Conversions, left to right:

    log10, log2     logarithms to these bases become nats         prob    a probability becomes its logarithm
    negative        the sign is turned (a loss becomes a log-probability)
    sum             a list of token values becomes their sum; a null at its start, a token without context, is not of it
    mean            a mean over tokens becomes the sum, by n_tokens (or the length of token_ids)
    last, min, product, average    a list of scores of steps becomes one
    old=new         this value becomes that one (a text that none names is kept as it is)

Fields of the schema that no map names are taken under their own name where the log has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gsi_theory.errors import InputError, nearest, require_name
from gsi_theory.runs.json_input import JsonFault, parse_json
from gsi_theory.types import Json, Record
from llm_check.logs.formats.log_format import Draw
from llm_check.logs.formats.unfit import Unfit
from llm_check.logs.pools.pool_files import ABSENT
from llm_check.logs.pools.schema import FIELDS

__all__ = [
    "AGGREGATES",
    "CONVERSIONS",
    "COUNT",
    "NOTHING",
    "FieldMap",
    "aggregated",
    "exploded",
    "mapped",
    "parse_maps",
    "value_at",
]

COUNT, _LINE = "@count", "@line"
NOTHING = object()


def _tokens(row: Mapping[str, Json]) -> float:
    if row.get("n_tokens") is not None:
        return float(row["n_tokens"])
    if row.get("token_ids") is not None:
        return float(len(row["token_ids"]))
    raise ValueError("a mean needs n_tokens or token_ids beside it")


def _sum(values: Sequence[float]) -> float:
    return math.fsum(values[1:] if values and values[0] is None else values)


# name -> one score of the scores of steps, of which there is at least one
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "product": math.prod,
    "average": lambda scores: math.fsum(scores) / len(scores),
}


def aggregated(how: str, scores: Json, name: str) -> Json:
    """One score of the scores of steps; null of none. Raises Unfit, naming the field, for what are no numbers."""
    if not isinstance(scores, list):
        return scores
    if not scores:
        return None
    if any(isinstance(score, bool) or not isinstance(score, int | float) for score in scores):
        raise Unfit(name, scores, "give the scores of its steps, numbers")
    return AGGREGATES[how](scores)


def _of_list(how: str) -> Callable[[Json, Mapping[str, Json]], Json]:
    def convert(value: Json, row: Mapping[str, Json]) -> Json:
        if not isinstance(value, list):
            raise TypeError("no list")
        return AGGREGATES[how](value) if value else None

    return convert


# name -> converted value, of (value, the row as mapped so far)
CONVERSIONS: dict[str, Callable[[Json, Mapping[str, Json]], Json]] = {
    "log10": lambda value, row: float(value) * math.log(10.0),
    "log2": lambda value, row: float(value) * math.log(2.0),
    "prob": lambda value, row: math.log(value) if value > 0 else -math.inf,
    "negative": lambda value, row: -float(value),
    "sum": lambda value, row: _sum(value),
    "mean": lambda value, row: float(value) * _tokens(row),
    **{name: _of_list(name) for name in AGGREGATES},
}


@dataclass(frozen=True)
class FieldMap:
    """`field` of the schema comes from `theirs` through `conversions`, then `renamed` values."""

    field: str
    theirs: str
    conversions: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def option(self) -> str:
        """What gives the map on the command line."""
        changes = ",".join([*self.conversions, *(f"{old}={new}" for old, new in self.renamed)])
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
        renamed = tuple((part.split("=", 1)[0], part.split("=", 1)[1]) for part in parts if "=" in part)
        conversions = tuple(part for part in parts if "=" not in part)
        for conversion in conversions:
            require_name(conversion, f"--map {text!r}: conversion", CONVERSIONS)
        maps[name] = FieldMap(name, theirs, conversions, renamed)
    return sorted(maps.values(), key=lambda m: (m.theirs == COUNT, m.field not in ("n_tokens", "token_ids")))


def _constant(text: str) -> Json:
    try:
        return parse_json(text)
    except JsonFault:
        return text


def value_at(value: Json, name: str, index: int = 0) -> Json:
    """What stands at a dotted name (see above), `NOTHING` where there is nothing: absent fields and indices."""
    if isinstance(value, Mapping) and name in value:
        return value[name]
    head, _, rest = name.partition(".")
    if head == "*" and isinstance(value, list):
        found = [value_at(entry, rest, index) if rest else entry for entry in value]
        return NOTHING if any(entry is NOTHING for entry in found) else found
    if isinstance(value, Mapping) and head in value:
        part = value[head]
    elif isinstance(value, list) and (head == "@i" or (len(head) < 10 and head.removeprefix("-").isdecimal())):
        place = index if head == "@i" else int(head)
        if not -len(value) <= place < len(value):
            return NOTHING
        part = value[place]
    else:
        return NOTHING
    return value_at(part, rest, index) if rest else part


def _their_value(draw: Draw, name: str) -> Json:
    return next((v for part in draw.parts if (v := value_at(part, name, draw.place)) is not NOTHING), NOTHING)


def mapped(draw: Draw, maps: Sequence[FieldMap], number: int) -> Record:
    """The row of a draw with what the maps say in place of what its format found; @count is left to who numbers.

    Raises Unfit for a field that is absent, or a value that a conversion does not take.
    """
    ours = dict(draw.row)
    for item in maps:
        if item.theirs == COUNT:
            ours[item.field] = None
            continue
        if item.theirs.startswith("@") and not item.theirs.startswith("@i."):
            value = number if item.theirs == _LINE else _constant(item.theirs[1:])
        else:
            value = _their_value(draw, item.theirs)
        if value is NOTHING:
            near = nearest(item.theirs, (name for part in draw.parts for name in part))
            raise Unfit(item.theirs, ABSENT, f"correct the map of {item.field}{near}")
        if item.renamed and not isinstance(value, list | Mapping):
            value = dict(item.renamed).get(value if isinstance(value, str) else str(value), value)
        for name in item.conversions if value is not None else ():
            try:
                value = CONVERSIONS[name](value, ours)
            except (TypeError, ValueError, OverflowError, AttributeError) as error:
                raise Unfit(
                    item.field, value, f"{name} does not take it ({error}): correct the map or the line"
                ) from error
        ours[item.field] = value
    return ours


def _replaced(value: Json, parts: Sequence[str], new: Json) -> Json:
    """`value` with `new` at a dotted place that is there; what is around it is copied, not changed."""
    if not parts:
        return new
    if isinstance(value, Mapping):
        return {**value, parts[0]: _replaced(value[parts[0]], parts[1:], new)}
    place = int(parts[0])
    entries = list(value)
    entries[place] = _replaced(entries[place], parts[1:], new)
    return entries


def exploded(entry: Record, names: Sequence[str]) -> Iterator[Draw]:
    """One draw for each place of the lists at `names`, each list replaced by its entry; without names, the entry.

    Raises Unfit for a list that is absent, none, or of another length than the first.
    """
    if not names:
        yield Draw({}, (entry,))
        return
    lists = {}
    for name in names:
        values = value_at(entry, name)
        if not isinstance(values, list):
            raise Unfit(name, ABSENT if values is NOTHING else values, "--explode takes fields that hold lists")
        lists[name] = values
        if len(values) != len(lists[names[0]]):
            raise Unfit(
                name, values, f"{len(values)} values beside {len(lists[names[0]])} of {names[0]}: give one each"
            )
    for index in range(len(lists[names[0]])):
        one: Json = entry
        for name, values in lists.items():
            one = _replaced(one, [name] if name in one else name.split("."), values[index])
        yield Draw({}, (one, entry), index)
