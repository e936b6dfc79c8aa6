"""How many folders a reader crosses from a pool file to a recommendation: `python -m tests.test_call_path` prints them.

`gsi plan` is played on a small pool under a profiler. A crossing is an ordered pair (folder of the caller, folder of
the callee) of functions of the product packages, each pair counted once; foreign code between two of them is left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import llm_check
from llm_check.logs.pools.pool import write_pool
from tests.plants.pool_faults import Sampling, TokenWorld

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ("gsi_theory", "sims", "llm_check", "figures")
Crossings = set[tuple[str, str]]


def _folder(frame: FrameType) -> str | None:
    """Folder of a function of the product packages; None of other code, generators and bodies of modules."""
    code = frame.f_code
    if code.co_name.startswith("<") or not code.co_filename.startswith(f"{ROOT}{os.sep}"):
        return None
    folder = Path(code.co_filename).parent.relative_to(ROOT).as_posix()
    return folder if folder.split("/")[0] in PRODUCT else None


def crossings(play: Callable[[], object]) -> Crossings:
    """The crossings of folders while `play` runs."""
    pairs: Crossings = set()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        callee = _folder(frame) if event == "call" else None
        if callee is None:
            return
        caller = frame.f_back
        while caller is not None and _folder(caller) is None:
            caller = caller.f_back
        if caller is not None and (pair := (str(_folder(caller)), callee)) and pair[0] != pair[1]:
            pairs.add(pair)

    sys.setprofile(profile)
    try:
        play()
    finally:
        sys.setprofile(None)
    return pairs


def plan_crossings() -> Crossings:
    """Of reading a pool file and planning on it; what is imported on the way does not count."""
    plain = Sampling()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.parquet"
        write_pool(path, TokenWorld(positions=12).columns(1, 24, plain, plain), {})

        def play() -> object:
            return llm_check.plan(llm_check.read_pool(path), betas=(1.0, 5.0), ns=(1, 2, 4))

        play()
        return crossings(play)


def test_from_pool_file_to_recommendation_few_folders_are_crossed() -> None:
    pairs = plan_crossings()
    among_logs = {pair for pair in pairs if pair[1].startswith("llm_check")}
    # four before rooms were merged; the doctor's findings that need no log-probabilities have a room of their own
    rooms = {"planner -> pools", "pools -> faults", "faults -> pools"}
    assert {" -> ".join(each.rpartition("/")[2] for each in pair) for pair in among_logs} == rooms
    assert len(pairs) <= 24, sorted(pairs)  # a Scheme of the option that who decides is asked of, checked by laws


if __name__ == "__main__":
    for caller, callee in sorted(plan_crossings()):
        print(f"{caller:<24} {callee}")
