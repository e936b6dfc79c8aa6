"""The doctor: what every self-check of a log finds, what could not be tested, and how the drafts cover the base.

A log of one model has no ratios: the checks that need none are run, and no number of a pair is reported. So for a pool
whose two columns are one placeholder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gsi_theory.errors import InputError
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.runs.terminal import counted
from gsi_theory.types import Record
from llm_check.logs.log import Log, draw_counts, read_either
from llm_check.logs.pools.balance import FREEDOM
from llm_check.logs.pools.evidence import FEW_ROWS, Evidence, examine
from llm_check.logs.pools.finding import Finding, FindingRule, LogRule
from llm_check.logs.pools.findings import FINDINGS
from llm_check.logs.pools.log_files import LogSource
from llm_check.logs.pools.log_view import LogView, view_of_log
from llm_check.logs.pools.pool import Pool
from llm_check.logs.pools.pool_files import left_out_record
from llm_check.logs.pools.prefixes import length_rows
from llm_check.logs.pools.schema import SOURCES
from llm_check.logs.pools.step_coverage import coverage_record
from llm_check.logs.pools.verdict import LEAST, Support, betas_tried, no_support, pool_support

__all__ = ["COVERAGE_BETA", "Diagnosis", "diagnose", "doctor"]

COVERAGE_BETA = 5.0
DOCTOR_ROWS = 1 << 20  # rows that are examined


ABSURD = 1e6  # a mean ratio that a right log has with probability below one in a million, in whose place stands none


@dataclass(frozen=True)
class Diagnosis:
    """valid: no finding is an error. models: 1 or 2. ratio_mean, ratio_mean_se: (M32) over the drafts, None without
    any, for one model, and beyond ABSURD; untested: what could not be; evidence: None for a log of one model; left_out:
    rows that reading left out; coverage: of `coverage_record`, supports: what the weights may be used for, lengths: of
    `length_rows`; None where not asked for, coverage also where the numbers are no log-probabilities."""

    valid: bool
    ratio_mean: float | None
    ratio_mean_se: float | None
    findings: tuple[Finding, ...]
    untested: tuple[str, ...]
    evidence: Evidence | None
    view: LogView
    left_out: Record
    coverage: Record | None = None
    supports: Support | None = None
    lengths: tuple[Record, ...] | None = None

    @property
    def models(self) -> int:
        """1 where one model alone speaks, by the log's source or by its columns."""
        e = self.evidence
        return 1 if e is None or e.numbers.equal else 2

    @property
    def errors(self) -> tuple[str, ...]:
        """Ids of the findings that void the numbers."""
        return tuple(finding.id for finding in self.findings if finding.severity == "error")

    def record(self) -> Record:
        """The object of `gsi doctor --json`."""
        e, arrays = self.evidence, self.view.arrays
        pair = e is not None and self.models == 2
        balance = None
        if e is not None and pair and e.balance is not None:
            balance = {
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
            for source, check in (e.draws.items() if e is not None and not e.no_log_probs else ())
        }
        inverse = _shown(e.ratio.inverse_mean, e.ratio.inverse_se) if e is not None and pair else (None, None)
        fields: Record = {
            "valid": self.valid,
            "models": self.models,
            "supports": self.supports and self.supports.record(),
            "ratio_mean": self.ratio_mean,
            "ratio_mean_se": self.ratio_mean_se,
            "findings": [vars(finding) for finding in self.findings],
            "inverse_ratio_mean": inverse[0],
            "inverse_ratio_mean_se": inverse[1],
            "bridge_z": e.ratio.z if e is not None and pair else None,
            "balance": balance,
            "positions": len(arrays.names),
            "rows": int(arrays.order.size),
            "drafts": int(draw_counts(arrays.table)[arrays.order][~arrays.is_base].sum()),
            "sampling": sampling,
            "untested": list(self.untested),
            "left_out": self.left_out,
            "coverage": self.coverage,
        }
        if self.lengths is not None:
            fields["lengths"] = list(self.lengths)
        record: Record = plain(with_schema("doctor", fields))
        return record


def _shown(mean: float | None, error: float | None) -> tuple[float | None, float | None]:
    """A mean ratio and its error, none where no right log has such a one."""
    return (None, None) if mean is None or mean > ABSURD else (mean, error)


def _untested_ratios(e: Evidence) -> list[str]:
    """What of the ratios and draws could not be tested."""
    weaker = "could not be checked" if e.balance is None else "was checked by its balance with the other source only"
    lines = [
        f"{source}: nothing was drawn twice at a shared prefix, so its sampling {weaker} (log token_ids and "
        f"token_logp_{source})"
        for source in SOURCES
        if e.draws[source] is None and (source in e.drawn or len(e.drawn) != 1)
    ]
    if e.few:
        lines.append(f"{counted(e.arrays.order.size, 'row')}: too few to judge mean ratios, {FEW_ROWS} or more tell")
    if e.ratio.mean is None:
        lines.append("0 drafts: nothing tells what the draft's law is, nor how it covers the base")
    if e.ratio.positions == 0:
        lines.append("no position has candidates of both sources: only the plain mean ratio could be checked")
    if len(e.drawn) == 1:
        other = "base" if e.drawn == ("draft",) else "draft"
        lines.append(
            f"a log of {'drafts' if other == 'base' else 'base draws'} only: {other} log-probabilities of another "
            f"prompt or temperature, if they sum to one, cannot be told from right ones; rows of source {other} would"
        )
    if e.arrays.order.size < e.whole.order.size:
        every = counted(len(e.whole.names), "position")
        lines.append(f"draws and ratios of {len(e.arrays.names):,} of {every} were checked")
    return lines


