"""How a user names a task, a reward model or an engine: ``KIND:PLACE?setting=value&setting=value``. No torch here.

``gsm8k:test.jsonl``, ``skywork:models/prm?step_token=\\n\\n``, ``http://host:8000?model=adapter``. Values of settings
are percent-decoded, and the two characters ``\\n`` in a value mean a line break.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record

__all__ = ["Spec", "parse_spec", "read_options", "read_query"]


@dataclass(frozen=True)
class Spec:
    """`kind` is "" where the text names none of the known kinds: then all of it is the place."""

    text: str
    kind: str
    place: str
    options: Mapping[str, str]


def parse_spec(text: str, kinds: Mapping[str, Json]) -> Spec:
    """The parts of `text`; a leading ``KIND:`` counts only if KIND is in `kinds`.

    Raises InputError for an empty text, and as `read_query` does.
    """
    if not text.strip():
        raise InputError(f"specification {text!r}: give KIND:PLACE, with KIND one of {', '.join(kinds)}")
    head, _, query = text.partition("?")
    kind, colon, place = head.partition(":")
    if kind not in kinds:
        kind, place = "", head
    return Spec(text, kind, place if colon or not kind else "", read_query(query, text))


def read_query(query: str, text: str) -> dict[str, str]:
    """The settings that `text` has after its question mark.

    Raises InputError for a setting without "=", or a setting given twice.
    """
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise InputError(f"setting {part!r} in {text!r}: write setting=value")
        if name in options:
            raise InputError(f"setting {name!r} is given twice in {text!r}: give it once")
        options[name] = unquote(value).replace("\\n", "\n")
    return options


def read_options(spec: Spec, readers: Mapping[str, Callable[[str], Json]]) -> Record:
    """The settings of `spec`, each through its reader.

    Raises InputError for a setting without a reader, or a value its reader refuses.
    """
    values = {}
    for name, value in spec.options.items():
        if name not in readers:
            known = ", ".join(readers) or "none"
            raise InputError(f"setting {name!r} in {spec.text!r}: this kind has the settings {known}")
        try:
            values[name] = readers[name](value)
        except ValueError as error:
            cure = "; settings are separated by &" if "=" in value else ""
            raise InputError(f"setting {name} = {value!r} in {spec.text!r}: {error}{cure}") from error
    return values
