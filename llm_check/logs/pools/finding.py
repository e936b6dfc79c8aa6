"""What a finding of the doctor is: its test, its cure, and the paragraph that `gsi doctor --explain ID` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gsi_theory.types import Record
from llm_check.logs.pools.evidence import Evidence
from llm_check.logs.pools.log_view import LogView

__all__ = ["Explanation", "Finding", "FindingRule", "LogRule"]


@dataclass(frozen=True)
class Finding:
    """id of DESIGN's list, severity ("error" | "warning"), evidence (numbers by name) and one line of advice."""

    id: str
    severity: str
    evidence: Record
    advice: str


@dataclass(frozen=True)
class Explanation:
    """cause: what makes it; picture: how it looks in the numbers; setting: how engines call what is to be set. The cure
    is the rule's advice."""

    cause: str
    picture: str
    setting: str


@dataclass(frozen=True)
class FindingRule:
    """One entry: `evidence(e)` of a pool returns the numbers when the finding is made, else None; of_one: the same of a
    log of one model, where it applies; of_law: asked only where the numbers are log-probabilities at all."""

    id: str
    severity: str
    advice: str
    explanation: Explanation
    evidence: Callable[[Evidence], Record | None]
    of_one: Callable[[LogView], Record | None] | None = None
    of_law: bool = False


@dataclass(frozen=True)
class LogRule:
    """One entry that needs no log-probabilities: `evidence(view)` of a log of one model or two, as `FindingRule`."""

    id: str
    severity: str
    advice: str
    explanation: Explanation
    evidence: Callable[[LogView], Record | None]
