"""Solutions of a task by one or several methods: decoded in batches, graded, kept problem by problem, summarized.

A solution is one JSON object: method, problem_id, text, step_ids [step][token], finished (eos seen), grade ("right",
"wrong", "failed"), reason, answer (read from the text), and `steps`, columns with one entry for each step (those of
`methods.step.StepOutcome`; null where a method does not compute a value).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from gsi_theory import Scheme
from gsi_theory.errors import InputError
from gsi_theory.runs.journal import Journal
from gsi_theory.runs.progress import Report
from gsi_theory.types import Record
from llm_check.models.decoding.accuracy import accuracy_of, paired_difference
from llm_check.models.decoding.method_table import named_method
from llm_check.models.decoding.positions import Prompt
from llm_check.models.decoding.reasoning_steps import StepRule
from llm_check.models.decoding.reward_means import reward_difference, reward_mean
from llm_check.models.decoding.solution import DecodeResult, decode_prompts
from llm_check.models.decoding.step_candidates import COSTS, Models
from llm_check.models.model_types import TaskProblem
from llm_check.models.rewards.reward_model import RewardModel

__all__ = ["SolutionRun", "differences", "solve_task", "summary"]

# Normal quantile of the 95 % interval of an acceptance rate.
Z = 1.96
Grader = Callable[[Sequence[TaskProblem], Sequence[str]], Sequence[Any]]
Stopwatch = Callable[[str, float, int], None]


@dataclass(frozen=True)
class SolutionRun:
    """Which methods, at which settings.

    methods: names of the table, each once
    beta: multiplies the reward
    n: candidates a step
    threshold: u in reward units; None: no gate
    n_base: candidates where the base draws; None: n
    seed: of every random stream
    batch: problems decoded side by side, which moves numbers in their last digits only
    """

    methods: tuple[str, ...]
    beta: float
    n: int
    threshold: float | None
    n_base: int | None = None
    seed: int = 0
    batch: int = 16

    def __post_init__(self) -> None:
        for field in ("beta", "threshold"):
            value = getattr(self, field)
            object.__setattr__(self, field, value if value is None else value + 0.0)  # no -0.0
        for i, name in enumerate(self.methods):
            self.scheme(name)
            if name in self.methods[:i]:
                raise InputError(f"method {name!r} is given twice: give each once")
        if self.batch < 1:
            raise InputError(f"batch = {self.batch}: decode at least 1 problem at a time")

    def scheme(self, method: str) -> Scheme:
        """A method's scheme at these settings. InputError for an unknown method, or values that `Scheme` refuses."""
        return named_method(method).scheme(self.beta, self.n, self.threshold, self.n_base)


def solve_task(
    run: SolutionRun,
    models: Models,
    prompts: Sequence[Prompt],
    rule: StepRule,
    max_steps: int,
    grade: Grader,
    journal: Journal,
    progress: Report | None = None,
    stopwatch: Stopwatch | None = None,
    label: tuple[str, ...] = (),
) -> list[Record]:
    """The solutions of every method and problem, methods in the order of the plan; those in the journal are kept, under
    (*label, method, problem).

    Batches are always the same ones, and none remembers rewards of another: a batch of which anything is missing is
    decoded whole, so that a resumed run does the very arithmetic of one in one go. progress(done, total) counts
    solutions; stopwatch(method, seconds, steps) is told of every batch that is decoded. Raises InputError as `decode`.
    """
    parts = [prompts[start : start + run.batch] for start in range(0, len(prompts), run.batch)]
    done, total = 0, len(run.methods) * len(prompts)
    for name in run.methods:
        for part in parts:
            if any((*label, name, prompt.prompt_id) not in journal for prompt in part):
                models.reward_model.forget()
                began = time.perf_counter()
                shifted = None if progress is None else _shifted(progress, done, total)
                decoded = decode_prompts(
                    named_method(name), run.scheme(name), models, part, rule, run.seed, max_steps, shifted
                )
                if stopwatch is not None:
                    stopwatch(name, time.perf_counter() - began, len(decoded.records["problem"]))
                result = replace(decoded, method=name)  # as it was asked for: a method of a file by its place
                grades = grade([prompt.problem for prompt in part], result.text)
                journal.add({(*label, name, row["problem_id"]): row for row in _rows(result, grades)})
            done += len(part)
            if progress is not None:
                progress(done, total)
    return [journal[*label, name, prompt.prompt_id] for name in run.methods for prompt in prompts]


