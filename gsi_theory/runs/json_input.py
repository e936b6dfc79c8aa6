"""JSON that people give: UTF-8 with or without a byte order mark, each key once, numbers and text that can be used.

Python's reader keeps the last of equal keys, fails on deep nesting and on long integers, and lets lone surrogates
through, which no file can hold again. Here each of them is a fault with a place.
"""

from __future__ import annotations

import codecs
import gzip
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

from gsi_theory.errors import InputError
from gsi_theory.types import Json, Record

__all__ = ["JsonFault", "parse_json", "read_json", "read_text", "shown", "text_lines"]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN = 80
_GZIP = b"\x1f\x8b"
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # that of UTF-32 LE begins as the first


class JsonFault(ValueError):
    """What is wrong with a text of JSON, in a few words; line and column (from 1; None where none is known)."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column


def _unique(pairs: list[tuple[str, Json]]) -> Record:
    body = dict(pairs)
    if len(body) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonFault(f"the key {shown(twice)} stands twice, keep one")
    return body


def parse_json(text: str, number: Callable[[str], object] | None = None) -> Json:
    """The value of a JSON text; a number with a point or an exponent becomes number(its text). Raises JsonFault."""
    try:
        value = json.loads(text, parse_float=number, object_pairs_hook=_unique)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False, default=str).encode()
    except json.JSONDecodeError as error:
        raise JsonFault(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise JsonFault("nested too deep") from error
    except UnicodeEncodeError as error:
        raise JsonFault(f"a lone surrogate \\u{ord(error.object[error.start]):x}, which is no character") from error
    except ValueError as error:
        if isinstance(error, JsonFault):
            raise
        raise JsonFault("an integer of thousands of digits") from error
    return value


def _decoded(content: bytes, path: Path, line: int = 1) -> str:
    """The text of a file, or of one of its lines, a byte order mark at its start left out."""
    if line == 1 and content.startswith(_WIDE):
        raise InputError(f"{path} is UTF-16 or UTF-32 text: save it as UTF-8")
    try:
        return content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        raise InputError(f"{path}, line {line}: not UTF-8 text ({error.reason}): save the file as UTF-8") from error


def _require_end(stream: BinaryIO, path: Path, what: str) -> None:
    """InputError for a device that never ends (/dev/zero, /dev/full), which no memory holds."""
    if stat.S_ISCHR(os.fstat(stream.fileno()).st_mode) and not stream.isatty():
        raise InputError(f"{path} is a device: give {what}")


@contextmanager
def _opened(path: Path, what: str) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if it is gzip. InputError, naming `what` is expected, if it cannot be read."""
    try:
        with path.open("rb") as stream:
            _require_end(stream, path, what)
            if stream.peek(2)[:2] == _GZIP:
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    yield unpacked  # type: ignore[misc]  # a BinaryIO in all but name
            else:
                yield stream
    except FileNotFoundError as error:
        raise InputError(f"no file {path}: give the path of {what}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be read ({reason}): give {what}") from error


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of every line that is not blank, of a file in UTF-8 with or without a byte order mark, as
    it is or as gzip.

    InputError names file and line for another encoding, or a file that cannot be read.
    """
    with _opened(path, "a JSONL file") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield number, _decoded(line, path, number)


def read_text(path: Path, what: str) -> str:
    """The text of a file in UTF-8, as it is or as gzip; `what` says what is expected. Errors as `text_lines`."""
    with _opened(path, what) as stream:
        return _decoded(stream.read(), path)


def read_json(path: Path, what: str, number: Callable[[str], object] | None = None) -> Json:
    """The value of a JSON file; `what` says what is expected, for messages. InputError names file, place and cure."""
    text = read_text(path, what)
    try:
        return parse_json(text, number)
    except JsonFault as fault:
        place = "" if fault.line is None else f", line {fault.line}, column {fault.column}"
        raise InputError(f"{path}{place}: not usable as JSON ({fault.reason}): give {what}") from fault


def shown(value: object) -> str:
    """A value as JSON writes it, for messages: null, true, NaN, "text"; cut after 80 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=lambda v: float(v) if isinstance(v, Decimal) else str(v))
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
