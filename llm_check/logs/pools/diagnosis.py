"""The doctor: what every self-check of a pool finds, what could not be tested, and how the drafts cover the base."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Record
from llm_check.logs.pools.balance import FREEDOM
from llm_check.logs.pools.evidence import FEW_ROWS, Evidence, examine
from llm_check.logs.pools.findings import FINDINGS, Finding
from llm_check.logs.pools.pool import Pool, as_pool
from llm_check.logs.pools.prefixes import length_rows
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.step_coverage import coverage_record
from llm_check.logs.pools.verdict import LEAST, Support, betas_tried, pool_support

__all__ = ["COVERAGE_BETA", "Diagnosis", "diagnose", "doctor"]

COVERAGE_BETA = 5.0


@dataclass(frozen=True)
class Diagnosis:
    """valid: no finding is an error. ratio_mean, ratio_mean_se: (M32) over the drafts, None without any; untested: what
    could not be; left_out: rows that reading left out; coverage: of `coverage_record`, supports: what the weights may
    be used for, lengths: of `length_rows`; None where not asked for."""

    valid: bool
    ratio_mean: float | None
    ratio_mean_se: float | None
    findings: tuple[Finding, ...]
    untested: tuple[str, ...]
    evidence: Evidence
    left_out: Record
    coverage: Record | None = None
    supports: Support | None = None
    lengths: tuple[Record, ...] | None = None

    def record(self) -> Record:
        """The object of `gsi doctor --json`."""
        e = self.evidence
        balance = e.balance and {
            "chi2": e.balance.chi2,
            "degrees_of_freedom": FREEDOM,
            "p_value": e.balance.level,
            "rows": e.balance.rows,
        }
        sampling = {
            source: check
            and {
                "level": check.level,
                "draws": check.events,
                "temperature": check.temperature,
                "interval_95": list(check.interval or ()),
                "new_expected": check.new_expected,
                "new_drawn": check.new_seen,
            }
            for source, check in e.draws.items()
        }
        fields: Record = {
            "valid": self.valid,
            "supports": self.supports and self.supports.record(),
            "ratio_mean": self.ratio_mean,
            "ratio_mean_se": self.ratio_mean_se,
            "findings": [vars(finding) for finding in self.findings],
            "inverse_ratio_mean": e.ratio.inverse_mean,
            "inverse_ratio_mean_se": e.ratio.inverse_se,
            "bridge_z": e.ratio.z,
            "balance": balance,
            "positions": len(e.whole.names),
            "rows": int(e.whole.order.size),
            "drafts": int(np.count_nonzero(~e.whole.is_base)),
            "sampling": sampling,
            "untested": list(self.untested),
            "left_out": self.left_out,
            "coverage": self.coverage,
        }
        if self.lengths is not None:
            fields["lengths"] = list(self.lengths)
        record: Record = plain(with_schema("doctor", fields))
        return record


def _untested(e: Evidence) -> tuple[str, ...]:
    """What could not be tested, and what would let it be."""
    weaker = "could not be checked" if e.balance is None else "was checked by its balance with the other source only"
    lines = [
        f"{source}: nothing was drawn twice at a shared prefix, so its sampling {weaker} (log token_ids and "
        f"token_logp_{source})"
        for source in SOURCES
        if e.draws[source] is None
    ]
    if e.few:
        lines.append(f"{counted(e.arrays.order.size, 'row')}: too few to judge mean ratios, {FEW_ROWS} or more tell")
    if e.ratio.mean is None:
        lines.append("0 drafts: nothing tells what the draft's law is, nor how it covers the base")
    if e.ratio.positions == 0:
        lines.append("no position has candidates of both sources: only the plain mean ratio could be checked")
    if e.arrays.order.size < e.whole.order.size:
        every = counted(len(e.whole.names), "position")
        lines.append(f"draws and ratios of {len(e.arrays.names):,} of {every} were checked")
    return tuple(lines)


def diagnose(pool: Pool) -> Diagnosis:
    """Every finding of FINDINGS that a pool gives cause for, without coverage."""
    e = examine(pool)
    numbers = [(rule, rule.evidence(e)) for rule in FINDINGS]
    findings = tuple(Finding(r.id, r.severity, evidence, r.advice) for r, evidence in numbers if evidence is not None)
    return Diagnosis(
        valid=all(finding.severity != "error" for finding in findings),
        ratio_mean=e.ratio.mean,
        ratio_mean_se=e.ratio.mean_se,
        findings=findings,
        untested=_untested(e),
        evidence=e,
        left_out=pool.left_out_record(),
    )


def doctor(
    pool: Pool | str | os.PathLike[str],
    beta: float = COVERAGE_BETA,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    n: int | None = None,
    lengths: bool = False,
) -> Diagnosis:
    """Self-checks of a pool, or of its file: mean ratios (M32), draws against their log-probabilities (M34), rows,
    rewards, coverage by step at `beta` (per unit of reward), and what its weights support at `beta` and n (None: the
    largest n). `record()` is what `gsi doctor --json` answers.

    strict: stop at a bad row instead of leaving its prompt out. progress(done, total) counts positions of the coverage.
    lengths: also by the length of a step (M44). Raises InputError for a file that is no pool, n below 1, unless beta is
    positive and finite, and with `lengths` for a pool without token log-probabilities.
    """
    data = as_pool(pool, strict)
    coverage = coverage_record(data, beta, progress)
    found = diagnose(data)
    wrong = tuple(finding.id for finding in found.findings if finding.severity == "error")
    supports = pool_support(data, beta, n, wrong)
    rows = tuple(length_rows(data, betas_tried(data, beta), None, n or LEAST)) if lengths else None
    return replace(found, coverage=coverage, supports=supports, lengths=rows)
