"""The verifiable reward: 1 where the solution so far has the right final answer, 0 where it has none or a wrong one.

Grading runs in the worker processes of `llm_check.models.grading.worker_pool`. A grader's failure (a time limit, an
expression it cannot read) is not a wrong answer: its step gets 0 because no right answer was established, and the
failure is counted in `failures` under its reason and warned of once, so that a run can report it. No torch here.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gsi_theory.errors import InputError
from gsi_theory.types import Json
from llm_check.models.decoding.positions import Position
from llm_check.models.grading.answers import stated_answer
from llm_check.models.grading.grading import Grade, GradeOutcome, grade_arithmetic
from llm_check.models.model_types import TaskProblem, Tokenizer
from llm_check.models.rewards.scored_once import Pair, RewardMemory, ScoredOnce
from llm_check.models.rewards.text import solution_text
from llm_check.models.tasks.arithmetic import ArithmeticProblem
from llm_check.models.tasks.benchmarks import grade_rows

__all__ = ["VerifiableReward"]


@dataclass(frozen=True)
class VerifiableReward(ScoredOnce):
    """Rewards 0 or 1; `reading` says where a solution states its answer (`llm_check.models.grading.answers.READINGS`;
    None: as its task does). `failures` counts what the grader could not judge, by reason; `unstated["steps"]` the steps
    after which the solution stated no answer."""

    policy_tokenizer: Tokenizer
    name: str = "verifiable"
    low: float = 0.0
    high: float = 1.0
    reading: str | None = None
    failures: Counter[str] = field(default_factory=Counter)
    unstated: Counter[str] = field(default_factory=Counter, repr=False)
    memory: RewardMemory = field(default_factory=RewardMemory, repr=False)

    @property
    def settings(self) -> Mapping[str, Json]:
        """Where a solution states its answer, for records."""
        return {"answer": self.reading or "as the task reads it"}

    def compute(self, pairs: list[Pair]) -> list[float]:
        texts = [solution_text(place, step, self.policy_tokenizer) for place, step in pairs]
        problems = [_gradable(place) for place, _ in pairs]
        # Most steps of a solution come before its answer and need no grader.
        pairs_of = zip(problems, texts, strict=True)
        ended = [i for i, (problem, text) in enumerate(pairs_of) if self._states(problem, text)]
        self.unstated["steps"] += len(pairs) - len(ended)
        asked, given = [problems[i] for i in ended], [texts[i] for i in ended]
        graded = dict(zip(ended, _grade(asked, given, self.reading), strict=True))
        for grade in graded.values():
            if grade.verdict is GradeOutcome.FAILED:
                if not self.failures:
                    warnings.warn(f"the grader failed, counted in failures: {grade.reason}", stacklevel=2)
                self.failures[grade.reason] += 1
        return [float(i in graded and graded[i].is_right) for i in range(len(pairs))]

    def _states(self, problem: TaskProblem, text: str) -> bool:
        exact = isinstance(problem, ArithmeticProblem)  # its checker reads boxes alone
        reading = "boxed" if exact else self.reading or str(getattr(problem, "reading", "boxed"))
        return stated_answer(text, reading, str(problem.answer)) is not None


def _gradable(place: Position) -> Any:
    problem = place.problem
    if not isinstance(problem, ArithmeticProblem) and not getattr(problem, "answers", ()):
        raise InputError(
            f"prompt {place.prompt_id} has no reference answer, which the verifiable reward grades by: give problems "
            "with an answer (load_task makes them)"
        )
    return problem


def _grade(problems: list[TaskProblem], texts: list[str], reading: str | None) -> list[Grade]:
    exact = [i for i, problem in enumerate(problems) if isinstance(problem, ArithmeticProblem)]
    other = [i for i in range(len(problems)) if i not in set(exact)]
    grades: dict[int, Grade] = {}
    grades |= zip(exact, grade_arithmetic([problems[i] for i in exact], [texts[i] for i in exact]), strict=True)
    grades |= zip(other, grade_rows([problems[i] for i in other], [texts[i] for i in other], reading), strict=True)
    return [grades[i] for i in range(len(problems))]
