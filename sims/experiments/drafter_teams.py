"""Several drafters each of which misses part of the base's support: each alone, and together by the balance heuristic.

The base lives on K outcomes; drafter j covers two thirds of them, and no two the same. Alone a drafter can never bring
its law nearer to π than the mass it misses. Together, with n/3 draws from each (fixed) or n from their mixture
(random), weights π/p_mix, they reach π (M20). Beside them what no rule with the same draws passes (M19, M37b).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import normalize
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.drafters import fixed_allocation_bound, log_mixture
from gsi_theory.limits import best_tv, best_tv_several
from gsi_theory.methods import several_drafters
from gsi_theory.types import Floats
from sims.agreement import agreement, excess_tv, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings
from sims.sampling.other_samplers import sample_drafters
from sims.worlds import KnobWorld, world_instance

TEAM = 3
NS = (3, 6, 12, 24, 48, 96, 192)
# TV that differ by less are called alike.
ALIKE = 0.05
ROUNDING = 1e-9


class _Cell(NamedTuple):
    problem: int
    n: int


class _Row(NamedTuple):
    team: str
    rule: str
    n: int
    tv: float
    simulated: float | None
    stderr: float | None
    kl: float | None
    kl_bound: float | None
    tv_limit: float


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(i, n) for i in range(settings["instances"]) for n in NS]


def _team(seed: int, index: int) -> tuple[Instance, Floats]:
    """An instance and its drafters (3, K): each third of the outcomes, in random order, is missed by one of them."""
    instance = world_instance(KnobWorld(10.0, size=60), [seed, index])
    third = np.random.default_rng([seed, 62, index]).permutation(instance.size) % TEAM
    return instance, np.stack([normalize(np.where(third == j, -np.inf, instance.log_draft)) for j in range(TEAM)])


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """Rows of one problem at one n: each rule, each drafter alone, and the team with both allocations."""
    n, beta = cell.n, run.settings["beta"]
    instance, drafters = _team(run.seed, cell.problem)
    log_pi, rng = tilted_policy(instance, beta), run.rng(63)
    each = (n // TEAM,) * TEAM
    teams: list[tuple[str, Floats, tuple[int, ...], str]] = [
        ("fixed", drafters, each, "fixed"),
        ("random", drafters, each, "random"),
        *((f"alone {j + 1}", drafters[j : j + 1], (n,), "random") for j in range(TEAM)),
    ]
    limits = {
        team: best_tv_several(log_pi, members, counts).tv
        if allocation == "fixed"
        else best_tv(log_pi, log_mixture(members, counts), n)
        for team, members, counts, allocation in teams
    }
    for rule in ("softmax", "race"):
        for team, members, counts, allocation in teams:
            law = several_drafters(instance, Scheme(beta, n), members, counts, rule, allocation).log_prob
            draws = run.settings["draws"]
            outcomes = np.asarray(sample_drafters(log_pi, members, counts, rule, allocation, draws, rng))
            kl = divergence.kl(log_pi, law)
            bound = fixed_allocation_bound(log_pi, drafters, each) if (team, rule) == ("fixed", "softmax") else None
            pair = excess_tv(np.exp(law), np.exp(log_pi), outcomes)
            yield _Row(team, rule, n, *pair, kl if np.isfinite(kl) else None, bound, limits[team])


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. Findings: the bound and how loose it is, and TV at the largest n, together and alone."""
    table = over_problems(rows["teams"], 3)
    broken = sum(r.kl_bound is not None and r.kl > r.kl_bound + 1e-9 for r in rows["teams"])
    last = {r.team: r.tv for r in table if r.rule == "softmax" and r.n == NS[-1]}
    alone = min(v for k, v in last.items() if k.startswith("alone"))
    looseness = [r.kl_bound / r.kl for r in table if r.kl_bound is not None and r.kl]
    tv = {(r.team, r.rule, r.n): r.tv for r in table}
    passed = [r for r in rows["teams"] if r.tv < r.tv_limit - ROUNDING]
    spare = [r.tv - r.tv_limit for r in table if (r.team, r.rule) == ("fixed", "softmax")]
    apart = max(abs(tv["fixed", rule, n] - tv["random", rule, n]) for rule in ("softmax", "race") for n in NS)
    findings = {
        "bound_holds": {"holds": broken == 0, "broken": broken, "least": min(looseness), "most": max(looseness)},
        "bound_loosens": {"holds": looseness[-1] > looseness[0], "first": looseness[0], "last": looseness[-1]},
        "together_reach": {"holds": last["fixed"] < 0.1 * alone, "team": last["fixed"], "alone": alone, "n": NS[-1]},
        "within_limits": {"holds": not passed, "cases": len(rows["teams"]), "passed": len(passed), "spare": max(spare)},
        "allocations_alike": {"holds": apart <= ALIKE, "apart": apart},
    }
    summary = agreement((r.tv, r.simulated, r.stderr) for r in rows["teams"])
    summary |= {"bounds_broken": broken, "tv_team": last["fixed"], "tv_best_alone": alone}
    return summary | {"findings": findings}, {"teams": table}


EXPERIMENT = Experiment(
    name="drafter_teams",
    question="Can several drafters, each blind to part of the base's support, replace one that sees it all?",
    claim="Balance heuristic (Veach and Guibas 1995) in the form of (M20): the fixed allocation obeys KL ≤ log(1 + (1 "
    "+ χ² - min_j E_{p_j} w)/n), below a random one; a drafter alone keeps TV = π(missed).",
    settings={"instances": (4, range(1, 10_001)), "draws": (4000, range(100, 10_000_001)), "beta": (3, range(1, 1001))},
    full={"instances": 30, "draws": 20_000},
    full_minutes=1.4,
    tiny={"instances": 1, "draws": 100},
    cell=_Cell,
    rows={"teams": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
