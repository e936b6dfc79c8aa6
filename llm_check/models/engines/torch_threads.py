"""How many threads torch computes with, settled where models are loaded."""

from __future__ import annotations

import torch

__all__ = ["set_threads"]

# What the process began with: the cores, or what OMP_NUM_THREADS says.
_ALL = torch.get_num_threads()


def set_threads(embedded: bool) -> None:
    """One thread for the embedded models: on models this small, threads wait for each other (on two cores the same work
    took five times as long). For others as many as the process began with: the cores, or OMP_NUM_THREADS."""
    torch.set_num_threads(1 if embedded else _ALL)
