"""How many draws for TV ≤ ε: softmax, race (= depth-limited A*), greedy Poisson rejection, and the limit of all rules.

Instances from the knobs of sims/worlds.py along coverage and tail, so that KL(π‖μ) and χ²(π‖μ) move apart; π is the
base itself and μ the draft. The limit (M19) says what any rule needs. Simulated: the TV of each rule at that limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.laws.channel import greedy_rejection_law
from gsi_theory.laws.efficiency import best_n, needed_n
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.types import Floats, Ints
from sims.agreement import agreement, excess_tv
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.sampling.generators import NumpyStream
from sims.sampling.other_samplers import sample_astar, sample_greedy
from sims.sampling.sampler import alias_table, winners
from sims.worlds import KnobWorld, world_instance

COVERAGES = (2.0, 5.0, 20.0, 100.0, 1000.0)
TAILS = (-1.0, 0.0, 1.0)
EPSILONS = (0.1, 0.01)
RULES = ("softmax", "race", "greedy")
MOST = 2**20


class Cell(NamedTuple):
    coverage: float
    tail: float
    problem: int


class Row(NamedTuple):
    rule: str
    epsilon: float
    coverage: float
    tail: float
    problem: int
    kl: float
    chi2: float
    needed: float | None  # None beyond MOST draws, as the limit
    limit: float | None
    tv_at_limit: float
    tv_simulated: float | None
    tv_stderr: float | None


def cells(settings: Settings) -> list[Cell]:
    return [Cell(c, t, i) for c in COVERAGES for t in TAILS for i in range(settings["instances"])]


def _law(rule: str, pi: Floats, mu: Floats, n: int) -> Floats:
    if rule == "greedy":
        return greedy_rejection_law(pi, mu, n).log_prob
    return np.asarray(selection_law(mu, pi - mu, n, rule).log_prob)


def _outcomes(rule: str, pi: Floats, mu: Floats, n: int, draws: int, rng: np.random.Generator) -> Ints:
    if rule == "greedy":
        return np.asarray(sample_greedy(pi, mu, n, draws, rng))
    if rule == "race":
        return np.asarray(sample_astar(pi, mu, n, draws, rng))
    stream = NumpyStream(rng)
    return np.asarray(winners(alias_table(mu, stream), pi - mu, n, rule, draws, stream)[0])


def work(cell: Cell, run: Run) -> Iterator[Row]:
    """Rows of one instance."""
    world = KnobWorld(cell.coverage, tail=cell.tail, size=60)
    instance, rng = world_instance(world, [run.seed, cell.problem]), run.rng(58)
    pi, mu = instance.log_base, instance.log_draft
    kl, chi2 = divergence.kl(pi, mu), divergence.chi2(pi, mu)
    for epsilon in EPSILONS:
        limit = best_n(pi, mu, epsilon, MOST)
        at = int(min(limit, 4096))
        for rule in RULES:
            needed = needed_n(lambda n, rule=rule: _law(rule, pi, mu, n), pi, epsilon, MOST)  # type: ignore[misc]
            outcomes = _outcomes(rule, pi, mu, at, run.settings["draws"], rng)
            tv = excess_tv(np.exp(_law(rule, pi, mu, at)), np.exp(pi), outcomes)
            known = [v if np.isfinite(v) else None for v in (needed, limit)]
            yield Row(rule, epsilon, *cell, kl, chi2, known[0], known[1], *tv)


def collect(rows: Rows, run: Run) -> Collected:
    """By rule and ε the largest needed/limit and ε·log n / KL. Findings: e^{KL/ε}, χ²/ε, and what orders instances."""
    table = rows["needed"]
    known = [r for r in table if r.needed and r.limit]
    worst, exponent = {}, {}
    for rule in RULES:
        for epsilon in EPSILONS:
            subset = [r for r in known if (r.rule, r.epsilon) == (rule, epsilon)]
            worst[f"{rule}, {epsilon:g}"] = max((r.needed / r.limit for r in subset), default=None)
            values = [epsilon * float(np.log(r.needed)) / r.kl for r in subset]
            exponent[f"{rule}, {epsilon:g}"] = max(values, default=None)
    over = {rule: max(r.needed / r.limit for r in known if r.rule == rule) for rule in RULES}
    softmax = [r for r in known if r.rule == "softmax"]
    by = {(r.rule, r.epsilon, *r[2:5]): r.needed for r in known}
    greedy = [by[key] >= max(by.get((rule, *key[1:]), 0.0) for rule in RULES) for key in by if key[0] == "greedy"]

    def orders(name: str) -> dict[str, bool]:
        subset = {e: sorted((getattr(r, name), r.limit) for r in softmax if r.epsilon == e) for e in EPSILONS}
        return {f"ε = {e:g}": all(a[1] <= b[1] for a, b in pairwise(values)) for e, values in subset.items() if values}

    beyond = [r.needed <= np.exp(min(r.kl / r.epsilon, 700.0)) for r in known if r.rule == "greedy"]
    findings = {
        "exponential_suffices": {"holds": all(beyond), "share": float(np.mean(beyond))},
        "kl_orders": everywhere(orders("kl")),
        "chi2_orders": everywhere(orders("chi2")),
        "greedy_needs_most": {"holds": all(greedy), "share": float(np.mean(greedy))},
        "softmax_below_chi2": everywhere(
            {f"χ² = {r.chi2:.3g}": r.needed <= r.chi2 / r.epsilon for r in softmax if r.chi2 >= 1.0}
        ),
        "race_nearer": {"holds": over["race"] < over["softmax"], "race": over["race"], "softmax": over["softmax"]},
    }
    summary = agreement((r.tv_at_limit, r.tv_simulated, r.tv_stderr) for r in table)
    summary |= {"largest_over_limit": worst, "largest_exponent": exponent, "findings": findings}
    return summary, {"needed": table}


EXPERIMENT = Experiment(
    name="sample_complexity",
    question="How many draws does each rule need for TV ≤ ε, and is it KL, χ² or coverage that decides?",
    claim="Flamich and Wells (2405.04363): about 2^{KL/ε} samples suffice for approximate channel simulation (M27); "
    "(M11), (M17): χ²/ε for softmax and (1 + χ²)/ε for the race; (M19): no rule needs fewer than the limit.",
    settings={"instances": (2, range(1, 1001)), "draws": (4000, range(100, 10_000_001))},
    full={"instances": 20, "draws": 200_000},
    full_minutes=5.5,
    tiny={"instances": 1, "draws": 100},
    cell=Cell,
    rows={"needed": Row},
    cells=cells,
    work=work,
    collect=collect,
)
