"""The audit: every claim of gsi_theory.claims over families × rewards × β × n, with what is undecided proved by balls.

Work is cut into jobs (cells of grid.py, searches for short counterexamples, the numbers of drafts asked for, the
rate of KL), each with its own random stream, kept in a journal beside the artifact: a killed run goes on, and the
artifact's bytes depend on seed, settings and code alone, not on workers, order or interruptions. The cases that remain
within numerical error are then judged in ball arithmetic, those of least slack first, up to `rejudged` of each claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gsi_theory.claims import CLAIMS, Outcome
from gsi_theory.runs.artifact import provenance, write_artifact
from gsi_theory.runs.journal import Journal, code_fingerprint, journal_path
from gsi_theory.runs.progress import Report
from gsi_theory.runs.settings import checked, whole
from gsi_theory.runs.workers import Pool, in_this_process
from gsi_theory.types import Json, Record
from sims.audits.cells import judge_cell, rejudge
from sims.audits.counterexamples import search
from sims.audits.drafts_needed import BETAS_ASKED, asked
from sims.audits.kl_rate import kl_rate
from sims.audits.regimes import AUDIT_FAMILIES, BETAS, NS, Cell
from sims.audits.tables import Totals, tables_of
from sims.instance_families import FAMILIES, REWARDS

__all__ = ["PRESETS", "SETTINGS", "run_audit"]

SETTINGS: dict[str, tuple[Json, Json]] = {
    "instances": (8, range(2, 100_001)),
    "blocks": (1, range(1, 10_001)),
    "rejudged": (4, range(0, 10_001)),
    "claims": (",".join(CLAIMS), tuple(CLAIMS)),
    "families": (",".join(AUDIT_FAMILIES), tuple(AUDIT_FAMILIES)),
    "rewards": (",".join(REWARDS), REWARDS),
}
PRESETS: dict[str, Record] = {
    "quick": {},
    "full": {"instances": 32, "blocks": 6, "rejudged": 200},
}
# The study of the rate: so many instances, in jobs of so many.
RATES, RATES_EACH = 100, 25
REJUDGED_EACH = 20

Job = tuple[Json, ...]


def _plan(seed: int, settings: Record) -> list[Job]:
    """All jobs but the last look at what is undecided; the slowest kinds first."""
    keys, rewards = settings["claims"], settings["rewards"]
    jobs: list[Job] = [("search", key, rewards) for key in keys if CLAIMS[key].expected is Outcome.REFUTED]
    jobs += [("rate", seed, i, min(i + RATES_EACH, RATES)) for i in range(0, RATES, RATES_EACH)]
    jobs += [("asked", seed, family, beta) for family in FAMILIES for beta in BETAS_ASKED]
    jobs += [
        ("cell", seed, family, kind, beta, block, keys, settings["instances"], NS)
        for block in range(settings["blocks"])
        for family in settings["families"]
        for kind in rewards
        for beta in BETAS
    ]
    return jobs


def work(job: Job) -> Json:
    """The JSON result of one job."""
    kind, *rest = job
    if kind == "search":
        key, rewards = rest
        case = search(CLAIMS[key], rewards)
        return None if case is None else case.record()
    if kind == "rate":
        return kl_rate(*rest)
    if kind == "asked":
        return asked(*rest)
    if kind == "rejudge":
        key, cases = rest
        return rejudge(key, cases)
    seed, family, rewards, beta, block, keys, instances, ns = rest
    return judge_cell(seed, Cell(family, rewards, beta, block), keys, instances, ns)


def _undecided(totals: Totals, keys: Sequence[str], most: int) -> list[Job]:
    jobs: list[Job] = []
    for key in keys:
        cases = totals.undecided(key)[:most] if CLAIMS[key].certifiable else []
        jobs += [("rejudge", key, cases[i : i + REJUDGED_EACH]) for i in range(0, len(cases), REJUDGED_EACH)]
    return jobs


def run_audit(
    seed: int,
    out: Path,
    settings: Record,
    pool: Pool = in_this_process,
    progress: Report | None = None,
    command: str = "",
) -> Path:
    """Write the artifact `audit` to the path `out`; its journal is beside it until it is written.

    `settings` overrides SETTINGS by name; `pool` opens the executor that does the jobs; progress(done, total) counts
    jobs. Raises InputError on an unknown setting, a bad value or a bad seed, before anything is computed.
    """
    seed = whole(seed, range(2**63), "seed")
    chosen = checked(SETTINGS, settings, " of the audit")
    record = {"seed": seed, "settings": chosen, "code": code_fingerprint(), "versions": provenance("", 0)["versions"]}
    journal = Journal(journal_path(out), record, replace=True)
    jobs = _plan(seed, chosen)
    totals = Totals(chosen["claims"])
    for job, result in zip(jobs, journal.run(jobs, work, pool, progress), strict=True):
        totals.add(job, result)
    last = _undecided(totals, chosen["claims"], chosen["rejudged"])
    for job, result in zip(last, journal.run(last, work, pool, progress), strict=True):
        totals.add(job, result)
    summary, tables = tables_of(totals, seed, chosen)
    path = write_artifact(out, "audit", provenance(command, seed), summary, tables)
    journal.delete()
    return path
