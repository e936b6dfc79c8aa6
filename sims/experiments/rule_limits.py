"""How far from their limits the rules are: TV to the tilted policy and reward against the expected number of draws.

Rows `limit`, `limit_stopping`: what no rule can beat with n drafts, fixed (M19, M38) or expected (M36, M38); draws = n.
Rows `limit_fallback`, `limit_both`, at the draws of GSI with n drafts and, after a rejection, as many base draws, which
are n(1 + q): what no round with this probability q of fallback can beat (M39b), and no rule with as many drafts and
base draws in expectation, in whatever order (M37). The other rows are laws of rules and methods, exact, with a
simulation of the reward.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gsi_theory.divergence import tv
from gsi_theory.instance import Instance, log_weight, tilted_policy
from gsi_theory.laws.fallback_limits import best_reward_no_recall, best_tv_no_recall
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.limits import best_of_n_reward, best_reward, best_tv, best_tv_adaptive
from gsi_theory.methods import METHODS
from gsi_theory.types import Floats
from sims.agreement import agreement, beside, over_problems
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import method_scheme
from sims.sampling.generators import NumpyStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.sampler import alias_table, winners
from sims.worlds import checked_worlds, instance_of

BETA = 5.0
NS = tuple(2**k for k in range(0, 11))
RULES = ("softmax", "race", "regularized:4")
CLOSE, APART = 0.1, 0.01
ROUNDING = 1e-9


class _Cell(NamedTuple):
    world: str
    problem: int


class _Row(NamedTuple):
    world: str
    method: str
    n: int
    draws: float
    tv: float
    reward: float
    simulated: float | None
    stderr: float | None


def cells(settings: Settings) -> list[_Cell]:
    return [_Cell(world, i) for world in settings["worlds"] for i in range(settings["instances"])]


def _of_drafts(instance: Instance, target: Floats, n: int) -> Iterator[tuple[str, float, float, float]]:
    """(name, draws, TV, reward) of the limits of rules on drafts alone."""
    draft, reward = instance.log_draft, instance.reward
    yield "limit", n, best_tv(target, draft, n), best_of_n_reward(reward, draft, n)
    yield "limit_stopping", n, best_tv_adaptive(target, draft, n), best_reward(reward, draft, n)


def _of_both(instance: Instance, target: Floats, n: int, q: float) -> Iterator[tuple[str, float, float, float]]:
    """(name, draws, TV, reward) of the limits at GSI's draws from both policies, n drafts and qn base draws."""
    sources, reward, draws = (instance.log_draft, instance.log_base), instance.reward, n * (1.0 + q)
    nearest = best_tv_no_recall(target, *sources, n, n, q)
    yield "limit_fallback", draws, nearest, best_reward_no_recall(reward, *sources, n, n, q)
    with np.errstate(divide="ignore"):
        mixed = np.logaddexp(sources[0], np.log(q) + sources[1]) - np.log1p(q)
    yield "limit_both", draws, best_tv_adaptive(target, mixed, draws), best_reward(reward, mixed, draws)


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """All limits, rules and GSI at every n on one problem."""
    instance, rng = instance_of(cell.world, [run.seed], cell.problem), run.rng(69)
    target, weight = tilted_policy(instance, BETA), log_weight(instance.draft_candidates(), BETA)
    stream, rounds = NumpyStream(rng), run.settings["draws"]
    table = alias_table(instance.log_draft, stream)
    for n in NS:
        for rule in RULES:
            law = selection_law(instance.log_draft, weight, n, rule).log_prob
            pair = beside(np.exp(law), instance.reward, np.asarray(winners(table, weight, n, rule, rounds, stream)[0]))
            yield _Row(cell.world, rule, n, n, tv(law, target), *pair)
        scheme = method_scheme("gsi", instance, BETA, n)
        found, played = METHODS["gsi"].law(instance, scheme), sample_method("gsi", instance, scheme, rounds, rng)
        q = 1.0 - float(found.p_accept if found.p_accept is not None else 1.0)
        pair = beside(np.exp(found.log_prob), instance.reward, played.outcome)
        yield _Row(cell.world, "gsi", n, n * (1.0 + q), tv(found.log_prob, target), *pair)
        for name, draws, nearest, most in (*_of_drafts(instance, target, n), *_of_both(instance, target, n, q)):
            yield _Row(cell.world, name, n, draws, nearest, most, None, None)


def collect(rows: Rows, run: Run) -> Collected:
    """Means over problems. `needed`: the least n of the ladder at which the mean TV is at most 0.1, None for none."""
    table = over_problems(rows["points"], 3)
    at = {(r.world, r.method, r.n): r for r in table}
    worlds = list(run.settings["worlds"])
    below = {rule: ("limit", "limit_stopping") for rule in RULES} | {"gsi": ("limit_fallback", "limit_both")}
    kept = {
        f"{method} in {w}, n = {n}": all(
            at[w, method, n].tv >= at[w, limit, n].tv - ROUNDING
            and at[w, method, n].reward <= at[w, limit, n].reward + ROUNDING
            for limit in limits
        )
        for method, limits in below.items()
        for w in worlds
        for n in NS
    }

    def needed(world: str, method: str) -> int | None:
        return next((n for n in NS if at[world, method, n].tv <= CLOSE), None)

    needs = {
        f"{name} in {w}": needed(w, method)
        for w in worlds
        for method, name in (
            ("limit_stopping", "stopping"),
            ("limit", "fixed n"),
            ("race", "race"),
            ("softmax", "softmax"),
        )
    }
    price = {(w, n): at[w, "limit", n].tv - at[w, "limit_stopping", n].tv for w in worlds for n in NS}
    lost = {(w, n): at[w, "limit_stopping", n].reward - at[w, "limit", n].reward for w in worlds for n in NS}
    (price_world, price_n), (lost_world, lost_n) = max(price, key=price.__getitem__), max(lost, key=lost.__getitem__)
    last = {w: at[w, "gsi", NS[-1]].tv - at[w, "limit_fallback", NS[-1]].tv for w in worlds}
    race = {w: all(at[w, "race", n].tv <= at[w, "softmax", n].tv + ROUNDING for n in NS) for w in worlds}
    findings = {
        "none_beats": everywhere(kept),
        "needs": {"holds": True, "needed": needs, "close": CLOSE},
        "race_nearer": everywhere(race),
        "price": {
            "holds": True,
            "tv": price[price_world, price_n],
            "tv_world": price_world,
            "tv_n": price_n,
            "reward": lost[lost_world, lost_n],
            "reward_world": lost_world,
            "reward_n": lost_n,
        },
        "gsi_stays": everywhere({w: gap > APART for w, gap in last.items()}, n=NS[-1], gaps=last, least=APART),
    }
    return agreement((r.reward, r.simulated, r.stderr) for r in rows["points"]) | {"findings": findings}, {
        "points": table
    }


EXPERIMENT = Experiment(
    name="rule_limits",
    question="What is the best that any method could do with these draws, and how far is each method from it?",
    claim="No rule on n drafts comes nearer to π than M19, none with n expected draws nearer than M36.",
    settings={
        "worlds": ("strong,weak,blind", checked_worlds),
        "instances": (3, range(1, 10_001)),
        "draws": (500, range(100, 10_000_001)),
    },
    full={"instances": 30, "draws": 20_000},
    full_minutes=14.0,
    tiny={"worlds": "size:6", "instances": 1, "draws": 100},
    cell=_Cell,
    rows={"points": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
