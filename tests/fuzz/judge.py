"""What every call must keep, whatever it is given: `complaints` lists what it did not."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.fuzz.case import Case

__all__ = ["Answer", "complaints", "contents"]

_NAN = re.compile(r"\bnan\b", re.IGNORECASE)
_MINUS_ZERO = re.compile(r"(?<![\w.])-0(\.0+)?(?![\w.])")
_QUOTING = ("value", "problem_id", "prompt_id")
# What a progress bar leaves where nobody watches it: a disk may be full once the work is done.
_PROGRESS = re.compile(r"\w+: done")
_WARNING = re.compile(r"^\S*Warning\b|\w+Warning:", re.MULTILINE)
# A bad value of a row, as the doctor quotes it, and names of a user.
_QUOTED = re.compile(r""" = \\?['"]?(nan|NaN|-0(\.0+)?)\\?['"]?:|"(value|problem_id|prompt_id)": ("nan"|"NaN"|-0\.0)""")


@dataclass(frozen=True)
class Answer:
    """What a call came to: exit status (None: it did not end), both streams, the warnings and the exception that came
    out of it, and the folder before and after."""

    status: int | None
    out: str
    err: str
    warnings: tuple[str, ...]
    raised: str
    before: dict[str, str]
    after: dict[str, str]


def contents(folder: Path) -> dict[str, str]:
    """Every path below a folder, and what is there: kind, and digest or target."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            state = f"link {path.readlink()}"
        elif stat.S_ISREG(mode):
            state = f"file {hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        else:
            state = f"kind {stat.S_IFMT(mode):o}"
        seen[str(path.relative_to(folder))] = state
    return seen


def _strict(text: str) -> Any:
    def literal(name: str) -> Any:
        raise ValueError(f"literal {name}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in items}) < len(items):
            raise ValueError("a key twice")
        return dict(items)

    return json.loads(text, parse_constant=literal, object_pairs_hook=pairs)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text of a JSON value, with the name of its field."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value


def _of_text(case: Case, answer: Answer) -> Iterator[str]:
    if "Traceback" in answer.out + answer.err:
        yield "a traceback is printed"
    for warning in (*answer.warnings, *(line for line in answer.err.splitlines() if _WARNING.search(line))):
        yield f"warning: {warning[:200]}"
    for stream, text in (("stdout", answer.out), ("stderr", answer.err)):
        if answer.status == 2 and stream == "stderr":  # where a message may quote what it refuses
            told = "" if case.says_nan else text
            patterns = {"nan": _NAN}
        else:
            told, patterns = _QUOTED.sub("", text), {"nan": _NAN, "-0": _MINUS_ZERO}
        for name, pattern in patterns.items():
            if place := pattern.search(told):
                yield f"{name} on {stream}: {told[max(0, place.start() - 60) : place.end() + 40]!r}"


def _of_json(case: Case, answer: Answer) -> Iterator[str]:
    try:
        body = _strict(answer.out)
    except (ValueError, RecursionError) as error:
        yield f"--json is no strict JSON ({error}): {answer.out[:80]!r}"
        return
    for name, value in _leaves(body):
        # The value of a bad row is quoted, and names are the user's.
        if isinstance(value, float) and str(value) == "-0.0" and name != "value":
            yield f"{name} = -0.0 in the JSON"
        if isinstance(value, str) and value.lower() == "nan" and not (case.says_nan and name in _QUOTING):
            yield f"{name} = 'nan' in the JSON"


def _names(case: Case) -> set[str]:
    words = {part for word in case.argv for part in (word, *word.split("="), *word.split(":"))}
    return {word for word in words if len(repr(word)) > 3} | {Path(name).name for name in case.files}


def _of_refusal(case: Case, answer: Answer) -> Iterator[str]:
    """One line on standard error that names something of the input; nothing else said, nothing written."""
    said = [line for line in answer.err.splitlines() if line.strip() and not _PROGRESS.fullmatch(line)]
    if len(said) != 1:
        yield f"{len(said)} lines on stderr with status 2: {answer.err[:300]!r}"
    if answer.out:
        yield f"stdout with status 2: {answer.out[:100]!r}"
    shown = {repr(name)[1:-1] for name in _names(case)} | {"''"} & {repr(word) for word in case.argv}
    if said and not any(name in answer.err for name in shown) and case.argv:
        yield f"the message names nothing of the input: {answer.err[:200]!r}"
    changed = {
        name for name in answer.before.keys() | answer.after.keys() if answer.before.get(name) != answer.after.get(name)
    }
    if changed:
        yield f"status 2, yet these came or changed: {sorted(changed)[:5]}"


def _of_outputs(case: Case, answer: Answer, folder: Path) -> Iterator[str]:
    """What was asked for is there and can be read; devices and links are what they were; no scratch files."""
    for name, state in answer.before.items():
        if state.startswith(("link", "kind")) and answer.after.get(name) != state:
            yield f"{name} was replaced: {state}, now {answer.after.get(name)}"
    for name in answer.after.keys() - answer.before.keys():
        if Path(name).name.startswith(".") or name.endswith(("~", ".tmp")):
            yield f"scratch file {name} left"
    for output in case.outputs:
        path = folder / output
        if not path.exists():
            yield f"status 0, but no {output!r}"
    for name in sorted(answer.after.keys() - answer.before.keys()):
        if (folder / name).is_file():
            yield from _readable(folder / name)


def _readable(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic == b"PAR1":
            pq.read_table(io.BytesIO(path.read_bytes()))  # pyarrow takes no name that is no text
        elif magic == b"%PDF":
            return
        elif path.suffix == ".json":
            _strict(path.read_text(encoding="utf-8"))
        elif not path.read_text(encoding="utf-8"):
            yield f"{path.name} is empty"
    except (OSError, ValueError, RecursionError) as error:
        yield f"{path.name} cannot be read again: {error}"


def complaints(case: Case, answer: Answer, folder: Path) -> list[str]:
    """What the call did that no call may do; none for a good one."""
    found = []
    if answer.raised:
        found.append(f"raised {answer.raised}")
    elif answer.status not in (0, 1, 2):
        found.append(f"status {answer.status}")
    found += _of_text(case, answer)
    if answer.raised:
        return found
    if case.as_json and answer.status in (0, 1) and answer.out:
        found += _of_json(case, answer)
    if case.as_json and answer.status == 0 and not answer.out:
        found.append("--json, status 0, and no answer")
    if answer.status == 2:
        found += _of_refusal(case, answer)
    if answer.status == 0 and "--help" not in case.argv:
        found += _of_outputs(case, answer, folder)
    return found
