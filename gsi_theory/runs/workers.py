"""Who does the jobs: this process, worker processes of this machine, or the workers of a dask scheduler.

All three are `concurrent.futures` executors, so that gsi_theory/runs/journal.py treats them alike. What a job returns
depends on the job alone, never on who did it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import multiprocessing.connection
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, partial
from typing import Any

from gsi_theory.errors import InputError

__all__ = [
    "WORKERS",
    "Pool",
    "cluster_pool",
    "in_this_process",
    "keep_memory",
    "lasting_pool",
    "local_pool",
    "worker_pool",
]

# Opens an executor for at most so many jobs at once.
Pool = Callable[[int], AbstractContextManager[Executor]]
WORKERS = min(8, os.cpu_count() or 1)  # processes by default
# What a dask client connects to.
ADDRESS = re.compile(r"[a-z]+://[^/\s]+:\d+")
# Seconds to wait for a scheduler that does not answer.
PATIENCE = 15


@cache
def keep_memory() -> bool:
    """Let this process keep freed memory if it was started to give it back at once; whether anything was set.

    Dask's nanny starts its workers with MALLOC_TRIM_THRESHOLD_=65536. Then glibc returns every array of some hundred
    kilobytes to the system and gets it back page by page: samplers take three times as long.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc alone has it
    if mallopt is None:
        return False
    trim, mmap = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h; 32 MiB is the most of the second
    return bool(mallopt(trim, 1 << 30) and mallopt(mmap, 1 << 25))


def _end_with_parent() -> None:
    """Start a thread that ends this process when its parent is gone: a killed run must leave nothing behind."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """An executor of so many processes; what has not begun is dropped on leaving.

    Processes are spawned, not forked, because the caller may run a progress display in a thread.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Here(Executor):
    """Does a job when it is submitted, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def in_this_process(_: int = 1) -> Iterator[Executor]:
    """An executor without workers."""
    yield _Here()


def local_pool(workers: int) -> Pool:
    """At most `workers` processes of this machine; one: this process."""

    def open_for(jobs: int) -> AbstractContextManager[Executor]:
        return in_this_process() if min(workers, jobs) <= 1 else worker_pool(min(workers, jobs))

    return open_for


@contextmanager
def lasting_pool(workers: int) -> Iterator[Pool]:
    """A `local_pool` whose processes stay for the next jobs, as each takes seconds to import the libraries.

    They begin when they are first needed; if one dies all are replaced, and the jobs in hand end in BrokenExecutor.
    """
    executors: list[Executor] = []

    @contextmanager
    def open_for(_: int) -> Iterator[Executor]:
        if not executors:
            executors.append(begun.enter_context(in_this_process() if workers <= 1 else worker_pool(workers)))
        try:
            yield executors[0]
        except BrokenExecutor:
            executors.clear()
            raise

    with ExitStack() as begun:
        yield open_for


@contextmanager
def _dask(address: str, _: int) -> Iterator[Executor]:
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        cure = "start one with `dask scheduler` and `dask worker ADDRESS`, and give its address tcp://HOST:PORT"
        raise InputError(f"--cluster {address}: no dask scheduler answers ({error}): {cure}") from error
    with client:
        # A worker that dies takes its jobs back to the scheduler; `retries` is for jobs that fail with it.
        executor = client.get_executor(pure=False, retries=2)
        try:
            yield executor
        finally:
            executor.shutdown(wait=False)


def cluster_pool(address: str) -> Pool:
    """The workers of the dask scheduler at `address`, tcp://HOST:PORT, as many as it has at any moment.

    InputError at once for an address of another form and where dask is missing; for an address where nothing answers
    when the pool is opened.
    """
    if ADDRESS.fullmatch(address) is None:
        raise InputError(f"--cluster {address!r}: give the address that `dask scheduler` prints, like tcp://HOST:8786")
    missing = next((name for name in ("dask", "distributed") if importlib.util.find_spec(name) is None), None)
    if missing:
        raise InputError(f"--cluster {address}: package {missing!r} is missing: pip install 'gsi-theory[cluster]'")
    return partial(_dask, address)
