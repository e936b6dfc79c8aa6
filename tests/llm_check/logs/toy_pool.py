"""`python -m tests.llm_check.logs.toy_pool OUT.parquet`: a pool of the toy engine, for tests that kill processes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gsi_theory import Scheme
from llm_check.models.collecting.trajectories import Collection, Trajectory, collect_parts
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.step_candidates import Models
from tests.llm_check.models.toy_engine import ToyEngine, ToyReward

RECORD = {"seed": 3, "task": "toy"}


def job(**changes: Any) -> Collection:
    """40 prompts, at most 4 steps along GSI's own path, 20 draft and 10 base candidates."""
    given: dict[str, Any] = {
        "models": Models(ToyEngine("draft"), ToyEngine("base"), ToyReward()),
        "prompts": tuple(Prompt(f"p{i}", (1 + i % 7, 2 + i // 7)) for i in range(40)),
        "trajectory": Trajectory("gsi", Scheme(2.0, 3, 0.4)),
        "steps": 4,
        "counts": (20, 10),
        "rule": SimpleNamespace(max_tokens=3),
        "seed": 3,
        "batch": 3,
    }
    return Collection(**(given | changes))


if __name__ == "__main__":
    collect_parts(Path(sys.argv[1]), job(), RECORD)
