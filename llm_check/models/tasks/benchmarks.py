"""The benchmark tasks as data: where their rows come from, which fields they have, and how they are graded.

A row becomes a `Problem` by one small function per family; everything else is the same for all. Field names are those
of the published data sets (GSM8K, MATH-500, OlympiadBench, Minerva Math, MMLU-STEM). No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.grading.answers import after_hashes, last_box, same_text, stated_answer
from llm_check.models.grading.grading import Grade, GradeOutcome, grade_choice, grade_math
from llm_check.models.model_types import TaskProblem
from llm_check.models.tasks.problem import Problem

__all__ = ["FAMILIES", "Benchmark", "Hub", "Row", "grade_rows"]

BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
LETTER = "Please reason step by step, and put the letter of the right choice within \\boxed{}."


# Characters of a value that a message shows.
_SHOWN = 80
_CHOICES = "give a list of 2 to 26 choices, texts or numbers"
_SOLUTION = "give the solution as text, or a list of texts"


@dataclass(frozen=True)
class Row:
    """One row of a data set and the place an error names ("test.jsonl, line 3")."""

    fields: Mapping[str, Json]
    place: str
    default_id: str

    def text(self, name: str) -> str:
        """A field that must be text with something in it. Raises InputError naming place, field and cure."""
        value = self.fields.get(name)
        if not isinstance(value, str) or not value.strip():
            have = ", ".join(map(str, self.fields))
            what = f"is {_shown(value)}" if name in self.fields else "is missing"
            raise InputError(f"{self.place}: field {name!r} {what} (fields here: {have[:200]}): give it as text")
        return value

    def optional(self, name: str) -> str:
        """A text field that may be absent, null or empty."""
        return "" if self.fields.get(name) in (None, "") else self.text(name)

    def identity(self) -> str:
        """The row's id: its field "id", text or a whole number, else the default. InputError for another kind."""
        value = self.fields.get("id")
        if value is None:
            return self.default_id
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise self.bad("id", "give text or a whole number, or leave it out")
        return str(value)

    def flag(self, name: str) -> bool:
        """A field that is true or false, absent or null for false. InputError for another kind."""
        value = self.fields.get(name)
        if not isinstance(value, bool | None):
            raise self.bad(name, "give true or false")
        return bool(value)

    def texts(self, name: str, cure: str) -> list[str]:
        """A field that is a list of texts or numbers, as texts. InputError with `cure` for another kind, or an empty,
        true, false, null, NaN or infinite entry."""
        values = self.fields.get(name)
        if not isinstance(values, list) or not all(map(_is_text, values)):
            raise self.bad(name, cure)
        return [str(value) for value in values]

    def bad(self, name: str, cure: str) -> InputError:
        """The error for a field whose value will not do."""
        return InputError(f"{self.place}: field {name!r} is {_shown(self.fields.get(name))}: {cure}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_text(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Hub:
    """A data set of the hub: repository, configuration (None: the default) and split."""

    repository: str
    configuration: str | None
    split: str


@dataclass(frozen=True)
class Benchmark:
    """One task: its row reader, its instruction, its grader, and its place on the hub (None: only from a file)."""

    read: Callable[[Row], Problem]
    instruction: str
    grader: Callable[[Sequence[TaskProblem], Sequence[str]], list[Grade]]
    hub: Hub | None


def _gsm8k(row: Row) -> Problem:
    solution = row.text("answer")
    answer = after_hashes(solution)
    if answer is None:
        raise row.bad("answer", "end it with a line '#### ANSWER'")
    return Problem(row.default_id, row.text("question"), (answer,), reference=solution)


def _math500(row: Row) -> Problem:
    name = row.optional("unique_id") or row.default_id
    return Problem(name, row.text("problem"), (row.text("answer"),), reference=row.optional("solution"))


def _minerva(row: Row) -> Problem:
    solution = row.text("solution")
    answer = last_box(solution)
    if answer is None:
        raise row.bad("solution", "put its answer in \\boxed{}")
    return Problem(row.default_id, row.text("problem"), (answer,), reference=solution)


def _tolerance(row: Row) -> float | None:
    value = row.fields.get("error")
    if value in (None, ""):
        return None
    try:
        tolerance = float(str(value).split(",")[0])
    except ValueError:
        raise row.bad("error", "give the absolute tolerance as a number") from None
    if not 0 <= tolerance < float("inf"):
        raise row.bad("error", "give a finite tolerance of at least 0")
    return tolerance


def _olympiad(row: Row) -> Problem:
    answers = row.fields.get("final_answer")
    if isinstance(answers, str):
        answers = [answers]
    if not isinstance(answers, list) or not answers or not all(isinstance(a, str) and a.strip() for a in answers):
        raise row.bad("final_answer", "give a list of at least one answer as text")
    context = row.optional("context")
    question = row.text("question")
    solutions = row.fields.get("solution")
    listed = isinstance(solutions, list)
    reference = "\n\n".join(row.texts("solution", _SOLUTION)) if listed else row.optional("solution")
    return Problem(
        problem_id=row.identity(),
        question=f"{context}\n\n{question}" if context else question,
        answers=tuple(answers),
        unit=row.optional("unit"),
        tolerance=_tolerance(row),
        several=row.flag("is_multiple_answer") or len(answers) > 1,
        reference=reference,
    )


def _choices(row: Row) -> tuple[str, ...]:
    choices = row.fields.get("choices")
    if not isinstance(choices, list) or not 2 <= len(choices) <= 26:
        raise row.bad("choices", _CHOICES)
    return tuple(row.texts("choices", _CHOICES))


def _multiple_choice(row: Row) -> Problem:
    choices = _choices(row)
    letters = [chr(ord("A") + i) for i in range(len(choices))]
    answer = row.fields.get("answer")
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        answer = letters[answer]
    if answer not in letters:
        raise row.bad("answer", f"give an index in 0..{len(choices) - 1} or a letter in A..{letters[-1]}")
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True))
    return Problem(row.default_id, f"{row.text('question')}\n{listed}", (str(answer),), choices)


