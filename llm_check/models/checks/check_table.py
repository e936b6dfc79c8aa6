"""The checks on language models by name: what `gsi check` and `gsi report` run."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsi_theory.errors import Named
from gsi_theory.types import Record

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True)
class Check:
    """name of the artifact, the module that runs it, and the question it answers.

    `reference`: what a second pair of engines is to the check ("enumerated" or "compared"; None: it takes none). The
    module is imported when it is used, because the models' libraries are slow to import.
    """

    name: str
    module: str
    question: str
    reference: str | None = None

    @property
    def defaults(self) -> Record:
        """Settings that a user may change, with their defaults."""
        defaults: Record = self._found("DEFAULTS")
        return defaults

    def run(self, *arguments: Any, **reference: Any) -> Path:
        """run(world, seed, out, settings, progress, command), and reference=World where the check takes one."""
        path: Path = self._found("run")(*arguments, **reference)
        return path

    def _found(self, name: str) -> Any:
        return getattr(importlib.import_module(f"llm_check.models.checks.{self.module}"), name)


_LAW = "Do samplers on any engine follow the exact law of the enumerated next step?"
_CHECKS = (
    Check("lm_headline", "headline", "How many drafts does each bound ask for, and how many are needed?"),
    Check("lm_law", "step_law", _LAW, "enumerated"),
    Check("lm_prediction", "fresh_runs", "Does half a pool predict what fresh runs measure?"),
    Check("lm_accuracy", "solution_accuracy", "Which share of problems does each method solve, at every n?"),
    Check("lm_speed", "speed", "How long does a GSI step take, against the naive way?"),
    Check("lm_seconds", "step_seconds", "Do seconds a step, calibrated on two settings, hold at others?"),
    Check("lm_noise", "decision_noise", "Which decisions does numerical noise of the log-ratio flip?", "compared"),
)
CHECKS: dict[str, Check] = Named("check", {check.name: check for check in _CHECKS})
