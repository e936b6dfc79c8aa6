"""Worker processes for grading: JSON lines in, JSON lines out, each item under a time limit of its own.

Workers are plain child processes of this interpreter, not multiprocessing's: they import nothing of the user's main
module, inherit no threads or accelerator, and can be used from any thread. One item at a time per worker; a worker
that outlasts the limit, dies, or answers garbage is replaced, and its item is answered with "failed" and the reason.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gsi_theory.types import Record

__all__ = ["GradingPool", "shared_pool"]

# A worker first imports sympy, a few seconds on a busy machine; the limit of an item counts from when it is ready.
_START_S = 120.0
# The worker stops itself at the limit; it is killed only when even that hangs.
_GRACE_S = 1.0
_GARBAGE = "the grading process answered garbage"


class _Lost(Exception):
    """A worker that is of no use any more, with the reason."""


class _Worker:
    """One child process, which writes a line when it is ready and then one for each item it is given."""

    def __init__(self, command: Sequence[str]) -> None:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        # One thread each: libraries reserve address space per thread, and a worker's is bounded.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment = os.environ | threads | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._input, self._output = self.process.stdin, self.process.stdout
        self._buffer = b""

    def line(self, seconds: float) -> Record:
        """The next line of the process as JSON. TimeoutError where none comes in time, _Lost for the end or garbage."""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                data = os.read(self._output.fileno(), 1 << 16)
                if not data:
                    raise _Lost("the grading process died")
                self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError):
            raise _Lost(_GARBAGE) from None

    def grade(self, item: Record, seconds: float) -> Record:
        """The answer to one item; errors as `line`."""
        with contextlib.suppress(OSError):  # a process that just died is noticed by its closed output
            self._input.write(json.dumps(item).encode() + b"\n")
            self._input.flush()
        answer = self.line(seconds)
        if set(answer) != {"verdict", "reason", "answer"}:
            raise _Lost(_GARBAGE)
        return answer

    def stop(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()


class GradingPool:
    """At most `size` workers running `command`, started when there is work and kept until `close`."""

    def __init__(self, size: int, command: Sequence[str] | None = None) -> None:
        self._size = size
        self._command = tuple(command or (sys.executable, "-m", "llm_check.models.grading.worker"))
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def run(self, items: Sequence[Record], limit_s: float) -> list[Record]:
        """The answer {"verdict", "reason", "answer"} to every item, in order; `limit_s` seconds for each."""
        with self._lock, ThreadPoolExecutor(self._size) as threads:
            try:
                return list(threads.map(lambda item: self._answer(item, limit_s), items))
            except BaseException:
                # Interrupted: a worker may still be busy with an item nobody waits for; its thread ends with it.
                threads.shutdown(wait=False, cancel_futures=True)
                self._close()
                raise

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        for worker in list(self._workers):
            self._stop(worker)
        self._idle = []

    def _stop(self, worker: _Worker) -> None:
        worker.stop()
        with contextlib.suppress(ValueError):  # both the run and its thread may stop it
            self._workers.remove(worker)

    def _answer(self, item: Record, limit_s: float) -> Record:
        """The answer to one item, by an idle worker or a new one; a worker that fails it is stopped."""
        cure = ""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self._command)
            self._workers.append(worker)
            cure = ": is math-verify installed (pip install gsi-theory[llm])?"
        try:
            if cure:
                worker.line(_START_S)
                cure = ""
            answer = worker.grade(item, limit_s + _GRACE_S)
        except (_Lost, TimeoutError, OSError, ValueError) as error:
            self._stop(worker)
            reason = str(error) if isinstance(error, _Lost) else f"no verdict within {limit_s:g} s"
            return {"verdict": "failed", "reason": reason + cure, "answer": None}
        self._idle.append(worker)
        return answer


_POOLS: dict[tuple[int, int], GradingPool] = {}


def shared_pool(size: int) -> GradingPool:
    """The pool of `size` workers that this process keeps until it exits; a forked process gets one of its own."""
    key = (os.getpid(), size)
    if key not in _POOLS:
        _POOLS[key] = GradingPool(size)
        atexit.register(_POOLS[key].close)
    return _POOLS[key]
