"""Reward, or accuracy where answers are right or wrong, of every method against n in several worlds.

Means over `instances` problems of a world. On an instance each method's law is exact; its simulation stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import tilted_policy
from gsi_theory.methods import METHODS
from gsi_theory.types import Record
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import method_scheme
from sims.sampling.method_sampler import sample_method
from sims.worlds import checked_worlds, instance_of

KEYS = (
    "draft",
    "base",
    "soft_bon_draft",
    "soft_bon_base",
    "best_of_n_base",
    "rsd",
    "gsi_ungated",
    "gsi",
    "gsi_score_gate",
)
NS = (1, 2, 4, 8, 16, 32, 64)
# Rewards that differ by less are called even.
EVEN = 0.005


class Cell(NamedTuple):
    world: str
    problem: int


class Row(NamedTuple):
    world: str
    method: str
    n: int | None
    reward: float
    simulated: float | None
    stderr: float | None
    p_accept: float | None
    tv: float
    spread: float | None = None  # standard error of `reward` over problems


def cells(settings: Settings) -> list[Cell]:
    return [Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Every method at every n on one problem, and the tilted policy."""
    beta, rng = run.settings["beta"], run.rng(50)
    instance = instance_of(cell.world, [run.seed], cell.problem)
    log_pi = tilted_policy(instance, beta)
    for key in KEYS:
        for n in NS:
            scheme = method_scheme(key, instance, beta, n)
            law = METHODS[key].law(instance, scheme)
            played = sample_method(key, instance, scheme, run.settings["draws"], rng)
            pair = beside(np.exp(law.log_prob), instance.reward, played.outcome)
            yield Row(cell.world, key, n, *pair, law.p_accept, divergence.tv(law.log_prob, log_pi))
    yield Row(cell.world, "tilted", None, float(np.exp(log_pi) @ instance.reward), None, None, None, 0.0)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. Findings: GSI against its rivals at every n from 2 on, and against π at the largest n."""
    table = over_problems(rows["reward"], 3, "reward")
    reward = {(r.world, r.method, r.n): r.reward for r in table}
    worlds, last = run.settings["worlds"], NS[-1]

    def above(rival: str, slack: float = 0.0) -> dict[str, bool]:
        return {
            f"{world} at n = {n}": reward[world, "gsi", n] > reward[world, rival, n] - slack
            for world in worlds
            for n in NS[1:]
        }

    gains = {world: max(reward[world, "gsi", n] - reward[world, "gsi_ungated", n] for n in NS) for world in worlds}

    def below_tilt(key: str) -> Record:
        excess = {world: reward[world, key, last] - reward[world, "tilted", None] for world in worlds}
        passed = {world: value for world, value in excess.items() if value > 0.0}
        return everywhere({world: world not in passed for world in worlds}, excess=passed)

    findings = {
        "above_rsd": everywhere(above("rsd")),
        "above_draft": everywhere(above("soft_bon_draft")),
        "even_with_base": everywhere(above("soft_bon_base", EVEN), even=EVEN),
        "gate_gains": everywhere({world: gain > 0.0 for world, gain in gains.items()}, gains=gains),
        "gsi_below_tilt": below_tilt("gsi"),
        "score_gate_below_tilt": below_tilt("gsi_score_gate"),
    }
    summary = agreement((r.reward, r.simulated, r.stderr) for r in rows["reward"])
    summary |= {"beta": run.settings["beta"], "instances": run.settings["instances"], "largest_n": last}
    return summary | {"findings": findings}, {"reward": table}


EXPERIMENT = Experiment(
    name="reward_vs_n",
    question="How much reward does each method earn at n candidates, in easy and hard worlds?",
    claim="GSI (arXiv 2506.04118), Figure 1 and Section 5: GSI earns more than RSD and than soft best-of-n on the "
    "draft, and comes close to soft best-of-n on the base as n grows.",
    settings={
        "worlds": ("strong,medium,weak,one_answer", checked_worlds),
        "instances": (8, range(1, 10_001)),
        "draws": (2000, range(100, 10_000_001)),
        "beta": (10, range(1, 1001)),
    },
    full={"instances": 200, "draws": 20_000},
    full_minutes=8.2,
    tiny={"worlds": "size:6", "instances": 1, "draws": 200},
    cell=Cell,
    rows={"reward": Row},
    cells=cells,
    work=work,
    collect=collect,
)
