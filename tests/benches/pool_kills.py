"""Kill `gsi pool` at random moments, start it again, and compare the file with an uninterrupted run's, byte for byte.

    python -m tests.benches.pool_kills --kills 50 --seed 0
    python -m tests.benches.pool_kills --kills 20 --problems 16 --candidates 4 --real

A quarter of the attempts are killed (SIGKILL) at a random moment of starting up; the others, once they have written a
part, within about two attempts' share of the work, so that kills fall on loading, collecting and finishing. Exit status
1 if the bytes differ or a killed run left a file that is not whole. Every attempt is a process of its own, forked from
one that has imported the libraries and done nothing else: fifty imports of torch would take longer than all the rest.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Annotated, Protocol

import numpy as np
import typer

__all__ = ["Attempt", "kill_repeatedly"]

REAL = {"draft": "smollm2:medium", "base": "smollm2", "reward": "graded", "task": "sums", "step": "answer", "batch": 2}
_IMPORTED = (
    "llm_check.models.command_pool",
    "llm_check.models.world",
    "llm_check.models.engines.transformers_engine",
    "gsi_theory.cli",
)


class Attempt(Protocol):
    """A process that was started, as `subprocess.Popen`: its status, None or an integer while and after it runs."""

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self) -> int: ...


def _parts(out: Path) -> int:
    return len(list(out.with_name(out.name + ".parts").glob("*-*.parquet")))


def _ends_before(process: Attempt, moment: Callable[[], bool]) -> bool:
    """Whether the process ends by itself before a moment comes; otherwise it is killed."""
    while process.poll() is None:
        if moment():
            process.kill()
            process.wait()
            return False
        time.sleep(0.001)
    return True


def _after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def _after_a_part(out: Path, seconds: float) -> Callable[[], bool]:
    """Some time after the number of parts has grown."""
    began, clock = _parts(out), [float("inf")]

    def come() -> bool:
        if clock[0] == float("inf") and (_parts(out) > began or out.exists()):
            clock[0] = time.monotonic() + seconds
        return time.monotonic() >= clock[0]

    return come


def kill_repeatedly(
    start: Callable[[Path], Attempt],
    folder: Path,
    kills: int,
    rng: np.random.Generator,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Run start(out) whole once, then under `kills` random SIGKILLs, then to its end; returns how many kills fell on
    each phase ("starting", "collecting", "finished": the file was in place already).

    Raises RuntimeError if a run fails, if an attempt leaves a file of other bytes, or if the last one does.
    """
    whole, out = folder / "whole.parquet", folder / "killed.parquet"
    began = time.monotonic()
    process = start(whole)
    parts = whole.with_name(whole.name + ".parts")
    while process.poll() is None and not parts.exists():
        time.sleep(0.002)
    starting = time.monotonic() - began
    if process.wait() != 0:
        raise RuntimeError(f"the uninterrupted run failed with status {process.poll()}")
    expected = whole.read_bytes()
    working = time.monotonic() - began - starting
    say(f"an uninterrupted run: {starting:.1f} s to start, {working:.1f} s to collect")
    phases: Counter[str] = Counter()
    while sum(phases.values()) < kills:
        before = _parts(out)
        starts = rng.random() < 0.25
        moment = (
            _after(rng.uniform(0.0, starting))
            if starts
            else _after_a_part(out, rng.uniform(0.0, 2.0 * working / kills))
        )
        process = start(out)
        if _ends_before(process, moment):
            if process.wait() != 0:
                raise RuntimeError(f"a resumed run failed with status {process.poll()}")
            _compare(out, expected)
            out.unlink()  # begun anew, for the kills that are left
            continue
        after = _parts(out)
        if out.exists():
            _compare(out, expected)
            out.unlink()
            phases["finished"] += 1
        else:
            phases["collecting" if after > before else "starting"] += 1
        say(f"kill {sum(phases.values())}: {before} parts, then {after}")
    if start(out).wait() != 0:
        raise RuntimeError("the last run failed")
    _compare(out, expected)
    left = sorted(path.name for path in folder.iterdir())
    if left != [out.name, whole.name]:
        raise RuntimeError(f"files were left over: {left}")
    return dict(phases)


def _compare(out: Path, expected: bytes) -> None:
    if out.read_bytes() != expected:
        raise RuntimeError(f"{out} differs from the uninterrupted run's file")


def _pool(arguments: list[str]) -> None:
    """`gsi pool` in this process, silently."""
    from gsi_theory.cli import main

    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    main(["pool", *arguments])


class _Forked:
    """An attempt at `gsi pool`."""

    def __init__(self, context: ForkServerContext, arguments: list[str]) -> None:
        self._process = context.Process(target=_pool, args=(arguments,))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        self._process.join()
        return int(self._process.exitcode or 0)


def main(
    kills: Annotated[int, typer.Option(min=1)] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the moments, and of the pool.")] = 0,
    problems: Annotated[int, typer.Option(min=1)] = 100,
    candidates: Annotated[int, typer.Option(min=1)] = 500,
    path: Annotated[str, typer.Option(help="Trajectory of the pool.")] = "gsi",
    real: Annotated[bool, typer.Option(help="On SmolLM2 and its medium draft (gsi models smollm2).")] = False,
) -> None:
    """Kill `gsi pool` on the embedded pair, or on a real one, and compare."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    warm = context.Process(target=os.getpid)  # the imports are over before a moment is timed
    warm.start()
    warm.join()

    def start(out: Path) -> _Forked:
        options: dict[str, object] = {"problems": problems, "candidates": candidates, "seed": seed}
        options |= REAL if real else {"steps": 4, "path": path}
        given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return _Forked(context, [str(out), *given])

    with tempfile.TemporaryDirectory() as folder:
        try:
            phases = kill_repeatedly(start, Path(folder), kills, np.random.default_rng(seed), typer.echo)
        except RuntimeError as error:
            typer.echo(f"FAILED: {error}", err=True)
            raise typer.Exit(1) from error
        size = (Path(folder) / "killed.parquet").stat().st_size
    typer.echo(f"{sum(phases.values())} kills ({phases}); the finished file ({size} bytes) equals an uninterrupted one")


if __name__ == "__main__":
    typer.run(main)
