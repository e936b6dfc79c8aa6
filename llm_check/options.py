"""Command-line options shared by the commands that load language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "BaseOption",
    "DraftOption",
    "MaxTokensOption",
    "ProblemsOption",
    "RewardOption",
    "SeedOption",
    "quiet_engines",
]

DraftOption = Annotated[Path | None, typer.Option("--draft", help="Draft checkpoint folder (default: embedded).")]
BaseOption = Annotated[Path | None, typer.Option("--base", help="Base checkpoint folder (default: embedded).")]
RewardOption = Annotated[Path | None, typer.Option("--reward", help="Reward checkpoint folder (default: embedded).")]
MaxTokensOption = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest step, in tokens.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of problems and of every random stream.")]
ProblemsOption = Annotated[int, typer.Option("--problems", min=1, max=20_000, help="Problems of the embedded task.")]


def quiet_engines() -> None:
    """Progress bars and advice of the model library off: our own progress is shown instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
