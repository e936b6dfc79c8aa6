"""Monte Carlo sampler of every scheme, vectorized in NumPy.

It plays the scheme as written (M2)-(M6), (M9): draw n candidates from the draft, give each the score log w - log T,
take the largest, ask the gate, and on rejection draw n_base candidates from the base. Apart from the tilt
(`log_weight`, `tilted_reward`) it shares no code with the exact law, so that the two check each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsi_theory.instance import Instance, Scheme, log_weight, tilted_reward
from gsi_theory.law import as_count
from gsi_theory.logscale import Array

__all__ = ["sample_scheme"]

Indices = NDArray[np.int64]


def _alias_table(log_mass: Array) -> tuple[Array, Indices, Indices]:
    """Walker's alias table of the support: (share kept by its own column, outcome of each column, its alias)."""
    support = np.flatnonzero(np.isfinite(log_mass))
    mass = np.exp(log_mass[support])
    share = mass / mass.sum() * support.size
    alias = np.arange(support.size)
    small = np.flatnonzero(share < 1.0).tolist()
    large = np.flatnonzero(share >= 1.0).tolist()
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        share[high] -= 1.0 - share[low]
        if share[high] < 1.0:
            small.append(large.pop())
    # What is left is 1 up to rounding.
    share[small + large] = 1.0
    return share, support, support[alias]


def _draw(table: tuple[Array, Indices, Indices], shape: tuple[int, int], rng: np.random.Generator) -> Indices:
    """Outcomes of the given shape, iid from the table's law; one uniform gives the column and the coin."""
    share, outcome, alias = table
    place = rng.random(shape) * share.size
    column = place.astype(np.int64)
    return np.where(place - column < share[column], outcome[column], alias[column])


def _scores(weight: Array, rule: str, rng: np.random.Generator) -> Array:
    """log w - log T: T ~ Exp(1) (softmax), T ~ Uniform(0, 1), so that -log T ~ Exp(1) (race), or T constant (max)."""
    if rule == "softmax":
        return weight - np.log(rng.standard_exponential(weight.shape))
    if rule == "race":
        return weight + rng.standard_exponential(weight.shape)
    return weight


def _winners(
    table: tuple[Array, Indices, Indices],
    weight: Array,
    n: int,
    rule: str,
    rounds: int,
    rng: np.random.Generator,
    chunk: int,
) -> tuple[Indices, Array]:
    """Winner among n draws and its log-score, each (rounds,); at most about `chunk` candidates are held at a time.

    Ties go to the first position. Positions are exchangeable, so that is a position chosen uniformly among the tied.
    """
    winner, best = np.empty(rounds, dtype=np.int64), np.full(rounds, -np.inf)
    rows = max(1, chunk // n)
    for start in range(0, rounds, rows):
        part = slice(start, min(start + rows, rounds))
        count = part.stop - part.start
        for done in range(0, n, chunk):
            drawn = _draw(table, (count, min(chunk, n - done)), rng)
            score = _scores(weight[drawn], rule, rng)
            at = score.argmax(axis=1)[:, None]
            top, chosen = np.take_along_axis(score, at, 1)[:, 0], np.take_along_axis(drawn, at, 1)[:, 0]
            better = (top > best[part]) | (done == 0)
            winner[part] = np.where(better, chosen, winner[part])
            best[part] = np.where(better, top, best[part])
    return winner, best


def sample_scheme(
    instance: Instance, scheme: Scheme, draws: int, rng: np.random.Generator, chunk: int = 1 << 16
) -> tuple[Indices, NDArray[np.bool_]]:
    """Play `scheme` on `instance` independently `draws` times: (outcome (draws,), accepted (draws,)).

    Without a threshold every round is accepted. `chunk` bounds the candidates held at once (memory), and is part of
    what fixes the stream. Raises InputError unless draws and chunk are whole numbers ≥ 1.
    """
    draws, chunk = as_count(draws, "draws"), as_count(chunk, "chunk")
    draft, base = instance.draft_candidates(), instance.base_candidates()
    weight = log_weight(draft, scheme.beta)
    outcome, score = _winners(_alias_table(draft.log_mass), weight, scheme.n, scheme.rule, draws, rng, chunk)
    if scheme.threshold is None:
        return outcome, np.ones(draws, dtype=bool)
    if scheme.gate == "score":
        # The threshold is in reward units, the score in nats; an infinite threshold stays infinite at beta = 0.
        cut = scheme.beta * scheme.threshold if np.isfinite(scheme.threshold) else scheme.threshold
        accepted = score >= cut
    else:
        accepted = tilted_reward(draft, scheme.beta)[outcome] >= scheme.threshold
    rejected = np.flatnonzero(~accepted)
    if rejected.size:
        table, weight = _alias_table(base.log_mass), scheme.beta * base.reward
        outcome[rejected] = _winners(table, weight, scheme.base_draws, scheme.rule, rejected.size, rng, chunk)[0]
    return outcome, accepted
