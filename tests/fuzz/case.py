"""One call of the fuzz: arguments, the files of its folder, and what it may write.

All of it is a function of two integers, the seed and the number of the call.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Case", "Files", "case_of", "lay_out"]

# Path to content, or to what stands there that is no regular file.
Files = dict[str, bytes | str]


@dataclass(frozen=True)
class Case:
    """`argv` after the program's name, paths relative to the folder; `files`: path to content, or for what is no
    regular file "folder", "link:TARGET" or "full" (a device on which every write fails); `outputs`: the paths named as
    outputs; `says_nan`: whether the input holds a NaN, so that a message may quote it."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    says_nan: bool = False

    @property
    def as_json(self) -> bool:
        """Whether standard output must be one JSON value."""
        return "--json" in self.argv and "--help" not in self.argv


def case_of(argv: list[str], files: Files, *outputs: str) -> Case:
    """The case; it says nan where a text among its files or its arguments does, and weights may."""
    texts = [content for content in files.values() if isinstance(content, bytes)]
    says_nan = any(b"nan" in text.lower() for text in texts) or any("nan" in word.lower() for word in argv)
    says_nan |= any(name.endswith(".safetensors") for name in files)
    return Case(tuple(argv), files, outputs, says_nan)


def lay_out(case: Case, folder: Path) -> None:
    """Make the case's files in an empty folder."""
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "folder":
            path.mkdir()
        elif content == "full":
            # A device of this folder alone, so that a program that replaces it spoils nothing; needs the superuser.
            try:
                os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
            except PermissionError:
                path.mkdir()
        else:
            path.symlink_to(content.removeprefix("link:"))
