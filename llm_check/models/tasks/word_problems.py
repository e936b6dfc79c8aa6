"""The task `word_problems`: one step of addition or subtraction, told as a story."""

from __future__ import annotations

import numpy as np

from llm_check.models.tasks.written import WrittenTask

__all__ = ["NAMES", "THINGS", "WORD_PROBLEMS"]

NAMES = ("Tom", "Ana", "Ben", "Mia", "Sam", "Eva", "Max", "Zoe", "Leo", "Ivy")
THINGS = ("apples", "books", "coins", "pens", "cards", "eggs", "balls", "stamps", "shells", "keys")


def _write(rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]]:
    name, thing = str(rng.choice(NAMES)), str(rng.choice(THINGS))
    a, b = int(rng.integers(2, 13)), int(rng.integers(2, 10))
    verb = str(rng.choice(("buys", "finds", "loses")))
    if verb == "loses":
        a, b = max(a, b) + 1, min(a, b)
    total = a - b if verb == "loses" else a + b
    more = "" if verb == "loses" else " more"
    question = f"{name} has {a} {thing} and {verb} {b}{more}. How many {thing} does {name} have now?"
    return question, str(total), (str(total),)


WORD_PROBLEMS = WrittenTask(
    write=_write,
    turns=(
        ("Ann has 5 pears and buys 3 more. How many pears does Ann have now?", "5 + 3 = 8. The answer is 8."),
        ("Jim has 9 hats and loses 2. How many hats does Jim have now?", "9 - 2 = 7. The answer is 7."),
    ),
)
