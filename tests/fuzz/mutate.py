"""Mutations of values, JSON records and bytes; `Raw` is JSON text that no Python value stands for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["HOSTILE", "NUMBERS", "Raw", "bend", "bend_bytes", "dumps", "pick"]

Rng = np.random.Generator


class Raw(str):
    """JSON text as it stands."""


# Numbers as JSON (and many option parsers) read them.
NUMBERS = (
    "1e308", "-1e308", "1.7976931348623157e308", "1e-320", "5e-324", "-5e-324", "NaN", "Infinity", "-Infinity", "-0.0",
    "-0", "0", "0.0", "-1", "1", "2", "0.5", "-0.5", "1e999", "-1e999", "1e16", "9007199254740993", "2147483647",
    "2147483648", "9223372036854775808", "18446744073709551616", "1e-17", "1e22", "700", "-745.2", "1e5", "-10000",
)  # fmt: skip
HOSTILE = tuple(
    Raw(text)
    for text in (
        *NUMBERS, *NUMBERS, "9" * 5001, "-" + "9" * 5001, "null", "null", "null", "true", "false", '"0.5"', '"1"',
        '"-inf"', '"inf"', '"nan"', '""', '" "', '"abc"', r'"\ud800"', r'"a\udfffb"', r'"\u0000"', '"[bold]x[/]"',
        '"<script>alert(1)</script>"', '"é\u2028π"', json.dumps("x" * 10_000), "[]", "{}", "[1]", "[0.5, null]",
        '{"a": 1}', "[" * 100_000 + "]" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000,
    )
)  # fmt: skip


def pick(rng: Rng, options: Any) -> Any:
    """One of a sequence."""
    return options[int(rng.integers(len(options)))]


def dumps(value: Any) -> str:
    """JSON text; a `Raw` stands for itself."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {dumps(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(dumps, value)) + "]"
    return json.dumps(value)


def bend(rng: Rng, record: dict[str, Any]) -> Any:
    """The record with one thing wrong, or merely odd: a field dropped, renamed, twice, of another type or size."""
    if not record:
        return pick(rng, HOSTILE)
    name, changed = pick(rng, list(record)), dict(record)
    action = rng.integers(12)
    if action == 0:
        del changed[name]
    elif action == 1:
        changed[pick(rng, ("", name.upper(), name + " ", "extra", "\u00e9"))] = changed.pop(name)
    elif action == 2:
        twice = pick(rng, (changed[name], pick(rng, HOSTILE)))
        return Raw(dumps(changed)[:-1] + f", {json.dumps(name)}: {dumps(twice)}}}")
    elif action == 3:
        return pick(rng, (list(changed.values()), [changed], *HOSTILE[-12:]))
    elif action == 4:
        changed["extra"] = pick(rng, HOSTILE)
    elif isinstance(changed[name], list) and changed[name] and action < 10:
        changed[name] = _bend_list(rng, changed[name])
    elif isinstance(changed[name], dict) and changed[name] and action < 10:
        changed[name] = bend(rng, changed[name])
    else:
        changed[name] = pick(rng, HOSTILE)
    return changed


def _bend_list(rng: Rng, values: list[Any]) -> list[Any]:
    values, i = list(values), int(rng.integers(len(values)))
    action = rng.integers(6)
    if action == 0:
        return []
    if action == 1:
        del values[i]
    elif action == 2:
        values.insert(i, values[i])
    elif action == 3:
        return [pick(rng, HOSTILE)] * len(values)
    else:
        values[i] = pick(rng, HOSTILE)
    return values


def _flip(rng: Rng, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _blank_lines(rng: Rng, content: bytes) -> bytes:
    lines = content.split(b"\n")
    lines.insert(int(rng.integers(len(lines) + 1)), pick(rng, (b"", b"  \t", b"\r")))
    return b"\n".join(lines)


def _spliced(rng: Rng, content: bytes) -> bytes:
    at = int(rng.integers(len(content)))
    return (
        content[:at] + pick(rng, (b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"{}", b",", b"\n", b"# x\n")) + content[at:]
    )


# Of any file; the first half leaves text readable.
_BYTES: tuple[Callable[[Rng, bytes], bytes], ...] = (
    lambda rng, content: b"\xef\xbb\xbf" + content,
    lambda rng, content: content.replace(b"\n", b"\r\n"),
    _blank_lines,
    lambda rng, content: content.rstrip(b"\n"),
    lambda rng, content: content[: int(rng.integers(len(content)))],
    _flip,
    _spliced,
    lambda rng, content: content.decode("utf-8", "replace").encode("utf-16"),
    lambda rng, content: pick(rng, (b"", b"\n", b" ", b"\x00" * 64, b"PAR1", b"\x1f\x8b\x08\x00", b"null\n", b"[]\n")),
)


def bend_bytes(rng: Rng, content: bytes) -> bytes:
    """The file cut, flipped, in another encoding, with other ends of lines, or empty."""
    return pick(rng, _BYTES)(rng, content) if content else content
