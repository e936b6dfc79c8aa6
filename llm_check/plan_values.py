"""Expected value and rejection of every scheme of a grid at every position of a pool.

Two estimators. `unbiased` (M31): averages over all subsets of the pool, for draft and base; since the two sets are
independent, accepted part + P(reject) · fallback is unbiased too. `plug_in` (M30): laws on the pool with replacement,
the first-order bias taken off by the two half pools, value = 2 θ - (θ_even + θ_odd)/2; for pools whose size makes the
first too slow. What is returned is one number a scheme and position, so that differences between schemes can be judged
over positions, in pairs. Shapes: S options, V values, P positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory.estimate import checked_pool, curves
from gsi_theory.law import score_gated_race, selection_law
from llm_check.plan_grid import Grid, Option
from llm_check.position_arrays import Block, PositionArrays

__all__ = ["ESTIMATORS", "Sets", "Values", "evaluate", "sets_of"]

Floats = NDArray[np.float64]
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
    """value (V, S, P) expected values; reject (S, P) probability of the fallback (1 for soft best-of-n on the base)."""

    value: Floats
    reject: Floats


def sets_of(arrays: PositionArrays, block: Block, names: Sequence[str]) -> Sets:
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


@dataclass(frozen=True)
class _Parts:
    """accepted (V + 1, P, M) for one rule, β and threshold: accepted part of each value and of 1."""

    accepted: Floats


Winner = Callable[[Floats, Floats, Sequence[int], str], Floats]


def _law_means(values: Floats, log_weight: Floats, ns: Sequence[int], rule: str) -> Floats:
    """(F, P, M) means of values (F, P, N) over winners among n with replacement (M30)."""
    features, positions, size = values.shape
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


def _law_scored(values: Floats, log_weight: Floats, ns: Sequence[int], log_cut: float) -> Floats:
    """(F, P, M) accepted parts under the score gate (M9), with replacement."""
    positions, size = log_weight.shape
    mass = np.full((positions, size), -np.log(size))
    out = np.empty((values.shape[0], positions, len(ns)))
    for m, n in enumerate(ns):
        accepted, _ = score_gated_race(mass, log_weight, n, log_cut)
        out[:, :, m] = np.einsum("pn,fpn->fp", np.exp(accepted), values)
    return out


def _subset_scored(values: Floats, log_weight: Floats, ns: Sequence[int], log_cut: float) -> Floats:
    """(F, P, M) accepted parts under the score gate over all subsets."""
    rows = [curves(checked_pool(values[:, p], log_weight[p], ns, "race", log_cut)) for p in range(log_weight.shape[0])]
    return np.stack(rows, axis=1)


ESTIMATORS: dict[str, tuple[Callable[..., Floats], Callable[..., Floats]]] = {
    "unbiased": (_subset_means, _subset_scored),
    "plug-in": (_law_means, _law_scored),
}


def _accepted(sets: Sets, grid: Grid, rule: str, beta: float, estimator: str) -> dict[tuple[str, float | None], Floats]:
    """Accepted parts (V + 1, P, M) of each gate and threshold; the last row is P(accept)."""
    means, scored = ESTIMATORS[estimator]
    weight = beta * sets.reward + sets.log_ratio
    with_one = np.concatenate([sets.values, np.ones((1, *sets.reward.shape))])
    cuts: list[float | None] = [None, *grid.tilted[beta]]
    tilt = sets.reward + sets.log_ratio / beta
    kept = [np.ones_like(tilt) if u is None else (tilt >= u).astype(np.float64) for u in cuts]
    stacked = np.concatenate([with_one * k for k in kept])
    result = means(stacked, weight, grid.ns, rule)
    rows = with_one.shape[0]
    found: dict[tuple[str, float | None], Floats] = {}
    for k, u in enumerate(cuts):
        found["none" if u is None else "tilted_reward", u] = result[k * rows : (k + 1) * rows]
    if rule == "race":
        for u in grid.score[beta]:
            found["score", u] = scored(with_one, weight, grid.ns, beta * u)
    return found


def _once(sets: Sets, grid: Grid, options: Sequence[Option], estimator: str) -> Values:
    """Values of all options at the positions of `sets`, without bias correction."""
    means = ESTIMATORS[estimator][0]
    counts = sorted({b for n in grid.ns for b in grid.base_counts(n)})
    at_n = {n: m for m, n in enumerate(grid.ns)}
    at_base = {b: m for m, b in enumerate(counts)}
    size = sets.values.shape[0], len(options), sets.reward.shape[0]
    value, reject = np.empty(size), np.empty(size[1:])
    for rule in grid.rules:
        for beta in grid.betas:
            accepted = _accepted(sets, grid, rule, beta, estimator)
            fallback = means(sets.base_values, beta * sets.base_reward, counts, rule)
            for s, option in enumerate(options):
                if (option.rule, option.beta) != (rule, beta):
                    continue
                if option.method == "base":
                    value[:, s], reject[s] = fallback[:, :, at_base[option.n]], 1.0
                    continue
                part = accepted[option.gate, option.threshold][:, :, at_n[option.n]]
                if option.threshold is None:
                    value[:, s], reject[s] = part[:-1], 0.0
                    continue
                reject[s] = np.clip(1.0 - part[-1], 0.0, 1.0)
                value[:, s] = part[:-1] + reject[s] * fallback[:, :, at_base[option.n_base]]
    return Values(value, reject)


def evaluate(sets: Sets, grid: Grid, options: Sequence[Option], estimator: str) -> Values:
    """Values of all options by an estimator of ESTIMATORS; "plug-in" with its half-pool correction."""
    whole = _once(sets, grid, options, estimator)
    if estimator == "unbiased":
        return whole
    halves = [_once(sets.pick(slice(k, None, 2), slice(k, None, 2)), grid, options, estimator) for k in (0, 1)]
    value = 2.0 * whole.value - 0.5 * (halves[0].value + halves[1].value)
    reject = np.clip(2.0 * whole.reject - 0.5 * (halves[0].reject + halves[1].reject), 0.0, 1.0)
    return Values(value, reject)
