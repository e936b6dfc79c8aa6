"""Whole solutions on the embedded pair: final accuracy and acceptance of every method against n: `lm_accuracy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.journal import Journal
from llm_check.models.checks.check_settings import read_settings
from llm_check.models.decoding.method_table import METHODS
from llm_check.models.decoding.reasoning_steps import require_candidates
from llm_check.models.decoding.solutions import SolutionRun, differences, solve_task, summary
from llm_check.models.tasks.load_task import load_task
from llm_check.models.tiny.exact_steps import require_arithmetic
from llm_check.models.world import World

__all__ = ["DEFAULTS", "run"]

DEFAULTS: dict[str, Any] = {"beta": 20.0, "threshold": 0.5, "problems": 300, "ns": (1, 2, 4, 8, 16)}
SHOWN = ("draft", "base", "soft_bon_draft", "soft_bon_base", "gsi", "gsi_race", "rsd", "specs")
# All 300 problems of the default side by side: the embedded models are small.
BATCH = 512


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings beta, threshold, problems, ns. Every method solves the same problems.

    Tables: `methods`, a row for each method and n; `differences`, paired, of every two methods at the largest n;
    `solutions`, two of each method at the smallest and largest n.
    """
    chosen = read_settings(settings, DEFAULTS)
    require_arithmetic(world)
    most = max(chosen["ns"])
    require_candidates(2 * most, min(BATCH, chosen["problems"]), world.rule, f"ns = {most}")
    task = load_task("arithmetic", limit=chosen["problems"], seed=seed + 4)
    prompts = task.prompts(world.draft.tokenizer)
    asked = {problem.problem_id: problem.text for problem in task.problems}
    ns = {name: (1,) if METHODS[name].n else chosen["ns"] for name in SHOWN}
    cells = [(name, n) for name in SHOWN for n in ns[name]]
    methods: dict[str, list[Any]] = {}
    examples: dict[str, list[Any]] = {key: [] for key in ("method", "n", "problem", "text", "correct")}
    at_most: list[dict[str, Any]] = []
    for done, (name, n) in enumerate(cells, start=1):
        plan = SolutionRun((name,), chosen["beta"], n, chosen["threshold"], seed=seed, batch=BATCH)
        rows = solve_task(plan, world.models, prompts, world.rule, task.max_steps, task.grade, Journal(None, {}))
        for key, value in summary(name, plan, rows).items():
            methods.setdefault(key, []).append(value)
        if n in (1, max(chosen["ns"])):
            for row in rows[:2]:
                shown = (name, n, asked[row["problem_id"]], row["text"], row["grade"] == "right")
                for key, value in zip(examples, shown, strict=True):
                    examples[key].append(value)
        if n == max(ns[name]):
            at_most += rows
        progress(done, len(cells))
    pairs = differences(SHOWN, at_most)
    tables = {
        "methods": methods,
        "solutions": examples,
        "differences": {key: [pair[key] for pair in pairs] for key in pairs[0]},
    }
    found = {"problems": len(prompts), "beta": chosen["beta"], "threshold": chosen["threshold"]}
    return write_artifact(out, "lm_accuracy", provenance(command, seed), found, tables)
