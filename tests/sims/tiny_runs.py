"""Every experiment at its tiny settings, run once for each seed and kept for all tests of this process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from gsi_theory.runs.artifact import Artifact, read_artifact
from gsi_theory.runs.workers import in_this_process
from sims.experiments import EXPERIMENTS, run_experiment

__all__ = ["run_tiny", "tiny_artifact", "tiny_path"]


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def run_tiny(name: str, seed: int, folder: Path) -> Path:
    """The artifact of an experiment at its tiny settings, written to folder/NAME.json."""
    settings = EXPERIMENTS[name].tiny
    command = f"gsi simulate {name}"
    return run_experiment(name, seed, folder / f"{name}.json", settings, in_this_process, None, command)


@functools.cache
def tiny_path(name: str, seed: int) -> Path:
    return run_tiny(name, seed, Path(_folder().name) / str(seed))


def tiny_artifact(name: str, seed: int) -> Artifact:
    return read_artifact(tiny_path(name, seed), name)
