"""The pool page of the report: a pool of the embedded pair, a plan on it, and what its page shows."""

from __future__ import annotations

from pathlib import Path

from gsi_theory.runs.artifact import is_current, provenance
from gsi_theory.runs.progress import progress_bar
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.page_artifact import NAME, write_pool_page
from llm_check.logs.planner.recommendation import plan
from llm_check.logs.planner.setup import Setup
from llm_check.logs.pools.pool import read_pool
from llm_check.models.command_pool import command as collect

__all__ = ["embedded_page"]


def embedded_page(folder: Path, seed: int, resume: bool) -> Path:
    """Collect a pool of the embedded pair, plan on it, and write folder/pool_page.json; returns that path.

    With `resume` an artifact of the same command, seed, versions and commit is kept, and a pool begun is finished.
    """
    path, file, line = folder / "pool_page.json", folder / "pool.parquet", f"gsi report --seed {seed}"
    if resume and is_current(path, NAME, provenance(line, seed)):
        return path
    file.unlink(missing_ok=True)
    collect(file, problems=60, steps=2, candidates=64, seed=seed)
    pool, setup = read_pool(file), Setup()
    with progress_bar("plan") as report:
        answer = plan(pool, Goal(within=0.02), setup, progress=report)
    with progress_bar("page") as report:
        return write_pool_page(
            path, pool, file.name, answer, answer.record(), setup, command=line, seed=seed, progress=report
        )
