"""Proxy against gold reward: what is selected by a proxy as n and β grow.

A world of K outcomes: gold rewards are normal, the proxy is gold plus an error of the same size that is normal except
for `hacked` outcomes, rare under both policies, whose proxy is high and whose gold is low (rewards that can be gamed).
Policies know nothing of either. Gold is what the method earns, KL is to the base.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats
from sims.agreement import Pair, agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings
from sims.instance_families import method_scheme
from sims.sampling.method_sampler import sample_method

# Share of hacked outcomes, and their proxy above its mean, in standard deviations of gold.
WORLDS = {"honest error": 0.0, "can be gamed": 0.002}
HACKED_PROXY, HACKED_GOLD = 5.0, -1.0
NS = tuple(2**k for k in range(0, 15))
BETAS = tuple(float(2.0 ** (k / 2)) for k in range(-4, 9))
ALONG_N = (("best_of_n_base", 1.0), ("soft_bon_base", 1.0), ("soft_bon_base", 4.0), ("gsi_ungated", 1.0), ("gsi", 1.0))
MOST_SIMULATED = 256
# A curve is kept when it ends at this share of its peak, and has collapsed below that share.
KEPT, COLLAPSED = 0.9, 0.5


class Cell(NamedTuple):
    world: str
    problem: int


class Row(NamedTuple):
    world: str
    method: str
    n: int | None
    beta: float
    gold: float
    simulated: float | None
    stderr: float | None
    proxy: float
    kl: float
    spread: float | None = None  # standard error of `gold` over problems


def cells(settings: Settings) -> list[Cell]:
    return [Cell(world, i) for world in WORLDS for i in range(settings["instances"])]


def _problem(cell: Cell, run: Run) -> tuple[Instance, Floats]:
    """An instance whose reward is the proxy, and the gold rewards (K,)."""
    rng, size = run.rng(54, cell.problem), run.settings["size"]
    gold, error = rng.normal(size=(2, size))
    base, drift = rng.normal(size=(2, size))
    hacked = rng.permutation(size) < WORLDS[cell.world] * size
    gold = np.where(hacked, HACKED_GOLD, gold)
    proxy = np.where(hacked, HACKED_PROXY, gold + error)
    return Instance(normalize(base + 0.5 * drift), normalize(base), proxy), gold


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one problem: methods along n, and the tilt and soft best-of-64 along β."""
    instance, gold = _problem(cell, run)
    rng = run.rng(55)

    def row(name: str, beta: float, log_prob: Floats, key: str = "", scheme: Scheme | None = None) -> Row:
        prob = np.exp(log_prob)
        pair = Pair(float(prob @ gold), None, None)
        if scheme is not None and scheme.n <= MOST_SIMULATED:
            pair = beside(prob, gold, sample_method(key, instance, scheme, run.settings["draws"], rng).outcome)
        n, kl = None if scheme is None else scheme.n, divergence.kl(log_prob, instance.log_base)
        return Row(cell.world, name, n, beta, *pair, float(prob @ instance.reward), kl)

    def played(name: str, key: str, beta: float, n: int) -> Row:
        scheme = method_scheme(key, instance, beta, n)
        return row(name, beta, METHODS[key].law(instance, scheme).log_prob, key, scheme)

    for key, beta in ALONG_N:
        yield from (played(key, key, beta, n) for n in NS)
    for beta in BETAS:
        yield row("tilted", beta, tilted_policy(instance, beta))
        yield played("soft_bon_64", "soft_bon_base", beta, 64)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `best_n`: n of largest gold. Findings: what is left of the peak at the largest n."""
    table = over_problems(rows["gold"], 4, "gold")
    curves = {
        (world, key, beta): [r for r in table if (r.world, r.method, r.beta) == (world, key, beta)]
        for world in WORLDS
        for key, beta in ALONG_N
    }
    peaks = {curve: max(subset, key=lambda r: r.gold) for curve, subset in curves.items()}

    def at_end(world: str, key: str, beta: float, share: float) -> dict[str, object]:
        peak, last = peaks[world, key, beta], curves[world, key, beta][-1]
        numbers = {"peak": peak.gold, "peak_n": peak.n, "last": last.gold, "last_n": last.n, "beta": beta}
        return {"holds": last.gold >= share * peak.gold, "share": share} | numbers

    honest, gamed = WORLDS
    best = [r for r in table if (r.world, r.method) == (gamed, "best_of_n_base")]
    tilted = max(r.gold for r in table if (r.world, r.method) == (gamed, "tilted"))
    peak = peaks[gamed, "best_of_n_base", 1.0]
    findings = {
        "gamed_holds": at_end(gamed, "best_of_n_base", 1.0, COLLAPSED),
        "honest_holds": at_end(honest, "best_of_n_base", 1.0, KEPT),
        "soft_holds": at_end(gamed, "soft_bon_base", 1.0, KEPT),
        "sharp_holds": at_end(gamed, "soft_bon_base", 4.0, KEPT),
        "proxy_rises": {"holds": best[-1].proxy > peak.proxy, "from": peak.proxy, "to": best[-1].proxy},
        "soft_peak_lower": {
            "holds": peaks[gamed, "soft_bon_base", 1.0].gold < peak.gold,
            "soft": peaks[gamed, "soft_bon_base", 1.0].gold,
            "best": peak.gold,
        },
        "tilt_peak_lower": {"holds": tilted < peak.gold, "tilt": tilted, "best": peak.gold},
    }
    names = {f"{world}, {key}, beta {beta:g}": peak.n for (world, key, beta), peak in peaks.items()}
    summary = agreement((r.gold, r.simulated, r.stderr) for r in rows["gold"])
    return summary | {"best_n": names, "size": run.settings["size"], "findings": findings}, {"gold": table}


EXPERIMENT = Experiment(
    name="overoptimization",
    question="When does more selection by a proxy reward lower the gold reward, and does soft selection prevent it?",
    claim="Gao et al. (2210.10760): gold reward first rises and then falls as best-of-n goes on; Verdun et al. "
    "(2505.03156): a finite β guards soft best-of-n against it.",
    settings={
        "instances": (6, range(1, 10_001)),
        "draws": (2000, range(100, 10_000_001)),
        "size": (2000, range(100, 100_001)),
    },
    full={"instances": 200, "draws": 20_000, "size": 20_000},
    full_minutes=38.0,
    tiny={"instances": 1, "draws": 100, "size": 100},
    cell=Cell,
    rows={"gold": Row},
    cells=cells,
    work=work,
    collect=collect,
)
