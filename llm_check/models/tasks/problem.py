"""One problem, and a task: problems with prompts, a grader and the bounds of a solution. No torch here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.prompting import prompt_ids
from llm_check.models.grading.grading import Grade
from llm_check.models.model_types import TaskProblem, Tokenizer

__all__ = ["Problem", "Task", "paragraphs"]


@dataclass(frozen=True)
class Problem:
    """A problem with its reference answers.

    problem_id: its name
    question: the whole text a policy reads (context and choices included)
    answers: the reference answers, which must all be given, in any order
    choices: the options of multiple choice, whose answer is a letter; () for none
    unit: what the answer is measured in
    tolerance: absolute error of a numerical answer; None for none
    several: whether one of the answers may list more
    reference: the text of a solution
    values: what each step of a solution comes to, where that is known
    """

    problem_id: str
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    unit: str = ""
    tolerance: float | None = None
    several: bool = False
    reference: str = ""
    values: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """The reference answer as text; several are joined by ", "."""
        return ", ".join(self.answers)

    @property
    def prompt(self) -> str:
        """The question and a blank line: what a policy reads under the template "bare"."""
        return self.question + "\n\n"


def paragraphs(problem: Problem) -> tuple[str, ...]:
    """The paragraphs of the reference solution, all but the last followed by a blank line; () where there is none."""
    parts = [part for part in re.split(r"\n\s*\n", problem.reference) if part.strip()]
    return tuple(part + "\n\n" for part in parts[:-1]) + tuple(parts[-1:])


@dataclass(frozen=True)
class Task:
    """Problems, how they are put to a policy, how solutions are graded, and where steps end.

    name: of the task
    problems: in the order of the source
    instruction: what a prompt says beside the question
    template: default template (`llm_check.models.decoding.prompting.TEMPLATES`)
    step_spec: default rule of where a step ends (`parse_step_rule`)
    max_tokens, max_steps: longest step in tokens, and longest solution in steps
    grader: grades of solution texts, in order
    check_step: (problem, step index, step text) -> right or not, the gold process reward; None for none
    reference_steps: cuts a problem's reference solution into steps
    source: the file or the hub's data set the problems came from
    turns: answered questions that every prompt begins with
    """

    name: str
    problems: tuple[TaskProblem, ...]
    instruction: str
    template: str
    step_spec: str
    max_tokens: int
    max_steps: int
    grader: Callable[[Sequence[TaskProblem], Sequence[str]], list[Grade]]
    check_step: Callable[[TaskProblem, int, str], bool] | None = None
    reference_steps: Callable[[TaskProblem], tuple[str, ...]] = paragraphs
    source: str = ""
    turns: tuple[tuple[str, str], ...] = ()

    def prompts(self, tokenizer: Tokenizer, template: str | None = None) -> list[Prompt]:
        """Every problem's prompt as token ids, under `template` (None: the task's own).

        Raises InputError for an unknown template, text that the tokenizer has no tokens for, or a tokenizer without the
        chat template asked for.
        """
        chosen = template or self.template
        made = []
        for problem in self.problems:
            ids = prompt_ids(tokenizer, problem.question, self.instruction, chosen, self.turns)
            made.append(Prompt(problem.problem_id, ids, problem))
        return made

    def solution_steps(self, problem: TaskProblem) -> tuple[str, ...] | None:
        """The steps of the reference solution, with their delimiters, or None where the problem has no reference."""
        return self.reference_steps(problem) or None

    def grade(self, problems: Sequence[TaskProblem], texts: Sequence[str]) -> list[Grade]:
        """The grade of each solution text; FAILED says that the grader gave up. InputError for unequal lengths."""
        return self.grader(problems, texts)
