"""Value and reward against FLOPs and against seconds a step on fixed hardware (M33), along n, for every method.

The value of a law is E r - KL(law‖base)/β, what the tilted policy maximizes: reward alone would praise any method that
leaves the base far behind.

GSI goes with two thresholds, those that let half and nine tenths of the tilted policy pass.

Hardware and model sizes: gsi_theory/runs/costs.py. Soft best-of-n writes with the base, GSI with the draft and
scores with the base: scoring n candidates takes the base as many FLOPs as writing them, but far less time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gsi_theory.methods import METHODS
from gsi_theory.runs.costs import flops, seconds, value_of
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import method_scheme
from sims.sampling.method_sampler import sample_method
from sims.worlds import checked_worlds, instance_of

# (name in the table, method, share of π that its gate on r̃ passes)
WAYS = (
    ("base", "base", 1.0),
    ("soft_bon_base", "soft_bon_base", 1.0),
    ("soft_bon_draft", "soft_bon_draft", 1.0),
    ("rsd", "rsd", 1.0),
    ("gsi_ungated", "gsi_ungated", 1.0),
    ("gsi", "gsi", 0.5),
    ("gsi_90", "gsi", 0.9),
    ("gsi_score_gate", "gsi_score_gate", 1.0),
)
NS = tuple(2**k for k in range(0, 9))
# What captions compare with: soft best-of-n at this n; a value lower by so little is called equal.
AT_N, EQUAL = 16, 0.01


class Cell(NamedTuple):
    world: str
    problem: int


class Row(NamedTuple):
    world: str
    method: str
    n: int
    reward: float
    simulated: float | None
    stderr: float | None
    value: float
    flops: float
    seconds: float
    p_accept: float | None


def cells(settings: Settings) -> list[Cell]:
    return [Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one problem."""
    beta, rng = run.settings["beta"], run.rng(56)
    instance = instance_of(cell.world, [run.seed], cell.problem)
    for name, key, share in WAYS:
        for n in NS if key not in ("base", "rsd") else (1,):
            scheme = method_scheme(key, instance, beta, n, share)
            law = METHODS[key].law(instance, scheme)
            played = sample_method(key, instance, scheme, run.settings["draws"], rng)
            pair = beside(np.exp(law.log_prob), instance.reward, played.outcome)
            value = value_of(instance, beta, law.log_prob)
            yield Row(cell.world, name, n, *pair, value, flops(law), seconds(law), law.p_accept)


def _winners(table: Sequence[Row], cost: str) -> dict[str, str]:
    """Which method has the largest value within each budget: twice the least cost, four times, and so on."""
    costs = [getattr(r, cost) for r in table]
    best, budget = {}, 2.0 * min(costs)
    while budget < 2.0 * max(costs):
        affordable = [r for r, spent in zip(table, costs, strict=True) if spent <= budget]
        best[f"{budget:.3g}"] = max(affordable, key=lambda r: r.value).method
        budget *= 2.0
    return best


def _faster(table: Sequence[Row], method: str) -> bool:
    """Whether a method reaches the value of soft best-of-AT_N on the base in less time."""
    (soft,) = (r for r in table if (r.method, r.n) == ("soft_bon_base", AT_N))
    return any(r.method == method and r.seconds < soft.seconds and r.value >= soft.value - EQUAL for r in table)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `best`: the best method within each budget of seconds and of FLOPs, by world."""
    table = over_problems(rows["cost"], 3)
    subset = {world: [r for r in table if r.world == world] for world in run.settings["worlds"]}
    best = {world: {cost: _winners(part, cost) for cost in ("seconds", "flops")} for world, part in subset.items()}
    findings = {
        f"{method}_faster": everywhere({w: _faster(part, method) for w, part in subset.items()}, n=AT_N, equal=EQUAL)
        for method in ("gsi", "gsi_90")
    }
    for cost in ("seconds", "flops"):
        ends = {world: list(best[world][cost].values())[-1] == "soft_bon_base" for world in subset}
        findings[f"soft_wins_{cost}"] = everywhere(ends)
    summary = agreement((r.reward, r.simulated, r.stderr) for r in rows["cost"])
    return summary | {"beta": run.settings["beta"], "best": best, "findings": findings}, {"cost": table}


EXPERIMENT = Experiment(
    name="latency",
    question="At equal time, and at equal FLOPs, which method has most value, and when is it soft best-of-n on the "
    "base?",
    claim="GSI (arXiv 2506.04118), Section 5: at equal reward GSI is faster than soft best-of-n on the base. (M33): it "
    "saves time, not FLOPs.",
    settings={
        "worlds": ("strong,weak,lucky", checked_worlds),
        "instances": (6, range(1, 10_001)),
        "draws": (1000, range(100, 10_000_001)),
        "beta": (10, range(1, 1001)),
    },
    full={"instances": 200, "draws": 20_000},
    full_minutes=26.0,
    tiny={"worlds": "size:6", "instances": 1, "draws": 100},
    cell=Cell,
    rows={"cost": Row},
    cells=cells,
    work=work,
    collect=collect,
)
