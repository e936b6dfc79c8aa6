"""Runs of pytest in forks of a process that has imported the libraries: short runs are mostly imports.

As a module it is that process: a line of JSON in, the arguments of `Tests.run`, and one out, an `Answer`. Seconds are
of processor time: a busy machine makes nothing late.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LIBRARIES = (
    *("arviz_stats", "flint", "hypothesis.extra.numpy", "hypothesis.strategies", "numba", "numpy.testing"),
    *("pyarrow.parquet", "rich.progress", "scipy.optimize", "scipy.special", "scipy.stats", "typer.testing"),
)
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:pytest_cov", "--no-header", "--tb=no")
# A run that waits, and computes nothing, ends after so many times its processor time.
WAITING = 30


@dataclass(frozen=True)
class Answer:
    """pytest's exit status, None when it took too long; the first test that failed; seconds of the tests that ran."""

    status: int | None = None
    failed: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


class _Watch:
    """pytest plugin: what failed first and what each test took; after `limit` seconds no test begins."""

    def __init__(self, limit: float) -> None:
        self.failed, self.seconds, self.limit = "", dict[str, float](), limit
        self.last = time.process_time()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self.session = session

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.last = time.process_time()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.seconds[nodeid] = time.process_time() - self.last
        if sum(self.seconds.values()) > self.limit:
            self.session.shouldstop = "enough"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")


def _child(tests: list[str], limit: float, most: int, out: int) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (most, most + 5))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    watch = _Watch(limit)
    # the libraries are here before pytest could rewrite the asserts of its plugins
    status = int(pytest.main([*OPTIONS, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests], plugins=[watch]))
    enough = status == pytest.ExitCode.INTERRUPTED and not watch.failed
    with os.fdopen(out, "w") as answer:
        print(json.dumps([0 if enough else status, watch.failed, watch.seconds]), file=answer)
    os._exit(0)


def _forked(tests: list[str], limit: float, most: int) -> list[object]:
    inner, outer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(tests, limit, most, outer)
    os.close(outer)
    with os.fdopen(inner, "rb") as answer:
        # a line, the end of a child that was ended, or nothing for long from one that waits
        text = answer.readline() if select.select([answer], [], [], WAITING * most)[0] else b""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # with what its tests left running
    os.waitpid(child, 0)
    return json.loads(text) if text else [None, "", {}]


class Tests:
    """Runs tests in the folder `tree`; `close` ends the process."""

    def __init__(self, tree: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.mutants.forked"]
        self.process = subprocess.Popen(
            command, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, tests: list[str], limit: float, most: float) -> Answer:
        """The tests in their order, until one fails or they took `limit` seconds of processor time; at most `most`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([tests, limit, math.ceil(most)]), file=self.process.stdin, flush=True)
        return Answer(*json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    """Answer until standard input ends."""
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    for line in sys.stdin:
        print(json.dumps(_forked(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
