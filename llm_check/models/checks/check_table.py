"""The checks on language models by name: what `gsi check` and `gsi report` run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gsi_theory.errors import Named
from gsi_theory.types import Record

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True)
class Check:
    """name of the artifact, the module that runs it, and the question it answers.

    `defaults`: the settings that a user may change, `full`: those of the full size. `reference`: what a second pair of
    engines is to the check ("enumerated" or "compared"; None: it takes none). `options`: of the command, where they are
    not given: models and task other than the embedded. The module is imported when it is run, because the models'
    libraries are slow to import.
    """

    name: str
    module: str
    question: str
    defaults: Record
    reference: str | None = None
    options: Record = field(default_factory=dict)
    full: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: Any, **reference: Any) -> Path:
        """run(world, seed, out, settings, progress, command), and reference=World where the check takes one."""
        path: Path = importlib.import_module(f"llm_check.models.checks.{self.module}").run(*arguments, **reference)
        return path


_CHECKS = (
    Check(
        "lm_headline",
        "headline",
        "How many drafts does each bound ask for, and how many are needed?",
        {"beta": 20.0, "epsilon": 0.1, "problems": 6, "tolerance": 1e-6},
    ),
    Check(
        "lm_law",
        "step_law",
        "Do samplers on any engine follow the exact law of the enumerated next step?",
        {"beta": 2.0, "n": 4, "threshold": 0.5, "draws": 10_000, "problems": 4, "tolerance": 1e-6},
        "enumerated",
    ),
    Check(
        "lm_prediction",
        "fresh_runs",
        "Does half a pool predict what fresh runs measure?",
        {
            "rules": ("softmax", "race"),
            "betas": (1.0, 5.0),
            "ns": (1, 2, 4, 16),
            "threshold": 0.5,
            "problems": 24,
            "candidates": 400,
            "runs": 400,
            "exact": 4,
            "tolerance": 1e-6,
        },
    ),
    Check(
        "lm_accuracy",
        "solution_accuracy",
        "Which share of problems does each method solve, at every n?",
        {"beta": 20.0, "threshold": 0.5, "problems": 300, "ns": (1, 2, 4, 8, 16)},
    ),
    Check(
        "lm_speed",
        "speed",
        "How long does a GSI step take, against the naive way?",
        {"n": 16, "more": (64,), "batch": 16, "repeats": 5, "problems": 8, "threads": 1},
    ),
    Check(
        "lm_noise",
        "decision_noise",
        "Which decisions does numerical noise of the log-ratio flip?",
        {"betas": (1.0, 5.0, 20.0), "ns": (4, 16), "threshold": 0.5, "problems": 24, "runs": 500},
        "compared",
    ),
    Check(
        "lm_seconds",
        "step_seconds",
        "Do seconds a step, calibrated on two settings, hold at others?",
        {"ns": (2, 16), "more": (1, 4, 8, 24), "repeats": 2, "threads": 1},
    ),
    Check(
        "lm_study",
        "study",
        "What does draft-guided sampling earn, at equal n and at equal cost?",
        {
            "drafts": ("smollm2:weak", "smollm2:medium", "smollm2:strong", "smollm2:near"),
            "lengths": (8,),
            "betas": (5.0, 20.0),
            "ns": (1, 2, 4, 8, 16),
            "threshold": 0.5,
            "problems": 30,
            "candidates": 18,
            "fresh": 32,
        },
        options={
            "draft": "smollm2:medium",
            "base": "smollm2",
            "reward": "learned",
            "task": "sums",
            "dtype": "auto",
        },
        full={"problems": "100", "candidates": "128", "fresh": "160"},
    ),
)
CHECKS: dict[str, Check] = Named("check", {check.name: check for check in _CHECKS})
