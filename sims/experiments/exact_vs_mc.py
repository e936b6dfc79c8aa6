"""Do simulated frequencies agree with the exact law? (M3)-(M6), (M9) against `sample_scheme`, cell by cell.

A cell is (family, rule, gate, n, beta), its counts compared as in sims/agreement.py. The gate's threshold is the
π-median of r̃, or for the score gate M = n normalized weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from gsi_theory.laws.gate import gsi_law
from sims.agreement import compare, within_bound
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings
from sims.instance_families import COMBINATIONS, FAMILIES, usual_scheme
from sims.sampling.sampler import sample_scheme

NS = (1, 2, 4, 16, 64)
BETAS = (1.0, 20.0)
LEVEL = 0.01


class Cell(NamedTuple):
    stream: int
    family: str
    rule: str
    gate: str
    beta: float
    n: int


class Row(NamedTuple):
    family: str
    rule: str
    gate: str
    n: int
    beta: float
    draws: int
    outcomes: int
    max_abs_z: float
    tv_empirical: float
    p_accept: float
    acceptance_rate: float
    acceptance_z: float | None


class Count(NamedTuple):
    """Number of comparisons of a cell, and the largest |z| of all of them."""

    comparisons: int
    worst: float


def cells(settings: Settings) -> list[Cell]:
    """A cell keeps its stream when families are left out."""
    every = ((family, *way, beta, n) for family, way, beta, n in product(FAMILIES, COMBINATIONS, BETAS, NS))
    made = [Cell(i, *cell) for i, cell in enumerate(every)]
    return [cell for cell in made if cell.family in settings["families"]]


def work(cell: Cell, run: Run) -> Iterator[Row | Count]:
    """One row of the table, and what it compares."""
    stream, family, rule, gate, beta, n = cell
    instance, draws = FAMILIES[family].build(run.seed), run.settings["draws"]
    scheme = usual_scheme(instance, rule, gate, n, beta)
    law = gsi_law(instance, scheme)
    outcomes, accepted = sample_scheme(instance, scheme, draws, run.rng(10, stream))
    match = compare(np.exp(law.log_prob), None if gate == "none" else law.p_accept, outcomes, accepted)
    sizes, worst, rate = (draws, instance.size), float(np.max(np.abs(match.z))), float(accepted.mean())
    yield Row(family, rule, gate, n, beta, *sizes, worst, match.tv, law.p_accept, rate, match.acceptance_z)
    yield Count(match.count, match.worst)


def collect(rows: Rows, run: Run) -> Collected:
    """The largest |z| against the Bonferroni bound at level 1 % over all comparisons."""
    counts = rows["counts"]
    summary = within_bound(sum(c.comparisons for c in counts), max(c.worst for c in counts), LEVEL)
    return summary | {"draws_per_cell": run.settings["draws"]}, {"cells": rows["cells"]}


EXPERIMENT = Experiment(
    name="exact_vs_mc",
    question="Do simulated frequencies agree with the exact law of every rule and gate?",
    claim="Every sampler plays the law that the exact formulas state (M2)-(M9).",
    settings={"draws": (50_000, range(1, 1_000_000_001)), "families": (",".join(FAMILIES), tuple(FAMILIES))},
    full={"draws": 1_000_000},
    full_minutes=2.5,
    tiny={"draws": 2000, "families": "two_point"},
    cell=Cell,
    rows={"cells": Row, "counts": Count},
    cells=cells,
    work=work,
    collect=collect,
)
