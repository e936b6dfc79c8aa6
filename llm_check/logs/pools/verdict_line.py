"""The doctor's verdict in one line, for whoever computes something from a log: curve, predict, plan."""

from __future__ import annotations

from gsi_theory.types import Record
from llm_check.logs.log import Log
from llm_check.logs.pools.diagnosis import Diagnosis, diagnose
from llm_check.logs.pools.pool import Pool

__all__ = ["line_of", "verdict_line"]

MOST_ROWS = 20_000  # looked at for draws and ratios, of evenly spread positions: half a second


def verdict_line(data: Pool | Log) -> Record:
    """{"valid", "errors": ids, "warnings": ids, "line"}: what `diagnose` says of a log, the line in words. Draws and
    ratios are checked at MOST_ROWS rows; rewards, order and copies at all."""
    return line_of(diagnose(data, MOST_ROWS))


def line_of(diagnosis: Diagnosis) -> Record:
    """The same of a diagnosis that is there already."""
    ids: dict[str, list[str]] = {"error": [], "warning": []}
    for finding in diagnosis.findings:
        ids[finding.severity].append(finding.id)
    if ids["error"]:
        line = f"doctor: not valid: {', '.join(ids['error'])} (gsi doctor says more)"
    elif ids["warning"]:
        line = f"doctor: nothing that voids the numbers; {', '.join(ids['warning'])}"
    else:
        line = "doctor: nothing wrong found"
    return {"valid": diagnosis.valid, "errors": ids["error"], "warnings": ids["warning"], "line": line}
