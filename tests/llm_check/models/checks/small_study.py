"""`lm_study` on the embedded pair, whole answers as steps: seconds where the real pair takes minutes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from llm_check.models.command_check import check
from llm_check.models.world import World, load_world

SETTINGS = {
    "drafts": ".",
    "lengths": "3",
    "betas": "4",
    "ns": "1,2,4",
    "problems": "6",
    "candidates": "8",
    "fresh": "8",
}


def answers_world() -> World:
    """The embedded pair, its whole solutions as steps."""
    return load_world(step="answer", max_tokens=24, limit=8)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@functools.cache
def study_path(seed: int) -> Path:
    """The artifact of one small run, made once a process."""
    return check("lm_study", answers_world(), seed, Path(_folder().name) / str(seed), SETTINGS)
