"""Train the reward head of the real base: ``python -m llm_check.models.real.train_head --seed 0 [--out DIR]``.

A logistic head (`llm_check.models.rewards.state_head`) on the states of smollm2 after layer 20. It learns from whole
answers and their beginnings, half and a quarter of their tokens, all labeled by whether the whole answer ended right:
so it judges steps too. Answers come from the base and from two drafts, for a head that saw a draft's answers alone
ranks the base's worse. Problems are of the tasks' training splits; `llm_check.models.real.judge_head` measures the head
on the test splits. The task repeated_sums is left out. Needs `gsi models smollm2`; minutes on one core. Equal seeds
draw equal problems and answers; the head's last digits are those of the machine's arithmetic, on one thread.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal, journal_path
from gsi_theory.runs.output import require_writable
from llm_check.models.engines.checkpoint import load_tokenizer
from llm_check.models.model_options import quiet_engines
from llm_check.models.real.drawn_answers import DrawnAnswer, draw_tasks
from llm_check.models.real.logistic import fit_logistic
from llm_check.models.rewards.state_head import HEAD, SHIPPED, base_folder, load_answer_states, write_head
from llm_check.models.tasks.load_task import load_task

__all__ = ["BASE", "RECIPE", "TASKS", "HeadRecipe", "main"]

BASE = "smollm2"
TASKS = ("sums", "word_problems", "facts")


@dataclass(frozen=True)
class HeadRecipe:
    """What a head is trained on.

    layer: whose states are read
    tasks: whose training splits the problems are of
    answers: by policy, how many problems of each task it answers, and how many times each
    dtype: of the policies as they answer; the head's own states are read in float32
    shares: of an answer's tokens that are read
    penalty: of the logistic regression
    """

    layer: int
    tasks: tuple[str, ...]
    answers: dict[str, tuple[int, int]]
    dtype: str
    shares: tuple[float, ...]
    penalty: float


RECIPE = HeadRecipe(
    layer=20,
    tasks=TASKS,
    answers={BASE: (80, 6), f"{BASE}:medium": (48, 2), f"{BASE}:strong": (48, 2)},
    dtype="bfloat16",
    shares=(1.0, 0.5, 0.25),
    penalty=0.1,
)


def main(arguments: list[str] | None = None) -> None:
    """Draw, read, fit, write; an interrupted run goes on where it stopped. Raises InputError for a negative seed, or
    where smollm2 is not ready."""
    parser = argparse.ArgumentParser(
        prog="python -m llm_check.models.real.train_head", description="Train the reward head of smollm2."
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of problems and answers")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of the head")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: use an integer of at least 0")
    place = base_folder(BASE)
    require_writable(options.out / HEAD)
    torch.set_num_threads(1)
    quiet_engines()
    command = f"python -m llm_check.models.real.train_head --seed {options.seed}"
    record = {"base": BASE, "command": command, "seed": options.seed, **asdict(RECIPE)}
    drawn = {key: record[key] for key in ("seed", "tasks", "answers", "dtype")}
    journal = Journal(journal_path(options.out / HEAD), drawn, replace=True)
    answers: list[DrawnAnswer] = []
    for model, (problems, n) in RECIPE.answers.items():
        tasks = [load_task(f"{name}:train", limit=problems, seed=options.seed) for name in RECIPE.tasks]
        answers += draw_tasks(model, tasks, n, options.seed, journal, RECIPE.dtype)
    states = load_answer_states(place, RECIPE.layer, load_tokenizer(place), "cpu", "float32")
    pairs = [answer.share(share) for share in RECIPE.shares for answer in answers]
    right = np.array([answer.right for answer in answers] * len(RECIPE.shares))
    print(f"reading {len(pairs)} answers and beginnings", file=sys.stderr)
    weight, bias = fit_logistic(states.read(pairs, BASE), right, RECIPE.penalty)
    write_head(options.out, weight, bias, place, record | {"right": float(right.mean())})
    journal.delete()


if __name__ == "__main__":
    main()