def _shifted(progress: Report, done: int, total: int) -> Report:
    return lambda finished, _: progress(done + finished, total)


def _rows(result: DecodeResult, grades: Sequence[Any]) -> Iterator[Record]:
    owner = result.records["problem"]
    for i, (prompt_id, grade) in enumerate(zip(result.prompt_ids, grades, strict=True)):
        own = owner == i
        steps = {key: values[own] for key, values in result.records.items() if key not in ("problem", "step")}
        yield {
            "method": result.method,
            "problem_id": prompt_id,
            "text": result.text[i],
            "step_ids": [list(step) for step in result.step_ids[i]],
            "finished": bool(result.finished[i]),
            "grade": str(grade.verdict),
            "reason": grade.reason,
            "answer": grade.answer,
            "steps": steps,
        }


def _acceptance(rows: list[Record]) -> tuple[float, float, float]:
    """Share of steps accepted with its 95 % interval. Steps of one solution are not independent: the ratio estimator's
    residuals are summed by solution."""
    accepted = [np.array(row["steps"]["accepted"], dtype=float) for row in rows]
    steps = sum(len(part) for part in accepted)
    rate = sum(part.sum() for part in accepted) / steps
    error = float(np.sqrt(sum((part - rate).sum() ** 2 for part in accepted)) / steps)
    return float(rate), max(0.0, rate - Z * error), min(1.0, rate + Z * error)


def summary(name: str, run: SolutionRun, rows: list[Record], reward: RewardModel) -> Record:
    """One method's solutions in numbers: accuracy with Wilson's interval and failures of grading apart, wrong ones
    that state no answer, mean reward of a solution with Student's interval within the range of `reward`, acceptance,
    the share of steps the draft (or a further drafter) drew, mean reward of a step, and the costs of all solutions."""
    scheme = run.scheme(name)
    accuracy = accuracy_of([row["grade"] for row in rows])
    rewards = reward_mean([_reward(row) for row in rows], (reward.low, reward.high))
    acceptance = _acceptance(rows) if named_method(name).rejects(scheme) else (None, None, None)
    sources = [source for row in rows for source in row["steps"]["source"]]
    return {
        "method": name,
        "n": scheme.n,
        "n_base": scheme.base_draws,
        "beta": scheme.beta,
        "threshold": scheme.threshold,
        "problems": len(rows),
        "accuracy": accuracy.accuracy,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "right": accuracy.right,
        "wrong": accuracy.wrong,
        "failed": accuracy.failed,
        "no_answer": sum(row["grade"] == "wrong" and row["answer"] is None for row in rows),
        "finished": sum(row["finished"] for row in rows),
        "steps": len(sources),
        "draft_share": sum(source != "base" for source in sources) / len(sources),
        "mean_reward": float(np.mean([value for row in rows for value in row["steps"]["reward"]])),
        "solution_reward": rewards.mean,
        "solution_reward_low": rewards.low,
        "solution_reward_high": rewards.high,
        "acceptance_rate": acceptance[0],
        "acceptance_low": acceptance[1],
        "acceptance_high": acceptance[2],
        **{cost: sum(sum(row["steps"][cost]) for row in rows) for cost in COSTS},
    }


def _reward(row: Record) -> float:
    """The reward of a solution, the mean over its steps."""
    return float(np.mean(row["steps"]["reward"]))


def differences(names: Sequence[str], rows: list[Record]) -> list[Record]:
    """Paired differences of accuracy and of mean reward of every two methods, first minus second; p-values are of one
    comparison each."""
    solved = {name: {row["problem_id"]: row for row in rows if row["method"] == name} for name in names}
    pairs = []
    for first, second in combinations(names, 2):
        shared = [problem for problem in solved[first] if problem in solved[second]]
        one, two = ([solved[name][problem] for problem in shared] for name in (first, second))
        pair = paired_difference([row["grade"] for row in one], [row["grade"] for row in two])
        reward = reward_difference([_reward(row) for row in one], [_reward(row) for row in two])
        rewards = {
            "reward_difference": reward.mean,
            "reward_low": reward.low,
            "reward_high": reward.high,
            "reward_p_value": reward.p_value,
        }
        pairs.append({"first": first, "second": second, **asdict(pair), **rewards})
    return pairs
