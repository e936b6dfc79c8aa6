"""Command-line options shared by the commands that load language models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from gsi_theory.runs.options import RUN
from llm_check.models.decoding.prompting import TEMPLATES
from llm_check.models.model_pairs import PAIRS
from llm_check.models.real.drafts import DRAFTS
from llm_check.models.real.model_cache import REAL_MODELS
from llm_check.models.tasks.benchmarks import FAMILIES
from llm_check.models.tasks.load_task import WRITTEN

__all__ = [
    "MODELS",
    "TASK",
    "BaseOption",
    "DeviceOption",
    "DraftOption",
    "DtypeOption",
    "InstructionOption",
    "MaxTokensOption",
    "PairOption",
    "ProblemsOption",
    "RewardOption",
    "SeedOption",
    "StepOption",
    "TaskOption",
    "TemperatureOption",
    "TemplateOption",
    "quiet_engines",
]

# Panels of --help
MODELS = "Models (default: the embedded ones)"
TASK = "Task (default: the embedded arithmetic)"
STEPS = (r"delimiter:\n\n", "tokens:", "answer")
DTYPES = ("float32", "bfloat16", "float16", "auto")
TASKS = ("arithmetic", *WRITTEN, *FAMILIES)


def _option(panel: str, flag: str, metavar: str, text: str, names: Iterable[str] = (), least: int | None = None) -> Any:
    """An option in a panel of --help; `names`: what a shell offers to complete."""
    complete = (lambda: list(names)) if names else None
    return typer.Option(flag, metavar=metavar, help=text, min=least, autocompletion=complete, rich_help_panel=panel)


_PAIR = f"Models and settings of a paper, options that are given win: {', '.join(PAIRS)}."
_TEMPERATURE = "Both policies are sampled and scored at it."
_MODEL = (
    "Draft model: a checkpoint folder, smollm2:DRAFT (see gsi models), hub:OWNER/NAME, vllm:FOLDER, or the URL of a "
    "vLLM server (several with commas)."
)
REAL = (*REAL_MODELS, *(f"{name}:{draft}" for name in REAL_MODELS for draft in DRAFTS))
_REWARD = (
    "Reward model: a checkpoint folder, verifiable, graded, learned, python:FILE.py:FUNCTION, or another KIND:PLACE "
    "(see llm_check.models.rewards.load_reward)."
)
_TASK = (
    "gsm8k, math500, olympiadbench, minerva or mmlu_stem: from the hub, with :FILE from a file; jsonl:FILE: your own "
    "rows (question, answer); sums, word_problems, facts, repeated_sums: for smollm2."
)
_STEP = r"Where a step ends: 'delimiter:\n\n', tokens:N, or answer (the whole answer)."
_INSTRUCTION = "What a prompt says beside the question (default: the task's)."
_PROBLEMS = "At most this many problems, chosen by the seed."
_SEED = "Seed of problems and of every random stream."
_DEVICE = "Where models run: cpu, cuda, cuda:1."

PairOption = Annotated[str | None, _option(MODELS, "--pair", "NAME", _PAIR, PAIRS)]
DraftOption = Annotated[str | None, _option(MODELS, "--draft", "MODEL", _MODEL, REAL)]
BaseOption = Annotated[str | None, _option(MODELS, "--base", "MODEL", "Base model, likewise.", REAL)]
RewardOption = Annotated[str | None, _option(MODELS, "--reward", "REWARD", _REWARD)]
DeviceOption = Annotated[str, _option(MODELS, "--device", "DEVICE", _DEVICE, ("cpu", "cuda"))]
DtypeOption = Annotated[
    str,
    _option(MODELS, "--dtype", "DTYPE", f"Weights: {', '.join(DTYPES)} (bfloat16 where the processor has it).", DTYPES),
]
TemperatureOption = Annotated[float, _option(MODELS, "--temperature", "NUMBER", _TEMPERATURE)]
TaskOption = Annotated[str | None, _option(TASK, "--task", "TASK", _TASK, TASKS)]
StepOption = Annotated[str | None, _option(TASK, "--step", "STEP", _STEP, STEPS)]
TemplateOption = Annotated[
    str | None, _option(TASK, "--template", "NAME", f"Prompt template: {', '.join(TEMPLATES)}.", TEMPLATES)
]
InstructionOption = Annotated[str | None, _option(TASK, "--instruction", "TEXT", _INSTRUCTION)]
MaxTokensOption = Annotated[int | None, _option(TASK, "--max-tokens", "N", "Longest step, in tokens.", least=1)]
ProblemsOption = Annotated[int, _option(TASK, "--problems", "N", _PROBLEMS, least=1)]
SeedOption = Annotated[int, _option(RUN, "--seed", "N", _SEED, least=0)]


def quiet_engines() -> None:
    """Progress bars and advice of the model library off: our own progress is shown instead."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
