"""Weak, medium and strong drafters: coverage sup π_B/π_S from 1 to 10⁶, and where GSI stops paying.

The value of a law is E r - KL(law‖base)/β, what the tilted policy maximizes (there it is β⁻¹ log Z). `gain` is the
value minus that of soft best-of-n on the base with the most candidates that take no more expected seconds a step on the
machine of gsi_theory/runs/costs.py, and where not even one fits, minus that of the base alone, which is in favor of
the base. Positive: the draft pays. The base writes up to a hundred candidates in the time of one, so the gain has
steps: it is large as long as a method is faster than one base step and near zero after that. GSI goes with two
thresholds, those that let half and nine tenths of the tilted policy pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.methods import METHODS
from gsi_theory.runs.costs import seconds, value_of
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import method_scheme
from sims.sampling.method_sampler import sample_method
from sims.worlds import KnobWorld, world_instance

COVERAGES = tuple(float(10.0**k) for k in np.arange(0.0, 6.5, 0.5))
CORRELATIONS = (-0.8, 0.0, 0.8)
# (name in the table, method, share of π that its gate on r̃ passes)
WAYS = (
    ("gsi", "gsi", 0.5),
    ("gsi_90", "gsi", 0.9),
    ("gsi_ungated", "gsi_ungated", 1.0),
    ("gsi_score_gate", "gsi_score_gate", 1.0),
    ("rsd", "rsd", 1.0),
    ("soft_bon_base", "soft_bon_base", 1.0),
)
N = 16
LADDER = np.unique(np.round(2.0 ** (np.arange(0, 57) / 8.0))).astype(int)


class Cell(NamedTuple):
    correlation: float
    coverage: float
    problem: int


class Row(NamedTuple):
    correlation: float
    coverage: float
    method: str
    reward: float
    simulated: float | None
    stderr: float | None
    p_accept: float | None
    tv: float
    seconds: float
    gain: float
    log_chi2: float


def cells(settings: Settings) -> list[Cell]:
    """Problems share their base and noise along the coverages."""
    return [Cell(r, c, i) for r in CORRELATIONS for c in COVERAGES for i in range(settings["instances"])]


def _equal_time(instance: Instance, beta: float, limit: float) -> float:
    """Value of soft best-of-n on the base with the most candidates that take no longer than `limit` seconds."""
    best = float(np.exp(instance.log_base) @ instance.reward)
    for n in LADDER.tolist():
        law = METHODS["soft_bon_base"].law(instance, Scheme(beta, n))
        if seconds(law) > limit:
            break
        best = value_of(instance, beta, law.log_prob)
    return best


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one problem."""
    beta, rng = run.settings["beta"], run.rng(53)
    # more outcomes than usual, so that a coverage of 10⁶ is reached by a graded draft
    instance = world_instance(KnobWorld(cell.coverage, cell.correlation, size=200), [run.seed, cell.problem])
    log_pi = tilted_policy(instance, beta)
    log_chi2 = float(np.log(divergence.chi2(log_pi, instance.log_draft)))
    for name, key, share in WAYS:
        scheme = method_scheme(key, instance, beta, N, share)
        law = METHODS[key].law(instance, scheme)
        played = sample_method(key, instance, scheme, run.settings["draws"], rng)
        pair = beside(np.exp(law.log_prob), instance.reward, played.outcome)
        took, value = seconds(law), value_of(instance, beta, law.log_prob)
        gain = 0.0 if key == "soft_bon_base" else value - _equal_time(instance, beta, took)
        tv = divergence.tv(law.log_prob, log_pi)
        yield Row(cell.correlation, cell.coverage, name, *pair, law.p_accept, tv, took, gain, log_chi2)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `stops_paying_at`: by correlation and method, the least coverage of negative gain."""
    table = over_problems(rows["coverage"], 3)
    cells = {(r.correlation, r.method, r.coverage): r for r in table}
    names, most = [name for name, *_ in WAYS], COVERAGES[-1]
    unrelated, missing = CORRELATIONS[1:]
    ends = {
        f"{correlation:g}": {
            name: min((c for c in COVERAGES if cells[correlation, name, c].gain < 0), default=None) for name in names
        }
        for correlation in CORRELATIONS
    }
    lost = {
        c: cells[c, "gsi_ungated", COVERAGES[0]].reward - cells[c, "gsi_ungated", most].reward
        for c in (unrelated, missing)
    }
    farther = {
        f"{c:g}": cells[c, "gsi_ungated", most].tv > cells[c, "gsi_ungated", COVERAGES[0]].tv for c in CORRELATIONS
    }
    findings = {
        "ungated_farther": everywhere(farther),
        "good_answers_matter": {
            "holds": lost[unrelated] < 0.5 * lost[missing],
            "unrelated": lost[unrelated],
            "missing": lost[missing],
        },
        "pays_unrelated": {"holds": cells[unrelated, "gsi", most].gain > 0, "gain": cells[unrelated, "gsi", most].gain},
    }
    for name in ("gsi", "gsi_90", "gsi_score_gate"):
        end = ends[f"{missing:g}"][name]
        findings[f"{name}_pays"] = {"holds": end is None, "end": end}
    summary = agreement((r.reward, r.simulated, r.stderr) for r in rows["coverage"])
    summary |= {"beta": run.settings["beta"], "n": N, "stops_paying_at": ends, "largest_coverage": most}
    return summary | {"findings": findings}, {"coverage": table}


EXPERIMENT = Experiment(
    name="coverage",
    question="How weak may the draft be before GSI no longer pays?",
    claim="GSI (arXiv 2506.04118), Theorem 1: the number of drafts grows with χ²(π_B‖π_S), so a weak draft needs many; "
    "its Section 5: the gate protects reward when drafts are poor.",
    settings={
        "instances": (6, range(1, 10_001)),
        "draws": (2000, range(100, 10_000_001)),
        "beta": (10, range(1, 1001)),
    },
    full={"instances": 200, "draws": 20_000},
    full_minutes=14.0,
    tiny={"instances": 1, "draws": 100},
    cell=Cell,
    rows={"coverage": Row},
    cells=cells,
    work=work,
    collect=collect,
)
