"""What the gate of GSI does to its law: without it, with it (M6), and with the gate on the score (M9).

Thresholds of the gate let a share a of the tilted policy pass. As n grows the gated law tends to G_∞ = π (1_A + π(Aᶜ)),
off π by TV a(1 - a) (M7), whereas the ungated and the score-gated laws tend to π.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.instance import Scheme, tilted_policy, tilted_reward
from gsi_theory.laws.gate import gsi_law
from sims.agreement import agreement, beside, excess_tv
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import passing_threshold, score_threshold
from sims.sampling.sampler import sample_scheme
from sims.worlds import checked_worlds, instance_of

NS = (1, 4, 16, 64, 256)
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
# The middle of each ladder is what captions quote; a law is at its limit within so much TV.
AT_N, AT_SHARE, NEAR = 16, 0.5, 0.02


class Cell(NamedTuple):
    world: str
    gate: str
    share: float
    n: int


class Row(NamedTuple):
    world: str
    gate: str
    n: int
    share: float
    a: float
    tv: float
    tv_simulated: float | None
    tv_stderr: float | None
    reward_gap: float
    reward_simulated: float | None
    reward_stderr: float | None
    p_accept: float
    limit_tv: float
    limit_reward_gap: float


def cells(settings: Settings) -> list[Cell]:
    gates = [("none", 1.0), *(("tilted_reward", share) for share in SHARES), ("score", 1.0)]
    return [Cell(world, gate, share, n) for world in settings["worlds"] for gate, share in gates for n in NS]


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """One row: a gate at one n."""
    world, gate, share, n = cell
    beta, instance = run.settings["beta"], instance_of(world, [run.seed])
    scheme, a = Scheme(beta, n), 1.0
    pi = np.exp(tilted_policy(instance, beta))
    limit_tv = limit_gap = 0.0
    if gate == "tilted_reward":
        threshold = passing_threshold(instance, beta, share)
        scheme = Scheme(beta, n, threshold)
        inside = (tilted_reward(instance, beta) >= threshold).astype(np.float64)
        a = float(pi @ inside)
        limit_tv = a * (1.0 - a)
        limit_gap = float(pi @ (inside * instance.reward)) - a * float(pi @ instance.reward)
    elif gate == "score":
        scheme = Scheme(beta, n, score_threshold(instance, beta, n), "race", gate="score")
    law = gsi_law(instance, scheme)
    prob = np.exp(law.log_prob)
    outcomes, _ = sample_scheme(instance, scheme, run.settings["draws"], run.rng(51))
    exact, simulated, error = beside(prob, instance.reward, outcomes)
    best, tv = float(pi @ instance.reward), excess_tv(prob, pi, outcomes)
    assert simulated is not None and abs(tv.exact - divergence.tv(law.log_prob, np.log(pi))) < 1e-9
    gaps = exact - best, simulated - best, error
    yield Row(world, gate, n, share, a, *tv, *gaps, law.p_accept, limit_tv, limit_gap)


def collect(rows: Rows, run: Run) -> Collected:
    """Findings: where the gate helps, whether laws without and with the score gate go on falling, and the limits."""
    table, worlds = rows["gate"], run.settings["worlds"]
    tv = {(r.world, r.gate, r.share, r.n): r.tv for r in table}
    gated = [r for r in table if r.gate == "tilted_reward"]
    last = [r for r in gated if r.n == NS[-1]]
    middle = {world: (tv[world, "none", 1.0, AT_N], tv[world, "tilted_reward", AT_SHARE, AT_N]) for world in worlds}
    worst = max(worlds, key=lambda world: middle[world][0])

    def falls(gate: str) -> dict[str, bool]:
        return {w: all(tv[w, gate, 1.0, n] > tv[w, gate, 1.0, m] for n, m in pairwise(NS)) for w in worlds}

    findings = {
        "gate_helps": {
            "holds": middle[worst][1] < middle[worst][0],
            "world": worst,
            "n": AT_N,
            "share": AT_SHARE,
            "without": middle[worst][0],
            "with": middle[worst][1],
        },
        "at_limit": everywhere(
            {f"{r.world} at {r.share:g}": abs(r.tv - r.limit_tv) <= NEAR for r in last}, n=NS[-1], near=NEAR
        ),
        "ungated_falls": everywhere(falls("none")),
        "score_falls": everywhere(falls("score")),
        "limit_has_more_reward": everywhere({f"{r.world} at {r.share:g}": r.limit_reward_gap >= 0.0 for r in last}),
    }
    pairs = [(r.tv, r.tv_simulated, r.tv_stderr) for r in table]
    pairs += [(r.reward_gap, r.reward_simulated, r.reward_stderr) for r in table]
    return agreement(pairs) | {"beta": run.settings["beta"], "findings": findings}, {"gate": table}


EXPERIMENT = Experiment(
    name="gate_ablation",
    question="Does the rejection step of GSI bring its law nearer to the tilted policy, and what does it do to reward?",
    claim="GSI (arXiv 2506.04118), ablation without rejection: the gate corrects the draft. (M7): at large n it is a "
    "bias of TV a(1 - a); (M9): a gate on the score has none.",
    settings={
        "worlds": ("medium,weak,lucky", checked_worlds),
        "draws": (20_000, range(100, 10_000_001)),
        "beta": (5, range(1, 1001)),
    },
    full={"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,blind"},
    full_minutes=12.5,
    tiny={"worlds": "size:6", "draws": 200},
    cell=Cell,
    rows={"gate": Row},
    cells=cells,
    work=work,
    collect=collect,
)
