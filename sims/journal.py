"""Jobs whose results are kept one by one, so that a killed run goes on where it stopped and ends with the same bytes.

A journal is a folder: `journal.json` says what its results belong to, and each finished job has one file, written
atomically and named after the job. Results are JSON; they are always read back from their text, so that a result of
this run and one of an earlier run are the same.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from gsi_theory.artifact import atomic_write_text
from gsi_theory.progress import Report
from sims.workers import worker_pool

__all__ = ["Journal", "code_fingerprint"]

Job = tuple[Any, ...]
HEAD = "journal.json"


def code_fingerprint() -> str:
    """Digest of the sources that results depend on, so that results of other code are never taken for these."""
    root, digest = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for package in ("gsi_theory", "sims"):
        for path in sorted((root / package).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


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
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, job: Job) -> Path:
        return self.folder / f"{hashlib.sha256(repr(job).encode()).hexdigest()[:24]}.json"

    def _kept(self, job: Job, result: Any) -> Any:
        text = json.dumps(result)
        atomic_write_text(self._path(job), text)
        return json.loads(text)

    def run(
        self, jobs: Sequence[Job], work: Callable[[Job], Any], workers: int, progress: Report | None = None
    ) -> list[Any]:
        """work(job) for every job, in the order of the jobs, in `workers` processes (one: in this one).

        A job is a tuple whose repr says all that its result depends on. progress(done, total) counts kept results too.
        """
        found: dict[int, Any] = {}
        for i, job in enumerate(jobs):
            if (path := self._path(job)).exists():
                found[i] = json.loads(path.read_text(encoding="utf-8"))
        missing = [i for i in range(len(jobs)) if i not in found]

        def note(finished: Iterable[tuple[int, Any]]) -> None:
            for i, result in finished:
                found[i] = self._kept(jobs[i], result)
                if progress is not None:
                    progress(len(found), len(jobs))

        if min(workers, len(missing)) <= 1:
            note((i, work(jobs[i])) for i in missing)
        else:
            with worker_pool(min(workers, len(missing))) as pool:
                futures = {pool.submit(work, jobs[i]): i for i in missing}
                note((futures[future], future.result()) for future in as_completed(futures))
        return [found[i] for i in range(len(jobs))]
