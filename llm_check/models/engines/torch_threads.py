"""How many threads torch computes with, and in which precision it is fast, settled where models are loaded."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["fastest_dtype", "set_threads"]

# What the process began with: the cores, or what OMP_NUM_THREADS says.
_ALL = torch.get_num_threads()


def set_threads(embedded: bool) -> None:
    """One thread for the embedded models: on models this small, threads wait for each other (on two cores the same work
    took five times as long). For others as many as the process began with: the cores, or OMP_NUM_THREADS."""
    torch.set_num_threads(1 if embedded else _ALL)


def fastest_dtype() -> str:
    """ "bfloat16" where the processor multiplies it itself (twice as fast on two cores, and half the memory), else
    "float32": there half precision is many times slower."""
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:  # no Linux
        return "float32"
    return "bfloat16" if {"avx512_bf16", "amx_bf16", "bf16"} & set(words) else "float32"
