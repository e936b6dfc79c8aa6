"""Time and memory of `gsi plan` on a pool of a million rows: `python -m tests.benches.big [--rows N] [--page]`.

The pool is synthetic (finite instances of benches.plan with continuous noise on rewards, no token lists), written as
Parquet, and planned by the command itself in a process of its own; wall time, processor time and the largest resident
set are those of that process. Say what else ran on the machine: the load average is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from llm_check.logs.pools.pool import write_pool

__all__ = ["big_pool", "run"]


def big_pool(path: Path, rows: int, candidates: int, seed: int) -> None:
    """Write a pool of `rows` rows: rows/(2·candidates) positions of `candidates` drafts and base candidates."""
    rng = np.random.default_rng(seed)
    positions = rows // (2 * candidates)
    total = positions * 2 * candidates
    base = np.tile(np.repeat([False, True], candidates), positions)
    # log-ratio N(-s²/2, s²) under the draft has mean ratio one, and under the base its mean is +s²/2
    gap = 0.8
    ratio = gap * rng.normal(size=total) + np.where(base, gap**2 / 2, -(gap**2) / 2)
    logp = -20.0 - 5.0 * rng.random(total)
    table = pa.table({
        "prompt_id": pa.array([f"p{k}" for k in range(positions)]).take(
            pa.array(np.repeat(np.arange(positions), 2 * candidates))),
        "step": np.zeros(total, dtype=np.int32),
        "source": pa.array(["draft", "base"]).take(pa.array(base.astype(np.int32))),
        "candidate": np.tile(np.arange(candidates, dtype=np.int32), 2 * positions),
        "logp_draft": logp,
        "logp_base": np.minimum(logp + ratio, 0.0),
        "reward": 1.0 / (1.0 + np.exp(-rng.normal(size=total) - 0.5 * ratio)),
        "n_tokens": rng.integers(20, 120, size=total).astype(np.int32),
    })  # fmt: skip
    write_pool(path, table, {})


def run(rows: int, candidates: int, seed: int, page: bool = False) -> dict[str, Any]:
    """Plan the pool with the default grid, and draw its page; seconds, processor seconds, GiB, the answer's reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.parquet"
        big_pool(path, rows, candidates, seed)
        load = os.getloadavg()[0]
        start = time.perf_counter()
        command = [sys.executable, "-m", "gsi_theory.cli", "plan", str(path), "--json"]
        command += ["--page", str(Path(folder) / "page")] if page else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = json.loads(done.stdout)
    return {
        "rows": rows, "candidates": candidates, "page": page,
        "wall_seconds": wall, "processor_seconds": used.ru_utime + used.ru_stime,
        "gib": used.ru_maxrss / 2**20, "load_before": load, "load_after": os.getloadavg()[0],
        "options": len(answer["options"]), "reason": answer["reason"], "assumptions": answer["assumptions"],
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--candidates", type=int, default=500, help="of each source at each position")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", action="store_true", help="draw the page too")
    given = parser.parse_args()
    print(json.dumps(run(given.rows, given.candidates, given.seed, given.page), indent=1))


if __name__ == "__main__":
    main()
