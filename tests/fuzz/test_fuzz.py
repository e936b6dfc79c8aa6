"""Calls of `gsi` on bent input: a slice of them here, thousands with `make fuzz` (marker slow)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.case import Case
from tests.fuzz.judge import Answer
from tests.fuzz.run import as_process, failures, in_process, shell_line

SEED = 15
BLOCKS, PER_BLOCK = 40, 55


def bad(calls: range, tmp_path: Path, run: Callable[[Case, Path], Answer]) -> list[str]:
    """What the calls did that none may do, each with the lines that repeat it."""
    lines = []
    for call in calls:
        folder = tmp_path / str(call) / "call"  # one folder more, because outputs may be named ".."
        folder.mkdir(parents=True)
        case, _, found = failures(SEED, call, folder, run)
        if found:
            lines.append("\n  ".join([shell_line(case), f"python -m tests.fuzz --seed {SEED} --call {call}", *found]))
    return lines


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_a_slice(first: int, tmp_path: Path) -> None:
    lines = bad(range(first, first + 30), tmp_path, in_process)
    assert not lines, "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_in_process(block: int, tmp_path: Path) -> None:
    lines = bad(range(1000 + block * PER_BLOCK, 1000 + (block + 1) * PER_BLOCK), tmp_path, in_process)
    assert not lines, "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_as_processes(block: int, tmp_path: Path) -> None:
    lines = bad(range(10_000 + block * 10, 10_000 + (block + 1) * 10), tmp_path, as_process)
    assert not lines, "\n".join(lines)
