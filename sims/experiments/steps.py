"""How does the error of a stepwise method grow with the number of steps, and what does tilting step by step miss?

Random trees of reasoning steps. Each step has a quality, drawn N(0, 1); the base leans toward quality, the draft is the
base without that and with noise. A trajectory is correct, R = 1, when its qualities sum to more than √T/2. Two tables,
each cell a mean over the trees with the smallest and largest tree beside it:

accumulation  KL and TV between the stepwise tilt and each method after 1..T steps, with the terms of the chain rule
              (M28) and the bounds on TV. The step reward is the score of an ideal process reward model, E[R | prefix].
gap           distance between the stepwise tilt and the tilt of whole trajectories by R (M29), for several step
              rewards, with the probability of a correct trajectory under each.

Divergences in nats; probabilities in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import soft_value, stepwise_tilt, tilt_gap
from gsi_theory.steps.stepwise import chain_rule, trajectory_law
from gsi_theory.steps.tree import ByStep, Prefix, Tree
from gsi_theory.types import Floats, Record
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere

# Process scores lie in [0, 1]: the threshold is the middle, and at this beta n = 4 is too few and n = 16 nearly enough.
BETA, THRESHOLD = 5.0, 0.5
RULES = (("gsi_ungated", "softmax", None), ("race", "race", None), ("gsi", "softmax", THRESHOLD))
METHODS = tuple((name, Scheme(BETA, n, cut, rule)) for name, rule, cut in RULES for n in (4, 16))
BETAS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
# Step rewards of the gap table: (kind, standard deviation of the noise added to each reward).
KINDS = (
    ("soft_increment", 0.0),
    ("soft_increment", 0.1),
    ("soft_increment", 0.3),
    ("mean_value", 0.0),
    ("last_step", 0.0),
)
ROUNDING = 1e-9


class Cell(NamedTuple):
    kind: str  # a table
    tree: int
    depth: int


class Accumulated(NamedTuple):
    method: str
    n: int
    beta: float
    threshold: float | None
    steps: int
    kl_step: float
    kl: float
    kl_low: float
    kl_high: float
    tv_step: float
    tv: float
    tv_low: float
    tv_high: float
    tv_coupling: float
    tv_sum: float
    tv_from_kl: float
    accepted_share: float


class Gap(NamedTuple):
    kind: str
    noise: float
    steps: int
    beta: float
    kl_sequence: float
    kl_sequence_low: float
    kl_sequence_high: float
    kl_stepwise: float
    tv: float
    reward_sequence: float
    reward_stepwise: float
    reward_base: float


class ChainError(NamedTuple):
    """The worst |Σ_t E KL - KL| / max(1, KL) of one tree: what the chain rule says twice must agree."""

    worst: float


Row = TypeVar("Row", Accumulated, Gap)


def random_tree(seed: int, index: int, depth: int, branching: int) -> tuple[Tree, Floats]:
    """A tree of `depth` steps with `branching` choices, step rewards 0, and the terminal reward R (L,) in {0, 1}."""
    qualities: dict[Prefix, float] = {(): 0.0}

    def instance_at(prefix: Prefix) -> Instance | None:
        if len(prefix) == depth:
            return None
        rng = np.random.default_rng([seed, index, depth, *prefix])
        quality, taste, noise = rng.normal(size=(3, branching))
        for k in range(branching):
            qualities[(*prefix, k)] = qualities[prefix] + float(quality[k])
        return Instance(normalize(taste + noise), normalize(taste + 0.5 * quality), np.zeros(branching))

    tree = Tree.grow(instance_at)
    correct = [qualities[path] > 0.5 * np.sqrt(depth) for path in tree.trajectories]
    return tree, np.array(correct, dtype=np.float64)


def _step_rewards(
    tree: Tree, correct: Floats, kind: str, noise: float, beta: float, rng: np.random.Generator
) -> ByStep:
    """The step rewards of one kind; the noise of one tree is the same at every beta."""
    if kind == "last_step":
        return tree.at_ends(correct)
    value = soft_value(tree, beta if kind == "soft_increment" else 0.0, correct)
    rewards = value.increment if kind == "soft_increment" else value.step
    return tuple(r + noise * rng.normal(size=r.size) for r in rewards)


def _accumulation(tree: Tree, correct: Floats) -> Iterator[Accumulated | ChainError]:
    scored = tree.with_reward(soft_value(tree, 0.0, correct).step)
    tilt = stepwise_tilt(scored, BETA)
    for method, scheme in METHODS:
        law = trajectory_law(scored, partial(gsi_law, scheme=scheme))
        chain = chain_rule(tilt, law)
        share = law.expected_accepted / law.expected_steps
        bound = np.sqrt(np.minimum(chain.kl / 2.0, -np.expm1(-chain.kl)))
        for t in range(tree.depth):
            kl, tv = float(chain.kl[t]), float(chain.tv[t])
            yield Accumulated(
                method,
                scheme.n,
                BETA,
                scheme.threshold,
                steps=t + 1,
                kl_step=float(chain.kl_step[t]),
                kl=kl,
                kl_low=kl,
                kl_high=kl,
                tv_step=float(chain.tv_step[t]),
                tv=tv,
                tv_low=tv,
                tv_high=tv,
                tv_coupling=float(chain.tv_coupling[t]),
                tv_sum=float(np.sum(chain.tv_step[: t + 1])),
                tv_from_kl=float(bound[t]),
                accepted_share=share,
            )
        deviation = np.abs(np.cumsum(chain.kl_step) - chain.kl) / np.maximum(1.0, chain.kl)
        yield ChainError(float(np.max(deviation)))


def _gap(tree: Tree, correct: Floats, seed: int, index: int) -> Iterator[Gap]:
    base = float(np.exp(trajectory_law(tree, lambda i: i.log_base).log_prob) @ correct)
    for number, (kind, noise) in enumerate(KINDS):
        for beta in BETAS:
            rng = np.random.default_rng([seed, index, tree.depth, 1000 + number])
            gap = tilt_gap(tree, beta, correct, _step_rewards(tree, correct, kind, noise, beta, rng))
            kl, rewards = (gap.kl_sequence,) * 3, (gap.reward_sequence, gap.reward_stepwise, base)
            yield Gap(kind, noise, tree.depth, beta, *kl, gap.kl_stepwise, gap.tv, *rewards)


def cells(settings: Settings) -> list[Cell]:
    """One cell a (table, tree, depth): accumulation on the deepest trees, the gap also on shallower ones."""
    deepest = settings["depth"]
    depths = {"accumulation": [deepest], "gap": [d for d in range(1, deepest + 1) if (deepest - d) % 2 == 0]}
    return [Cell(kind, i, d) for kind, subset in depths.items() for d in subset for i in range(settings["trees"])]


def work(cell: Cell, run: Run) -> Iterator[NamedTuple]:
    """The rows of one table from one tree."""
    tree, correct = random_tree(run.seed, cell.tree, cell.depth, run.settings["branching"])
    yield from _accumulation(tree, correct) if cell.kind == "accumulation" else _gap(tree, correct, run.seed, cell.tree)


def _merged(rows: Sequence[Row], keys: int) -> list[Row]:
    """Rows with the same key as one: the mean of each column, the extremes of those that end in _low and _high."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:keys]), []).append(row)
    how = {"low": min, "high": max}
    merged = []
    for group in groups.values():
        columns = list(zip(rows[0]._fields, zip(*group, strict=True), strict=True))[keys:]
        means: Record = {name: float(how.get(name.rpartition("_")[2], np.mean)(column)) for name, column in columns}
        merged.append(group[0]._replace(**means))
    return merged