def _own(row: Row) -> Problem:
    """A user's row: question (or problem, prompt), answer (text, number or list), and optional id, choices, context,
    unit, error, solution. Without an answer a solution cannot be graded: its grade is FAILED."""
    name = next((key for key in ("question", "problem", "prompt") if key in row.fields), "question")
    fields = {**row.fields, "question": row.text(name)}
    renamed = Row(fields, row.place, row.identity())
    if "choices" in fields:
        return _multiple_choice(renamed)
    name = "answer" if "answer" in fields else "final_answer"
    answer = fields.get(name)
    if answer is None:
        return Problem(renamed.default_id, fields["question"], (), reference=renamed.optional("solution"))
    parts = answer if isinstance(answer, list) else [answer]
    if not parts or not all(map(_is_text, parts)):
        raise row.bad(name, "give the reference answer as text, a number, or a list of them")
    listed = [str(part) for part in parts]
    fields["final_answer"] = [last_box(part) or after_hashes(part) or part for part in listed]
    fields.setdefault("id", renamed.default_id)
    return _olympiad(Row(fields, row.place, renamed.default_id))


def grade_rows(problems: Sequence[TaskProblem], texts: Sequence[str], reading: str | None = None) -> list[Grade]:
    """Grade a mixed list: problems with choices by their letter, the others as mathematics, the answer read as
    `reading` says (None: each problem's own)."""
    if len(problems) != len(texts):
        raise InputError(f"grade got {len(problems)} problems and {len(texts)} texts: give one text per problem")
    readings = [reading or problem.reading for problem in problems]
    if set(readings) == {"boxed"}:
        return _grade_boxed(problems, texts)
    rows = list(zip(readings, problems, texts, strict=True))
    grades = {i: _grade_text(problem, text) for i, (how, problem, text) in enumerate(rows) if how == "text"}
    others = {i: _boxed(*row) for i, row in enumerate(rows) if i not in grades}
    asked = [i for i, text in others.items() if text is not None]
    graded = _grade_boxed([problems[i] for i in asked], [others[i] or "" for i in asked])
    silent = Grade(GradeOutcome.WRONG, "states no answer")
    grades |= dict.fromkeys(others, silent) | dict(zip(asked, graded, strict=True))
    return [grades[i] for i in range(len(rows))]


def _boxed(reading: str, problem: TaskProblem, text: str) -> str | None:
    """The text with the answer it states in a box; None where it states none."""
    if reading == "boxed":
        return text
    answer = stated_answer(text, reading, problem.answer)
    return None if answer is None else f"\\boxed{{{answer}}}"


def _grade_text(problem: TaskProblem, text: str) -> Grade:
    answer = stated_answer(text, "text", problem.answer)
    if answer is None:
        return Grade(GradeOutcome.WRONG, "states no answer")
    if same_text(answer, problem.answer):
        return Grade(GradeOutcome.RIGHT, "", answer)
    return Grade(GradeOutcome.WRONG, f"{answer} is not {problem.answer}", answer)


def _grade_boxed(problems: Sequence[TaskProblem], texts: Sequence[str]) -> list[Grade]:
    grades: dict[int, Grade] = {}
    for chosen, grader in ((True, grade_choice), (False, grade_math)):
        rows = [i for i, problem in enumerate(problems) if bool(problem.choices) is chosen]
        grades |= zip(rows, grader([problems[i] for i in rows], [texts[i] for i in rows]), strict=True)
    return [grades[i] for i in range(len(problems))]


_OLYMPIAD = Hub("Hothan/OlympiadBench", "OE_TO_maths_en_COMP", "train")
FAMILIES: dict[str, Benchmark] = {
    "gsm8k": Benchmark(_gsm8k, BOXED, grade_math, Hub("openai/gsm8k", "main", "test")),
    "math500": Benchmark(_math500, BOXED, grade_math, Hub("HuggingFaceH4/MATH-500", None, "test")),
    "olympiadbench": Benchmark(_olympiad, BOXED, grade_math, _OLYMPIAD),
    "minerva": Benchmark(_minerva, BOXED, grade_math, Hub("svc-huggingface/minerva-math", None, "test")),
    "mmlu_stem": Benchmark(_multiple_choice, LETTER, grade_choice, Hub("TIGER-Lab/MMLU-STEM", None, "test")),
    "jsonl": Benchmark(_own, BOXED, grade_rows, None),
}
