"""The runner on a real dask scheduler: speed of two workers against one, killed workers, killed drivers.

    python -m tests.benches.runner scaling [--pairs 2]     two workers against one on a sweep of minutes, interleaved,
                                                          beside two runs at once that share nothing: the machine's own
    python -m tests.benches.runner kills [--runs 20]       a worker gets SIGKILL at a random moment of each run
    python -m tests.benches.runner drivers [--runs 5]      the driver gets SIGKILL at a random moment, then starts again

Scheduler, workers and driver are processes of their own, as on a cluster. Each run must end complete, with the bytes
that a run without any of them has.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from distributed import Client

app = typer.Typer(add_completion=False)
LONG = "gate_ablation"  # minutes of one worker, at 900 000 draws a cell
# Scheduler and nannies share the cores of the workers here: they tick 50 times a second and profile them otherwise.
IDLE = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "5s",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}
SHORT = (LONG, ("--set", "draws=20000"))  # some seconds


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def worker_processes(address: str) -> list[int]:
    """Process numbers of the workers of a scheduler."""
    with Client(address, timeout=60, set_as_default=False) as client:
        return [int(pid) for pid in client.run(os.getpid).values()]


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """A scheduler and so many worker processes of one thread; its address."""
    address = f"tcp://127.0.0.1:{_free_port()}"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": os.environ | IDLE}
    where = ["--host", "127.0.0.1", "--no-dashboard"]
    started = [subprocess.Popen([*dask, "scheduler", "--port", address.rpartition(":")[2], *where], **quiet)]  # type: ignore[call-overload]
    try:
        options = ["--nworkers", str(workers), "--nthreads", "1", *where]
        started.append(subprocess.Popen([*dask, "worker", address, *options], **quiet))  # type: ignore[call-overload]
        with Client(address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)
            # the first job on a worker pays for its imports
            client.run(__import__, "sims.experiments")
        yield address
    finally:
        for process in reversed(started):
            _ended(process)


def _command(sweep: tuple[str, tuple[str, ...]], out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "gsi_theory.cli", "simulate", sweep[0], *sweep[1], "--out", str(out), *more]


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _run(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def _at_once(commands: list[list[str]]) -> float:
    """Seconds until all have ended, started together."""
    began = time.perf_counter()
    started = [subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for c in commands]
    said = [process.communicate()[1].decode() for process in started]
    for process, text in zip(started, said, strict=True):
        if process.returncode:
            raise RuntimeError(f"a run ended with {process.returncode}: {text[-1000:]}")
    return time.perf_counter() - began


def _cells(out: Path) -> int:
    return sum(journal.read_bytes().count(b"\n") - 1 for journal in out.glob("*.journal.jsonl"))


def _begin(out: Path, address: str) -> subprocess.Popen[bytes]:
    """A driver of the short sweep that has kept its first result."""
    driver = subprocess.Popen(_command(SHORT, out, "--cluster", address), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE)  # fmt: skip
    while driver.poll() is None and _cells(out) == 0:
        time.sleep(0.01)
    return driver


def _undisturbed(folder: Path, address: str) -> tuple[dict[str, bytes], float]:
    """The bytes of the short sweep in one process, and its seconds after the first result with two workers."""
    _run(_command(SHORT, folder / "reference", "--workers", "1"))
    expected = _bytes(folder / "reference")
    driver = _begin(folder / "whole", address)
    began = time.perf_counter()
    driver.communicate()
    span = time.perf_counter() - began
    same = _bytes(folder / "whole") == expected
    print(f"undisturbed {span:.1f} s after the first cell, identical to a run in one process: {same}", flush=True)
    return expected, span


@app.command()
def scaling(
    pairs: Annotated[int, typer.Option(min=1)] = 2,
    draws: Annotated[int, typer.Option(min=1, help="Draws of each cell of the sweep.")] = 900_000,
) -> None:
    """Seconds of the long sweep with one worker and with two, in turn; their ratio, bar 1.8.

    And what two processes gain here that share no scheduler, no driver and no work: twice the sweep in one process over
    two such at once.
    """
    sweep = (LONG, ("--set", f"draws={draws}"))
    with tempfile.TemporaryDirectory() as name:
        ratios, possible, seen = [], [], set()
        for pair in range(pairs):
            alone, *both = (_command(sweep, Path(name) / f"{pair}-alone-{k}", "--workers", "1") for k in range(3))
            possible.append(2.0 * _run(alone) / _at_once(both))
            took = []
            for workers in (1, 2):
                with cluster(workers) as address:
                    out = Path(name) / f"{pair}-{workers}"
                    took.append(_run(_command(sweep, out, "--cluster", address)))
                    seen.add(tuple(sorted(_bytes(out).items())))
            ratios.append(took[0] / took[1])
            load = os.getloadavg()[0]
            print(
                f"one worker {took[0]:.1f} s, two {took[1]:.1f} s: {ratios[-1]:.2f}; two alone: "
                f"{possible[-1]:.2f} (load {load:.1f})", flush=True,
            )  # fmt: skip
        print(
            f"median ratio {np.median(ratios):.2f}, bar 1.8; two alone {np.median(possible):.2f}; "
            f"all bytes the same: {len(seen) == 1}"
        )


@app.command()
def kills(runs: Annotated[int, typer.Option(min=1)] = 20, seed: int = 0) -> None:
    """SIGKILL to one of two workers at a random moment of each run."""
    rng, good, busy = np.random.default_rng(seed), 0, 0
    with tempfile.TemporaryDirectory() as name, cluster(2) as address:
        expected, span = _undisturbed(Path(name), address)
        for number in range(runs):
            out = Path(name) / f"run-{number}"
            with Client(address, timeout=60, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=120)
            workers = worker_processes(address)
            driver = _begin(out, address)
            time.sleep(float(rng.uniform(0.0, 0.8)) * span)
            kept, running = _cells(out), driver.poll() is None
            os.kill(workers[int(rng.integers(len(workers)))], signal.SIGKILL)
            error = driver.communicate()[1].decode()
            found = driver.returncode == 0 and _bytes(out) == expected
            good, busy = good + found, busy + running
            print(f"run {number}: killed at {kept} cells (driver running: {running}), identical: {found}"
                  + ("" if found else f"\n{error[-500:]}"), flush=True)  # fmt: skip
    print(f"{good} of {runs} runs complete and identical, {busy} of the kills while the driver ran")


@app.command()
def drivers(runs: Annotated[int, typer.Option(min=1)] = 5, seed: int = 0) -> None:
    """SIGKILL to the driver at a random moment, then the same command again."""
    rng, good = np.random.default_rng(seed), 0
    with tempfile.TemporaryDirectory() as name, cluster(2) as address:
        expected, span = _undisturbed(Path(name), address)
        for number in range(runs):
            out = Path(name) / f"run-{number}"
            driver = _begin(out, address)
            time.sleep(float(rng.uniform(0.0, 0.8)) * span)
            driver.kill()
            driver.communicate()
            kept = _cells(out)
            again = _run(_command(SHORT, out, "--cluster", address))
            found = _bytes(out) == expected
            good += found
            print(f"run {number}: {kept} cells kept, then {again:.1f} s, identical: {found}", flush=True)
    print(f"{good} of {runs} runs resumed and identical")


if __name__ == "__main__":
    # so that a stopped bench stops its scheduler and workers too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    app()
