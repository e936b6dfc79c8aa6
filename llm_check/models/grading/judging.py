"""What is true of a step, beside its reward: right by the task's checker, and, where it ends the solution, correct."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_check.models.decoding.positions import Position
from llm_check.models.decoding.prompting import plain_text
from llm_check.models.decoding.reasoning_steps import PAD
from llm_check.models.grading.grading import Grade, GradeOutcome
from llm_check.models.model_types import TaskProblem, Tokenizer

__all__ = ["NOBODY", "Judges"]

CheckStep = Callable[[TaskProblem, int, str], bool]
Grader = Callable[[Sequence[TaskProblem], Sequence[str]], Sequence[Grade]]


@dataclass(frozen=True)
class Judges:
    """`check_step(problem, step, text)` and `grade(problems, texts)` of a task (None where it has none), and
    `max_steps`, after which a solution is graded whether or not it ended."""

    check_step: CheckStep | None = None
    grade: Grader | None = None
    max_steps: int | None = None

    def gold(self, place: Position, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """1.0 where the checker says right, else 0.0, of M steps at a position; None without a checker."""
        if self.check_step is None:
            return None
        return np.array([float(self.check_step(place.problem, place.step, text)) for text in texts])

    def correct(
        self, tokenizer: Tokenizer, place: Position, steps: NDArray[np.integer], ended: Sequence[bool]
    ) -> list[bool | None] | None:
        """Whether the solution that ends with each of M steps (M, T) is right; None for a step after which it goes on,
        and where the grader gave up. `ended`: by an end of sequence. Without a grader None."""
        if self.grade is None:
            return None
        last = self.max_steps is not None and place.step + 1 >= self.max_steps
        final = [k for k, end in enumerate(ended) if end or last]
        texts = [plain_text(tokenizer, [*place.solution, *steps[k][steps[k] != PAD].tolist()]) for k in final]
        grades = self.grade([place.problem] * len(final), texts) if final else []
        verdicts = {
            k: None if g.verdict == GradeOutcome.FAILED else g.is_right for k, g in zip(final, grades, strict=True)
        }
        return [verdicts.get(k) for k in range(len(steps))]


NOBODY = Judges()
