"""Sequential Monte Carlo with few particles on a tree: the exact law of the particle that is returned (M42b).

Our reading of particle filtering for language models (arXiv 2602.01381, 2604.16453; SMC-SD, 2604.15672; second-hand).
n particles start at the root. Each draws its next step from the proposal; its weight is e^{βr + ℓ} for draft proposals,
ℓ = log π_B/π_S of the step, and e^{βr} for base proposals (SMC-SD: β = 0). After every step but the last the n are
drawn again in proportion to their weights; particles that have ended stay, with weight 1. At last one is returned, in
proportion to the last weights. Resampling:

    multinomial   n independent draws
    systematic    the particles sorted by where they stand (lexicographic), points (U + k)/n for one uniform U
    none          no drawing again; the weights of a path multiply: the softmax rule on n whole trajectories (M3)

Where all weights are zero they count as equal (the convention of selection_law). Particles are exchangeable, so how
many stand where is a Markov chain; its law is carried exactly, level by level. With increments of soft values (M29) as
step rewards the weights are those of an ideal process reward model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import comb, factorial, prod

import numpy as np
from numpy.typing import NDArray

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.errors import InputError, require_name
from gsi_theory.instance import as_beta
from gsi_theory.laws.selection_law import EPS, as_count, selection_law
from gsi_theory.steps.tree import ByStep, Level, Tree
from gsi_theory.types import Floats, Ints

__all__ = [
    "PROPOSALS",
    "RESAMPLINGS",
    "ParticleLaw",
    "compositions",
    "log_second_moment",
    "particle_law",
    "step_log_weights",
]

Counts = NDArray[np.int16]

PROPOSALS = ("draft", "base")
RESAMPLINGS = ("multinomial", "systematic", "none")
MOST_PARTICLES = 64
# Counts (rows times places) of one stage: a minute or two, and a gigabyte.
MOST_CELLS, BLOCK = 1 << 28, 1 << 22


@dataclass(frozen=True)
class ParticleLaw:
    """log_prob (L,) of tree.trajectories, the law of the returned particle (-inf also where it is below 1e-300); draws:
    expected number of steps drawn; error: bound on the TV error of log_prob."""

    tree: Tree
    log_prob: Floats
    draws: float
    error: float

    def expectation(self, values: Floats) -> float:
        """E f for values f (L,) of the trajectories."""
        return float(np.exp(self.log_prob) @ values)


@dataclass(frozen=True)
class _Crowd:
    """Rows of counts (S, P) of particles at P places in lexicographic order, and their chances (S,)."""

    counts: Counts
    chance: Floats


def step_log_weights(tree: Tree, beta: float, proposal: str = "draft") -> tuple[ByStep, ByStep]:
    """(log-weights, βr + ℓ for draft and βr for base proposals; log-proposals), both by step.

    A step that the base cannot take has weight zero (-inf); of one that the proposal cannot take it is 0. Raises
    InputError for another proposal.
    """
    beta = as_beta(beta)
    require_name(proposal, "proposal", PROPOSALS)
    weights, proposals = [], []
    for level in tree.levels:
        log_q = level.log_draft if proposal == "draft" else level.log_base
        drawn = np.isfinite(log_q)
        ratio = np.where(drawn, level.log_base, 0.0) - np.where(drawn, log_q, 0.0)
        weights.append(np.where(drawn, beta * level.reward + ratio, 0.0))
        proposals.append(log_q)
    return tuple(weights), tuple(proposals)


def particle_law(
    tree: Tree, beta: float, n: int, resampling: str = "multinomial", proposal: str = "draft"
) -> ParticleLaw:
    """The law of the returned particle of n, by enumeration of how many particles stand where.

    Rows grow like C(P + n - 1, n) at P places; without resampling any n will do. Raises InputError for another
    resampling or proposal, and beyond 64 particles or 2^28 counts in a stage, before memory is asked for.
    """
    require_name(resampling, "resampling", RESAMPLINGS)
    n = int(as_count(n, "n"))
    weights, proposals = step_log_weights(tree, beta, proposal)
    if resampling == "none":
        return _whole_trajectories(tree, n, weights, proposals)
    if n > MOST_PARTICLES:
        raise InputError(f"n = {n} particles: give at most {MOST_PARTICLES}, or resampling none")
    crowd = _Crowd(np.full((1, 1), n, dtype=np.int16), np.ones(1))
    node = np.zeros(1, dtype=np.intp)  # of each place, -1 where the trajectory has ended
    draws = error = 0.0
    prob = np.zeros(0)
    for t, level in enumerate(tree.levels):
        draws += float(crowd.chance @ crowd.counts[:, node >= 0].sum(axis=1))
        log_w, following = _onward(level, node, weights[t])
        size = 1.0 + float(np.max(np.abs(log_w), initial=0.0, where=np.isfinite(log_w)))
        error += 16.0 * EPS * n * (size + n + log_w.size)
        if t == tree.depth - 1:
            prob = np.zeros(log_w.size)
            for block in _drawn(crowd, level, node, proposals[t], n):
                prob += block.chance @ _shares(block.counts, log_w)
            break
        stages = (_resampled(block, log_w, n, resampling) for block in _drawn(crowd, level, node, proposals[t], n))
        crowd, node = _merged(list(stages)), following
    with np.errstate(divide="ignore"):
        return ParticleLaw(tree, np.log(prob / prob.sum()), draws, min(error, 1.0))


def log_second_moment(
    tree: Tree, beta: float, n: int, resampling: str = "multinomial", proposal: str = "draft"
) -> float:
    """log E(Ẑ/EẐ)², nats, Ẑ the product of the mean weights of n particles, which bounds KL(tilt‖law) (M42b).

    For any n, in O(places²) a level: two of the n particles are one with chance 1/n, else independent given the level
    before. Without resampling log(1 + (E w²/(E w)² - 1)/n), w the weight of a trajectory. +inf where the proposal
    misses a trajectory of the base. Raises InputError for systematic resampling, where pairs are not enough, and for
    another proposal.
    """
    require_name(resampling, "resampling", RESAMPLINGS)
    if resampling == "systematic":
        raise InputError("resampling 'systematic': pairs of particles do not settle it: give multinomial or none")
    n = int(as_count(n, "n"))
    weights, proposals = step_log_weights(tree, beta, proposal)
    one, two = -np.log(float(n)), np.log1p(-1.0 / n) if n > 1 else -np.inf
    drawn, weight = (tree.arrange(tree.accumulate(parts)) for parts in (proposals, weights))
    based = tree.arrange(tree.accumulate([level.log_base for level in tree.levels]))
    if np.any(np.isfinite(based) & ~np.isfinite(drawn)):
        return float("inf")
    log_z = float(log_sum(drawn + weight))
    if resampling == "none":
        square = log_sum(np.where(np.isfinite(drawn), drawn + 2.0 * weight, -np.inf))
        return max(float(np.logaddexp(two, one + square - 2.0 * log_z)), 0.0)
    pairs, node = np.zeros((1, 1)), np.zeros(1, dtype=np.intp)
    for level, log_w, log_q in zip(tree.levels, weights, proposals, strict=True):
        grown, following = _onward(level, node, log_w)
        parent = np.repeat(np.arange(node.size), [np.diff(level.start)[i] if i >= 0 else 1 for i in node])
        moved, _ = _onward(level, node, log_q)
        apart = two + pairs[np.ix_(parent, parent)] + moved[:, None] + moved[None, :]
        alone = one + _log_rows(pairs)[parent] + moved
        np.fill_diagonal(apart, np.logaddexp(np.diagonal(apart), alone))
        pairs, node = apart + grown[:, None] + grown[None, :], following
    return max(float(log_sum(pairs.ravel())) - 2.0 * log_z, 0.0)


def _log_rows(log_terms: Floats) -> Floats:
    """log Σ exp of each row, -inf where every term is."""
    top = np.max(log_terms, axis=1)
    shift = np.where(top > -np.inf, top, 0.0)
    with np.errstate(divide="ignore", under="ignore"):
        return np.asarray(shift + np.log(np.exp(log_terms - shift[:, None]).sum(axis=1)))


def _whole_trajectories(tree: Tree, n: int, weights: ByStep, proposals: ByStep) -> ParticleLaw:
    drawn, weight = (tree.arrange(tree.accumulate(parts)) for parts in (proposals, weights))
    law = selection_law(drawn, weight, n)
    reach = tree.at_nodes(tree.accumulate(proposals))
    steps = float(sum(np.exp(r).sum() for r in reach))
    size = 1.0 + float(np.max(np.abs(weight), initial=0.0, where=np.isfinite(weight)))
    return ParticleLaw(tree, law.log_prob, n * steps, min(1.0, law.error + 8.0 * EPS * tree.depth * size))


def _onward(level: Level, node: Ints, values: Floats) -> tuple[Floats, Ints]:
    """After a step, of every place in order: the step's value, 0 for one that had ended; and its node, -1 for none."""
    child = np.where(level.ends, -1, np.cumsum(~level.ends) - 1)
    spans = [range(level.start[i], level.start[i + 1]) if i >= 0 else None for i in node]
    out = np.concatenate([np.zeros(1) if span is None else values[span.start : span.stop] for span in spans])
    where = np.concatenate([np.array([-1]) if span is None else child[span.start : span.stop] for span in spans])
    return out, where.astype(np.intp)


