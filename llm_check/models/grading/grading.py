"""Grading of whole solutions: RIGHT, WRONG, or FAILED, where FAILED says that the grader gave up, never that the
solution is wrong. No torch here.

Mathematical answers are compared by math-verify, whose time limit is an alarm signal (it works in no thread) and whose
symbolic algebra can hang: so it runs in processes of its own (`llm_check.models.grading.worker`), which live as long as
this process, get one item at a time, and are killed and started anew when an item outlasts its limit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from gsi_theory.errors import InputError
from gsi_theory.types import Record
from llm_check.models.grading.answers import choice_letter
from llm_check.models.grading.worker_pool import shared_pool
from llm_check.models.model_types import TaskProblem

__all__ = ["LIMIT_S", "Grade", "GradeOutcome", "count_grades", "grade_arithmetic", "grade_choice", "grade_math"]

# Seconds for one answer; on the reference solutions of MATH-500 the slowest comparison took well under one.
LIMIT_S = 10.0


class GradeOutcome(StrEnum):
    """What grading found; FAILED is the grader's failure and is counted apart."""

    RIGHT = "right"
    WRONG = "wrong"
    FAILED = "failed"


@dataclass(frozen=True)
class Grade:
    """A verdict, why (empty for RIGHT), and the final answer that was read from the text (None where there is none)."""

    verdict: GradeOutcome
    reason: str = ""
    answer: str | None = None

    @property
    def is_right(self) -> bool:
        """Whether the verdict is RIGHT."""
        return self.verdict is GradeOutcome.RIGHT


def count_grades(grades: Sequence[Grade]) -> dict[str, int]:
    """How many are right, wrong and failed."""
    return {verdict.value: sum(grade.verdict is verdict for grade in grades) for verdict in GradeOutcome}


def _require_pairs(problems: Sequence[TaskProblem], texts: Sequence[str]) -> None:
    if len(problems) != len(texts):
        raise InputError(f"grade got {len(problems)} problems and {len(texts)} texts: give one text per problem")


def grade_math(
    problems: Sequence[TaskProblem], texts: Sequence[str], *, limit_s: float = LIMIT_S, workers: int | None = None
) -> list[Grade]:
    """Grade solutions against `problem.answers` (one string, or several that must all be given, in any order).

    `problem.tolerance` is the absolute error a numerical answer may have (None: none), `problem.unit` what may follow
    it. At most `limit_s` seconds an item, then FAILED. Raises InputError for lists of unequal lengths.
    """
    _require_pairs(problems, texts)
    items: list[Record] = []
    for problem, text in zip(problems, texts, strict=True):
        answers = list(problem.answers)
        items.append(
            {
                "answers": answers,
                "text": text,
                "unit": problem.unit,
                "tolerance": problem.tolerance,
                "several": problem.several,
                "limit": limit_s,
            }
        )
    todo = [i for i, item in enumerate(items) if item["answers"]]
    pool = shared_pool(workers or min(4, os.cpu_count() or 1))
    replies_by_row = dict(zip(todo, pool.run([items[i] for i in todo], limit_s), strict=True))
    missing = {"verdict": "failed", "reason": "the problem has no reference answer", "answer": None}
    replies = [replies_by_row.get(i, missing) for i in range(len(items))]
    return [Grade(GradeOutcome(reply["verdict"]), reply["reason"], reply["answer"]) for reply in replies]


def grade_choice(problems: Sequence[TaskProblem], texts: Sequence[str]) -> list[Grade]:
    """Grade multiple choice: the letter in the last box (or the choice spelled out) against `problem.answer`."""
    _require_pairs(problems, texts)
    grades = []
    for problem, text in zip(problems, texts, strict=True):
        letter = choice_letter(text, problem.choices)
        if letter is None:
            grades.append(Grade(GradeOutcome.WRONG, "no single choice in the text"))
        elif letter == problem.answer:
            grades.append(Grade(GradeOutcome.RIGHT, "", letter))
        else:
            grades.append(Grade(GradeOutcome.WRONG, f"{letter} is not {problem.answer}", letter))
    return grades


def grade_arithmetic(problems: Sequence[TaskProblem], texts: Sequence[str]) -> list[Grade]:
    """Grade the embedded task by its exact checker (`llm_check.models.tasks.arithmetic.is_correct`)."""
    from llm_check.models.tasks.arithmetic import final_answer, is_correct

    _require_pairs(problems, texts)
    grades = []
    for problem, text in zip(problems, texts, strict=True):
        answer = final_answer(text)
        if is_correct(problem, text):
            grades.append(Grade(GradeOutcome.RIGHT, "", answer))
        else:
            reason = "no closed box" if answer is None else f"{answer} is not {problem.answer}"
            grades.append(Grade(GradeOutcome.WRONG, reason, answer))
    return grades
