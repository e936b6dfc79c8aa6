"""Every sampler against its exact law: schemes, methods, several drafters, channels, trees, tournaments.

A cell plays one sampler `draws` times and compares counts of outcomes and of acceptances with the exact law
(sims/agreement.py); expected costs are compared through their means. `backend` says in what the samplers run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import host
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Instance, Scheme, tilted_policy
from gsi_theory.laws.channel import greedy_rejection_law
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.methods import METHODS, several_drafters
from gsi_theory.steps.knockout import knockout_fail, league_fail
from gsi_theory.steps.soft_value import sequence_tilt, value_tilt
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.switching import switching_law
from gsi_theory.types import Array, Floats
from sims.agreement import Comparison, compare, cost_z, within_bound
from sims.experiment_record import Collected, Experiment, Rows, Run, Settings, everywhere
from sims.instance_families import COMBINATIONS, method_scheme, usual_scheme
from sims.sampling.generators import NumpyStream, Stream, TorchStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.other_samplers import sample_astar, sample_drafters, sample_greedy, sample_knockout, sample_league
from sims.sampling.sampler import sample_scheme
from sims.sampling.tree_sampler import method_player, sample_stepwise, sample_switching, sample_transfer
from sims.worlds import KnobWorld, checked_worlds, instance_of, world_tree

BACKENDS = ("numpy", "torch", "cuda")
BETA = 5.0
NS = (1, 4, 16)
TREES = {
    "three steps": KnobWorld(coverage=5.0, depth=3, size=4),
    "weak draft": KnobWorld(coverage=100.0, correlation=0.5, depth=2, size=6),
    "right or wrong": KnobWorld(coverage=10.0, correlation=-0.5, good=1, depth=2, size=4),
}
# Step rewards are at most 1/depth: a threshold in their middle, a switch above it, so that some drafts pass the one and
# not the other, and a β that tells rewards apart.
TREE_CUT, TREE_SWITCH, TREE_BETA = 0.2, 0.3, 10.0
STEPWISE = ("gsi", "gsi_race", "gsi_ungated", "gsi_score_gate", "soft_bon_base", "rsd", "expgsi_early_exit")
# (tournament, P(correct), P(the right one wins a comparison), comparisons a pair)
TOURNAMENTS = {
    f"{kind}, p {p:g}, right {right:g}, {k} comparisons": (kind, p, right, k)
    for kind, (p, right), k in product(("knockout", "league"), ((0.3, 0.7), (0.6, 0.9)), (1, 4))
}
ENTRANTS = (3, 8)
COSTS = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")


class _Cell(NamedTuple):
    kind: str
    world: str
    method: str
    n: int


class _Row(NamedTuple):
    kind: str
    world: str
    method: str
    n: int
    draws: int
    comparisons: int
    max_abs_z: float
    backend: str


def _one_backend(value: object, place: str) -> str:
    if value not in BACKENDS:
        raise InputError(f"{place} = {value!r}{nearest(value, BACKENDS)}: give one of {', '.join(BACKENDS)}")
    return str(value)


def stream_of(backend: str, seed: int, cell: int) -> Stream:
    """The stream (seed, cell) of a backend: numpy, torch (CPU) or cuda. InputError where this machine lacks it."""
    if backend == "numpy":
        return NumpyStream(np.random.default_rng([seed, 40, cell]))
    state = int(np.random.SeedSequence([seed, 40, cell]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return TorchStream(state, "cpu" if backend == "torch" else "cuda")


def _plain(prob: Floats, outcomes: Array) -> list[Comparison]:
    return [compare(prob, None, host(outcomes), np.ones(1, dtype=bool))]


def _method(instance: Instance, key: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    scheme = method_scheme(key, instance, BETA, n)
    law, played = METHODS[key].law(instance, scheme), sample_method(key, instance, scheme, draws, stream)
    costs = [cost_z(host(getattr(played, cost)), getattr(law, cost)) for cost in COSTS]
    return [
        compare(np.exp(law.log_prob), law.p_accept, host(played.outcome), host(played.accepted)),
        *(Comparison(np.array([z]), None, 0.0) for z in costs if z is not None),
    ]


def _drafters(instance: Instance, way: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    allocation, rule = way.split(" ")
    target = instance.log_base + BETA * instance.reward
    half = np.arange(instance.size) < instance.size // 2
    drafters = np.stack([normalize(np.where(half == side, instance.log_draft, -np.inf)) for side in (True, False)])
    counts = (n, 2 * n)
    law = several_drafters(instance, Scheme(BETA, n), drafters, counts, rule, allocation)
    return _plain(np.exp(law.log_prob), sample_drafters(target, drafters, counts, rule, allocation, draws, stream))


def _channel(instance: Instance, way: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    pi, draft = tilted_policy(instance, BETA), instance.log_draft
    if way == "A*":
        prob = np.exp(selection_law(draft, pi - draft, n, "race").log_prob)
        return _plain(prob, sample_astar(pi, draft, n, draws, stream))
    return _plain(np.exp(greedy_rejection_law(pi, draft, n).log_prob), sample_greedy(pi, draft, n, draws, stream))


def _scheme(instance: Instance, way: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    rule, gate = way.split(", gate ")
    scheme = usual_scheme(instance, rule, gate, n, BETA)
    law, (outcomes, accepted) = gsi_law(instance, scheme), sample_scheme(instance, scheme, draws, stream)
    p_accept = law.p_accept if scheme.threshold is not None else None
    return [compare(np.exp(law.log_prob), p_accept, host(outcomes), host(accepted))]


def _tree(world: str, seed: int, way: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    tree = world_tree(TREES[world], [seed])
    scheme = Scheme(TREE_BETA, n, TREE_CUT)
    if way.startswith("switching"):
        start = way.split(" ")[1]
        law = switching_law(tree, scheme, TREE_SWITCH, start).log_prob
        outcomes = sample_switching(tree, scheme, TREE_SWITCH, draws, stream, start)[0]
    elif way == "transfer Q*":
        law = value_tilt(sequence_tilt(tree, 2.0), TREE_BETA).log_prob
        outcomes = sample_transfer(tree, 2.0, TREE_BETA, tree.total_reward, draws, stream)
    else:
        scheme = scheme if METHODS[way].threshold == "tilted_reward" else Scheme(TREE_BETA, n)
        law = trajectory_law(tree, lambda i: METHODS[way].law(i, scheme).log_prob).log_prob
        outcomes = sample_stepwise(tree, method_player(way, scheme), draws, stream)
    return _plain(np.exp(law), outcomes)


def _tournament(way: str, n: int, draws: int, stream: Stream) -> list[Comparison]:
    kind, p, right, k = TOURNAMENTS[way]
    play, law = (sample_knockout, knockout_fail) if kind == "knockout" else (sample_league, league_fail)
    fail = float(law(p, right, n, k))
    return _plain(np.array([1.0 - fail, fail]), host(play(p, right, n, k, draws, stream)).astype(np.int64))


_ON_INSTANCES: dict[str, Callable[[Instance, str, int, int, Stream], list[Comparison]]] = {
    "scheme": _scheme,
    "method": _method,
    "drafters": _drafters,
    "channel": _channel,
}
_WAYS: dict[str, tuple[str, ...]] = {
    "scheme": tuple(f"{rule}, gate {gate}" for rule, gate in COMBINATIONS),
    "method": tuple(key for key, method in METHODS.items() if method.pair_alone),
    "drafters": tuple(f"{a} {r}" for a in ("fixed", "random") for r in ("softmax", "race")),
    "channel": ("A*", "greedy rejection"),
}


def cells(settings: Settings) -> list[_Cell]:
    ways = [(kind, way) for kind, subset in _WAYS.items() for way in subset]
    made = [_Cell(kind, world, way, n) for world in settings["worlds"] for kind, way in ways for n in NS]
    tree_ways = (*STEPWISE, "switching base", "switching draft", "transfer Q*")
    made += [_Cell("tree", *cell) for cell in product(TREES, tree_ways, (1, 4))]
    return made + [_Cell("tournament", "tournament", *cell) for cell in product(TOURNAMENTS, ENTRANTS)]


def work(cell: _Cell, run: Run) -> Iterator[_Row]:
    """One row: number of comparisons and largest |z| of one cell."""
    draws, backend = run.settings["draws"], run.settings["backend"]
    played = cell.method, cell.n, draws, stream_of(backend, run.seed, run.number)
    if cell.kind == "tree":
        matches = _tree(cell.world, run.seed, *played)
    elif cell.kind == "tournament":
        matches = _tournament(*played)
    else:
        matches = _ON_INSTANCES[cell.kind](instance_of(cell.world, [run.seed]), *played)
    yield _Row(*cell, draws, sum(m.count for m in matches), max(m.worst for m in matches), backend)


def collect(rows: Rows, run: Run) -> Collected:
    """The largest |z| against the Bonferroni bound over all comparisons."""
    table = rows["cells"]
    summary = within_bound(sum(r.comparisons for r in table), max(r.max_abs_z for r in table))
    kinds = {kind: [r.max_abs_z for r in table if r.kind == kind] for kind in (*_WAYS, "tree", "tournament")}
    agree = {kind: max(z) <= summary["bonferroni_bound"] for kind, z in kinds.items() if z}
    findings = {"all_agree": everywhere(agree)}
    settings = {"draws_per_cell": run.settings["draws"], "backend": run.settings["backend"]}
    return summary | settings | {"findings": findings}, {"cells": table}


EXPERIMENT = Experiment(
    name="samplers",
    question="Does every sampler play the exact law of its method?",
    claim="The laws of all methods (M2)-(M9), (M20)-(M27), and of stepwise methods on trees, are what the samplers do.",
    settings={
        "draws": (10_000, range(1000, 1_000_000_001)),
        "worlds": ("medium,one_answer", checked_worlds),
        "backend": ("numpy", _one_backend),
    },
    full={"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,outliers"},
    full_minutes=3.8,
    tiny={"draws": 1000, "worlds": "size:6"},
    cell=_Cell,
    rows={"cells": _Row},
    cells=cells,
    work=work,
    collect=collect,
)