def collect(rows: Rows, run: Run) -> Collected:
    """Both tables over all trees. `largest_chain_error`, and `largest_increment_gap`, the worst KL(sequence‖stepwise)
    where the step rewards are soft value increments, are rounding. Findings: what the two lower panels show."""
    tables = {"accumulation": _merged(rows["accumulation"], 5), "gap": _merged(rows["gap"], 4)}
    depth = run.settings["depth"]
    kl = {k: [g.kl_sequence for g in tables["gap"] if g[:2] == k and g.steps == depth] for k in KINDS}
    error = max(each.worst for each in rows["errors"])
    gap = max(g.kl_sequence for g in rows["gap"] if g[:2] == KINDS[0])
    slower = {f"{r.method}, n = {r.n}": r.tv < r.tv_sum for r in tables["accumulation"] if r.steps == depth > 1}
    noisy = {f"noise {noise:g}": min(kl[kind, noise]) > ROUNDING for kind, noise in KINDS if noise > 0}
    findings = {
        "chain_adds_up": {"holds": error <= ROUNDING, "error": error},
        "tv_slower": everywhere(slower),
        "increments_exact": {"holds": gap <= ROUNDING, "gap": gap},
        "mean_gap_grows": {
            "holds": all(a < b for a, b in pairwise(kl["mean_value", 0.0])),
            "gap": kl["mean_value", 0.0][-1],
        },
        "noise_leaves_gap": everywhere(noisy),
    }
    summary = {
        "seed": run.seed,
        "trees": run.settings["trees"],
        "depth": depth,
        "branching": run.settings["branching"],
        "beta": BETA,
        "threshold": THRESHOLD,
        "largest_chain_error": error,
        "largest_increment_gap": gap,
        "largest_beta": BETAS[-1],
        "findings": findings,
    }
    return summary, tables


EXPERIMENT = Experiment(
    name="steps",
    question="How does the error of a stepwise method accumulate over T steps, and how far is the stepwise tilt from "
    "the sequence tilt?",
    claim="Errors of a stepwise method add up (M28); tilting steps is tilting trajectories for soft values alone "
    "(M29).",
    settings={"trees": (8, range(1, 1001)), "depth": (6, range(1, 9)), "branching": (3, range(2, 7))},
    full={"trees": 32, "depth": 7},
    full_minutes=4.5,
    tiny={"trees": 2, "depth": 2, "branching": 2},
    cell=Cell,
    rows={"accumulation": Accumulated, "gap": Gap, "errors": ChainError},
    cells=cells,
    work=work,
    collect=collect,
)
