"""Run a case in this process, or as a process of its own, in a fresh folder."""

from __future__ import annotations

import io
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gsi_theory.cli import main
from tests.fuzz.calls import make_case
from tests.fuzz.case import Case, lay_out
from tests.fuzz.judge import Answer, complaints, contents

__all__ = ["as_process", "failures", "in_process", "shell_line"]

ROOT = Path(__file__).resolve().parents[2]
# Seconds of computing after which a call counts as hanging; the first ones compile kernels. Waiting may take ten times
# as long, because other work may hold the cores.
PATIENCE = 100
# Bytes that a call may take; none of the inputs needs a tenth of it.
MEMORY = 3 << 30


class _TooLong(BaseException):
    """What no handler of the program catches."""


@contextmanager
def _patience(seconds: int) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise _TooLong(f"no answer within {seconds} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 10 * seconds)}
    old = {number: signal.signal(number, ring) for number in timers}
    for timer, after in timers.values():
        signal.setitimer(timer, after)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _memory(more: int) -> Iterator[None]:
    """At most so many bytes more than this process holds now; Linux alone says what it holds."""
    status = Path("/proc/self/status")
    held = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.exists() else None
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if held is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(held[1]) + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextmanager
def _streams(out: int, err: int) -> Iterator[None]:
    """Standard output and error into two descriptors, for C code and child processes too, encoded as in a terminal."""
    sys.stdout.flush(), sys.stderr.flush()
    kept, old = (os.dup(1), os.dup(2)), (sys.stdout, sys.stderr)
    os.dup2(out, 1), os.dup2(err, 2)
    texts = tuple(
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), encoding="utf-8", errors=errors)
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    sys.stdout, sys.stderr = texts
    try:
        yield
    finally:
        sys.stdout, sys.stderr = old
        for text in texts:
            text.flush()
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _call(argv: tuple[str, ...]) -> tuple[int | None, str]:
    """(status, exception that came out)."""
    try:
        with _memory(MEMORY), _patience(PATIENCE):
            main(list(argv))
    except SystemExit as ended:
        return (ended.code if isinstance(ended.code, int) else None if ended.code is None else 1), ""
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        last = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in last if str(ROOT) in frame.filename and "/fuzz/" not in frame.filename]
        place = f"{own[-1].filename.removeprefix(str(ROOT) + '/')}:{own[-1].lineno}" if own else "?"
        return None, f"{type(error).__name__} at {place}: {' '.join(str(error).split())[:160]}"
    return 0, ""


def in_process(case: Case, folder: Path) -> Answer:
    """The answer of `gsi_theory.cli.main` in this process; streams, folder, warnings and environment as they were."""
    lay_out(case, folder)
    before, cwd, environment = contents(folder), os.getcwd(), dict(os.environ)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            os.chdir(folder)
            os.environ["COLUMNS"] = "120"
            with warnings.catch_warnings(record=True) as caught, _streams(out.fileno(), err.fileno()):
                warnings.simplefilter("always")
                for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                    warnings.simplefilter("ignore", kind)
                status, raised = _call(case.argv)
        finally:
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(environment)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    said = tuple(f"{w.category.__name__} {w.filename}:{w.lineno} {w.message}" for w in caught)
    return Answer(status, texts[0], texts[1], said, raised, before, contents(folder))


def as_process(case: Case, folder: Path) -> Answer:
    """The answer of the command as a process."""
    lay_out(case, folder)
    before = contents(folder)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"}
    environment.pop("PYTHONWARNINGS", None)
    words = [sys.executable, "-m", "gsi_theory.cli", *case.argv]
    try:
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, timeout=10 * PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "", "", (), f"no answer within {10 * PATIENCE} s", before, contents(folder))
    texts = [stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr)]
    return Answer(done.returncode, texts[0], texts[1], (), "", before, contents(folder))


def failures(
    seed: int, call: int, folder: Path, run: Callable[[Case, Path], Answer] = in_process
) -> tuple[Case, Answer, list[str]]:
    """Case, answer and complaints of one call, run in the empty folder."""
    case = make_case(seed, call)
    answer = run(case, folder)
    return case, answer, complaints(case, answer, folder)


def shell_line(case: Case) -> str:
    """The call as a shell would have it; what is no text is escaped."""
    return "gsi " + shlex.join(word.encode("utf-8", "backslashreplace").decode() for word in case.argv)
