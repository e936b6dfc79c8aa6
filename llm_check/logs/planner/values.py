"""Expected value and rejection of every scheme of a grid at every position of a pool.

Two estimators. `unbiased` (M31): averages over all subsets of the pool, for draft and base; since the two sets are
independent, accepted part + P(reject) · fallback is unbiased too. `plug-in` (M30): laws on the pool with replacement,
for pools whose size makes the first too slow; their first-order bias, θ - (θ_even + θ_odd)/2 from the two half pools,
varies so little that some positions tell its mean. What is returned is one number a scheme and position, so that
differences between schemes can be judged over positions, in pairs. Shapes: S options, V values, P positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory.estimate import checked_pool, curves
from gsi_theory.instance import tilted_rewards
from gsi_theory.laws.selection_law import score_gated_law, selection_law
from gsi_theory.rules.table import rule_named
from gsi_theory.samples.gated_estimate import gated_rows, gated_value
from gsi_theory.types import Floats
from llm_check.logs.planner.scheme_grid import Grid, Option
from llm_check.logs.pools.position_arrays import PositionArrays, PositionBlock

__all__ = ["ESTIMATORS", "Sets", "Values", "evaluate", "half_pool_shift", "sets_of"]

_CELLS = 1 << 22  # numbers of a law held at once


@dataclass(frozen=True)
class Sets:
    """Candidates of positions with equal counts: log-ratio and reward (P, N) of the draft, reward (P, N_B) of the base,
    values (V, P, N) and (V, P, N_B)."""

    log_ratio: Floats
    reward: Floats
    base_reward: Floats
    values: Floats
    base_values: Floats

    def at(self, rows: NDArray[np.integer]) -> Sets:
        """Some of the positions."""
        return Sets(
            self.log_ratio[rows],
            self.reward[rows],
            self.base_reward[rows],
            self.values[:, rows],
            self.base_values[:, rows],
        )

    def pick(self, draft: slice | NDArray[np.integer], base: slice | NDArray[np.integer]) -> Sets:
        """The same positions with fewer candidates."""
        return Sets(
            self.log_ratio[:, draft],
            self.reward[:, draft],
            self.base_reward[:, base],
            self.values[..., draft],
            self.base_values[..., base],
        )


@dataclass(frozen=True)
class Values:
    """value (V, S, P) expected values; reject (S, P) probability of the fallback (1 where only the base draws)."""

    value: Floats
    reject: Floats


def sets_of(arrays: PositionArrays, block: PositionBlock, names: Sequence[str]) -> Sets:
    """The candidates of one block, with the columns `names` as values."""
    ratio, reward = arrays.log_ratio, arrays.floats("reward")
    columns = [arrays.floats(name) for name in names]
    return Sets(
        ratio[block.draft],
        reward[block.draft],
        reward[block.base],
        np.stack([c[block.draft] for c in columns]),
        np.stack([c[block.base] for c in columns]),
    )


def _law_means(values: Floats, log_weight: Floats, ns: Sequence[int], rule: str) -> Floats:
    """(F, P, M) means of values (F, P, N) over winners among n with replacement (M30)."""
    features, positions, size = values.shape
    fast = rule_named(rule).pool_means
    means = fast(values, log_weight, np.array(ns), np.zeros(0)) if fast else None
    if means is not None:
        return means[0]
    out = np.empty((features, positions, len(ns)))
    step = max(1, _CELLS // (len(ns) * size))
    for at in range(0, positions, step):
        part = log_weight[at : at + step, None, :]
        mass = np.full_like(part, -np.log(size))
        law = np.exp(selection_law(mass, part, np.array(ns), rule).log_prob)
        out[:, at : at + step] = np.einsum("pmn,fpn->fpm", law, values[:, at : at + step], optimize=True)
    return out


def _subset_means(values: Floats, log_weight: Floats, ns: Sequence[int], rule: str) -> Floats:
    """(F, P, M) means over all subsets of n (M31)."""
    rows = [curves(checked_pool(values[:, p], log_weight[p], ns, rule)) for p in range(log_weight.shape[0])]
    return np.stack(rows, axis=1)


def _law_scored(values: Floats, log_weight: Floats, ns: Sequence[int], log_cuts: Floats, rule: str) -> Floats:
    """(U, F, P, M) accepted parts under the score gate (M9), with replacement."""
    positions, size = log_weight.shape
    fast = rule_named(rule).pool_means
    means = fast(values, log_weight, np.array(ns), log_cuts) if fast else None
    if means is not None:
        return means[1:]
    mass = np.full((positions, size), -np.log(size))
    out = np.empty((log_cuts.size, values.shape[0], positions, len(ns)))
    for u, cut in enumerate(log_cuts.tolist()):
        for m, n in enumerate(ns):
            accepted = score_gated_law(mass, log_weight, n, cut, rule).log_accepted
            out[u, :, :, m] = np.einsum("pn,fpn->fp", np.exp(accepted), values)
    return out


def _subset_scored(values: Floats, log_weight: Floats, ns: Sequence[int], log_cuts: Floats, rule: str) -> Floats:
    """(U, F, P, M) accepted parts under the score gate over all subsets."""
    rows = [
        [curves(checked_pool(values[:, p], log_weight[p], ns, rule, cut)) for p in range(log_weight.shape[0])]
        for cut in log_cuts.tolist()
    ]
    return np.stack([np.stack(row, axis=1) for row in rows])


ESTIMATORS: dict[str, tuple[Callable[..., Floats], Callable[..., Floats]]] = {
    "unbiased": (_subset_means, _subset_scored),
    "plug-in": (_law_means, _law_scored),
}


def _accepted(sets: Sets, grid: Grid, rule: str, beta: float, estimator: str) -> dict[tuple[str, float | None], Floats]:
    """Accepted parts (V + 1, P, M) of each gate and threshold; the last row is P(accept)."""
    means, scored = ESTIMATORS[estimator]
    weight = beta * sets.reward + sets.log_ratio
    cuts: list[float | None] = [None, *grid.tilted[beta]]
    tilt = tilted_rewards(sets.reward, sets.log_ratio, beta)
    kept = np.stack([np.ones(tilt.shape, dtype=np.bool_) if u is None else tilt >= u for u in cuts])
    rows = gated_rows(sets.values, kept)
    result = means(rows.reshape(-1, *tilt.shape), weight, grid.ns, rule)
    parts = result.reshape(*rows.shape[:2], *result.shape[1:])
    found = {("none" if u is None else "tilted_reward", u): part for u, part in zip(cuts, parts, strict=True)}
    if rule_named(rule).score_gate:
        gated = scored(rows[0], weight, grid.ns, beta * np.array(grid.score[beta]), rule)
        found.update({("score", u): part for u, part in zip(grid.score[beta], gated, strict=True)})
    return found


def _by_rewards(sets: Sets, grid: Grid, option: Option, estimator: str) -> tuple[Floats, Floats | float]:
    """(values (V, P, M), P(reject) (P,)) of a method that reads rewards alone: M over n of the grid, 1 for RSD."""
    base = option.on_base
    values, reward = (sets.base_values, sets.base_reward) if base else (sets.values, sets.reward)
    if option.threshold is not None:  # RSD: a draft below u is replaced by one base draw (M21)
        kept = gated_rows(values, (reward >= option.threshold)[None])[0].mean(axis=-1, keepdims=True)
        fallback = sets.base_values.mean(axis=-1, keepdims=True)
        value, rest = kept[:-1] + (1.0 - kept[-1]) * fallback, 1.0 - kept[-1, :, 0]
        return value, rest
    weight = reward if option.record.weight == "best" else option.beta * reward
    return ESTIMATORS[estimator][0](values, weight, grid.ns, option.rule), float(base)


def evaluate(sets: Sets, grid: Grid, options: Sequence[Option], estimator: str) -> Values:
    """Values of all options at the positions of `sets`, by an estimator of ESTIMATORS."""
    means = ESTIMATORS[estimator][0]
    counts = sorted({b for n in grid.ns for b in grid.base_counts(n)})
    at_n = {n: m for m, n in enumerate(grid.ns)}
    at_base = {b: m for m, b in enumerate(counts)}
    size = sets.values.shape[0], len(options), sets.reward.shape[0]
    value, reject = np.empty(size), np.empty(size[1:])
    ratios: dict[tuple[str, float], list[int]] = {}
    rewards: dict[tuple[str, float, float | None], list[int]] = {}
    for s, option in enumerate(options):
        if option.weighs_ratio:
            ratios.setdefault((option.rule, option.beta), []).append(s)
        else:
            rewards.setdefault((option.method, option.beta, option.threshold), []).append(s)
    for (rule, beta), members in ratios.items():
        accepted = _accepted(sets, grid, rule, beta, estimator)
        fallback = means(sets.base_values, beta * sets.base_reward, counts, rule)
        for s in members:
            option = options[s]
            part = accepted[option.gate, option.threshold][:, :, at_n[option.n]]
            if option.threshold is None:
                value[:, s], reject[s] = part[:-1], 0.0
                continue
            value[:, s], rest = gated_value(part, fallback[:, :, at_base[option.n_base]])
            reject[s] = rest[0]
    for members in rewards.values():
        parts, missed = _by_rewards(sets, grid, options[members[0]], estimator)
        for s in members:
            value[:, s], reject[s] = parts[:, :, at_n[options[s].n] if parts.shape[2] > 1 else 0], missed
    return Values(value, reject)


def half_pool_shift(sets: Sets, grid: Grid, options: Sequence[Option], whole: Values) -> Values:
    """What takes the first-order bias off plug-in values `whole` of these positions: θ - (θ_even + θ_odd)/2."""
    halves = [evaluate(sets.pick(slice(k, None, 2), slice(k, None, 2)), grid, options, "plug-in") for k in (0, 1)]
    return Values(
        whole.value - 0.5 * (halves[0].value + halves[1].value),
        whole.reject - 0.5 * (halves[0].reject + halves[1].reject),
    )
