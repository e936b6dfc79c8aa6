"""The checks on language models by name: what `gsi check` and `gsi report` run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_check import check_accuracy, check_headline, check_law, check_prediction, check_speed
from llm_check.world import World

__all__ = ["CHECKS", "Check"]

Runner = Callable[[World, int, Path, dict[str, str], Callable[[int, int], None], str], Path]


@dataclass(frozen=True)
class Check:
    """name of the artifact, the question it answers, default settings, and run(world, seed, out, settings, ...)."""

    name: str
    question: str
    defaults: dict[str, Any]
    run: Runner


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("lm_headline", "How many drafts does each bound ask for, and how many are needed?",
              check_headline.DEFAULTS, check_headline.run),
        Check("lm_law", "Do samplers on transformers follow the exact law of the enumerated next step?",
              check_law.DEFAULTS, check_law.run),
        Check("lm_prediction", "Does a pool predict what fresh runs measure?",
              check_prediction.DEFAULTS, check_prediction.run),
        Check("lm_accuracy", "Which share of problems does each method solve, at every n?",
              check_accuracy.DEFAULTS, check_accuracy.run),
        Check("lm_speed", "How long does a GSI step take, against the naive way?",
              check_speed.DEFAULTS, check_speed.run),
    )
}  # fmt: skip
