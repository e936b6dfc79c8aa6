"""Command-line options shared by the commands that load language models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from gsi_theory.runs.options import RUN
from llm_check.models.decoding.prompting import TEMPLATES
from llm_check.models.tasks.benchmarks import FAMILIES

__all__ = [
    "MODELS",
    "TASK",
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

# Panels of --help
MODELS = "Models (default: the embedded ones)"
TASK = "Task (default: the embedded arithmetic)"
STEPS = (r"delimiter:\n\n", "tokens:", "answer")
DTYPES = ("float32", "bfloat16", "float16")
TASKS = ("arithmetic", *FAMILIES)


def _these(names: Iterable[str]) -> Callable[[], list[str]]:
    """What a shell offers to complete."""
    return lambda: list(names)


DraftOption = Annotated[
    str | None,
    typer.Option(
        "--draft",
        metavar="MODEL",
        help="Draft model: a checkpoint folder, vllm:FOLDER, or the URL of a vLLM server (several with commas).",
        rich_help_panel=MODELS,
    ),
]
BaseOption = Annotated[
    str | None, typer.Option("--base", metavar="MODEL", help="Base model, likewise.", rich_help_panel=MODELS)
]
RewardOption = Annotated[
    str | None,
    typer.Option(
        "--reward",
        metavar="REWARD",
        help="Reward model: a checkpoint folder, verifiable, python:FILE.py:FUNCTION, or another KIND:PLACE (see "
        "llm_check.models.rewards.load_reward).",
        rich_help_panel=MODELS,
    ),
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        help="gsm8k, math500, olympiadbench, minerva or mmlu_stem: from the hub, with :FILE from a file; jsonl:FILE: "
        "your own rows (question, answer).",
        autocompletion=_these(TASKS),
        rich_help_panel=TASK,
    ),
]
StepOption = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="STEP",
        help=r"Where a step ends: 'delimiter:\n\n', tokens:N, or answer (the whole answer).",
        autocompletion=_these(STEPS),
        rich_help_panel=TASK,
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="NAME",
        help=f"Prompt template: {', '.join(TEMPLATES)}.",
        autocompletion=_these(TEMPLATES),
        rich_help_panel=TASK,
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Where models run: cpu, cuda, cuda:1.",
        rich_help_panel=MODELS,
        autocompletion=_these(("cpu", "cuda")),
    ),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="DTYPE",
        help=f"Weights: {', '.join(DTYPES)}.",
        rich_help_panel=MODELS,
        autocompletion=_these(DTYPES),
    ),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", min=1, help="Longest step, in tokens.", rich_help_panel=TASK),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, help="Seed of problems and of every random stream.", rich_help_panel=RUN
    ),
]
ProblemsOption = Annotated[
    int,
    typer.Option(
        "--problems", metavar="N", min=1, help="At most this many problems, chosen by the seed.", rich_help_panel=TASK
    ),
]


def quiet_engines() -> None:
    """Progress bars and advice of the model library off: our own progress is shown instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
