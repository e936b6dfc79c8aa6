"""The task `two_step`: two changes of a number, told as a story and solved line by line, about 60 tokens.

A step is a line; the values of a problem are what the lines of the reference solution come to.
"""

from __future__ import annotations

import numpy as np

from llm_check.models.tasks.word_problems import NAMES, THINGS
from llm_check.models.tasks.written import WrittenTask

__all__ = ["TWO_STEP"]


def _write(rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]]:
    name, thing = str(rng.choice(NAMES)), str(rng.choice(THINGS))
    first, bought = (int(x) for x in rng.integers(2, 10, size=2))
    change, verb = int(rng.integers(1, 5)), str(rng.choice(("finds", "loses")))
    middle = first + bought
    change = min(change, middle - 1)
    last = middle - change if verb == "loses" else middle + change
    question = (
        f"{name} has {first} {thing}. {name} buys {bought} more and then {verb} {change}. How many {thing} does {name} "
        "have now?"
    )
    return question, str(last), (str(first), str(middle), str(last), str(last))


TWO_STEP = WrittenTask(
    write=_write,
    turns=(
        (
            "Ann has 5 pears. Ann buys 3 more and then loses 2. How many pears does Ann have now?",
            "Ann starts with 5 pears.\nAnn buys 3 more pears: 5 + 3 = 8.\nAnn loses 2 pears: 8 - 2 = 6.\n"
            "The answer is 6.",
        ),
        (
            "Jim has 4 hats. Jim buys 5 more and then finds 1. How many hats does Jim have now?",
            "Jim starts with 4 hats.\nJim buys 5 more hats: 4 + 5 = 9.\nJim finds 1 hat: 9 + 1 = 10.\n"
            "The answer is 10.",
        ),
    ),
    step_spec="delimiter:\\n",
    max_tokens=32,
    max_steps=6,
)
