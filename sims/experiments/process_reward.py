"""Step-wise against sequence-wise tilting over depth, when the process reward is noisy (M29).

Random trees of sims/experiments/steps.py, R = 1 for a correct trajectory. The step reward is the increment of the soft
value plus normal noise; without noise tilting step by step is tilting whole trajectories. GSI goes with it at two n.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import sequence_tilt, soft_value
from gsi_theory.steps.stepwise import TrajectoryLaw, trajectory_law
from gsi_theory.steps.tree import Tree
from gsi_theory.types import Array, Floats
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.experiments.steps import random_tree
from sims.sampling.generators import Stream
from sims.sampling.sampler import alias_table, draw
from sims.sampling.tree_sampler import Player, sample_stepwise, scheme_player

BETA = 5.0
NOISES = (0.0, 0.1, 0.3, 1.0)
TILT = ("stepwise tilt", None)
WAYS: tuple[tuple[str, int | None], ...] = (TILT, ("gsi_ungated", 4), ("gsi_ungated", 16), ("gsi", 16))
# Noise and not n sets the KL of a method whose KL is below so many times that of the stepwise tilt.
SETS = 1.5
ROUNDING = 1e-9


class Cell(NamedTuple):
    depth: int
    tree: int


class Row(NamedTuple):
    noise: float
    method: str
    n: int | None
    steps: int
    correct: float
    simulated: float | None
    stderr: float | None
    kl: float
    tv: float
    sequence_correct: float
    base_correct: float
    spread: float | None = None  # standard error of `correct` over trees


def cells(settings: Settings) -> list[Cell]:
    return [Cell(d, i) for d in range(1, settings["depth"] + 1) for i in range(settings["trees"])]


def _tilted_player(instance: Instance, rounds: int, stream: Stream) -> Array:
    return draw(alias_table(tilted_policy(instance, BETA), stream), (rounds,), stream)


def _way(tree: Tree, method: str, n: int | None) -> tuple[TrajectoryLaw, Player]:
    if n is None:
        return trajectory_law(tree, partial(tilted_policy, beta=BETA)), _tilted_player
    # Increments of the value are around zero: the gate asks that the winner's step is no loss.
    scheme = Scheme(BETA, n, 0.0 if method == "gsi" else None)
    return trajectory_law(tree, partial(gsi_law, scheme=scheme)), scheme_player(scheme)


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one tree; its noise is the same, scaled, at every level of noise."""
    tree, correct = random_tree(run.seed, cell.tree, cell.depth, run.settings["branching"])
    rng, value = run.rng(57), soft_value(tree, BETA, correct)
    shape: list[Floats] = [rng.normal(size=v.size) for v in value.increment]
    sequence = sequence_tilt(tree, BETA, correct).log_prob
    tilted = float(np.exp(sequence) @ correct)
    base = float(np.exp(trajectory_law(tree, lambda i: i.log_base).log_prob) @ correct)
    for noise in NOISES:
        noisy = tree.with_reward([v + noise * e for v, e in zip(value.increment, shape, strict=True)])
        for method, n in WAYS:
            law, player = _way(noisy, method, n)
            outcomes = sample_stepwise(noisy, player, run.settings["draws"], rng)
            pair = beside(np.exp(law.log_prob), correct, outcomes)
            kl, tv = divergence.kl(sequence, law.log_prob), divergence.tv(sequence, law.log_prob)
            yield Row(noise, method, n, cell.depth, *pair, kl, tv, tilted, base)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over trees. Findings: rounding without noise, KL against steps, and the share of the gain that noise takes
    at the largest depth."""
    table = over_problems(rows["depth"], 4, "correct")
    cells = {(r.noise, (r.method, r.n), r.steps): r for r in table}
    depth = run.settings["depth"]
    zero = max(r.kl for r in rows["depth"] if r.noise == 0.0 and r.n is None)
    kl = {noise: [cells[noise, TILT, t].kl for t in range(1, depth + 1)] for noise in NOISES[1:]}
    taken = {}
    for noise in NOISES[1:]:
        r = cells[noise, TILT, depth]
        gain = r.sequence_correct - r.base_correct
        taken[f"{noise:g}"] = (r.sequence_correct - r.correct) / gain if gain > 0 else None
    most_n = max((way for way in WAYS if way[0] == "gsi_ungated"), key=lambda way: way[1] or 0)
    noisy = [n for n in NOISES[1:] if cells[n, most_n, depth].kl < SETS * cells[n, TILT, depth].kl]
    costs = [cost for cost in taken.values() if cost is not None]
    findings = {
        "exact_without_noise": {"holds": zero < ROUNDING, "kl": zero},
        "kl_grows": everywhere(
            {f"{x:g}": values[-1] > values[0] for x, values in kl.items() if depth > 1}, steps=depth
        ),
        "noise_sets_kl": {"holds": bool(noisy), "noise": min(noisy, default=None), "n": most_n[1]},
        "noise_costs_more": {
            "holds": all(a <= b for a, b in pairwise(costs)) if len(costs) > 1 else None,
            "taken": taken,
            "steps": depth,
        },
    }
    summary = agreement((r.correct, r.simulated, r.stderr) for r in rows["depth"])
    return summary | {"beta": BETA, "largest_kl_without_noise": zero, "findings": findings}, {"depth": table}


EXPERIMENT = Experiment(
    name="process_reward",
    question="What does tilting step by step lose against tilting whole trajectories, as steps and reward noise grow?",
    claim="GSI (arXiv 2506.04118) tilts step by step with a process reward model as if that tilted the response; "
    "(M29): that is exact for soft values, and noise costs KL at every step.",
    settings={
        "trees": (12, range(1, 10_001)),
        "depth": (5, range(1, 8)),
        "branching": (3, range(2, 7)),
        "draws": (2000, range(100, 10_000_001)),
    },
    full={"trees": 40, "depth": 6, "draws": 10_000},
    full_minutes=7.0,
    tiny={"trees": 1, "depth": 2, "branching": 2, "draws": 200},
    cell=Cell,
    rows={"depth": Row},
    cells=cells,
    work=work,
    collect=collect,
)
