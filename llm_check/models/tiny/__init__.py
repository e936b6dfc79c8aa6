"""The embedded world: a draft, a base and a process reward model, small enough to ship and to enumerate.

All three read the same closed vocabulary of 16 tokens (`llm_check.models.tiny.tokenizer`) and solve the task of
`llm_check.models.tasks.arithmetic`. A step ends with a blank line, with the closing brace of a box (which also ends the
solution), or after STEP_MAX_TOKENS tokens: a step cut there is an outcome of its own, so the tree of next steps
closes after four levels (44 326 leaves) and no mass is missing. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path

from gsi_theory.errors import InputError
from llm_check.models.tasks.arithmetic import STEP_DELIMITER

__all__ = ["CHECKPOINTS", "STEP_MAX_TOKENS", "checkpoint_path", "step_delimiter"]

CHECKPOINTS = ("draft", "base", "prm")
STEP_MAX_TOKENS = 4


def checkpoint_path(name: str) -> Path:
    """The folder of a shipped checkpoint ("draft", "base" or "prm").

    Raises InputError for another name, or when the folder is not installed.
    """
    if name not in CHECKPOINTS:
        raise InputError(f"checkpoint {name!r} of the embedded world: use one of {', '.join(CHECKPOINTS)}")
    path = Path(__file__).resolve().parent / "checkpoints" / name
    if not (path / "config.json").is_file():
        raise InputError(f"no checkpoint at {path}: make it with python -m llm_check.models.tiny.train --seed 0")
    return path


def step_delimiter() -> str:
    """The text that ends every step but the last: a blank line, one token of the vocabulary."""
    return STEP_DELIMITER
