"""The task `sums`: sums of two numbers, for a model that can partly add."""

from __future__ import annotations

import numpy as np

from llm_check.models.tasks.written import WrittenTask

__all__ = ["SUMS"]

# One number of each, in either order. The base is right in 55 ± 4 % with the second up to 19, 29 ± 5 % up to 50.
_SMALL, _LARGE = 9, 29
_ASKED = ("What is", "How much is")


def _write(rng: np.random.Generator) -> tuple[str, str, tuple[str, ...]]:
    a, b = rng.permutation([rng.integers(1, _SMALL + 1), rng.integers(1, _LARGE + 1)]).tolist()
    return f"{rng.choice(_ASKED)} {a} + {b}?", str(a + b), (str(a + b),)


SUMS = WrittenTask(
    write=_write,
    turns=(
        ("What is 2 + 5?", "2 + 5 = 7. The answer is 7."),
        ("What is 6 + 3?", "6 + 3 = 9. The answer is 9."),
    ),
)
