"""A journal of finished problems beside the output file: an interrupted run goes on where it stopped.

One JSON object a line: first a head that says what the lines belong to, then one line for each finished job. Lines are
appended whole and flushed to the disk; a torn last line (the machine died while it was written) is cut off on opening.
Results are always read back from their text, so that a run in one go and a resumed one end with the same bytes.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.runs.output import atomic_write_text, is_replaceable, writing

__all__ = ["Journal", "journal_path", "plain"]


def journal_path(out: Path) -> Path | None:
    """Where the journal of the output file `out` lies; None where `out` is a device, a FIFO or standard output."""
    if not is_replaceable(out):
        return None
    return out.with_name(f"{out.name}.journal.jsonl")


def plain(value: Any) -> Any:
    """`value` as strict JSON holds it: NaN (not computed) as null, infinities as "inf" and "-inf", arrays as lists."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value + 0.0 if math.isfinite(value) else ("inf" if value > 0 else "-inf")  # never -0.0
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


class Journal:
    """Finished jobs by key (a tuple of texts); with path None they are kept in memory alone.

    Raises InputError when the file belongs to another head (other settings, code or versions), unless `replace` lets it
    begin anew, or holds a line that is no journal's.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], replace: bool = False) -> None:
        self.path = path
        self._found: dict[tuple[str, ...], Any] = {}
        self._head = json.dumps({"journal": 1, "head": plain(head)}, sort_keys=True)
        if path is None:
            return
        if path.exists() and not (replace and self._is_other(path)):
            self._read(path)
        else:
            atomic_write_text(path, self._head + "\n")

    def _is_other(self, path: Path) -> bool:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline().rstrip("\n") != self._head

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].decode("utf-8", "replace").splitlines()
        if not lines or lines[0] != self._head:
            raise InputError(
                f"{path} holds unfinished results of other settings, models, versions or code: "
                "delete it to start anew, or give another --out"
            )
        for number, line in enumerate(lines[1:], start=2):
            try:
                entry = json.loads(line)
                self._found[tuple(entry["key"])] = entry["result"]
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                raise InputError(f"{path}, line {number} is no journal line ({error}): delete the file") from error
        if whole < len(content):
            os.truncate(path, whole)

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return key in self._found

    def __getitem__(self, key: tuple[str, ...]) -> Any:
        return self._found[key]

    def add(self, results: Mapping[tuple[str, ...], Any]) -> None:
        """Keep the results of finished jobs; they are on the disk when this returns."""
        lines = []
        for key, result in results.items():
            line = json.dumps({"key": list(key), "result": plain(result)}, sort_keys=True, allow_nan=False)
            self._found[key] = json.loads(line)["result"]
            lines.append(line + "\n")
        if self.path is None:
            return
        with writing(self.path), self.path.open("ab") as stream:
            stream.write("".join(lines).encode())
            stream.flush()
            os.fsync(stream.fileno())

    def delete(self) -> None:
        """Remove the file: its results are in the output now."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def delete_if_empty(self) -> None:
        """Remove the file if no job is finished: a run that could not begin leaves nothing behind."""
        if not self._found:
            self.delete()
