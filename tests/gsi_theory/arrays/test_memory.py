"""Memory is counted before it is taken: what is free, and what a refusal says."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

import gsi_theory.arrays.memory
from gsi_theory.arrays.memory import available_memory, readable_size, require_memory
from gsi_theory.errors import InputError


def test_what_is_free_is_no_more_than_the_machine_has_and_can_be_taken() -> None:
    free = available_memory()
    assert free > 1e7
    if Path("/proc/meminfo").exists():
        total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
        assert free <= total


def test_a_limit_of_the_process_counts() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), before[1]))
        assert available_memory() <= 64 << 20
        with pytest.raises(InputError, match="an array"):
            require_memory(1e9, "an array", "make it smaller")
        with pytest.raises(MemoryError):  # the limit is a real one: what is refused could not have been taken
            np.ones(125_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_refusal_names_number_need_and_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsi_theory.arrays.memory, "available_memory", lambda: 12e9)
    require_memory(12e9, "n = 3", "give a smaller n")
    with pytest.raises(InputError) as refused:
        require_memory(96e12, "n = 1000", "give a smaller n")
    assert str(refused.value) == "n = 1000: about 96 TB of memory are needed, and 12 GB are free: give a smaller n"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_900, "1 MB"), (3.25e9, "3.25 GB"), (2e19, "20 EB")],
)
def test_sizes_are_readable(size: float, text: str) -> None:
    assert readable_size(size) == text
