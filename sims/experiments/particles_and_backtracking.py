"""Particles, a walk with steps back, and selection step by step, with a noisy process reward (M29, M42, M42b).

Random trees of sims/experiments/steps.py, R = 1 for a correct trajectory. Worlds: exact soft values; values with normal
noise, in reward units, wherever the trajectory goes on, so that the noise of a step is taken back later; and rewards
with noise at every step, the last included, as in sims/experiments/process_reward.py. Step rewards are the increments
of the noisy values. Rows, `evaluations` the expected number of values or step rewards asked for:

gsi_ungated      softmax selection from n drafts at every step
particles        n particles, drafts, systematic resampling
trajectories     n particles without resampling: softmax selection from n whole drafts
walk             the walk with steps back for `n` steps, again from the root until it ends at a leaf
forward          no steps back: one pass down, all next steps asked for; n = 0
first_leaf       the walk stopped at its first leaf; n = 0
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from gsi_theory.divergence import tv
from gsi_theory.instance import Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.backtracking_walk import BacktrackingWalk
from gsi_theory.steps.particles import particle_law
from gsi_theory.steps.soft_value import SoftValue, sequence_tilt, soft_value
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.tree import ByStep, Tree
from gsi_theory.types import Floats, Ints
from sims.agreement import Pair, agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.experiments.steps import random_tree
from sims.sampling.tree_sampler import sample_stepwise, scheme_player
from sims.sampling.tree_states_sampler import sample_particles, sample_walk

BETA = 5.0
WORLDS: dict[str, tuple[str, float]] = {
    "exact values": ("values", 0.0),
    "values ± 0.2": ("values", 0.2),
    "values ± 0.6": ("values", 0.6),
    "steps ± 0.2": ("steps", 0.2),
}
PARTICLES = {"particles": "systematic", "trajectories": "none"}
ROUNDING, CLOSE = 1e-9, 0.05


class _Cell(NamedTuple):
    tree: int


class _Row(NamedTuple):
    world: str
    method: str
    n: int
    evaluations: float
    tv: float
    correct: float
    simulated: float | None
    stderr: float | None
    tilted_correct: float
    spread: float | None = None  # standard error of `tv` over trees


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(i) for i in range(settings["trees"])]


def _ladder(most: int) -> list[int]:
    return [2**k for k in range(most.bit_length())]


def _noisy(tree: Tree, value: SoftValue, kind: str, size: float, shape: ByStep) -> tuple[ByStep, ByStep]:
    """(values V̂ by step, step rewards), reward units: noise on values that go on, or on the reward of every step."""
    if kind == "steps":
        rewards = tuple(v + size * e for v, e in zip(value.increment, shape, strict=True))
        return tuple(value.root + v for v in tree.accumulate(rewards)), rewards
    noise = [np.where(level.ends, 0.0, size * e) for level, e in zip(tree.levels, shape, strict=True)]
    values = tuple(v + e for v, e in zip(value.step, noise, strict=True))
    before = tree.at_nodes(values)
    before = (np.array([value.root]), *before[1:])
    return values, tuple(v - b[level.node] for v, b, level in zip(values, before, tree.levels, strict=True))


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """Rows of one tree; its noise is the same, scaled, in every world."""
    settings = run.settings
    tree, correct = random_tree(run.seed, cell.tree, settings["depth"], settings["branching"])
    rng, value, rounds = run.rng(72), soft_value(tree, BETA, correct), settings["draws"]
    shape: tuple[Floats, ...] = tuple(rng.normal(size=v.size) for v in value.increment)
    target = sequence_tilt(tree, BETA, correct).log_prob
    best = float(np.exp(target) @ correct)

    def row(world: str, method: str, n: int, cost: float, log_prob: Floats, played: Ints | None = None) -> _Row:
        prob = np.exp(log_prob)
        alone = Pair(float(prob @ correct), None, None)
        pair = alone if played is None or played.size == 0 else beside(prob, correct, played)
        return _Row(world, method, n, cost, tv(target, log_prob), *pair, best)

    for world, (kind, size) in WORLDS.items():
        values, rewards = _noisy(tree, value, kind, size, shape)
        scored = tree.with_reward(rewards)
        for n in _ladder(settings["particles"]):
            scheme = Scheme(BETA, n)
            step = trajectory_law(scored, partial(gsi_law, scheme=scheme))
            played = np.asarray(sample_stepwise(scored, scheme_player(scheme), rounds, rng))
            yield row(world, "gsi_ungated", n, n * step.expected_steps, step.log_prob, played)
            for method, resampling in PARTICLES.items():
                law = particle_law(scored, BETA, n, resampling)
                played = sample_particles(scored, BETA, n, resampling, rounds, rng)
                yield row(world, method, n, law.draws, law.log_prob, played)
        walk = BacktrackingWalk(tree, tuple(BETA * v for v in values))
        times = [t for t in _ladder(settings["walk"]) if t >= tree.depth]
        for after in walk.after(times):
            played = sample_walk(tree, walk.log_value, after.steps, rounds, rng)
            cost = after.evaluations / after.leaf_share
            yield row(world, "walk", after.steps, cost, after.log_prob, played[played >= 0])
        every = sum(
            float(np.exp(r) @ np.diff(v.start)) for r, v in zip(walk.forward.log_reach, tree.levels, strict=True)
        )
        yield row(world, "forward", 0, every, walk.forward.log_prob)
        yield row(world, "first_leaf", 0, walk.first_leaf_evaluations, walk.first_leaf.log_prob)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over trees. `nearest`: the method of least mean TV whose evaluations are at most the budget."""
    table = over_problems(rows["points"], 3, "tv")
    at = {(r.world, r.method, r.n): r for r in table}
    ns, last = _ladder(run.settings["particles"]), max(r.n for r in table if r.method == "walk")
    most = ns[-1]
    budget = max(at[w, "gsi_ungated", most].evaluations for w in WORLDS)
    noisy = [w for w, (_, size) in WORLDS.items() if size > 0]
    valued = [w for w in noisy if WORLDS[w][0] == "values"]
    stepped = [w for w in noisy if WORLDS[w][0] == "steps"]

    def nearest(world: str) -> str:
        within = [r for r in table if r.world == world and r.evaluations <= budget * (1.0 + ROUNDING)]
        return NAMES[min(within, key=lambda r: (round(r.tv, 9), r.evaluations)).method]

    def nearer(worlds: list[str], one: str, other: str) -> dict[str, bool]:
        return {
            f"{w}, n = {n}": at[w, one, n].tv < at[w, other, n].tv for w in worlds for n in ns if n > 1 or len(ns) == 1
        }

    walks = {w: [r for r in table if r.world == w and r.method == "walk"] for w in WORLDS}
    needed = {w: min((r.evaluations for r in line if r.tv <= CLOSE), default=None) for w, line in walks.items()}
    exact = next(iter(WORLDS))
    findings = {
        "exact_without_noise": {
            "holds": max(r.tv for r in walks[exact]) < ROUNDING and at[exact, "forward", 0].tv < ROUNDING,
            "tv": max(max(r.tv for r in walks[exact]), at[exact, "forward", 0].tv),
        },
        "particles_nearer": everywhere(nearer(list(WORLDS), "particles", "gsi_ungated")),
        "resampling_pays": everywhere(nearer(list(WORLDS), "particles", "trajectories")),
        "walk_repairs": everywhere(
            {w: at[w, "walk", last].tv < at[w, "forward", 0].tv for w in valued},
            steps=last,
            walk={w: at[w, "walk", last].tv for w in valued},
            forward={w: at[w, "forward", 0].tv for w in valued},
        ),
        "first_leaf_between": everywhere({w: at[w, "first_leaf", 0].tv < at[w, "forward", 0].tv for w in valued}),
        "nothing_repairs_steps": everywhere(
            {NAMES[r.method]: r.tv > CLOSE for r in table if r.world in stepped and r.n in (0, most, last)},
            close=CLOSE,
        ),
        "nearest": {"holds": True, "budget": budget, "nearest": {w: nearest(w) for w in WORLDS}},
        "needed": {
            "holds": all(needed[w] is not None for w in valued),
            "close": CLOSE,
            "needed": {w: needed[w] for w in valued},
            "tree": sum(run.settings["branching"] ** t for t in range(1, run.settings["depth"] + 1)),
        },
    }
    summary = agreement((r.correct, r.simulated, r.stderr) for r in rows["points"])
    return summary | {"beta": BETA, "findings": findings}, {"points": table}


NAMES = {
    "gsi_ungated": "GSI without gate",
    "particles": "particles",
    "trajectories": "whole trajectories",
    "walk": "the walk",
    "forward": "no steps back",
    "first_leaf": "the first leaf",
}

EXPERIMENT = Experiment(
    name="particles_and_backtracking",
    question="Do particles, or a walk that may take steps back, repair a noisy process reward, and at what cost?",
    claim="A value-guided walk with steps back samples the tilt whatever the errors of its values (VGB, arXiv "
    "2510.03149), and particles resist a noisy process reward (arXiv 2602.01381, 2604.16453).",
    settings={
        "trees": (12, range(1, 10_001)),
        "depth": (4, range(1, 6)),
        "branching": (2, range(2, 4)),
        "particles": (8, range(1, 9)),
        "walk": (512, range(8, 65_537)),
        "draws": (2000, range(100, 10_000_001)),
    },
    full={"trees": 40, "draws": 20_000},
    full_minutes=7.0,
    tiny={"trees": 1, "depth": 2, "particles": 2, "walk": 8, "draws": 200},
    cell=_Cell,
    rows={"points": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