@cache
def compositions(n: int, parts: int) -> tuple[Counts, Floats]:
    """n as an ordered sum of so many whole numbers ≥ 0, in all ways (C, parts), and their multinomial coefficients."""
    if parts == 1:
        return np.array([[n]], dtype=np.int16), np.ones(1)
    rows = []
    for first in range(n + 1):
        rest = compositions(n - first, parts - 1)[0]
        rows.append(np.column_stack([np.full(len(rest), first, dtype=np.int16), rest]))
    table = np.concatenate(rows)
    coefficients = [factorial(n) // prod(factorial(c) for c in row) for row in table.tolist()]
    return table, np.array(coefficients, dtype=np.float64)


def _powers(share: Floats, counts: Counts) -> Floats:
    """Π share^count over the last axis, 0^0 = 1."""
    return np.asarray(np.prod(np.power(share, counts), axis=-1))


def _refuse(cells: float) -> None:
    if cells > MOST_CELLS:
        raise InputError(
            f"{cells:.2g} counts of particles to list: keep it within {MOST_CELLS:.2g}, with fewer particles, fewer "
            "steps or fewer choices"
        )


def _drawn(crowd: _Crowd, level: Level, node: Ints, log_q: Floats, n: int) -> Iterator[_Crowd]:
    """The crowd after every particle has drawn its next step, in blocks of rows; new places in lexicographic order."""
    widths = np.diff(level.start)
    places = int(sum(widths[i] if i >= 0 else 1 for i in node))
    # how many rows each row becomes
    ways = np.ones(len(crowd.counts))
    for place, i in enumerate(node):
        if i >= 0:
            ways *= np.array([comb(c + int(widths[i]) - 1, c) for c in range(n + 1)], dtype=np.float64)[
                crowd.counts[:, place]
            ]
    _refuse(float(ways.sum()) * places)
    block = np.cumsum(ways) * places // BLOCK
    for rows in np.split(np.arange(len(ways)), np.flatnonzero(np.diff(block)) + 1):
        yield _drawn_block(_Crowd(crowd.counts[rows], crowd.chance[rows]), level, node, np.exp(log_q), n)


def _drawn_block(crowd: _Crowd, level: Level, node: Ints, q: Floats, n: int) -> _Crowd:
    origin, chance = np.arange(len(crowd.counts)), np.ones(len(crowd.counts))
    columns: list[Counts] = []  # of each place passed, (rows, its steps)
    for place, i in enumerate(node):
        count = crowd.counts[origin, place]
        if i < 0:
            columns.append(count[:, None])
            continue
        steps = slice(level.start[i], level.start[i + 1])
        width = int(steps.stop - steps.start)
        tables = [compositions(c, width) for c in range(n + 1)]
        sizes = np.array([len(table) for table, _ in tables])
        begin = np.cumsum(sizes) - sizes
        every = np.concatenate([table for table, _ in tables])
        pmf = np.concatenate([weight for _, weight in tables]) * _powers(q[steps], every)
        repeats = sizes[count]
        within = np.arange(int(repeats.sum())) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        pick = np.repeat(begin[count], repeats) + within
        chance = np.repeat(chance, repeats) * pmf[pick]
        kept = chance > 0
        again = np.repeat(np.arange(origin.size), repeats)[kept]
        columns = [c[again] for c in columns]
        columns.append(every[pick[kept]])
        origin, chance = origin[again], chance[kept]
    return _Crowd(np.concatenate(columns, axis=1), crowd.chance[origin] * chance)


def _shares(counts: Counts, log_w: Floats) -> Floats:
    """Of each row, what each place has of the weight (S, P), equal ones where it is zero."""
    present = counts > 0
    top = np.max(np.where(present, log_w, -np.inf), axis=1)
    alive = top > -np.inf
    shift = np.where(alive, top, 0.0)
    with np.errstate(under="ignore"):
        mass = counts * np.exp(np.where(present, np.where(alive[:, None], log_w - shift[:, None], 0.0), -np.inf))
        return np.asarray(mass / mass.sum(axis=1)[:, None])


def _resampled(crowd: _Crowd, log_w: Floats, n: int, resampling: str) -> _Crowd:
    """The crowd drawn again in proportion to weights."""
    share = _shares(crowd.counts, log_w)
    return _merged(_multinomial(crowd, share, n) if resampling == "multinomial" else [_systematic(crowd, share, n)])


def _multinomial(crowd: _Crowd, share: Floats, n: int) -> list[_Crowd]:
    held = share > 0
    support = held.sum(axis=1)
    ways = np.array([comb(n + m - 1, n) if m else 0 for m in range(share.shape[1] + 1)], dtype=np.float64)
    _refuse(float(ways[support].sum()) * share.shape[1])
    parts = []
    for m in np.unique(support):
        table, coefficient = compositions(n, int(m))
        rows = np.flatnonzero(support == m)
        for some in np.array_split(rows, 1 + rows.size * len(table) * share.shape[1] // BLOCK):
            place = np.nonzero(held[some])[1].reshape(some.size, m)
            pmf = coefficient * _powers(np.take_along_axis(share[some], place, axis=1)[:, None, :], table)
            counts = np.zeros((some.size, len(table), share.shape[1]), dtype=np.int16)
            np.put_along_axis(counts, np.broadcast_to(place[:, None, :], (some.size, *table.shape)), table, axis=2)
            kept = (pmf > 0).ravel()
            origin = np.repeat(some, len(table))[kept]
            chance = crowd.chance[origin] * pmf.ravel()[kept]
            parts.append(_Crowd(counts.reshape(-1, share.shape[1])[kept], chance))
    return parts


def _systematic(crowd: _Crowd, share: Floats, n: int) -> _Crowd:
    """A place holds the points U + k between n times the shares before it and with it; U between two breakpoints."""
    ahead = n * np.cumsum(share, axis=1)
    whole = np.round(ahead)
    ahead = np.where(np.abs(ahead - whole) <= 8.0 * n * EPS, whole, ahead)
    # Beyond the last place with a share all n are spent.
    rest = np.cumsum(share[:, ::-1], axis=1)[:, ::-1] - share
    ahead = np.where(rest <= 0, float(n), np.minimum(ahead, float(n)))
    breaks = np.sort(
        np.concatenate([ahead - np.floor(ahead), np.zeros((len(ahead), 1)), np.ones((len(ahead), 1))], axis=1)
    )
    width = np.diff(breaks, axis=1)
    origin, at = np.nonzero(width > 0)
    middle = breaks[origin, at] + 0.5 * width[origin, at]
    points = np.ceil(ahead[origin] - middle[:, None])
    counts = np.diff(points, axis=1, prepend=0.0).astype(np.int16)
    return _Crowd(counts, crowd.chance[origin] * width[origin, at])


def _merged(parts: list[_Crowd]) -> _Crowd:
    """Equal rows of counts as one."""
    counts = np.ascontiguousarray(np.concatenate([p.counts for p in parts]))
    key = counts.view(np.dtype((np.void, counts.dtype.itemsize * counts.shape[1]))).ravel()
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    chance = np.concatenate([p.chance for p in parts])
    sums = np.bincount(group.ravel(), chance, minlength=first.size).astype(np.float64)
    return _Crowd(counts[first], sums)
