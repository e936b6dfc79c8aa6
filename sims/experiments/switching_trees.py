"""Starting with the base and switching to the draft, against GSI at every step: reward against what the base writes.

Trees of sims/worlds.py. The method of gsi_theory/steps/switching.py (our reading of the SPECS cascade) starts with the
base, or with the draft; its threshold u is a quantile of the tilted rewards, its switch v the median step reward. GSI
with the same u begins every step with the draft, which is switching with v = -∞ and start "draft".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory.instance import Scheme, tilted_policy, tilted_reward
from gsi_theory.steps.switching import switching_law
from gsi_theory.steps.tree import Tree
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.tree_sampler import sample_switching
from sims.worlds import KnobWorld, world_tree

COVERAGES = (3.0, 30.0)
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
NS = (4, 16)
WAYS = ("start base", "start draft", "gsi")
# A reward lower by so little is called kept.
KEPT = 0.02


class Cell(NamedTuple):
    coverage: float
    tree: int
    n: int


class Row(NamedTuple):
    coverage: float
    way: str
    n: int
    share: float
    reward: float
    simulated: float | None
    stderr: float | None
    written: float
    written_simulated: float
    steps: float


def cells(settings: Settings) -> list[Cell]:
    return [Cell(c, i, n) for c in COVERAGES for i in range(settings["trees"]) for n in NS]


def _typical(tree: Tree, beta: float, share: float) -> float:
    """The largest threshold whose gate passes `share` of the tilted policies on average over all nodes."""
    nodes = [instance for level in tree.levels for instance in level.instances]
    values = np.concatenate([tilted_reward(instance, beta) for instance in nodes])
    mass = np.concatenate([np.exp(tilted_policy(instance, beta)) for instance in nodes]) / len(nodes)
    order = np.argsort(-values, kind="stable")
    return float(values[order[np.searchsorted(np.cumsum(mass[order]), share)]])


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one tree at one n: every way along the thresholds."""
    depth, size = run.settings["depth"], run.settings["size"]
    world = KnobWorld(cell.coverage, correlation=0.5, tail=-0.5, depth=depth, size=size)
    tree, rng = world_tree(world, [run.seed, 66, cell.tree]), run.rng(67)
    # Step rewards are divided by the depth; β is given for whole trajectories.
    beta, middle = run.settings["beta"] * depth, float(np.median(np.concatenate([v.reward for v in tree.levels])))
    for share in SHARES:
        scheme = Scheme(beta, cell.n, _typical(tree, beta, share))
        for way in WAYS:
            start, switch = ("base" if way == "start base" else "draft"), (-np.inf if way == "gsi" else middle)
            law = switching_law(tree, scheme, switch, start)
            outcomes, written = sample_switching(tree, scheme, switch, run.settings["draws"], rng, start)
            pair = beside(np.exp(law.log_prob), tree.total_reward, np.asarray(outcomes))
            written = float(np.mean(written))
            yield Row(cell.coverage, way, cell.n, share, *pair, law.written, written, float(depth))


def collect(rows: Rows, run: Run) -> Collected:
    """Means over trees. Findings, a case for each panel (coverage, n): the share of steps that the base writes when it
    starts and its best reward is kept, and reward at equal share (linear along each curve)."""
    table = over_problems(rows["plane"], 4)
    panels = [(c, n) for c in COVERAGES for n in NS]
    shares, better = [], {}
    for coverage, n in panels:
        base, gsi = (
            sorted((r.written / r.steps, r.reward) for r in table if (r.coverage, r.way, r.n) == (coverage, way, n))
            for way in ("start base", "gsi")
        )
        best = max(reward for _, reward in base)
        shares.append(min(share for share, reward in base if reward >= best - KEPT))
        x, y = zip(*gsi, strict=True)
        inside = [(share, reward) for share, reward in base if x[0] <= share <= x[-1]]
        if inside:
            better[f"coverage {coverage:g}, n = {n}"] = all(np.interp(s, x, y) > reward for s, reward in inside)
    findings = {
        "base_saved": {"holds": max(shares) < 1.0, "share": max(shares), "kept": KEPT},
        "gsi_better": everywhere(better),
    }
    summary = agreement((r.reward, r.simulated, r.stderr) for r in rows["plane"])
    summary |= {"beta": run.settings["beta"], "depth": run.settings["depth"], "findings": findings}
    return summary, {"plane": table}


EXPERIMENT = Experiment(
    name="switching",
    question="Is it better to start with the base and hand over to the draft, or to begin every step with the draft?",
    claim="SPECS (speculative drafts with deferral by reward, our reading): starting with the base and switching keeps "
    "the base's reward at a fraction of its tokens.",
    settings={
        "trees": (3, range(1, 10_001)),
        "depth": (3, range(1, 6)),
        "size": (6, range(2, 9)),
        "draws": (3000, range(100, 10_000_001)),
        "beta": (4, range(1, 1001)),
    },
    full={"trees": 20, "draws": 50_000},
    full_minutes=3.2,
    tiny={"trees": 1, "depth": 2, "size": 2, "draws": 200},
    cell=Cell,
    rows={"plane": Row},
    cells=cells,
    work=work,
    collect=collect,
)
