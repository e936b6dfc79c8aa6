"""Does the grader read a task's answers? ``python -m llm_check.models.grading.check_grader gsm8k:FILE`` says.

Each problem's own reference answer must be RIGHT: in a box, after "The final answer is", and, where the reference
solution ends in a box or "####", as that whole solution. Answers changed in value must be WRONG. What is neither is
listed, so that a user sees before a long run which answers of a file of theirs the grader cannot judge. No torch here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence

from gsi_theory.errors import InputError
from gsi_theory.types import Record
from llm_check.models.grading.answers import after_hashes, last_box
from llm_check.models.grading.grading import GradeOutcome, count_grades
from llm_check.models.model_types import TaskProblem
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tasks.problem import Task

__all__ = ["CHANGES", "check_grading"]

_NUMBER = re.compile(r"\d+")


def _shift(answer: str, which: int, by: int) -> str:
    """`answer` with its first (0) or last (-1) run of digits larger by `by`; without digits, as it was."""
    numbers = list(_NUMBER.finditer(answer))
    if not numbers:
        return answer
    at = numbers[which]
    return f"{answer[: at.start()]}{int(at.group()) + by}{answer[at.end() :]}"


def _bare(answer: str) -> str:
    return re.sub(r"\\?\$", "", answer)


# Ways to change the value of an answer; one that leaves the text as it was is not used.
CHANGES: dict[str, Callable[[str], str]] = {
    "last number + 1": lambda answer: _shift(answer, -1, 1),
    "first number + 3": lambda answer: _shift(answer, 0, 3),
    "plus one": lambda answer: f"{_bare(answer)}+1",
}


def _boxed(answer: str) -> str:
    return f"So $\\boxed{{{answer}}}$."


def _reference_texts(problem: TaskProblem) -> list[str]:
    answer = problem.answer
    texts = [_boxed(answer), f"The final answer is ${_bare(answer)}$."]
    reference = getattr(problem, "reference", "")
    return [*texts, reference] if last_box(reference) or after_hashes(reference) else texts


def _changed_texts(problem: TaskProblem) -> list[str]:
    answer = str(problem.answer)
    if problem.choices:
        return [_boxed(chr(ord("A") + i)) for i in range(len(problem.choices)) if chr(ord("A") + i) != answer]
    changed = dict.fromkeys(change(answer) for change in CHANGES.values())
    return [_boxed(text) for text in changed if text != answer]


def _counted(task: Task, texts_of: Callable[[TaskProblem], list[str]], expected: GradeOutcome) -> Record:
    pairs = [(problem, text) for problem in task.problems if problem.answers for text in texts_of(problem)]
    grades = task.grade([problem for problem, _ in pairs], [text for _, text in pairs])
    odd = [
        {
            "problem": problem.problem_id,
            "answer": problem.answer,
            "text": text[-200:],
            "verdict": grade.verdict.value,
            "reason": grade.reason,
        }
        for (problem, text), grade in zip(pairs, grades, strict=True)
        if grade.verdict is not expected
    ]
    return {"texts": len(pairs), **count_grades(grades), "unexpected": odd}


def check_grading(spec: str) -> Record:
    """Counts of verdicts on reference answers (all should be right) and on changed ones (all should be wrong).

    Raises InputError for what `load_task` refuses, and for the embedded task, whose grader is exact.
    """
    task = load_task(spec)
    if task.name == "arithmetic":
        raise InputError("the embedded task has an exact checker: name a task with answers to read, as in gsm8k:FILE")
    return {
        "task": spec,
        "problems": len(task.problems),
        "without_answer": sum(not problem.answers for problem in task.problems),
        "reference": _counted(task, _reference_texts, GradeOutcome.RIGHT),
        "changed": _counted(task, _changed_texts, GradeOutcome.WRONG),
    }


def main(arguments: Sequence[str]) -> int:
    """Print the check of every task named; 2 for bad input."""
    try:
        for spec in arguments or ["(none)"]:
            print(json.dumps(check_grading(spec), indent=1, ensure_ascii=False))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
