"""The checks on language models by name: what `gsi check` and `gsi report` run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_check.checks import accuracy, headline, law, noise, prediction, speed

__all__ = ["CHECKS", "Check"]

# run(world, seed, out, settings, progress, command), and reference=World where the check takes one
Runner = Callable[..., Path]


@dataclass(frozen=True)
class Check:
    """name of the artifact, the question it answers, default settings, and its runner.

    `reference`: what a second pair of engines is to the check ("enumerated" or "compared"; None: it takes none).
    """

    name: str
    question: str
    defaults: dict[str, Any]
    run: Runner
    reference: str | None = None


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("lm_headline", "How many drafts does each bound ask for, and how many are needed?",
              headline.DEFAULTS, headline.run),
        Check("lm_law", "Do samplers on any engine follow the exact law of the enumerated next step?",
              law.DEFAULTS, law.run, "enumerated"),
        Check("lm_prediction", "Does half a pool predict what fresh runs measure?",
              prediction.DEFAULTS, prediction.run),
        Check("lm_accuracy", "Which share of problems does each method solve, at every n?",
              accuracy.DEFAULTS, accuracy.run),
        Check("lm_speed", "How long does a GSI step take, against the naive way?",
              speed.DEFAULTS, speed.run),
        Check("lm_noise", "Which decisions does numerical noise of the log-ratio flip?",
              noise.DEFAULTS, noise.run, "compared"),
    )
}  # fmt: skip
