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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["GradingPool", "shared_pool"]

# A worker first imports sympy, a few seconds on a busy machine; the limit of an item counts from when it is ready.
_START_S = 120.0
# The worker stops itself at the limit; it is killed only when even that hangs.
_GRACE_S = 1.0


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    deadline: float
    item: int | None = None
    ready: bool = False
    buffer: bytearray = field(default_factory=bytearray)


def _start(command: Sequence[str]) -> _Worker:
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    # One thread each: libraries reserve address space per thread, and a worker's is bounded.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    return _Worker(process, time.monotonic() + _START_S)


def _stop(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    for pipe in (worker.process.stdin, worker.process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def failed(reason: str) -> dict[str, Any]:
    """The answer to an item that no worker could grade."""
    return {"verdict": "failed", "reason": reason, "answer": None}


class GradingPool:
    """At most `size` workers running `command`, started when there is work and kept until `close`."""

    def __init__(self, size: int, command: Sequence[str] | None = None) -> None:
        self._size = size
        self._command = tuple(command or (sys.executable, "-m", "llm_check.models.grading.worker"))
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()

    def run(self, items: Sequence[dict[str, Any]], limit_s: float) -> list[dict[str, Any]]:
        """The answer {"verdict", "reason", "answer"} to every item, in order; `limit_s` seconds for each."""
        with self._lock:
            try:
                return self._run(items, limit_s)
            except BaseException:
                self._close()  # interrupted: a worker may still be busy with an item nobody waits for
                raise

    def close(self) -> None:
        """End the workers."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        for worker in self._workers:
            _stop(worker)
        self._workers = []

    def _run(self, items: Sequence[dict[str, Any]], limit_s: float) -> list[dict[str, Any]]:
        answers: dict[int, dict[str, Any]] = {}
        waiting = list(range(len(items)))[::-1]
        while len(answers) < len(items):
            busy = sum(worker.item is not None for worker in self._workers)
            while len(self._workers) < min(self._size, len(waiting) + busy):
                self._workers.append(_start(self._command))
            for worker in self._workers:
                if worker.ready and worker.item is None and waiting:
                    self._send(worker, waiting.pop(), items, limit_s)
            for worker, message in self._wait():
                if message is None:
                    continue
                if worker.item is None:
                    worker.ready = True
                else:
                    answers[worker.item] = message
                    worker.item = None
            self._replace_lost(answers, waiting, limit_s)
        return [answers[i] for i in range(len(items))]

    def _send(self, worker: _Worker, item: int, items: Sequence[dict[str, Any]], limit_s: float) -> None:
        assert worker.process.stdin is not None
        worker.item, worker.deadline = item, time.monotonic() + limit_s + _GRACE_S
        with contextlib.suppress(OSError):  # a worker that just died is noticed by its closed output
            worker.process.stdin.write(json.dumps(items[item]).encode() + b"\n")
            worker.process.stdin.flush()

    def _wait(self) -> list[tuple[_Worker, dict[str, Any] | None]]:
        """Messages of the workers that owe one, after at most the time to the next deadline."""
        owing = [worker for worker in self._workers if worker.item is not None or not worker.ready]
        messages: list[tuple[_Worker, dict[str, Any] | None]] = []
        with selectors.DefaultSelector() as selector:
            for worker in owing:
                assert worker.process.stdout is not None
                selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
            left = min((worker.deadline for worker in owing), default=0.0) - time.monotonic()
            for key, _ in selector.select(max(0.0, left)):
                worker = key.data
                data = os.read(key.fd, 1 << 16)
                if not data:
                    worker.deadline = -1.0
                    continue
                worker.buffer += data
                line, newline, rest = bytes(worker.buffer).partition(b"\n")
                if newline:
                    worker.buffer = bytearray(rest)
                    messages.append((worker, self._read(worker, line)))
        return messages

    @staticmethod
    def _read(worker: _Worker, line: bytes) -> dict[str, Any] | None:
        try:
            message = json.loads(line)
            if worker.item is not None and set(message) != {"verdict", "reason", "answer"}:
                raise ValueError
        except (ValueError, TypeError):
            worker.deadline = -2.0
            return None
        return dict(message)

    def _replace_lost(self, answers: dict[int, dict[str, Any]], waiting: list[int], limit_s: float) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            owes = worker.item is not None or not worker.ready
            if not owes or worker.deadline > now:
                continue
            _stop(worker)
            self._workers.remove(worker)
            why = {-1.0: "the grading process died", -2.0: "the grading process answered garbage"}
            reason = why.get(worker.deadline, f"no verdict within {limit_s:g} s")
            if worker.item is not None:
                answers[worker.item] = failed(reason)
            elif waiting:
                # It never became ready: charge one item, so that a broken installation ends instead of looping.
                answers[waiting.pop()] = failed(f"{reason}: is math-verify installed (pip install gsi-theory[llm])?")


_POOLS: dict[tuple[int, int], GradingPool] = {}


def shared_pool(size: int) -> GradingPool:
    """The pool of `size` workers that this process keeps until it exits; a forked process gets one of its own."""
    key = (os.getpid(), size)
    if key not in _POOLS:
        _POOLS[key] = GradingPool(size)
        atexit.register(_POOLS[key].close)
    return _POOLS[key]
