"""How far best-of-n is from its limit, the best answer: the probability of missing it, from draft and base, against n.

The law of best-of-n tends to an outcome of largest reward; its TV to that limit is the probability that no such outcome
is among the n candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory.instance import Scheme
from gsi_theory.methods import METHODS
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.method_sampler import sample_method
from sims.worlds import checked_worlds, instance_of

NS = tuple(2**k for k in range(0, 13))
MISSED = 0.1


class Cell(NamedTuple):
    world: str
    problem: int


class Row(NamedTuple):
    world: str
    method: str
    n: int
    miss: float
    simulated: float | None
    stderr: float | None


def cells(settings: Settings) -> list[Cell]:
    return [Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Best-of-n from either policy at every n on one problem."""
    instance, rng = instance_of(cell.world, [run.seed], cell.problem), run.rng(68)
    missed = (instance.reward < instance.reward.max()).astype(np.float64)
    for key in ("best_of_n_draft", "best_of_n_base"):
        for n in NS:
            scheme = Scheme(1.0, n)
            played = sample_method(key, instance, scheme, run.settings["draws"], rng)
            pair = beside(np.exp(METHODS[key].law(instance, scheme).log_prob), missed, played.outcome)
            yield Row(cell.world, key, n, *pair)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `needed`: the least n of the ladder at which the best answer is missed rarely enough."""
    table = over_problems(rows["miss"], 3)
    needed = {
        f"{method.removeprefix('best_of_n_')} in {world}": min(
            (r.n for r in table if (r.world, r.method) == (world, method) and r.miss <= MISSED), default=None
        )
        for world in run.settings["worlds"]
        for method in ("best_of_n_draft", "best_of_n_base")
    }
    miss = {(r.world, r.method, r.n): r.miss for r in table}
    more = {w: all(miss[w, "best_of_n_draft", n] >= miss[w, "best_of_n_base", n] for n in NS) for w, _, _ in miss}
    findings = {"draft_misses_more": everywhere(more), "needs": {"holds": True, "needed": needed, "missed": MISSED}}
    return agreement(row[3:] for row in rows["miss"]) | {"findings": findings}, {"miss": table}


EXPERIMENT = Experiment(
    name="best_of_n_limit",
    question="How many candidates does best-of-n need to find the best answer, from the draft and from the base?",
    claim="Best-of-n tends to the answer of largest reward; how fast, the mass of that answer decides.",
    settings={
        "worlds": ("strong,weak,lucky", checked_worlds),
        "instances": (6, range(1, 10_001)),
        "draws": (500, range(100, 10_000_001)),
    },
    full={"instances": 200, "draws": 20_000},
    full_minutes=15.0,
    tiny={"worlds": "size:6", "instances": 1, "draws": 100},
    cell=Cell,
    rows={"miss": Row},
    cells=cells,
    work=work,
    collect=collect,
)
