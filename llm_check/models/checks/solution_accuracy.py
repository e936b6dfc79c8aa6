"""Whole solutions on a pair of models: final accuracy and acceptance of every method against n: `lm_accuracy`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.journal import Journal
from gsi_theory.types import Record
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.checks.check_table import CHECKS
from llm_check.models.decoding.accuracy import paired_difference
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.reasoning_steps import require_candidates
from llm_check.models.decoding.solution import require_size
from llm_check.models.decoding.solutions import SolutionRun, differences, solve_task, summary
from llm_check.models.tasks.load_task import chosen_problems, load_task
from llm_check.models.tasks.problem import Task
from llm_check.models.world import World, world_record

__all__ = ["DEFAULTS", "run"]

DEFAULTS = CHECKS["lm_accuracy"].defaults
SHOWN = ("draft", "base", "soft_bon_draft", "soft_bon_base", "gsi", "gsi_race", "rsd", "specs")
# Problems side by side: all 300 of the default on models as small as the embedded ones, few on others.
_BATCHES = {True: 512, False: 16}
_SMALL = 1000


def _contested(solutions: Sequence[Sequence[Record]]) -> str:
    """The problem that most nearly half of the methods solve, the first of several."""
    right = Counter(row["problem_id"] for rows in solutions for row in rows if row["grade"] == "right")
    return str(min((row["problem_id"] for row in solutions[0]), key=lambda name: abs(2 * right[name] - len(solutions))))


def _examples(
    solved: Mapping[tuple[str, int], Sequence[Record]],
    last: Mapping[str, Sequence[Record]],
    contested: str,
    most: int,
) -> list[Record]:
    """Solutions to show, each once; last: those of each method at its largest n."""
    chosen = [(name, n, row) for (name, n), rows in solved.items() if n in (1, most) for row in rows[:2]]
    for (name, n), rows in solved.items():
        if rows is last[name]:
            failures = [row for row in rows if row["grade"] != "right"]
            chosen += [(name, n, row) for row in rows if row["problem_id"] == contested]
            chosen += [(name, n, row) for row in failures[:1]]
    unique = {(name, n, row["problem_id"]): row for name, n, row in chosen}
    return [
        {"method": name, "n": n, "problem": problem, "text": row["text"], "correct": row["grade"] == "right"}
        for (name, n, problem), row in unique.items()
    ]


def _growth(solved: Mapping[tuple[str, int], Sequence[Record]], last: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Paired differences of accuracy, each method at its largest n minus at a smaller one, on the same problems."""
    return [
        {
            "method": name,
            "n": n,
            **asdict(paired_difference([row["grade"] for row in last[name]], [row["grade"] for row in rows])),
        }
        for (name, n), rows in solved.items()
        if rows is not last[name]
    ]


def _task(world: World, count: int, seed: int) -> Task:
    """The world's task with at most `count` problems: others than a pool of the same seed holds."""
    if world.task.source.startswith(f"{world.task.name}:"):  # written from a seed
        made = load_task(world.task.source, limit=count, seed=seed + 4)
        return replace(world.task, problems=made.problems)
    return replace(world.task, problems=chosen_problems(world.task.problems, count, seed + 4))


def _columns(rows: Sequence[Record]) -> dict[str, list[Any]]:
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings beta, threshold, problems, ns. Every method solves the same problems.

    Tables: `methods`, a row for each method and n; `differences`, paired, of every two methods at the largest n;
    `growth`, paired, of every method at its largest n against each smaller one; `solutions`, two of each method at the
    smallest and largest n, the first failure of each at the largest, and those of the problem `contested`, on which the
    methods differ most.
    """
    chosen = read_settings(settings, DEFAULTS)
    most, batch = max(chosen["ns"]), _BATCHES[world.draft.vocabulary < _SMALL]
    require_candidates(2 * most, min(batch, chosen["problems"]), world.rule, f"ns = {most}")
    task = _task(world, chosen["problems"], seed)
    prompts = replace(world, task=task).prompts()
    for name in SHOWN:
        scheme = METHODS[name].scheme(chosen["beta"], most, chosen["threshold"])
        require_size(METHODS[name], scheme, world.models, prompts, world.rule, batch)
    asked = {p.problem_id: getattr(p, "text", "") or p.question for p in task.problems}
    ns = {name: (1,) if METHODS[name].n else chosen["ns"] for name in SHOWN}
    cells = [(name, n) for name in SHOWN for n in ns[name]]
    methods: dict[str, list[Any]] = {}
    solved: dict[tuple[str, int], list[Record]] = {}
    for done, (name, n) in enumerate(cells, start=1):
        plan = SolutionRun((name,), chosen["beta"], n, chosen["threshold"], seed=seed, batch=batch)
        rows = solve_task(plan, world.models, prompts, world.rule, world.max_steps, task.grade, Journal(None, {}))
        for key, value in summary(name, plan, rows, world.reward_model).items():
            methods.setdefault(key, []).append(value)
        solved[name, n] = rows
        progress(done, len(cells))
    last = {name: solved[name, max(ns[name])] for name in SHOWN}
    contested = _contested(list(last.values()))
    tables = {
        "methods": methods,
        "solutions": _columns(_examples(solved, last, contested, most)),
        "differences": _columns(differences(SHOWN, [row for rows in last.values() for row in rows])),
        "growth": _columns(_growth(solved, last)),
    }
    tables["solutions"]["problem"] = [asked[name] for name in tables["solutions"]["problem"]]
    found = {"problems": len(prompts), "beta": chosen["beta"], "threshold": chosen["threshold"]}
    found |= {"contested": asked[contested], "world": world_record(world)}
    return write_artifact(out, "lm_accuracy", provenance(command, seed), found, tables)
