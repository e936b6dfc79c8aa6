"""Long logs: seconds and memory of the commands, two dask workers against one, killed workers.

    python -m tests.benches.log_scale sizes [--rows 10000000]   gsi import, doctor, curve, plan, predict, each a process
    python -m tests.benches.log_scale workers [--pairs 3]       two dask workers against one, interleaved
    python -m tests.benches.log_scale kills [--runs 10]         a worker gets SIGKILL at a random moment: same bytes?

The logs are made from the seed in a temporary folder: 128 prompts of 10,000 graded samples as a bench writes them, and
100 files of `--rows` rows of one model and of two. Run it on a quiet machine.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from tests.benches.runner import cluster, worker_processes

app = typer.Typer(add_completion=False)
FILES = 100
GSI = [sys.executable, "-m", "gsi_theory.cli"]
CURVES = ["--json", "--n", "1,4,16,64", "--select", "best_of_n,soft_best_of_n,pass_at_k"]  # of workers and kills
Rows = Annotated[int, typer.Option(min=6400, help="Rows of the long logs.")]


def write_samples(path: Path, prompts: int = 128, draws: int = 10_000, seed: int = 0) -> Path:
    """Graded samples of one model, a line a problem."""
    rng = np.random.default_rng(seed)
    with path.open("w") as stream:
        for p in range(prompts):
            correct = (rng.random(draws) < rng.beta(0.4, 1.0)).tolist()
            samples = [f"sample {k}, so the answer is {k % 7}" for k in range(draws)]
            stream.write(json.dumps({"question": f"What is {p}?", "samples": samples, "is_corrects": correct}) + "\n")
    return path


def _files(folder: Path, prompts: int, table: object) -> Path:
    folder.mkdir()
    for k in range(FILES):
        first, last = k * prompts // FILES, (k + 1) * prompts // FILES
        pq.write_table(table([f"p{i}" for i in range(first, last)]), folder / f"part-{k:03}.parquet")  # type: ignore[operator]
    return folder


def write_one(folder: Path, rows: int, draws: int = 1000, seed: int = 0) -> Path:
    """Rewards and grades of one model in FILES files."""
    rng = np.random.default_rng(seed)

    def table(names: list[str]) -> pa.Table:
        ease = rng.normal(size=(len(names), 1))
        reward = 1.0 / (1.0 + np.exp(-(ease + rng.normal(size=(len(names), draws)))))
        correct = rng.random(reward.shape) < reward
        return pa.table(
            {
                "prompt_id": np.repeat(names, draws).tolist(),
                "candidate": np.tile(np.arange(draws, dtype=np.int32), len(names)),
                "reward": reward.ravel(),
                "correct": correct.ravel(),
            }
        )

    return _files(folder, rows // draws, table)


def write_two(folder: Path, rows: int, draws: int = 64, seed: int = 0) -> Path:
    """A pool of two models in FILES files: log-ratios normal of deviation 0.7."""
    rng = np.random.default_rng(seed)

    def table(names: list[str]) -> pa.Table:
        shape = len(names), 2 * draws
        base = np.arange(2 * draws) >= draws
        ratio = np.where(base, 0.245, -0.245) + 0.7 * rng.normal(size=shape)
        reward = 1.0 / (1.0 + np.exp(-(rng.normal(size=shape) + 0.5 * ratio)))
        logp = -5.0 - 3.0 * rng.random(shape)
        return pa.table(
            {
                "prompt_id": np.repeat(names, 2 * draws).tolist(),
                "step": np.zeros(ratio.size, dtype=np.int32),
                "source": np.tile(np.repeat(["draft", "base"], draws), len(names)).tolist(),
                "candidate": np.tile(np.arange(draws, dtype=np.int32), 2 * len(names)),
                "logp_draft": logp.ravel(),
                "logp_base": (logp + ratio).ravel(),
                "reward": reward.ravel(),
            }
        )

    return _files(folder, rows // (2 * draws), table)


def _run(*arguments: object) -> tuple[float, float]:
    """(seconds, peak of memory in GiB) of a command."""
    start = time.monotonic()
    process = subprocess.Popen([*GSI, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"gsi {' '.join(map(str, arguments))}: status {status}")
    return time.monotonic() - start, usage.ru_maxrss / 2**20


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="log-scale-") as name:
        yield Path(name)


@app.command()
def sizes(rows: Rows = 10_000_000) -> None:
    """Seconds and memory of every command on long logs."""
    with _folder() as at:
        write_samples(at / "samples.jsonl")
        total, peak = 0.0, 0.0
        for line in (
            ("import", at / "samples.jsonl", "--from", "monkeys", "--out", at / "samples.parquet", "--no-text"),
            ("doctor", at / "samples.parquet"),
            ("curve", at / "samples.parquet", "--page", at / "page"),
        ):
            seconds, memory = _run(*line)
            total, peak = total + seconds, max(peak, memory)
            print(f"1,280,000 rows, gsi {line[0]}: {seconds:.1f} s, {memory:.2f} GiB", flush=True)
        print(f"1,280,000 rows imported, examined and drawn: {total:.1f} s, {peak:.2f} GiB (bars: 60 s, 2 GiB)")
        one, two = write_one(at / "one", rows), write_two(at / "two", rows)
        for command, log in (
            *(("curve", one), ("plan", one), ("doctor", one)),
            *(("predict", two), ("plan", two), ("doctor", two)),
        ):
            workers = ("--workers", 2) if command in ("curve", "predict") else ()
            seconds, memory = _run(command, log, *workers)
            print(f"{rows:,} rows of {log.name} model(s), gsi {command}: {seconds:.1f} s, {memory:.2f} GiB", flush=True)


def _answer(log: Path, address: str | None) -> tuple[float, bytes]:
    start = time.monotonic()
    where = () if address is None else ("--cluster", address)
    done = subprocess.run([*GSI, "curve", str(log), *CURVES, *where], capture_output=True, check=True)
    return time.monotonic() - start, done.stdout


@app.command()
def workers(rows: Rows = 10_000_000, pairs: int = 3) -> None:
    """How many times faster two dask workers draw a long log's curves than one."""
    with _folder() as at:
        log, ratios = write_one(at / "one", rows), []
        expected = _answer(log, None)[1]
        for _ in range(pairs):
            seconds = []
            for count in (1, 2):
                with cluster(count) as address:
                    _answer(log, address)  # workers import the libraries
                    took, answer = _answer(log, address)
                assert answer == expected, "other bytes"
                seconds.append(took)
            ratios.append(seconds[0] / seconds[1])
            print(f"one worker {seconds[0]:.1f} s, two {seconds[1]:.1f} s: {ratios[-1]:.2f}", flush=True)
        print(f"median {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f} (bar: 1.7); bytes equal")


@app.command()
def kills(rows: Rows = 1_000_000, runs: int = 10, seed: int = 0) -> None:
    """Whether killed workers change the answer."""
    rng = np.random.default_rng(seed)
    with _folder() as at:
        log = write_one(at / "one", rows)
        seconds, expected = _answer(log, None)
        same = 0
        for _ in range(runs):
            with cluster(2) as address:
                line = [*GSI, "curve", str(log), *CURVES, "--cluster", address]
                process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                time.sleep(float(rng.uniform(0.3, 1.0)) * seconds)
                killed = int(rng.choice(worker_processes(address)))
                os.kill(killed, signal.SIGKILL)
                same += process.communicate()[0] == expected and process.returncode == 0
        print(f"{same} of {runs} runs with a killed worker ended with the same bytes")
        if same < runs:
            raise SystemExit(1)


if __name__ == "__main__":
    app()
