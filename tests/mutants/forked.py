"""Runs of pytest in forks of a process that has imported the libraries: short runs are mostly imports.

As a module it is that process: a line of JSON in, [tests, seconds], and one out, [exit status, the first test that
failed]. A run that takes more seconds of processor time ends with status None: a busy machine makes nothing late.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

LIBRARIES = (
    *("arviz_stats", "flint", "hypothesis.extra.numpy", "hypothesis.strategies", "numba", "numpy.testing"),
    *("pyarrow.parquet", "rich.progress", "scipy.optimize", "scipy.special", "scipy.stats", "typer.testing"),
)
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:pytest_cov", "--no-header", "--tb=no")
# A run that waits, and computes nothing, ends after so many times its processor time.
WAITING = 30

Answer = tuple[int | None, str]


class _First:
    """pytest plugin: the first test, or file, that failed."""

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.failed = self.failed or (report.nodeid if report.failed else "")


def _child(tests: list[str], seconds: int, out: int) -> None:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    first = _First()
    # the libraries are here before pytest could rewrite the asserts of its plugins
    status = pytest.main([*OPTIONS, "-W", "ignore::pytest.PytestAssertRewriteWarning", *tests], plugins=[first])
    os.write(out, json.dumps([int(status), first.failed]).encode())
    os._exit(0)


def _forked(tests: list[str], seconds: int) -> Answer:
    inner, outer = os.pipe()
    child = os.fork()
    if child == 0:
        _child(tests, seconds, outer)
    os.close(outer)
    end = time.monotonic() + WAITING * seconds
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        time.sleep(0.02)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            end = math.inf
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what its tests left running
    with os.fdopen(inner, "rb") as answer:
        text = answer.read()
    return tuple(json.loads(text)) if text else (None, "")


class Tests:
    """Runs tests in the folder `tree`; `close` ends the process."""

    def __init__(self, tree: Path, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.mutants.forked"]
        self.process = subprocess.Popen(
            command, cwd=tree, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, tests: list[str], seconds: float) -> Answer:
        """pytest's exit status, None when it took longer than `seconds` of processor time, and what failed first."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([tests, math.ceil(seconds)]), file=self.process.stdin, flush=True)
        status, failed = json.loads(self.process.stdout.readline())
        return status, failed

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