def _untested_draws(view: LogView) -> list[str]:
    """What of a log of one model could not be tested."""
    arrays = view.arrays
    lines = ["one model: whether draws are of the law that was meant (temperature, truncation, prompt) cannot be told"]
    if not (arrays.has("text") or arrays.has("token_ids")):
        lines.append("no text or token_ids: copied draws show only in equal rewards")
    if not arrays.has("reward"):
        lines.append("no reward: nothing to check of rewards")
    elif arrays.tokens is None and not arrays.has("text"):
        lines.append("no n_tokens or text: whether rewards favor short solutions")
    if view.counted:
        lines.append("rows stand for several draws: their order is lost, and with it signs of sorting or stopping")
    return lines


def _findings(view: LogView, e: Evidence | None) -> tuple[Finding, ...]:
    """Every finding of FINDINGS that a log gives cause for: of a pool whose columns are a placeholder, those that need
    no log-probabilities, and that it is one."""
    findings = []
    silent = e is None or e.numbers.placeholder is not None
    for rule in FINDINGS:
        if isinstance(rule, LogRule):
            evidence = rule.evidence(view)
        elif not silent or (e is not None and rule.id == "one_model"):
            evidence = _of_pool(rule, e)
        else:
            evidence = None if rule.of_one is None else rule.of_one(view)
        if evidence is not None:
            findings.append(Finding(rule.id, rule.severity, evidence, rule.advice))
    return tuple(findings)


def _of_pool(rule: FindingRule, e: Evidence | None) -> Record | None:
    return None if e is None or (rule.of_law and e.no_log_probs) else rule.evidence(e)


def _pool(data: Pool | Log) -> Pool:
    return data if isinstance(data, Pool) else replace(data.pool(), left_out=data.left_out)


def diagnose(data: Pool | Log, most_rows: int | None = None) -> Diagnosis:
    """Every finding of FINDINGS that a log gives cause for, without coverage; draws and ratios at most_rows at most."""
    no_ratios = isinstance(data, Log) and (data.models == 1 or data.cascade)
    e = None if no_ratios else examine(_pool(data), most_rows)
    view = e.view if e is not None else view_of_log(data)  # type: ignore[arg-type]  # a log of one model
    findings = _findings(view, e)
    untested = _untested_draws(view) if e is None or e.numbers.placeholder is not None else _untested_ratios(e)
    mean, error = (None, None) if e is None or e.numbers.equal else _shown(e.ratio.mean, e.ratio.mean_se)
    return Diagnosis(
        valid=all(finding.severity != "error" for finding in findings),
        ratio_mean=mean,
        ratio_mean_se=error,
        findings=findings,
        untested=tuple(untested),
        evidence=e,
        view=view,
        left_out=left_out_record(data.left_out),
    )


def _examined(data: Pool | Log) -> str | None:
    """How much of a long log was examined, in words; None for all of it."""
    if data.whole is None:
        return None
    rows, prompts = data.whole
    seen = data.table.num_rows
    if seen + len(data.left_out) >= rows:
        return None
    return f"examined were {seen:,} of {rows:,} rows, of prompts evenly spread over {counted(prompts, 'prompt')}"


def doctor(
    pool: Pool | Log | LogSource,
    beta: float = COVERAGE_BETA,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    n: int | None = None,
    lengths: bool = False,
) -> Diagnosis:
    """Self-checks of a log of two models or one, or of its files: mean ratios (M32, M45), draws against their
    log-probabilities (M34), rows, rewards, coverage by step at `beta` (per unit of reward), and what weights support
    at `beta` and n (None: the largest n). `record()` is what `gsi doctor --json` answers.

    Of files of more than DOCTOR_ROWS rows, evenly spread prompts of so many are examined.
    strict: stop at a bad row instead of leaving its prompt out. progress(done, total) counts positions of the coverage.
    lengths: also by the length of a step (M44). Raises InputError for a file that is no pool, n below 1, unless beta is
    positive and finite, and with `lengths` for a pool without token log-probabilities.
    """
    data = pool if isinstance(pool, Pool | Log) else read_either(pool, strict, DOCTOR_ROWS)
    found = diagnose(data)
    if (part := _examined(data)) is not None:
        found = replace(found, untested=(*found.untested, part))
    e = found.evidence
    if e is None or e.numbers.placeholder is not None:
        if lengths:
            raise InputError("--lengths needs token log-probabilities of two models: this is a log of one")
        return replace(found, supports=no_support())
    data = _pool(data)
    coverage = None if e.no_log_probs else coverage_record(data, beta, progress)
    supports = pool_support(data, beta, n, found.errors)
    rows = tuple(length_rows(data, betas_tried(data, beta), None, n or LEAST)) if lengths else None
    return replace(found, coverage=coverage, supports=supports, lengths=rows)
