"""Command-line options shared by the commands that load language models."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "BaseOption",
    "DeviceOption",
    "DraftOption",
    "DtypeOption",
    "MaxTokensOption",
    "ProblemsOption",
    "RewardOption",
    "SeedOption",
    "StepOption",
    "TaskOption",
    "TemplateOption",
    "quiet_engines",
]

_ENGINE = "a checkpoint folder, vllm:FOLDER, or the URL of a vLLM server (several with commas); default: embedded"

DraftOption = Annotated[str | None, typer.Option("--draft", metavar="MODEL", help=f"Draft model: {_ENGINE}.")]
BaseOption = Annotated[str | None, typer.Option("--base", metavar="MODEL", help=f"Base model: {_ENGINE}.")]
RewardOption = Annotated[
    str | None,
    typer.Option(
        "--reward",
        metavar="REWARD",
        help="Reward model: a checkpoint folder, or KIND:PLACE (see llm_check.rewards.load); default: embedded.",
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="arithmetic (embedded, default), or gsm8k, math500, olympiadbench, minerva, mmlu_stem from the hub, or "
        "with :FILE from a file; jsonl:FILE for your own rows (question, answer).",
    ),
]
StepOption = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="STEP",
        help=r"Where a step ends: 'delimiter:\n\n', tokens:N, or answer (the whole answer); default: the task's.",
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="NAME", help="Prompt template: chat, chat-user, plain, bare; default: the task's."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", metavar="DEVICE", help="Where models run: cpu, cuda, cuda:1.")]
DtypeOption = Annotated[str, typer.Option("--dtype", metavar="DTYPE", help="Weights: float32, bfloat16, float16.")]
MaxTokensOption = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Longest step, in tokens; default: the task's.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of problems and of every random stream.")]
ProblemsOption = Annotated[
    int, typer.Option("--problems", min=1, help="At most this many problems of the task, chosen by the seed.")
]


def quiet_engines() -> None:
    """Progress bars and advice of the model library off: our own progress is shown instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
