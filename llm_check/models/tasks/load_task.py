"""Load a task by name: from a JSONL file, from the hub, or the embedded arithmetic. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gsi_theory.errors import InputError, nearest
from gsi_theory.runs.json_input import JsonFault, parse_json, text_lines
from llm_check.models.grading.answers import known_reading
from llm_check.models.grading.grading import grade_arithmetic
from llm_check.models.model_types import TaskProblem
from llm_check.models.spec import Spec, parse_spec, read_options
from llm_check.models.tasks import arithmetic
from llm_check.models.tasks.benchmarks import FAMILIES, Benchmark, Hub, Row, grade_rows
from llm_check.models.tasks.problem import Problem, Task
from llm_check.models.tasks.repeated_sums import REPEATED_SUMS
from llm_check.models.tasks.short_answers import grade_short
from llm_check.models.tasks.sums import SUMS
from llm_check.models.tasks.word_problems import WORD_PROBLEMS
from llm_check.models.tasks.written import WrittenTask, written_problems
from llm_check.models.tasks.yes_no_facts import FACTS

__all__ = ["WRITTEN", "WRITTEN_PROBLEMS", "chosen_problems", "load_task"]

# Of tasks whose problems are written from a seed, where no number is asked for.
WRITTEN_PROBLEMS = 100
WRITTEN: dict[str, WrittenTask] = {
    "sums": SUMS,
    "word_problems": WORD_PROBLEMS,
    "facts": FACTS,
    "repeated_sums": REPEATED_SUMS,
}
_LAST = "last_number"  # where their solutions state the answer
# Whole solutions of Qwen2.5-Math on these tasks stay below 4096 tokens, its context.
MAX_STEPS = 64
MAX_TOKENS = 512
STEP_SPEC = "delimiter:\\n\\n"


def load_task(spec: str, *, limit: int | None = None, seed: int = 0) -> Task:
    """The task named by `spec`: "gsm8k:FILE" (rows of the published fields), "gsm8k" (from the hub), likewise math500,
    olympiadbench, minerva, mmlu_stem; "jsonl:FILE" (a user's rows); "arithmetic" or "arithmetic:train", likewise sums,
    word_problems, facts, repeated_sums, for a real small model. With
    "?answer=last_number" (or text; default boxed) that is where a solution of a row states its answer.

    At most `limit` problems, chosen by `seed`, in the order of the source; those of a smaller limit are among those of
    a larger one. Raises InputError for an unknown task, a missing or empty file, a row that is not JSON or lacks a
    field (file, line, field and cure), two problems with one id, a negative seed, or a limit below 1.
    """
    parsed = parse_spec(spec, dict.fromkeys((*FAMILIES, "arithmetic", *WRITTEN)))
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit} of task {spec!r}: use at least 1 problem")
    if seed < 0:
        raise InputError(f"seed {seed} of task {spec!r}: use an integer of at least 0")
    if not parsed.kind:
        names = [*FAMILIES, "arithmetic", *WRITTEN]
        cure = f"give one of {', '.join(names)}, with :FILE for rows of your own file"
        raise InputError(f"task {spec!r}{nearest(spec.partition(':')[0], names)}: {cure}")
    readers = {} if parsed.kind == "arithmetic" or parsed.kind in WRITTEN else {"answer": known_reading}
    reading = str(read_options(parsed, readers).get("answer", "boxed"))
    if parsed.kind == "arithmetic":
        return _arithmetic(parsed, limit, seed)
    if parsed.kind in WRITTEN:
        return _written(parsed, limit, seed)
    family = FAMILIES[parsed.kind]
    if parsed.place:
        path = Path(parsed.place)
        rows, source = _file_rows(path, parsed.kind), str(path)
    elif family.hub is not None:
        rows, source = _hub_rows(family.hub, parsed.kind), f"hub:{family.hub.repository}"
    else:
        raise InputError(f"task {spec!r}: name its file, as in {parsed.kind}:FILE")
    problems = [replace(problem, reading=reading) for problem in _problems(rows, family, source)]
    return Task(
        name=parsed.kind,
        problems=chosen_problems(problems, limit, seed),
        instruction=family.instruction,
        template="chat",
        step_spec=STEP_SPEC,
        max_tokens=MAX_TOKENS,
        max_steps=MAX_STEPS,
        grader=family.grader if reading == "boxed" else grade_rows,
        source=source,
        reading=reading,
    )


def _arithmetic(spec: Spec, limit: int | None, seed: int) -> Task:
    split = spec.place or "test"
    problems = arithmetic.make_problems(limit or WRITTEN_PROBLEMS, seed, split)
    return Task(
        name="arithmetic",
        problems=tuple(problems),
        instruction="",
        template="bare",
        step_spec=STEP_SPEC,
        max_tokens=4,
        max_steps=arithmetic.MAX_STEPS,
        grader=grade_arithmetic,
        check_step=arithmetic.check_step,
        reference_steps=arithmetic.solution_steps,
        source=f"arithmetic:{split}",
    )


def _written(spec: Spec, limit: int | None, seed: int) -> Task:
    task, split = WRITTEN[spec.kind], spec.place or "test"
    written = written_problems(spec.kind, task, limit or WRITTEN_PROBLEMS, seed, split)
    return Task(
        name=spec.kind,
        problems=tuple(replace(p, reading=_LAST) for p in written),
        instruction="",
        template=task.template,
        step_spec=task.step_spec,
        max_tokens=task.max_tokens,
        max_steps=task.max_steps,
        grader=grade_short,
        source=f"{spec.kind}:{split}",
        reading=_LAST,
        turns=task.turns,
    )


def chosen_problems(problems: Sequence[TaskProblem], limit: int | None, seed: int) -> tuple[TaskProblem, ...]:
    """At most `limit` problems by `seed`, in their order; those of a smaller limit are among those of a larger."""
    if limit is None or limit >= len(problems):
        return tuple(problems)
    kept = np.sort(np.random.default_rng([seed, 5]).permutation(len(problems))[:limit])
    return tuple(problems[i] for i in kept)


def _problems(rows: Iterator[Row], family: Benchmark, source: str) -> list[Problem]:
    problems: list[Problem] = []
    places: dict[str, str] = {}
    for row in rows:
        problem = family.read(row)
        if problem.problem_id in places:
            raise InputError(
                f"{row.place}: id {problem.problem_id!r} is taken by {places[problem.problem_id]}: give every problem "
                "an id of its own, or none"
            )
        places[problem.problem_id] = row.place
        problems.append(problem)
    if not problems:
        raise InputError(f"{source} holds no problems: give a file with one JSON object per line")
    return problems


def _file_rows(path: Path, name: str) -> Iterator[Row]:
    if not os.path.isfile(path):
        raise InputError(f"no file {path} for task {name}: give a JSONL file, one problem per line")
    for number, line in text_lines(path):
        place = f"{path}, line {number}"
        try:
            fields = parse_json(line)
        except JsonFault as fault:
            raise InputError(f"{place} is not JSON ({fault}): write one JSON object per line") from fault
        if not isinstance(fields, dict):
            raise InputError(f"{place} is {type(fields).__name__}, not an object: write {{...}} with named fields")
        yield Row(fields, place, f"{name}-{number}")


def _hub_rows(hub: Hub, name: str) -> Iterator[Row]:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise InputError(
            f"task {name} from the hub needs the package datasets: pip install 'gsi-theory[llm]', or give {name}:FILE"
        ) from error
    try:
        rows = load_dataset(hub.repository, hub.configuration, split=hub.split)
    except Exception as error:  # the hub's client raises many kinds: no network, no such data set, no access
        raise InputError(
            f"task {name}: the hub's {hub.repository} could not be loaded ({type(error).__name__}: {error}): check the "
            f"network, or download its rows and give {name}:FILE"
        ) from error
    for number, fields in enumerate(rows, start=1):
        yield Row(fields, f"{hub.repository}, row {number}", f"{name}-{number}")
