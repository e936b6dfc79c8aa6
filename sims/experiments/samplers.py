"""Every sampler against its exact law: schemes, methods, several drafters, channels, trees, tournaments.

A cell plays one sampler `draws` times and compares counts of outcomes and of acceptances with the exact law, as
sims.experiments.exact_vs_mc does; expected costs are compared through their means. `backend` says in what the samplers
run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import host
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Scheme, tilted_policy
from gsi_theory.laws.channel import greedy_rejection_law
from gsi_theory.laws.gate import gsi_law
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.methods import METHODS, several_drafters
from gsi_theory.steps.knockout import knockout_fail, league_fail
from gsi_theory.steps.soft_value import sequence_tilt, value_tilt
from gsi_theory.steps.stepwise import trajectory_law
from gsi_theory.steps.switching import switching_law
from gsi_theory.types import Floats
from sims.agreement import LEVEL, bonferroni_bound
from sims.experiments.exact_vs_mc import COMBINATIONS, Comparison, compare
from sims.experiments.exact_vs_mc import scheme_of as scheme_of_gate
from sims.experiments.methods import cost_z, scheme_of
from sims.sampling.generators import NumpyStream, Stream, TorchStream
from sims.sampling.method_sampler import sample_method
from sims.sampling.other_samplers import sample_astar, sample_drafters, sample_greedy, sample_knockout, sample_league
from sims.sampling.sampler import sample_scheme
from sims.sampling.tree_sampler import method_player, sample_stepwise, sample_switching, sample_transfer
from sims.worlds import World, checked_worlds, instances_of, world_tree

__all__ = ["CLAIM", "COLUMNS", "FULL", "FULL_MINUTES", "QUESTION", "SETTINGS", "collect", "plan", "stream_of", "work"]

QUESTION = "Does every sampler play the exact law of its method?"
CLAIM = "The laws of all methods (M2)-(M9), (M20)-(M27), and of stepwise methods on trees, are what the samplers do."
BACKENDS = ("numpy", "torch", "cuda")


def _one_backend(value: Any, place: str) -> str:
    if value not in BACKENDS:
        raise InputError(f"{place} = {value!r}{nearest(value, BACKENDS)}: give one of {', '.join(BACKENDS)}")
    return str(value)


SETTINGS: dict[str, tuple[Any, Any]] = {
    "draws": (10_000, range(1000, 1_000_000_001)),
    "worlds": ("medium,one_answer", checked_worlds),
    "backend": ("numpy", _one_backend),
}
FULL: dict[str, Any] = {"draws": 1_000_000, "worlds": "strong,medium,weak,one_answer,lucky,outliers"}
FULL_MINUTES = 3.8
BETA = 5.0
NS = (1, 4, 16)
TREES = {
    "three steps": World(coverage=5.0, depth=3, size=4),
    "weak draft": World(coverage=100.0, correlation=0.5, depth=2, size=6),
    "right or wrong": World(coverage=10.0, correlation=-0.5, good=1, depth=2, size=4),
}
# Step rewards are at most 1/depth: a threshold in their middle, a switch above it, so that some drafts pass the one and
# not the other, and a β that tells rewards apart.
TREE_CUT, TREE_SWITCH, TREE_BETA = 0.2, 0.3, 10.0
STEPWISE = ("gsi", "gsi_race", "gsi_ungated", "gsi_score_gate", "soft_bon_base", "rsd", "expgsi_early_exit")
# (tournament, P(correct), P(the right one wins a comparison), comparisons a pair)
TOURNAMENTS = {
    f"{kind}, p {p:g}, right {right:g}, {k} comparisons": (kind, p, right, k)
    for kind in ("knockout", "league") for p, right in ((0.3, 0.7), (0.6, 0.9)) for k in (1, 4)
}  # fmt: skip
ENTRANTS = (3, 8)
COSTS = ("draft_samples", "base_samples", "base_scored", "draft_scored", "reward_calls")
COLUMNS = ("kind", "world", "method", "n", "draws", "comparisons", "max_abs_z", "backend")

Job = tuple[Any, ...]


def stream_of(backend: str, seed: int, cell: int) -> Stream:
    """The stream (seed, cell) of a backend: numpy, torch (CPU) or cuda. InputError where this machine lacks it."""
    if backend == "numpy":
        return NumpyStream(np.random.default_rng([seed, 40, cell]))
    state = int(np.random.SeedSequence([seed, 40, cell]).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return TorchStream(state, "cpu" if backend == "torch" else "cuda")


def _plain(prob: Floats, outcomes: Any) -> Comparison:
    return compare(prob, None, host(outcomes), np.ones(1, dtype=bool))


def _method(seed: int, world: str, key: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    instance, method = instances_of(world, [seed])[0], METHODS[key]
    scheme = scheme_of(method, instance, n, BETA)
    law, played = method.law(instance, scheme), sample_method(key, instance, scheme, draws, stream)
    found = compare(np.exp(law.log_prob), law.p_accept, host(played.outcome), host(played.accepted))
    costs = [cost_z(host(getattr(played, cost)), getattr(law, cost)) for cost in COSTS]
    known = [abs(z) for z in costs if z is not None]
    return found.count + len(known), max([found.worst, *known])


def _drafters(seed: int, world: str, way: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    instance = instances_of(world, [seed])[0]
    allocation, rule = way.split(" ")
    target = instance.log_base + BETA * instance.reward
    half = np.arange(instance.size) < instance.size // 2
    drafters = np.stack([normalize(np.where(half == side, instance.log_draft, -np.inf)) for side in (True, False)])
    counts = (n, 2 * n)
    law = several_drafters(instance, Scheme(BETA, n), drafters, counts, rule, allocation)
    found = _plain(np.exp(law.log_prob), sample_drafters(target, drafters, counts, rule, allocation, draws, stream))
    return found.count, found.worst


def _channel(seed: int, world: str, way: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    instance = instances_of(world, [seed])[0]
    pi, draft = tilted_policy(instance, BETA), instance.log_draft
    if way == "A*":
        found = _plain(np.exp(selection_law(draft, pi - draft, n, "race").log_prob),
                       sample_astar(pi, draft, n, draws, stream))  # fmt: skip
    else:
        found = _plain(np.exp(greedy_rejection_law(pi, draft, n).log_prob), sample_greedy(pi, draft, n, draws, stream))
    return found.count, found.worst


def _scheme(seed: int, world: str, way: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    instance = instances_of(world, [seed])[0]
    rule, gate = way.split(", gate ")
    scheme = scheme_of_gate(instance, rule, gate, n, BETA)
    law, (outcomes, accepted) = gsi_law(instance, scheme), sample_scheme(instance, scheme, draws, stream)
    gated = scheme.threshold is not None
    found = compare(np.exp(law.log_prob), law.p_accept if gated else None, host(outcomes), host(accepted))
    return found.count, found.worst


def _tree(seed: int, world: str, way: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    tree = world_tree(TREES[world], [seed])
    scheme, reward = Scheme(TREE_BETA, n, TREE_CUT), tree.total_reward
    if way.startswith("switching"):
        start = way.split(" ")[1]
        prob = np.exp(switching_law(tree, scheme, TREE_SWITCH, start).log_prob)
        outcomes = sample_switching(tree, scheme, TREE_SWITCH, draws, stream, start)[0]
    elif way == "transfer Q*":
        prob = np.exp(value_tilt(sequence_tilt(tree, 2.0), TREE_BETA).log_prob)
        outcomes = sample_transfer(tree, 2.0, TREE_BETA, reward, draws, stream)
    else:
        scheme = scheme if METHODS[way].threshold == "tilted_reward" else Scheme(TREE_BETA, n)
        prob = np.exp(trajectory_law(tree, lambda i: METHODS[way].law(i, scheme).log_prob).log_prob)
        outcomes = sample_stepwise(tree, method_player(way, scheme), draws, stream)
    found = _plain(prob, outcomes)
    return found.count, found.worst


def _tournament(seed: int, _: str, way: str, n: int, draws: int, stream: Stream) -> tuple[int, float]:
    kind, p, right, k = TOURNAMENTS[way]
    play, law = (sample_knockout, knockout_fail) if kind == "knockout" else (sample_league, league_fail)
    fail = float(law(p, right, n, k))
    lost = host(play(p, right, n, k, draws, stream)).astype(np.int64)
    found = _plain(np.array([1.0 - fail, fail]), lost)
    return found.count, found.worst


_PLAYED: dict[str, Callable[..., tuple[int, float]]] = {
    "scheme": _scheme, "method": _method, "drafters": _drafters, "channel": _channel, "tree": _tree,
    "tournament": _tournament,
}  # fmt: skip
_WAYS: dict[str, tuple[str, ...]] = {
    "scheme": tuple(f"{rule}, gate {gate}" for rule, gate in COMBINATIONS),
    "method": tuple(key for key, method in METHODS.items() if method.pair_alone),
    "drafters": tuple(f"{a} {r}" for a in ("fixed", "random") for r in ("softmax", "race")),
    "channel": ("A*", "greedy rejection"),
}


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """One job a cell with its own stream (seed, cell)."""
    draws, backend = settings["draws"], settings["backend"]
    cells: list[tuple[str, str, str, int]] = [
        (kind, world, way, n)
        for world in settings["worlds"]
        for kind, ways in _WAYS.items()
        for way in ways
        for n in NS
    ]
    tree_ways = (*STEPWISE, "switching base", "switching draft", "transfer Q*")
    cells += [("tree", tree, way, n) for tree in TREES for way in tree_ways for n in (1, 4)]
    cells += [("tournament", "tournament", way, n) for way in TOURNAMENTS for n in ENTRANTS]
    return [(kind, seed, i, world, way, n, draws, backend) for i, (kind, world, way, n) in enumerate(cells)]


def work(job: Job) -> tuple[Any, ...]:
    """One row: number of comparisons and largest |z| of one cell."""
    kind, seed, cell, world, way, n, draws, backend = job
    count, worst = _PLAYED[kind](seed, world, way, n, draws, stream_of(backend, seed, cell))
    return kind, world, way, n, draws, count, worst, backend


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Sequence[Sequence[Any]]]]]:
    """The table `cells`; summary: largest |z| against the Bonferroni bound at LEVEL over all comparisons."""
    comparisons, worst = sum(r[5] for r in results), max(r[6] for r in results)
    bound = bonferroni_bound(LEVEL, comparisons)
    summary = {"worst_abs_z": worst, "bonferroni_bound": bound, "comparisons": comparisons, "level": LEVEL,
               "draws_per_cell": settings["draws"], "passed": worst <= bound}  # fmt: skip
    return summary, {"cells": (COLUMNS, results)}
