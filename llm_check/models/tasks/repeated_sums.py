"""The task `repeated_sums`: one number added to another several times, a line for each time, about 60 tokens.

A step is a line; the values of a problem are what the lines of the reference solution come to.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from llm_check.models.tasks.written import WrittenTask

__all__ = ["REPEATED_SUMS"]

_TIMES = {3: "three", 4: "four", 5: "five"}
_START, _ADDED = 30, 4
_VERBS, _ASKED = ("Start", "Begin"), ("What do you get?", "What is the result?")


def _solution(
    start: int, added: int, times: int, verb: str = _VERBS[0], asked: str = _ASKED[0]
) -> tuple[str, str, tuple[str, ...]]:
    """Question, solution, and what its lines come to."""
    values = [start + added * k for k in range(times + 1)]
    lines = [f"{before} + {added} = {after}." for before, after in pairwise(values)]
    question = f"{verb} with {start} and add {added} {_TIMES[times]} times. {asked}"
    return question, "\n".join([*lines, f"The answer is {values[-1]}."]), tuple(map(str, (*values[1:], values[-1])))


def _write(rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]]:
    start, added, times = (int(rng.integers(low, high + 1)) for low, high in ((1, _START), (1, _ADDED), (3, 5)))
    question, _, values = _solution(start, added, times, str(rng.choice(_VERBS)), str(rng.choice(_ASKED)))
    return question, values[-1], values


REPEATED_SUMS = WrittenTask(
    write=_write,
    turns=tuple(_solution(*numbers)[:2] for numbers in ((40, 3, 5), (33, 2, 3), (35, 4, 4))),
    step_spec="delimiter:\\n",
    max_tokens=16,
    max_steps=8,
)
