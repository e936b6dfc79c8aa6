"""The experiment of Uniform Race, exactly: TV to the tilted law against n when candidates are drawn from a pool.

A pool of N candidates with weights w: n are drawn with replacement, one is chosen by softmax or by race, the tilted
law is ∝ w. Pools: log-normal weights of several widths, or those of a pool file. The paper's figure takes 10⁶ trials
a point; here the points are exact for every n, with a simulation of both rules beside it and the bounds of (M17).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.tv_curve import tv_curve
from gsi_theory.limits import best_tv
from gsi_theory.types import Floats
from sims.agreement import agreement, excess_tv
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.generators import NumpyStream
from sims.sampling.sampler import alias_table, winners
from sims.worlds import checked_worlds, instance_of

WIDTHS = {"pool of width 0.5": 0.5, "pool of width 1": 1.0, "pool of width 2": 2.0}
RULES = ("softmax", "race")
ROUNDING = 1e-9


class Cell(NamedTuple):
    kind: str  # a table: the curve up to the largest n, or the simulation at one n
    stream: int
    pool: str
    rule: str
    n: int


class Row(NamedTuple):
    pool: str
    rule: str
    n: int
    tv: float
    bound_tail: float
    bound_chi2: float
    limit: float


class Simulated(NamedTuple):
    pool: str
    rule: str
    n: int
    tv: float
    simulated: float | None
    stderr: float | None
    trials: int


def _pools(value: str | Sequence[str], position: str) -> tuple[str, ...]:
    """Names of WIDTHS, or worlds (pool:FILE among them)."""
    texts = value.split(",") if isinstance(value, str) else tuple(value)
    known = tuple(t.strip() for t in texts if t.strip() in WIDTHS)
    others = [t for t in texts if t.strip() not in WIDTHS]
    return known + (checked_worlds(others, position) if others else ())


def cells(settings: Settings) -> list[Cell]:
    """One cell a (pool, rule) for the curves, one a (pool, rule, n) for the simulation."""
    ways = [(pool, rule) for pool in settings["pools"] for rule in RULES]
    largest = settings["largest_n"]
    ladder = [2**k for k in range(0, int(np.log2(largest)) + 1)]
    simulated = [(*way, n) for way in ways for n in ladder]
    return [
        *(Cell("exact", 0, *way, largest) for way in ways),
        *(Cell("simulated", i, *cell) for i, cell in enumerate(simulated)),
    ]


def _pool(name: str, run: Run) -> tuple[Floats, Floats]:
    """(log-masses, log-weights) of a pool: uniform masses; of a world the draft and β r̃."""
    if name in WIDTHS:
        size = run.settings["candidates"]
        noise = np.asarray(run.rng(64, list(WIDTHS).index(name)).normal(size=size))
        return normalize(np.zeros(size)), WIDTHS[name] * noise
    instance = instance_of(name, [run.seed])
    return instance.log_draft, run.settings["beta"] * instance.reward + instance.log_ratio


def work(cell: Cell, run: Run) -> Iterator[Row | Simulated]:
    """The curve of one rule on one pool, or its simulation at one n."""
    kind, number, name, rule, n = cell
    mass, weight = _pool(name, run)
    log_pi = normalize(mass + weight)
    if kind == "simulated":
        stream, trials = NumpyStream(run.rng(65, number)), run.settings["trials"]
        prob = np.exp(selection_law(mass, weight, n, rule).log_prob)
        outcomes, _ = winners(alias_table(mass, stream), weight, n, rule, trials, stream)
        yield Simulated(name, rule, n, *excess_tv(prob, np.exp(log_pi), np.asarray(outcomes)), trials)
        return
    ns, w = np.arange(1, n + 1), np.exp(log_pi - mass)
    chi2 = float(np.exp(log_pi) @ w) - 1.0
    tail = (1.0 - 1.0 / float(w.max())) ** ns
    slow = np.minimum(1.0, 2.0 * (1.0 + chi2) / (math.e * ns))
    columns = (tv_curve(mass, weight, ns, rule), tail, slow, best_tv(log_pi[None], mass[None], ns[:, None])[:, 0])
    for k, *values in zip(ns.tolist(), *columns, strict=True):
        yield Row(name, rule, k, *map(float, values))


def collect(rows: Rows, run: Run) -> Collected:
    """Findings: whether the race breaks a bound of (M17) or lies above softmax, and where the limit reaches zero."""
    exact, pools = rows["exact"], run.settings["pools"]
    tv = {(r.pool, r.rule, r.n): r.tv for r in exact}
    broken = sum(r.rule == "race" and r.tv > min(r.bound_tail, r.bound_chi2) + ROUNDING for r in exact)
    below = {
        pool: all(tv[pool, "race", n] <= tv[pool, "softmax", n] + ROUNDING for p, _, n in tv if p == pool)
        for pool in pools
    }
    zeros = {pool: min((r.n for r in exact if r.pool == pool and r.limit < ROUNDING), default=None) for pool in pools}
    findings = {
        "bounds_hold": {"holds": broken == 0, "broken": broken},
        "race_below": everywhere(below),
        "limit_zero": everywhere(
            {pool: n is not None for pool, n in zeros.items()}, largest_n=run.settings["largest_n"]
        ),
    }
    summary = agreement((r.tv, r.simulated, r.stderr) for r in rows["simulated"])
    return summary | {"bounds_broken": broken, "findings": findings}, dict(rows)


EXPERIMENT = Experiment(
    name="uniform_race",
    question="How fast do softmax and race converge on a pool, at every n and without simulation?",
    claim="Uniform Race, its experiment of TV against n on pools (10⁶ trials): the race falls geometrically, below "
    "(1-1/C)^n and 2(1+χ²)/(e n), where softmax falls like 1/n (M17).",
    settings={
        "pools": (",".join(WIDTHS), _pools),
        "candidates": (64, range(2, 100_001)),
        "largest_n": (256, range(2, 100_001)),
        "trials": (20_000, range(1000, 1_000_000_001)),
        "beta": (5, range(1, 1001)),
    },
    full={"trials": 1_000_000, "candidates": 256, "largest_n": 1024},
    full_minutes=2.9,
    tiny={"pools": "pool of width 1,size:6", "candidates": 8, "largest_n": 8, "trials": 1000},
    cell=Cell,
    rows={"exact": Row, "simulated": Simulated},
    cells=cells,
    work=work,
    collect=collect,
)
