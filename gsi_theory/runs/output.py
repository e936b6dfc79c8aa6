"""The one way in which files are written: whole or not at all, through links and devices, bad places in one line.

A regular file, or one that is not there yet, is staged beside its place and renamed over it, so that a reader sees the
old content or all of the new. Links are followed, so that a link stays one. What is no regular file (a terminal, a
FIFO, /dev/null) and what is an open standard output of this process is written to, and never replaced.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gsi_theory.errors import InputError

__all__ = [
    "atomic_write_bytes",
    "atomic_write_files",
    "atomic_write_text",
    "is_replaceable",
    "require_writable",
    "stage",
    "writing",
]

PathLike = str | os.PathLike[str]


@contextmanager
def writing(path: PathLike) -> Iterator[None]:
    """Turn an OSError of writing `path` into an InputError that names the path, the reason and the cure."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        cure = "free space, or raise the limit" if full else "name a file in a folder you may write to"
        raise InputError(f"cannot write {path} ({error.strerror or error}): {cure}") from error


def _target(path: PathLike) -> tuple[Path, os.stat_result | None]:
    """(the place that `path` leads to through its links, what is there; None for nothing). Raises OSError."""
    if "\0" in os.fspath(path):
        raise OSError(errno.EINVAL, "a null character in the name")
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    return Path(os.path.realpath(path)), there


def _stream_number(there: os.stat_result) -> int | None:
    """The standard output (1) or error (2) that this file is; None for neither."""
    for number in (1, 2):
        try:
            if os.path.samestat(there, os.fstat(number)):
                return number
        except OSError:
            continue
    return None


def _through(there: os.stat_result) -> bool:
    """Whether a place is written to as it is, not replaced. Raises OSError for what cannot be written to at all."""
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISBLK(there.st_mode) or stat.S_ISSOCK(there.st_mode):
        raise OSError(errno.EINVAL, "a block device or a socket")
    return not stat.S_ISREG(there.st_mode) or _stream_number(there) is not None


def is_replaceable(path: PathLike) -> bool:
    """Whether `path` is a regular file, or nothing yet: what else is written to has no place beside it for more."""
    with writing(path):
        _, there = _target(path)
        return there is None or not _through(there)


def _require_access(place: PathLike) -> None:
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_writable(path: PathLike) -> None:
    """Raise InputError unless a file can be written at `path`: for before long work, which leaves nothing behind."""
    with writing(path):
        target, there = _target(path)
        if there is not None:
            through = _through(there)
            _require_access(path)
            if through:
                return
        folder = target.parent
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextmanager
def stage(path: PathLike, durable: bool = False, folder: Path | None = None) -> Iterator[Path]:
    """A file beside `path` to write to; at the end it takes the place of `path`, on an error it is removed.

    For writers that want a path, of regular files only: what is none is refused. durable: on the disk when it returns,
    so that after a crash of the machine `path` is the old file or the whole new one. folder: another place for the
    staged file, on the same file system, where a killed process may leave it. Errors as `atomic_write_bytes`.
    """
    with writing(path):
        target, there = _target(path)
        if there is not None:
            if _through(there):
                raise OSError(errno.EINVAL, "no regular file")
            _require_access(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = (folder or target.parent) / f".gsi-{secrets.token_hex(8)}"
        try:
            # made here, so that the mode is the one of the old file, or of a new one under the user's umask
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                if there is not None:
                    os.fchmod(handle, stat.S_IMODE(there.st_mode))
            finally:
                os.close(handle)
            yield temporary
            if durable:
                _synced(temporary, os.O_RDWR)
            os.replace(temporary, target)
            if durable:
                _synced(target.parent, os.O_RDONLY)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _synced(path: Path, mode: int) -> None:
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_through(path: PathLike, there: os.stat_result, content: bytes) -> None:
    number = _stream_number(there)
    if number is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC) if number is None else os.dup(number)
    with os.fdopen(handle, "wb", buffering=0) as stream:
        left = memoryview(content)
        while left:
            left = left[stream.write(left) or 0 :]


def atomic_write_files(contents: Mapping[Path, bytes], durable: bool = False) -> None:
    """Write all the files or none: each is staged before the first takes its place, in the order given.

    durable: as `stage`. Raises InputError naming the file and the reason where one cannot be written.
    """
    through: dict[Path, os.stat_result] = {}
    with ExitStack() as staged:
        # an ExitStack leaves in reverse
        for path, content in reversed(tuple(contents.items())):
            with writing(path):
                _, there = _target(path)
                if there is not None and _through(there):
                    through[path] = there
                    continue
            staged.enter_context(stage(path, durable)).write_bytes(content)
    for path, there in through.items():
        with writing(path):
            _write_through(path, there, contents[path])


def atomic_write_bytes(path: PathLike, content: bytes, durable: bool = False) -> Path:
    """Write `content` to `path` so that a reader sees the old file or the whole new one, never a part.

    durable: as `stage`. Raises InputError naming the file and the reason where it cannot be written.
    """
    path = Path(path)
    atomic_write_files({path: content}, durable)
    return path


def atomic_write_text(path: PathLike, text: str) -> Path:
    """`atomic_write_bytes` of the text in UTF-8; what no encoding holds (lone surrogates) is written as its escape."""
    return atomic_write_bytes(path, text.encode("utf-8", "backslashreplace"))
