"""How soon a sampler that makes a known mistake is refuted and named (M50), and how often a right one is.

Outcomes are drawn from the exact law of each mistake on the problems of `gsi conform`, problems in turn, and read until
the evidence reaches 1/level. The mistake's own weight in the evidence is 1/(2J), J rivals: about log(2J/level)/KL draws
(Wald), KL of its law from the method's, averaged over the problems.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from gsi_theory.conformance.design import Design, design_of
from gsi_theory.conformance.e_process import EProcess
from gsi_theory.types import Floats
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings

METHODS = ("gsi", "soft_bon_base", "best_of_n_base", "rsd", "speculative")
LEVEL, SHARE = 0.01, 0.95  # SHARE: of runs in which a mistake should be refuted
_PART = 100  # outcomes read at once


class _Cell(NamedTuple):
    method: str
    mistake: str


class _Row(NamedTuple):
    method: str
    mistake: str
    kl: float
    expected: float
    median: float
    found: float
    named: float


def cells(settings: Settings) -> list[_Cell]:
    return [
        _Cell(method, name)
        for method in METHODS
        for name in ("", *(rival.id for rival in design_of(method).rivals if rival.kind == "mistake"))
    ]


def _read(design: Design, laws: tuple[Floats, ...], draws: int, rng: np.random.Generator) -> tuple[float, int]:
    """(draws until refuted or inf, index of the likeliest rival then) of one run with outcomes from `laws`."""
    process = EProcess(design.laws, design.errors, [rival.laws for rival in design.rivals])
    turns = np.arange(_PART) % len(laws)
    for start in range(0, draws, _PART):
        outcomes = np.empty(_PART, dtype=np.int64)
        for m, law in enumerate(laws):
            at = turns == m
            outcomes[at] = rng.choice(law.size, int(at.sum()), p=law / law.sum())
        _, read = process.read(turns, outcomes, LEVEL)
        if process.highest >= -np.log(LEVEL):
            return float(start + read), int(np.argmax(process.log_named))
    return np.inf, 0


def _same(a: tuple[Floats, ...], b: tuple[Floats, ...]) -> bool:
    return all(0.5 * np.abs(p - q).sum() < 1e-9 for p, q in zip(a, b, strict=True))


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """Runs of one mistake, or ("") of the method itself."""
    design, rng = design_of(cell.method), run.rng(71)
    laws = next((rival.laws for rival in design.rivals if rival.id == cell.mistake), design.laws)
    took, named = [], []
    for _ in range(run.settings["runs"]):
        count, nearest = _read(design, laws, run.settings["draws"], rng)
        took.append(count)
        named.append(bool(np.isfinite(count)) and _same(design.rivals[nearest].laws, laws))
    kl = float(np.mean([rel_entr(q / q.sum(), p / p.sum()).sum() for p, q in zip(design.laws, laws, strict=True)]))
    expected = np.log(2.0 * len(design.rivals) / LEVEL) / kl if cell.mistake else np.inf
    found = np.isfinite(took)
    yield _Row(
        cell.method,
        cell.mistake,
        kl,
        float(expected),
        float(np.median(took)),
        float(found.mean()),
        float(np.mean(named)),
    )


def collect(rows: Rows, run: Run) -> Collected:
    """Mistakes apart from right samplers; how far medians are from Wald's draws."""
    wrong = [row for row in rows["mistakes"] if row.mistake]
    right = [row for row in rows["mistakes"] if not row.mistake]
    runs = run.settings["runs"]
    alarms = round(sum(row.found for row in right) * runs)
    hard = [f"{row.mistake} of {row.method}" for row in wrong if row.found < SHARE]
    factors = [row.median / row.expected for row in wrong if np.isfinite(row.median)]
    findings = {
        "all_found": {
            "holds": not hard,
            "exceptions": hard,
            "mistakes": len(wrong),
            "draws": run.settings["draws"],
            "share": SHARE,
        },
        "wald": {
            "holds": bool(factors) and max(factors) <= 2.0,
            "low": min(factors, default=None),
            "high": max(factors, default=None),
        },
        "named": {"holds": bool(wrong), "share": float(np.mean([row.named for row in wrong])), "level": LEVEL},
        "alarms": {"holds": alarms <= 0.01 * len(right) * runs, "alarms": alarms, "runs": len(right) * runs},
    }
    return {"simulated": True, "findings": findings}, {"mistakes": wrong}


EXPERIMENT = Experiment(
    name="conformance",
    question="How many draws does it take to see that a sampler makes a known mistake?",
    claim="With the mistake among its alternatives a test takes about log(1/level)/KL draws; none takes fewer (Wald).",
    settings={"runs": (6, range(1, 100_001)), "draws": (20_000, range(100, 10_000_001))},
    full={"runs": 500},
    full_minutes=15.0,
    tiny={"runs": 2, "draws": 300},
    cell=_Cell,
    rows={"mistakes": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
