"""Whole solutions on the embedded pair: final accuracy and acceptance of every method against n: `lm_accuracy`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from gsi_theory.artifact import provenance, write_artifact
from llm_check.decode import METHODS, DecodeResult, decode
from llm_check.settings import read_settings
from llm_check.tasks.arithmetic import make_problems
from llm_check.world import World

__all__ = ["DEFAULTS", "run", "wilson"]

DEFAULTS: dict[str, Any] = {"beta": 20.0, "threshold": 0.5, "problems": 300, "ns": (1, 2, 4, 8, 16)}
SHOWN = ("draft", "base", "soft_bon_draft", "soft_bon_base", "gsi", "gsi_race")


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    interval = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _row(result: DecodeResult) -> dict[str, Any]:
    """Counts of one method and n. Steps of one solution are not independent: the acceptance interval treats the
    solution's mean as one observation."""
    solved = int(result.correct.sum())
    low, high = wilson(solved, result.correct.size)
    row = {
        "method": result.method, "n": result.scheme.n, "beta": result.scheme.beta,
        "threshold": result.scheme.threshold, "problems": int(result.correct.size),
        "accuracy": float(result.correct.mean()),
        "accuracy_low": low, "accuracy_high": high, "mean_reward": float(result.records["reward"].mean()),
        "acceptance_rate": result.acceptance_rate, "acceptance_low": None, "acceptance_high": None,
    }  # fmt: skip
    if result.acceptance_rate is not None:
        problem, accepted = result.records["problem"], result.records["accepted"].astype(float)
        steps = np.bincount(problem, minlength=result.correct.size)
        # Ratio estimator over solutions: residuals against the pooled rate.
        residual = np.bincount(problem, weights=accepted - result.acceptance_rate, minlength=result.correct.size)
        error = float(np.sqrt((residual**2).sum()) / steps.sum())
        row["acceptance_low"] = max(0.0, result.acceptance_rate - 1.96 * error)
        row["acceptance_high"] = min(1.0, result.acceptance_rate + 1.96 * error)
    return row


def run(
    world: World, seed: int, out: Path, settings: dict[str, str], progress: Callable[[int, int], None], command: str
) -> Path:
    """Write the artifact; settings beta, threshold, problems, ns. Every method solves the same problems."""
    chosen = read_settings(settings, DEFAULTS)
    problems = make_problems(chosen["problems"], seed + 4, "test")
    cells = [(name, n) for name in SHOWN for n in (chosen["ns"] if METHODS[name].weight != "none" else (1,))]
    methods: dict[str, list[Any]] = {}
    examples: dict[str, list[Any]] = {key: [] for key in ("method", "n", "problem", "text", "correct")}
    for done, (name, n) in enumerate(cells, start=1):
        result = decode(
            name, world.draft, world.base, world.reward_model, problems, chosen["beta"], n, chosen["threshold"],
            world.rule, seed,
        )  # fmt: skip
        for key, value in _row(result).items():
            methods.setdefault(key, []).append(value)
        if n in (1, max(chosen["ns"])):
            for i in range(2):
                shown = (name, n, problems[i].text, result.text[i], bool(result.correct[i]))
                for key, value in zip(examples, shown, strict=True):
                    examples[key].append(value)
        progress(done, len(cells))
    summary = {"problems": len(problems), "beta": chosen["beta"], "threshold": chosen["threshold"]}
    tables = {"methods": methods, "solutions": examples}
    return write_artifact(out, "lm_accuracy", provenance(command, seed), summary, tables)
