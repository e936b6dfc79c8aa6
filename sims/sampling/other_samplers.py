"""Monte Carlo samplers of what works on candidates in other ways: several drafters, tournaments, channel simulation.

Played as written, in NumPy or torch, without the laws of gsi_theory.laws.drafters, .knockout, .channel and .rules.race.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gsi_theory.errors import require_name
from gsi_theory.types import Array, Floats
from sims.sampling.generators import Stream, as_stream
from sims.sampling.sampler import AliasTable, alias_table, draw, noise

__all__ = ["sample_astar", "sample_drafters", "sample_greedy", "sample_knockout", "sample_league"]

Rng = np.random.Generator | Stream


def _in_parts(stream: Stream, rounds: int, held: int, play: Callable[[int], Array]) -> Array:
    """play(how many rounds) (rounds,), as many at a time as keep `held` candidates a round within the chunk."""
    rows = max(1, stream.chunk // held)
    return stream.xp.concat([play(min(rows, rounds - start)) for start in range(0, rounds, rows)])


def _first(stream: Stream, values: Array, drawn: Array) -> Array:
    """The candidate of the largest value in each row."""
    return drawn[stream.table(np.arange(drawn.shape[0])), stream.xp.argmax(values, axis=1)]


def sample_drafters(
    log_weighted: Floats,
    log_drafters: Floats,
    counts: tuple[int, ...],
    rule: str,
    allocation: str,
    rounds: int,
    rng: Rng,
) -> Array:
    """Outcomes (rounds,) of n_j draws from each drafter, one selection by `rule` with weights π/p_mix (M20).

    log_weighted: log π up to a constant (K,). allocation "fixed", or "random": each draw picks its drafter first.
    """
    require_name(allocation, "allocation", ("fixed", "random"))
    stream = as_stream(rng)
    n = sum(counts)
    tables = [alias_table(row, stream) for row in log_drafters]
    mixed = np.exp(log_drafters).T @ (np.array(counts) / n)
    with np.errstate(divide="ignore"):
        which = alias_table(np.log(np.array(counts) / n), stream)
        weight = stream.table(log_weighted - np.where(mixed > 0, np.log(mixed), 0.0))

    def play(count: int) -> Array:
        if allocation == "fixed":
            each = [draw(table, (count, c), stream) for table, c in zip(tables, counts, strict=True) if c]
            drawn = stream.xp.concat(each, axis=1)
        else:
            drawn = _from_each(tables, draw(which, (count, n), stream), stream)
        return _first(stream, weight[drawn] + noise(rule, drawn.shape, stream), drawn)

    return _in_parts(stream, rounds, n, play)


def _from_each(tables: list[AliasTable], which: Array, stream: Stream) -> Array:
    """A draw of drafter which[...] at every place."""
    drawn = stream.xp.zeros_like(which)
    for j, table in enumerate(tables):
        drawn = stream.xp.where(which == j, draw(table, tuple(which.shape), stream), drawn)
    return drawn


def _beats(stream: Stream, a: Array, b: Array, right: float, comparisons: int) -> Array:
    """Whether the winner of a and b (correct or not) is correct: the majority of `comparisons`, a tie is a coin."""
    xp = stream.xp
    wins = xp.zeros_like(a, dtype=xp.int64)
    for _ in range(comparisons):
        wins = wins + xp.astype(stream.uniform((a.shape[0],)) < right, xp.int64)
    coin = stream.uniform((a.shape[0],)) < 0.5
    correct_wins = (2 * wins > comparisons) | ((2 * wins == comparisons) & coin)
    return xp.where(a == b, a, correct_wins)


def sample_knockout(p: float, right: float, candidates: int, comparisons: int, rounds: int, rng: Rng) -> Array:
    """Whether the winner of the knockout is incorrect, (rounds,): brackets of ⌈N/2⌉ and ⌊N/2⌋ play on (M25)."""
    stream = as_stream(rng)

    def bracket(size: int) -> Array:
        if size == 1:
            return stream.uniform((rounds,)) < p
        return _beats(stream, bracket(size - size // 2), bracket(size // 2), right, comparisons)

    return ~bracket(candidates)


def sample_league(p: float, right: float, candidates: int, comparisons: int, rounds: int, rng: Rng) -> Array:
    """Whether the league fails, (rounds,): its best share of wins belongs to, or is shared with, an incorrect one.

    Every candidate meets `comparisons` opponents drawn uniformly, with repetition, from the other N - 1 (M25).
    """
    stream = as_stream(rng)
    xp, n = stream.xp, candidates
    parts = []
    rows = max(1, (1 << 20) // (n * comparisons))
    for start in range(0, rounds, rows):
        count = min(rows, rounds - start)
        correct = stream.uniform((count, n)) < p
        if n == 1:
            parts.append(~correct[:, 0])
            continue
        wins = xp.zeros_like(correct, dtype=xp.int64)
        own, lines = stream.table(np.arange(n))[None, :], stream.table(np.arange(count))[:, None]
        for _ in range(comparisons):
            other = xp.astype(stream.uniform((count, n)) * (n - 1), xp.int64)
            other = other + xp.astype(other >= own, xp.int64)
            met = correct[lines, other]
            chance = xp.where(correct == met, 0.5, xp.where(correct, right, 1.0 - right))
            wins = wins + xp.astype(stream.uniform((count, n)) < chance, xp.int64)
        best_right = xp.max(xp.where(correct, wins, -1), axis=1)
        parts.append(best_right <= xp.max(xp.where(correct, -1, wins), axis=1))
    return xp.concat(parts)


def _arrivals(n: int, rounds: int, stream: Stream) -> Array:
    """Times (R, n) of the first n points of a Poisson process of rate 1."""
    return stream.xp.cumulative_sum(stream.exponential((rounds, n)), axis=1)


def sample_astar(log_target: Floats, log_proposal: Floats, n: int, rounds: int, rng: Rng) -> Array:
    """Outcomes (rounds,) of A* sampling stopped after n arrivals: the largest w(X_i)/T_i (M27)."""
    stream = as_stream(rng)
    weight = np.where(np.isfinite(log_proposal), log_target - np.where(np.isfinite(log_proposal), log_proposal, 0.0), 0)
    table = alias_table(log_proposal, stream)

    def play(count: int) -> Array:
        drawn = draw(table, (count, n), stream)
        return _first(stream, stream.table(weight)[drawn] - stream.xp.log(_arrivals(n, count, stream)), drawn)

    return _in_parts(stream, rounds, n, play)


def _stretch(mass: Floats, w: Floats) -> Floats:
    """φ(w) (K,): the time at which h' = Σ μ (w - h)_+, h(0) = 0, reaches w; +inf at the largest weight."""
    levels, times = [0.0], [0.0]
    for level in np.unique(w[mass > 0]):
        if level == 0.0:
            continue
        now = float(mass @ np.maximum(w - levels[-1], 0.0))
        then = float(mass @ np.maximum(w - level, 0.0))
        slope = float(mass[w >= level].sum())
        times.append(times[-1] + (np.log(now / then) / slope if then > 0 else np.inf))
        levels.append(float(level))
    return np.array([times[levels.index(float(v))] if m > 0 else 0.0 for v, m in zip(w, mass, strict=True)])


def sample_greedy(log_target: Floats, log_proposal: Floats, n: int, rounds: int, rng: Rng) -> Array:
    """Outcomes (rounds,) of greedy Poisson rejection with at most n arrivals, then one more draw (M27)."""
    stream = as_stream(rng)
    xp = stream.xp
    mass = np.exp(log_proposal)
    w = np.where(mass > 0, np.exp(log_target) / np.where(mass > 0, mass, 1.0), 0.0)
    until, table = stream.table(_stretch(mass, w)), alias_table(log_proposal, stream)

    def play(count: int) -> Array:
        drawn = draw(table, (count, n), stream)
        passed = xp.astype(_arrivals(n, count, stream) < until[drawn], xp.int64)
        more = draw(table, (count,), stream)
        return xp.where(xp.max(passed, axis=1) > 0, _first(stream, passed, drawn), more)

    return _in_parts(stream, rounds, n, play)
