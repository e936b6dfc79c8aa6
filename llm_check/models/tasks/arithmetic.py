"""Synthetic multi-step arithmetic: the task of the embedded world.

A problem is four numbers joined by + and -, for example ``48-5-7+4``: the first in 0..99, the others in 1..9.
The prompt is the text and a blank line. A solution is a sequence of steps; step i (counted from 0) is the running
value after the i-th operation and a blank line (``43\\n\\n``, ``36\\n\\n``, ``40\\n\\n``), and the last step is
``\\boxed{40}``. All running values lie in 0..99 and are written without leading zeros. A solution has at most
MAX_STEPS steps, so a policy may spend two more steps than the three running values and the box need.

The checker is exact: `check_step` is the gold process reward, `is_correct` the gold outcome reward. The splits
"train" and "test" are disjoint by a hash of the problem's text, whatever the seed. No torch here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError

__all__ = [
    "MAX_STEPS",
    "SPLITS",
    "STEP_DELIMITER",
    "ArithmeticProblem",
    "check_step",
    "final_answer",
    "is_correct",
    "make_problems",
    "parse_problem",
    "solution_steps",
    "split_of",
]

STEP_DELIMITER = "\n\n"
MAX_STEPS = 6
SPLITS = ("train", "test")
TERMS = 4
LARGEST_VALUE = 99
LARGEST_TERM = 9
# There are about 480 000 problems, a tenth of them in the test split: half of each can be drawn without repeats.
LARGEST_COUNT = {"train": 200_000, "test": 20_000}
_BLOCK = 1024
_TEXT = re.compile(r"(?:0|[1-9][0-9]?)(?:[+-][1-9]){3}")
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")


@dataclass(frozen=True)
class ArithmeticProblem:
    """One problem: `text` has no blank line, `values` are the running values after each of the three operations."""

    problem_id: str
    text: str
    values: tuple[int, ...]
    answer: int

    @property
    def question(self) -> str:
        """What a reward model with a tokenizer of its own is shown: the text."""
        return self.text

    @property
    def prompt(self) -> str:
        """What a policy is given: the text and a blank line."""
        return self.text + STEP_DELIMITER


def split_of(text: str) -> str:
    """The split a problem's text belongs to: one text in ten, by its SHA-256, is a test problem."""
    return "test" if int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:8], "big") % 10 == 0 else "train"


def parse_problem(text: str) -> ArithmeticProblem:
    """The problem with this text, for example ``48-5-7+4``.

    Raises InputError when the text is no problem of this task or a running value leaves 0..99.
    """
    if not _TEXT.fullmatch(text):
        raise InputError(f"problem text {text!r}: give a number in 0..99 and three terms +d or -d with d in 1..9")
    first = re.match(r"[0-9]+", text)
    assert first is not None
    value, values = int(first.group()), []
    for term in re.findall(r"[+-][1-9]", text[first.end() :]):
        value += int(term)
        values.append(value)
    if min(values) < 0 or max(values) > LARGEST_VALUE:
        raise InputError(f"problem text {text!r} has running values {values}: keep all of them in 0..{LARGEST_VALUE}")
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return ArithmeticProblem(f"{split_of(text)}-{digest[:12]}", text, tuple(values), value)


def make_problems(count: int, seed: int, split: str) -> list[ArithmeticProblem]:
    """`count` distinct problems of a split ("train" or "test"), uniform over the problems of that split.

    The first k of a longer list with the same seed are the list of length k.
    Raises InputError for an unknown split, a negative seed, or a count outside 0..LARGEST_COUNT[split].
    """
    if split not in SPLITS:
        raise InputError(f"split {split!r} of make_problems: use one of {', '.join(SPLITS)}")
    if not 0 <= count <= LARGEST_COUNT[split]:
        raise InputError(f"count {count} of make_problems: the {split} split gives 0 to {LARGEST_COUNT[split]}")
    if seed < 0:
        raise InputError(f"seed {seed} of make_problems: use an integer of at least 0")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    problems: dict[str, ArithmeticProblem] = {}
    while len(problems) < count:
        start = rng.integers(0, LARGEST_VALUE + 1, size=(_BLOCK, 1))
        size = rng.integers(1, LARGEST_TERM + 1, size=(_BLOCK, TERMS - 1))
        terms = np.where(rng.random(size.shape) < 0.5, -size, size)
        running = start + np.cumsum(terms, axis=1)
        inside = np.all((running >= 0) & (running <= LARGEST_VALUE), axis=1)
        for row in np.flatnonzero(inside):
            text = f"{start[row, 0]}" + "".join(f"{term:+d}" for term in terms[row])
            if text not in problems and split_of(text) == split:
                problems[text] = parse_problem(text)
                if len(problems) == count:
                    break
    return list(problems.values())


def solution_steps(problem: ArithmeticProblem) -> tuple[str, ...]:
    """The steps of the reference solution: three running values, each with its blank line, then the box."""
    return (*(f"{value}{STEP_DELIMITER}" for value in problem.values), f"\\boxed{{{problem.answer}}}")


def check_step(problem: ArithmeticProblem, step_index: int, step_text: str) -> bool:
    """The gold process reward of one step: is it exactly right, whatever was written before it?

    Right are the true running value number `step_index` with its blank line, and, at any index, the right answer in
    its box (a policy may stop early). A step without its end, for example one cut by a token limit, is wrong.
    Raises InputError for an index outside 0..MAX_STEPS - 1.
    """
    if not 0 <= step_index < MAX_STEPS:
        raise InputError(f"step index {step_index} of problem {problem.problem_id}: use 0..{MAX_STEPS - 1}")
    if step_text == f"\\boxed{{{problem.answer}}}":
        return True
    return step_index < len(problem.values) and step_text == f"{problem.values[step_index]}{STEP_DELIMITER}"


def final_answer(text: str) -> str | None:
    """The content of the last closed ``\\boxed{...}`` of a text, or None when there is none."""
    boxes = _BOX.findall(text)
    return boxes[-1] if boxes else None


def is_correct(problem: ArithmeticProblem, solution_text: str) -> bool:
    """The gold outcome reward: the last box holds the answer, written without leading zeros or blanks."""
    return final_answer(solution_text) == str(problem.answer)
