"""Calls of `gsi` on bent input: a slice of them here, thousands with `make fuzz` (marker slow)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fuzz.case import Case, case_of
from tests.fuzz.judge import Answer, complaints
from tests.fuzz.logs import log_file
from tests.fuzz.run import as_process, failures, in_process, shell_line

SEED = 15
BLOCKS, PER_BLOCK = 40, 30


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


@pytest.mark.parametrize("block", range(10))
def test_bent_logs_are_read_or_refused(block: int, tmp_path: Path) -> None:
    """500 logs of every format, cut, flipped, retyped, dropped, doubled: what is left out of those read is counted."""
    lines = []
    for call in range(50 * block, 50 * block + 50):
        folder = tmp_path / str(call)
        folder.mkdir()
        rng = np.random.default_rng([SEED, call])
        sample, name, content = log_file(rng, bent=True)
        words = ["import", name, "--out", "out.parquet", "--from", sample.form, *sample.options, "--json"]
        case = case_of([*words, *(["--skip-bad"] if call % 2 else [])], {name: content}, "out.parquet")
        answer = in_process(case, folder)
        found = complaints(case, answer, folder)
        if answer.status == 0:
            record = json.loads(answer.out)
            rows = pq.read_table(folder / "out.parquet").num_rows
            if rows != record["rows"] or (record["left_out"] or {"rows": 1})["rows"] < 1:
                found.append("what was left out is not counted")
        elif not re.search(
            r"(line|column|row) \d|no rows|whole|UTF|header|JSON|YAML|CSV|lacks|no log|samples/|iid", answer.err
        ):
            found.append(f"no place: {answer.err}")
        if found:
            lines.append("\n  ".join([f"call {call}: {shell_line(case)}", *found]))
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
