"""Jobs whose results are kept one by one, so that a killed run goes on where it stopped and ends with the same bytes.

A journal is a file beside the output, one JSON object a line: first a head that says what the lines belong to, then one
line for each finished job. Lines are appended whole; a torn last line (the machine died while it was written) is cut
off on opening. Results are always read back from their text, so that a run in one go and a resumed one are the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from gsi_theory.errors import InputError
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.output import atomic_write_text, is_replaceable, writing
from gsi_theory.runs.progress import Report
from gsi_theory.runs.workers import Pool, keep_memory
from gsi_theory.types import Json

__all__ = ["Journal", "code_fingerprint", "journal_path"]

Job = TypeVar("Job", bound=Hashable)
Key = tuple[str, ...]
# Jobs handed out and not finished: enough for every worker of a cluster, few enough to hold in memory at once.
AHEAD = 1024
DEATHS = 3
# Seconds between two waits for the disk, each some milliseconds: what a crash of the machine, not of the run, may cost.
SYNCED_EACH = 1.0


@cache
def code_fingerprint() -> str:
    """Digest of the sources that results depend on, so that results of other code are never taken for these."""
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in ("gsi_theory", "sims", "llm_check"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _checked(work: Callable[[Job], Json], fingerprint: str, job: Job) -> Json:
    """work(job), unless this process runs other code than the one that asked: then InputError names its machine."""
    if code_fingerprint() != fingerprint:
        raise InputError(f"the worker on {platform.node()} runs other code than this: install the same commit on both")
    keep_memory()
    return work(job)


def journal_path(out: Path) -> Path | None:
    """Where the journal of the output file `out` lies; None where `out` is a device, a FIFO or standard output."""
    return out.with_name(f"{out.name}.journal.jsonl") if is_replaceable(out) else None


class Journal:
    """Results of finished jobs by key, a tuple of texts; with path None they are kept in memory alone.

    A file of another head (other settings, code or versions; any JSON mapping) is an InputError, or begins anew where
    `replace` says so. InputError too for a line that is no journal's.
    """

    def __init__(self, path: Path | None, head: Mapping[str, object], replace: bool = False) -> None:
        self.path = path
        self._results: dict[Key, Json] = {}
        self._head = json.dumps(plain(with_schema("journal", {"head": head})), sort_keys=True)
        self._synced = -SYNCED_EACH
        if path is None:
            return
        if path.exists() and not (replace and self._is_other(path)):
            self._read(path)
        else:
            atomic_write_text(path, self._head + "\n")

    def _is_other(self, path: Path) -> bool:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline().rstrip("\n") != self._head

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].decode("utf-8", "replace").splitlines()
        if not lines or lines[0] != self._head:
            raise InputError(
                f"{path} holds unfinished results of other settings, models, versions or code: "
                "delete it to start anew, or give another --out"
            )
        for number, line in enumerate(lines[1:], start=2):
            try:
                entry = json.loads(line)
                self._results[tuple(entry["key"])] = entry["result"]
            except (json.JSONDecodeError, TypeError, KeyError) as error:
                raise InputError(f"{path}, line {number} is no journal line ({error}): delete the file") from error
        if whole < len(content):
            os.truncate(path, whole)

    def __contains__(self, key: Key) -> bool:
        return key in self._results

    def __getitem__(self, key: Key) -> Json:
        return self._results[key]

    def add(self, results: Mapping[Key, object]) -> None:
        """Keep the results of finished jobs as `plain` JSON: NaN as null, infinities as "inf" and "-inf"."""
        self._append({key: plain(result) for key, result in results.items()})

    def _append(self, results: Mapping[Key, Json]) -> None:
        lines = []
        for key, result in results.items():
            line = json.dumps({"key": list(key), "result": result}, sort_keys=True)
            self._results[key] = json.loads(line)["result"]
            lines.append(line + "\n")
        if self.path is None:
            return
        with writing(self.path), self.path.open("ab") as stream:
            stream.write("".join(lines).encode())
            stream.flush()
            if time.monotonic() - self._synced >= SYNCED_EACH:
                os.fsync(stream.fileno())
                self._synced = time.monotonic()

    def delete(self) -> None:
        """Remove the file: its results are in the output now."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def delete_if_empty(self) -> None:
        """Remove the file if no job is finished: a run that could not begin leaves nothing behind."""
        if not self._results:
            self.delete()

    def run(
        self, jobs: Sequence[Job], work: Callable[[Job], Json], pool: Pool, progress: Report | None = None
    ) -> list[Json]:
        """work(job) for every job, in the order of the jobs, by the executor that `pool` opens.

        A job is a tuple whose repr says all that its result, JSON with infinities, depends on. progress(done, total)
        counts kept results too. Processes that die are replaced and their unfinished jobs done again; InputError when
        that happens DEATHS times without a job finished in between, or when a scheduler drops the jobs. What is
        finished is kept either way.
        """
        keys: list[Key] = [(hashlib.sha256(repr(job).encode()).hexdigest()[:24],) for job in jobs]
        # Experiments list cells from small to large: a large one at the end would leave workers idle.
        left = {key: job for key, job in zip(reversed(keys), reversed(jobs), strict=True) if key not in self}

        def note(key: Key, result: Json) -> None:
            self._append({key: result})
            del left[key]
            if progress is not None:
                progress(len(jobs) - len(left), len(jobs))

        deaths = 0
        while left:
            before = len(left)
            try:
                with pool(before) as executor:
                    _finish(executor, dict(left), work, note)
            except BrokenExecutor as error:
                deaths = deaths + 1 if len(left) == before else 0
                if deaths == DEATHS:
                    cure = "take fewer workers if memory is short; finished jobs are kept, run again to go on"
                    raise InputError(f"workers died {DEATHS} times without finishing a job: {cure}") from error
            except CancelledError as error:
                cure = "start it again; finished jobs are kept, run again to go on"
                raise InputError(f"the scheduler dropped {len(left)} jobs: {cure}") from error
        return [self[key] for key in keys]


def _finish(
    executor: Executor, jobs: Mapping[Key, Job], work: Callable[[Job], Json], note: Callable[[Key, Json], None]
) -> None:
    """Hand out the jobs, never more than AHEAD at once, and note each result as it comes."""
    task = partial(_checked, work, code_fingerprint())
    running: dict[Future[Json], Key] = {}

    def collect() -> None:
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            note(running.pop(future), future.result())

    for key, job in jobs.items():
        future = executor.submit(task, job)
        running[future] = key
        # an executor without workers has finished by now, and its result is kept before the next job begins
        if future.done() or len(running) >= AHEAD:
            collect()
    while running:
        collect()
