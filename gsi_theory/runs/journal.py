"""Jobs whose results are kept one by one, so that a killed run goes on where it stopped and ends with the same bytes.

A journal is a folder: `journal.json` says what its results belong to, and each finished job has one file, written
atomically and named after the job. Results are JSON; they are always read back from their text, so that a result of
this run and one of an earlier run are the same.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from functools import cache, partial
from pathlib import Path
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.runs.output import atomic_write_text, writing
from gsi_theory.runs.progress import Report
from gsi_theory.runs.workers import Pool, keep_memory

__all__ = ["Journal", "code_fingerprint"]

Job = tuple[Any, ...]
HEAD = "journal.json"
# Jobs handed out and not finished: enough for every worker of a cluster, few enough to hold in memory at once.
AHEAD = 1024
DEATHS = 3


@cache
def code_fingerprint() -> str:
    """Digest of the sources that results depend on, so that results of other code are never taken for these."""
    root, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in ("gsi_theory", "sims"):
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _checked(work: Callable[[Job], Any], fingerprint: str, job: Job) -> Any:
    """work(job), unless this process runs other code than the one that asked: then InputError names its machine."""
    if code_fingerprint() != fingerprint:
        raise InputError(f"the worker on {platform.node()} runs other code than this: install the same commit on both")
    keep_memory()
    return work(job)


class Journal:
    """The folder of one run; results that belong to another `record` (any JSON mapping) are deleted on opening."""

    def __init__(self, folder: Path, record: dict[str, Any]) -> None:
        self.folder = folder
        head, text = folder / HEAD, json.dumps(record, sort_keys=True)
        if head.exists() and head.read_text(encoding="utf-8") == text:
            return
        self.close()
        atomic_write_text(head, text)

    def close(self) -> None:
        """Delete the folder."""
        with writing(self.folder):
            if self.folder.exists():
                shutil.rmtree(self.folder)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{hashlib.sha256(repr(job).encode()).hexdigest()[:24]}.json"

    def _kept(self, job: Job, result: Any) -> Any:
        text = json.dumps(result)
        atomic_write_text(self._path(job), text)
        return json.loads(text)

    def run(
        self, jobs: Sequence[Job], work: Callable[[Job], Any], pool: Pool, progress: Report | None = None
    ) -> list[Any]:
        """work(job) for every job, in the order of the jobs, by the executor that `pool` opens.

        A job is a tuple whose repr says all that its result depends on. progress(done, total) counts kept results too.
        Processes that die are replaced and their unfinished jobs done again; InputError when that happens DEATHS times
        without a job finished in between, or when a scheduler drops the jobs. What is finished is kept either way.
        """
        found: dict[int, Any] = {}
        for i, job in enumerate(jobs):
            if (path := self._path(job)).exists():
                found[i] = json.loads(path.read_text(encoding="utf-8"))

        def note(i: int, result: Any) -> None:
            found[i] = self._kept(jobs[i], result)
            if progress is not None:
                progress(len(found), len(jobs))

        deaths = 0
        while missing := [i for i in range(len(jobs)) if i not in found]:
            before = len(found)
            try:
                with pool(len(missing)) as executor:
                    # Experiments list cells from small to large: a large one at the end would leave workers idle.
                    self._finish(executor, {i: jobs[i] for i in reversed(missing)}, work, note)
            except BrokenExecutor as error:
                deaths = deaths + 1 if len(found) == before else 0
                if deaths == DEATHS:
                    cure = "take fewer workers if memory is short; finished jobs are kept, run again to go on"
                    raise InputError(f"workers died {DEATHS} times without finishing a job: {cure}") from error
            except CancelledError as error:
                cure = "start it again; finished jobs are kept, run again to go on"
                raise InputError(f"the scheduler dropped {len(missing)} jobs: {cure}") from error
        return [found[i] for i in range(len(jobs))]

    @staticmethod
    def _finish(
        executor: Executor, jobs: dict[int, Job], work: Callable[[Job], Any], note: Callable[[int, Any], None]
    ) -> None:
        """Hand out the jobs, never more than AHEAD at once, and note each result as it comes."""
        task = partial(_checked, work, code_fingerprint())
        running: dict[Future[Any], int] = {}

        def collect() -> None:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                note(running.pop(future), future.result())

        for i, job in jobs.items():
            future = executor.submit(task, job)
            running[future] = i
            # an executor without workers has finished by now, and its result is kept before the next job begins
            if future.done() or len(running) >= AHEAD:
                collect()
        while running:
            collect()
