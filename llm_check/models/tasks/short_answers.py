"""Short answers in a few words: the last number, or the last yes or no, of a text. Strings only.

"8 + 10 = 18." and "18" give the answer "18"; "Yes, it is." gives "yes". An answer of another kind than the reference is
none: a number is no answer to a question of yes or no.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gsi_theory.errors import InputError
from llm_check.models.grading.grading import Grade, GradeOutcome
from llm_check.models.model_types import TaskProblem

__all__ = ["answers_in", "grade_short", "graded_reward"]

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:,\d{3})*(?:\.\d+)?")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
YES_NO = ("yes", "no")

# The graded reward: the last answer is right, it occurs, any answer occurs; what a word beyond `_WORDS` costs.
RIGHT, OCCURS, ANY = 1.0, 0.6, 0.3
_WORDS, _A_WORD = 10, 0.004


def _normal(number: str) -> str:
    text = number.replace(",", "").replace("−", "-")
    return text.rstrip("0").rstrip(".") if "." in text else text


def answers_in(text: str, reference: str) -> list[str]:
    """The answers of the reference's kind that occur in a text, in order: numbers, or "yes" and "no"."""
    if reference in YES_NO:
        return [word.lower() for word in _YES_NO.findall(text)]
    return [_normal(number) for number in _NUMBER.findall(text)]


def grade_short(problems: Sequence[TaskProblem], texts: Sequence[str]) -> list[Grade]:
    """Grade by the last answer of each text. InputError for lists of unequal lengths."""
    if len(problems) != len(texts):
        raise InputError(f"grade got {len(problems)} problems and {len(texts)} texts: give one text per problem")
    grades = []
    for problem, text in zip(problems, texts, strict=True):
        found = answers_in(text, problem.answer)
        last = found[-1] if found else None
        if last == problem.answer:
            grades.append(Grade(GradeOutcome.RIGHT, "", last))
        else:
            reason = "no answer in the text" if last is None else f"{last} is not {problem.answer}"
            grades.append(Grade(GradeOutcome.WRONG, reason, last))
    return grades


def graded_reward(step: str, right: Sequence[str]) -> float:
    """A reward in [0, 1] of a step's text: 1 where its last answer is one of `right`, 0.6 where one of these occurs,
    0.3 where any answer occurs, less 0.004 for each word beyond 10."""
    found = answers_in(step, right[0])
    value = 0.0
    if found:
        value = RIGHT if found[-1] in right else OCCURS if set(found) & set(right) else ANY
    return max(0.0, value - _A_WORD * max(0, len(step.split()) - _WORDS))
