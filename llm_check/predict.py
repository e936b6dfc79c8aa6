"""Prediction from a pool (M30): expected reward and acceptance of every scheme, with standard errors.

A pool's candidates are a weighted set of mass 1/N, so the exact law of a scheme on them is a prediction for fresh runs.
Its bias is O(1/N); the grouped jackknife removes the first order and gives the standard error. Candidates are dealt
into G groups by their number, group g of the draft and of the base are left out together (they are independent, so
their variances add), and with θ all candidates' value and θ_g the value without group g

    value = G θ − (G − 1) mean θ_g,      stderr² = (G − 1)/G Σ (θ_g − mean θ_g)².

No torch here: this works on a pool file from any engine.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Candidates, Scheme
from gsi_theory.errors import InputError
from gsi_theory.gate import gsi_laws
from llm_check.pool import Pool

__all__ = ["GROUPS", "Prediction", "merge_equal", "plug_in", "predict_pool", "predict_position", "scheme_grid"]

GROUPS = 20


@dataclass(frozen=True)
class Prediction:
    """Predicted mean reward and acceptance of one scheme at one position, each with its standard error."""

    prompt_id: str
    step: int
    scheme: Scheme
    reward: float
    reward_se: float
    p_accept: float
    p_accept_se: float


def scheme_grid(
    betas: Sequence[float], ns: Sequence[int], rules: Sequence[str], threshold: float | None
) -> list[Scheme]:
    """Every rule × β × n: without a gate and, with `threshold`, with the tilted-reward gate; race also score-gated."""
    grid = []
    for rule in rules:
        for beta in betas:
            for n in ns:
                grid.append(Scheme(beta, n, None, rule))
                if threshold is not None:
                    grid.append(Scheme(beta, n, threshold, rule))
                    if rule == "race":
                        grid.append(Scheme(beta, n, threshold, rule, gate="score"))
    return grid


def merge_equal(candidates: Candidates) -> Candidates:
    """The same weighted set with candidates of equal reward and log-ratio merged: the law of values is unchanged."""
    keys, index = np.unique(np.stack([candidates.reward, candidates.log_ratio]), axis=1, return_inverse=True)
    mass = np.bincount(index.ravel(), weights=np.exp(candidates.log_mass))
    return Candidates(np.log(mass / mass.sum()), keys[0], keys[1])


def plug_in(draft: Candidates, base: Candidates, schemes: Sequence[Scheme]) -> NDArray[np.float64]:
    """(S, 3): expected reward, p_accept and standard deviation of the reward, by the exact law (M6, M9)."""
    rows = []
    for law in gsi_laws((draft, base), schemes):
        mean = law.expectation(draft.reward, base.reward)
        variance = law.expectation((draft.reward - mean) ** 2, (base.reward - mean) ** 2)
        rows.append((mean, law.p_accept, np.sqrt(max(variance, 0.0))))
    return np.array(rows)


def _without(candidates: Candidates, group: int, groups: int) -> Candidates:
    kept = np.arange(candidates.reward.size) % groups != group
    mass = np.full(int(kept.sum()), -np.log(kept.sum()))
    return Candidates(mass, candidates.reward[kept], candidates.log_ratio[kept])


def predict_position(
    draft: Candidates,
    base: Candidates,
    schemes: Sequence[Scheme],
    groups: int = GROUPS,
    tick: Callable[[], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(values (S, 2), standard errors (S, 2)) of expected reward and p_accept, jackknifed; reward's deviation (S,).

    The last is the standard deviation of one run's reward under the plug-in law, for planning or judging fresh runs.

    `tick` is called groups + 1 times, after each set of candidates.
    Raises InputError when a set has fewer than 2·groups candidates: the jackknife would be noise.
    """
    smallest = min(draft.reward.size, base.reward.size)
    if smallest < 2 * groups:
        raise InputError(f"{smallest} candidates at a position: a prediction needs {2 * groups} of each source")
    sets = [(draft, base)] + [(_without(draft, g, groups), _without(base, g, groups)) for g in range(groups)]
    whole, *parts = (_ticked(plug_in(merge_equal(d), merge_equal(b), schemes), tick) for d, b in sets)
    left_out = np.array(parts)[:, :, :2]
    mean = left_out.mean(axis=0)
    values = groups * whole[:, :2] - (groups - 1) * mean
    values[:, 1] = np.clip(values[:, 1], 0.0, 1.0)
    return values, np.sqrt((groups - 1) / groups * ((left_out - mean) ** 2).sum(axis=0)), whole[:, 2]


def _ticked(value: NDArray[np.float64], tick: Callable[[], None] | None) -> NDArray[np.float64]:
    if tick is not None:
        tick()
    return value


def predict_pool(
    pool: Pool, schemes: Sequence[Scheme], progress: Callable[[int, int], None] | None = None
) -> list[Prediction]:
    """Predictions of every scheme at every position of a pool, in the pool's order."""
    keys = pool.keys()
    found: list[Prediction] = []
    done = itertools.count(1)

    def tick() -> None:
        if progress is not None:
            progress(next(done), len(keys) * (GROUPS + 1))

    for prompt_id, step in keys:
        draft, base = pool.draft_candidates(prompt_id, step), pool.base_candidates(prompt_id, step)
        values, errors, _ = predict_position(draft, base, schemes, tick=tick)
        for scheme, value, error in zip(schemes, values, errors, strict=True):
            found.append(Prediction(prompt_id, step, scheme, value[0], error[0], value[1], error[1]))
    return found
