"""Transfer Q* decoding against stepwise GSI on trees: expected reward against KL to the base, and the bounds (M26).

Trees of sims/worlds.py, R the total reward in [0, 1]. Transfer Q* tilts each step of an aligned policy (the base tilted
by e^{αR}) by its expected reward; GSI draws from the draft with the tree's own step rewards as process reward. The tilt
of whole trajectories is the best there is at its KL. `loss` is what Transfer Q* earns less than ρ*, the aligned policy
tilted by e^{βR} as a whole, which is the base tilted by e^{(α+β)R}.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Scheme
from gsi_theory.laws.gate import gsi_law
from gsi_theory.steps.soft_value import sequence_tilt, value_tilt
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.tree import Tree
from gsi_theory.types import Floats, Ints
from sims.agreement import Pair, agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings
from sims.sampling.tree_sampler import sample_stepwise, sample_transfer, scheme_player
from sims.worlds import KnobWorld, world_tree

COVERAGE = 10.0
ALPHAS = (1.0, 5.0)
BETAS = tuple(float(2.0 ** (k / 2)) for k in range(-2, 11))
NS = (4, 32)
# A reward lower by so little than the best at its KL is called as good.
NEAR = 0.01


class Cell(NamedTuple):
    tree: int


class Row(NamedTuple):
    method: str
    parameter: float | None
    beta: float
    reward: float
    simulated: float | None
    stderr: float | None
    kl: float
    largest_log_ratio: float
    ratio_bound: float | None = None
    loss: float | None = None
    loss_bound: float | None = None


def cells(settings: Settings) -> list[Cell]:
    return [Cell(i) for i in range(settings["trees"])]


def _loss(tree: Tree, alpha: float, beta: float, law: Floats, base: Floats) -> tuple[float, float]:
    """(E_{ρ*} R - E_alg R, its bound (M26)), in reward units; the bound's β is 1/α here.

    As log(ρ_BL/ρ_sft) is α R up to a constant, the bound is E_{ρ*} R - E_{ρ_BL} R whatever ρ* is.
    """
    aligned, best = sequence_tilt(tree, alpha).log_prob, sequence_tilt(tree, alpha + beta).log_prob
    terms = divergence.kl(best, base) - divergence.kl(aligned, base) - divergence.kl(best, aligned)
    return float((np.exp(best) - np.exp(law)) @ tree.total_reward), terms / alpha


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one tree."""
    depth, size, draws = (run.settings[name] for name in ("depth", "size", "draws"))
    world = KnobWorld(COVERAGE, correlation=0.5, depth=depth, size=size)
    tree, rng = world_tree(world, [run.seed, 60, cell.tree]), run.rng(61)
    reward, base = tree.total_reward, trajectory_law(tree, lambda i: i.log_base).log_prob
    top = float(reward.max())

    def measured(log_prob: Floats, outcomes: Ints | None) -> tuple[float, float | None, float | None, float, float]:
        prob = np.exp(log_prob)
        pair = Pair(float(prob @ reward), None, None) if outcomes is None else beside(prob, reward, outcomes)
        return *pair, divergence.kl(log_prob, base), float(np.max((log_prob - base)[prob > 0]))

    for beta in BETAS:
        yield Row("sequence tilt", None, beta, *measured(sequence_tilt(tree, beta).log_prob, None), beta * top)
        for alpha in ALPHAS:
            law = value_tilt(sequence_tilt(tree, alpha), beta).log_prob
            outcomes = np.asarray(sample_transfer(tree, alpha, beta, reward, draws, rng))
            # In our β, which multiplies rewards: (α + T β) R.
            bound, loss = (alpha + depth * beta) * top, _loss(tree, alpha, beta, law, base)
            yield Row("transfer Q*", alpha, beta, *measured(law, outcomes), bound, *loss)
        for n in NS:
            scheme = Scheme(beta, n)
            law = trajectory_law(tree, partial(gsi_law, scheme=scheme)).log_prob
            outcomes = np.asarray(sample_stepwise(tree, scheme_player(scheme), draws, rng))
            yield Row("gsi_ungated", float(n), beta, *measured(law, outcomes))


def _below_tilt(table: Sequence[Row], method: str, parameter: float) -> float:
    """The most reward that a method earns less than the tilt of trajectories at the same KL, by linear interpolation
    of the tilt's curve, which is concave, so that the number is none too large."""
    tilt = sorted((r.kl, r.reward) for r in table if r.method == "sequence tilt")
    kl, reward = zip(*tilt, strict=True)
    subset = [r for r in table if (r.method, r.parameter) == (method, parameter) and kl[0] <= r.kl <= kl[-1]]
    return max((float(np.interp(r.kl, kl, reward)) - r.reward for r in subset), default=0.0)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over trees; how often either bound is broken, how tight it is at best, and the reward below the tilt's."""
    table = over_problems(rows["plane"], 3)
    bounded = [r for r in rows["plane"] if r.method == "transfer Q*"]
    broken = sum(r.largest_log_ratio > r.ratio_bound + 1e-9 for r in bounded)
    broken += sum(r.loss > r.loss_bound + 1e-9 for r in bounded)
    tightest = {
        "ratio": max(r.largest_log_ratio / r.ratio_bound for r in bounded),
        "loss": max((r.loss / r.loss_bound for r in bounded if r.loss_bound > 1e-9), default=None),
    }
    transfer = max(_below_tilt(table, "transfer Q*", alpha) for alpha in ALPHAS)
    few, many = (_below_tilt(table, "gsi_ungated", float(n)) for n in NS)
    findings = {
        "transfer_near_tilt": {"holds": transfer <= NEAR, "below": transfer, "near": NEAR},
        "bounds_hold": {"holds": broken == 0, "broken": broken} | tightest,
        "gsi_few_below": {"holds": few > transfer, "n": NS[0], "below": few},
        "gsi_many_below": {"holds": many > transfer, "n": NS[1], "below": many},
    }
    summary = agreement((r.reward, r.simulated, r.stderr) for r in rows["plane"])
    summary |= {"bounds_broken": broken, "tightest_bound": tightest, "depth": run.settings["depth"]}
    return summary | {"findings": findings}, {"plane": table}


EXPERIMENT = Experiment(
    name="transfer_q",
    question="Does Transfer Q* decoding earn more reward at its KL than stepwise GSI, and how loose are its bounds?",
    claim="Transfer Q* (2405.20495): decoding with the Q of an aligned policy loses at most β[KL(ρ*‖ρ_sft) - "
    "KL(ρ_BL‖ρ_sft) - KL(ρ*‖ρ_BL)] of reward to ρ*, and stays within (1/β + T/α)R of the base (M26).",
    settings={
        "trees": (4, range(1, 10_001)),
        "depth": (3, range(1, 6)),
        "size": (4, range(2, 9)),
        "draws": (4000, range(100, 10_000_001)),
    },
    full={"trees": 50, "depth": 4, "size": 5, "draws": 100_000},
    full_minutes=9.5,
    tiny={"trees": 1, "depth": 2, "size": 2, "draws": 200},
    cell=Cell,
    rows={"plane": Row},
    cells=cells,
    work=work,
    collect=collect,
)
