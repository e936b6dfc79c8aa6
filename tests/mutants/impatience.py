"""pytest plugin: how long each test computes, and which fail; a test that computes longer than `SLOWEST` fails there.

Seconds are of processor time, so that on a busy machine no test is slower. `--measured FILE` gets what was measured, as
JSON, from every process of a run with pytest-xdist.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

# The longest a test may take to be asked about a change, without compiled loops.
SLOWEST = 20.0
SECONDS: dict[str, float] = {}
FAILED: set[str] = set()


class TooSlow(BaseException):
    """No Exception: nothing in a test may catch it, or look for a shorter example of it."""


class _Impatience:
    """What the signal means: nothing where no test is running."""

    running = False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """End the test that is running."""
        if self.running:
            self.running = False
            raise TooSlow(f"more than {SLOWEST:g} s")


IMPATIENCE = _Impatience()


def pytest_configure() -> None:
    """For good: a late signal would end a process that handles it no more."""
    signal.signal(signal.SIGPROF, IMPATIENCE.stop)


def _timed(item: pytest.Item) -> Iterator[None]:
    began = time.process_time()
    try:
        return (yield)
    finally:
        item.user_properties.append(("seconds", time.process_time() - began))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    return (yield from _timed(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    IMPATIENCE.running = True
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    try:
        return (yield from _timed(item))
    finally:
        IMPATIENCE.running = False
        signal.setitimer(signal.ITIMER_PROF, 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _timed(item))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measured", type=Path)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """In the process that collects the reports of all; the last report of a test knows all its times."""
    SECONDS[report.nodeid] = sum(float(str(value)) for name, value in report.user_properties if name == "seconds")
    if report.failed:
        FAILED.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        text = json.dumps({"seconds": SECONDS, "failed": sorted(FAILED)})
        session.config.getoption("--measured").write_text(text)
