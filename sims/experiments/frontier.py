"""Expected reward against KL to the base, all methods on one plane, and against β.

The tilt is the best there is at its KL (Gibbs). Soft best-of-n and the race run along β at fixed n, best-of-n along n,
best-of-Poisson along its mean; GSI with and without its gate goes with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.draws import Draws
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats, Ints
from sims.agreement import Pair, agreement, beside
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import method_scheme
from sims.sampling.generators import NumpyStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.sampler import alias_table, winners
from sims.worlds import checked_worlds, instance_of

BETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
NS = (4, 16, 64)
LADDER = tuple(2**k for k in range(11))
ALONG_BETA = ("soft_bon_base", "race_base", "gsi_ungated", "gsi")
# What best-of-Poisson's authors state for uniform rewards (M23), in nats.
PUBLISHED_GAP = 8e-4
ROUNDING = 1e-9


class Cell(NamedTuple):
    world: str
    method: str
    n: int | None
    beta: float | None


class Row(NamedTuple):
    world: str
    method: str
    n: int | None
    beta: float | None
    kl: float
    reward: float
    simulated: float | None
    stderr: float | None
    tilt_kl: float | None


def cells(settings: Settings) -> list[Cell]:
    """One cell a (world, method, n, β); n or β is None where the method has none."""
    made: list[Cell] = []
    for world in (*settings["worlds"], "uniform"):
        made += [Cell(world, "tilted", None, beta) for beta in BETAS]
        made += [Cell(world, key, n, None) for key in ("best_of_n_base", "best_of_poisson") for n in LADDER]
        along = ALONG_BETA[:2] if world == "uniform" else ALONG_BETA
        made += [Cell(world, key, n, beta) for key in along for n in NS for beta in BETAS]
    return made


def _instance(world: str, seed: int) -> Instance:
    """A world's instance; "uniform" is 2000 equally likely outcomes of evenly spread rewards, as in (M23)."""
    if world != "uniform":
        return instance_of(world, [seed])
    even: Floats = np.array(normalize(np.zeros(2000)), dtype=np.float64)
    return Instance(even, even, np.linspace(0.0, 1.0, 2001)[1:] - 0.5 / 2000.0)


def _tilt_of_mean(instance: Instance, mean: float) -> float | None:
    """KL to the base of the tilt with this expected reward; None where no β up to 10⁴ has it."""
    low, high = 0.0, 1e4

    def earned(beta: float) -> float:
        return float(np.exp(tilted_policy(instance, beta)) @ instance.reward)

    if not earned(low) <= mean <= earned(high):
        return None
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if earned(middle) < mean else (low, middle)
    return divergence.kl(tilted_policy(instance, low), instance.log_base)


def _law(instance: Instance, key: str, n: int, beta: float) -> tuple[Floats, Scheme]:
    if key == "race_base":
        return selection_law(instance.log_base, beta * instance.reward, n, "race").log_prob, Scheme(beta, n)
    if key == "best_of_poisson":
        # The method's own default, spelled out: 1 + Poisson(n - 1) draws.
        draws = Draws(1, float(n - 1))
        return selection_law(instance.log_base, instance.reward, draws, "max").log_prob, Scheme(beta, n)
    scheme = method_scheme(key, instance, beta, n)
    return METHODS[key].law(instance, scheme).log_prob, scheme


def _played(instance: Instance, key: str, scheme: Scheme, draws: int, rng: np.random.Generator) -> Ints:
    if key != "race_base":
        return np.asarray(sample_method(key, instance, scheme, draws, rng).outcome)
    stream = NumpyStream(rng)
    table, weight = alias_table(instance.log_base, stream), scheme.beta * instance.reward
    return np.asarray(winners(table, weight, scheme.n, "race", draws, stream)[0])


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """One row of the table."""
    instance = _instance(cell.world, run.seed)
    beta = 1.0 if cell.beta is None else cell.beta
    if cell.n is None:
        log_prob = tilted_policy(instance, beta)
        pair = Pair(float(np.exp(log_prob) @ instance.reward), None, None)
    else:
        log_prob, scheme = _law(instance, cell.method, cell.n, beta)
        outcomes = _played(instance, cell.method, scheme, run.settings["draws"], run.rng(52))
        pair = beside(np.exp(log_prob), instance.reward, outcomes)
    kl = divergence.kl(log_prob, instance.log_base)
    yield Row(*cell, kl, *pair, _tilt_of_mean(instance, pair.exact))


def collect(rows: Rows, run: Run) -> Collected:
    """Findings: the largest KL above the tilt of equal reward, by method; of best-of-Poisson for uniform rewards."""
    table = rows["plane"]
    gaps: dict[tuple[bool, str], list[float]] = {}
    for r in table:
        if r.tilt_kl is not None:
            gaps.setdefault((r.world == "uniform", r.method), []).append(r.kl - r.tilt_kl)
    worlds = {method: max(values) for (uniform, method), values in gaps.items() if not uniform and method != "tilted"}
    poisson = max(gaps[True, "best_of_poisson"])
    kl = {(r.world, r.method, r.n, r.beta): r.kl - r.tilt_kl for r in table if r.tilt_kl is not None}
    nearer = {
        f"{w}, n = {n}": kl[w, "race_base", n, b] <= kl[w, "soft_bon_base", n, b] + ROUNDING
        for w, method, n, b in kl
        if method == "race_base" and b == BETAS[0] and (w, "soft_bon_base", n, b) in kl
    }
    findings = {
        "none_above_tilt": everywhere({m: min(values) > -ROUNDING for (_, m), values in gaps.items()}),
        "race_nearer": everywhere(nearer, beta=BETAS[0]),
        "poisson_uniform": {"holds": poisson <= PUBLISHED_GAP, "gap": poisson, "published": PUBLISHED_GAP},
        "poisson_worlds": {
            "holds": worlds["best_of_poisson"] <= PUBLISHED_GAP,
            "gap": worlds["best_of_poisson"],
            "published": PUBLISHED_GAP,
        },
        "ungated_below": {
            "holds": worlds["gsi_ungated"] > max(worlds["soft_bon_base"], worlds["gsi"]),
            "ungated": worlds["gsi_ungated"],
            "gated": worlds["gsi"],
        },
    }
    summary = agreement((r.reward, r.simulated, r.stderr) for r in table)
    return summary | {"largest_poisson_gap": poisson, "largest_gaps": worlds, "findings": findings}, {"plane": table}


EXPERIMENT = Experiment(
    name="frontier",
    question="How much reward does each method buy with its divergence from the base, and how does β set it?",
    claim="GSI (arXiv 2506.04118), Figure 6 in form; Verdun et al. (2505.03156): soft best-of-n is near the tilt; "
    "best-of-Poisson (2506.19248): its KL gap to the tilt of equal mean stays below 8e-4 for uniform rewards (M23).",
    settings={"worlds": ("medium,weak", checked_worlds), "draws": (5000, range(100, 10_000_001))},
    full={"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,blind"},
    full_minutes=14.0,
    tiny={"worlds": "size:6", "draws": 200},
    cell=Cell,
    rows={"plane": Row},
    cells=cells,
    work=work,
    collect=collect,
)
