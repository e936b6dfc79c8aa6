"""Tasks whose problems are written from a seed, with answered turns before each question. No torch here.

Every question belongs to one of two splits, "train" and "test", by a hash of its text, whatever the seed. The first k
problems of a longer list with the same seed are the list of length k.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from llm_check.models.tasks.arithmetic import SPLITS
from llm_check.models.tasks.problem import Problem

__all__ = ["WrittenTask", "half_of", "written_problems"]

# Draws in a row that bring no new problem: then there are no more, or hardly any.
_FRUITLESS = 5000


@dataclass(frozen=True)
class WrittenTask:
    """One such task.

    write: a question, its answer, and what each step of a solution comes to, from random numbers
    turns: answered questions that every prompt begins with
    template, step_spec, max_tokens, max_steps: as `Task` has them
    """

    write: Callable[[np.random.Generator], tuple[str, str, tuple[str, ...]]]
    turns: tuple[tuple[str, str], ...]
    template: str = "chat"
    step_spec: str = "answer"
    max_tokens: int = 20
    max_steps: int = 1


def half_of(question: str) -> str:
    """The split a question belongs to, by the parity of its SHA-256."""
    return SPLITS[hashlib.sha256(question.encode()).digest()[0] % 2]


def written_problems(name: str, task: WrittenTask, count: int, seed: int, split: str) -> tuple[Problem, ...]:
    """`count` distinct problems of a split, none of them among the answered turns.

    Raises InputError for an unknown split, or more than the split has.
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} of task {name}: use one of {', '.join(SPLITS)}")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    problems: dict[str, Problem] = {}
    told = {question for question, _ in task.turns}
    fruitless = 0
    while len(problems) < count:
        question, answer, values = task.write(rng)
        if question in problems or question in told or half_of(question) != split:
            fruitless += 1
            if fruitless == _FRUITLESS:
                raise InputError(f"{count} problems of task {name}:{split}: it has {len(problems)}, ask for fewer")
            continue
        fruitless = 0
        digest = hashlib.sha256(question.encode()).hexdigest()
        problems[question] = Problem(f"{name}-{split}-{digest[:10]}", question, (answer,), values=values)
    return tuple(problems.values())
