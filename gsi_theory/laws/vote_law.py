"""The law of the outcome that a vote among n iid draws returns (M47): majority, and the vote weighted by reward.

Each outcome gives an answer. The answer whose draws have the largest sum of weights wins, ties shared; majority has
weights one. Returned is a uniform one of the draws that give it. An answer that nobody drew cannot win, whatever the
weights; draws without an answer do not vote, and where all are such a uniform one is returned.

With N ~ Poisson(n) draws the answers would be independent; given N = n they are iid draws. So with t the winning score,
f_b(x) = Σ P(draws of b) x^{their number} over those with a score below t, and z times those with score t,

    P(a wins) = [xⁿ] Σ_t ∫₀¹ Σ_{draws of a with score t} Π_{b ≠ a} f_b dz / P(N = n).

The integrand is a polynomial in z: Gauss and Legendre's rule is exact, and all terms are positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlogy

from gsi_theory.arrays.logscale import normalize
from gsi_theory.arrays.namespace import as_numbers
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import as_count
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.types import Floats, Ints

__all__ = ["SILENT", "vote_law"]

SILENT = -1  # the code of an outcome without an answer
TIED = 1e-12  # of n times the largest weight: sums of decimals that differ by less are equal
MOST_WORK = 4e9


def _poisson(mean: Floats, k: Ints) -> Floats:
    return np.asarray(np.exp(xlogy(k, mean) - mean - gammaln(k + 1.0)))


def _multisets(kinds: int, most: int) -> Iterator[tuple[int, ...]]:
    """How often each of `kinds` is drawn, at most `most` draws in all."""
    if kinds == 0:
        yield ()
        return
    for first in range(most + 1):
        for rest in _multisets(kinds - 1, most - first):
            yield (first, *rest)


def _checked(log_mass: ArrayLike, answer: ArrayLike, weight: ArrayLike | None) -> tuple[Floats, Ints, Floats]:
    mass, codes = as_numbers(log_mass, "log_mass"), as_numbers(answer, "answer")
    worth = np.ones(mass.shape) if weight is None else as_numbers(weight, "weight")
    if mass.ndim != 1 or not mass.size or codes.shape != mass.shape or worth.shape != mass.shape:
        raise InputError(f"shapes {mass.shape}, {codes.shape}, {worth.shape}: give K ≥ 1 masses, answers, weights")
    if np.any(codes != np.round(codes)) or np.any(codes < SILENT):
        raise InputError(f"answer: give whole codes ≥ 0, or {SILENT} for an outcome without an answer")
    if not np.all(np.isfinite(worth)):
        raise InputError("weight: give finite numbers")
    if np.any(np.isnan(mass)) or abs(float(np.sum(np.exp(mass))) - 1.0) > 1e-9:
        raise InputError("log_mass: give log-probabilities that sum to one")
    return normalize(mass), codes.astype(np.int64), worth


def vote_law(log_mass: ArrayLike, answer: ArrayLike, n: int, weight: ArrayLike | None = None) -> Law:
    """Law of the returned outcome: log_mass (K,), answer (K,) codes ≥ 0 (−1: none), weight (K,) (None: majority).

    Weights are any finite numbers; sums that differ by less than 1e-12 n max|weight| tie. Majority takes about A n⁴
    operations for A answers; weighted votes as much for every sum that the draws of an answer may have. InputError on
    bad input, and where that is more than MOST_WORK.
    """
    log_p, codes, worth = _checked(log_mass, answer, weight)
    n, p = as_count(n, "n"), np.exp(log_p)
    voting = (codes != SILENT) & (p > 0)
    kinds, at = np.unique(np.stack([codes[voting].astype(np.float64), worth[voting]]), axis=1, return_inverse=True)
    kind_mass: Floats = np.zeros(kinds.shape[1])
    np.add.at(kind_mass, at.reshape(-1), p[voting])
    answers = [np.flatnonzero(kinds[0] == code) for code in np.unique(kinds[0])]
    silent = float(np.sum(p[(codes == SILENT) & (p > 0)]))
    tables = sum(math.comb(n + len(members), len(members)) for members in answers)
    if tables * len(answers) * (len(answers) // 2 + 1) * (n + 1.0) ** 2 > MOST_WORK:
        raise InputError(
            f"n = {n} with {len(answers)} answers of {kinds.shape[1]} weights: too many sums to go through; give fewer "
            "draws, or round the weights so that more of them are equal"
        )
    chance = _kind_chances(kinds[1], kind_mass, answers, silent, n)
    law = np.zeros(p.size)
    law[voting] = (chance / kind_mass)[at.reshape(-1)] * p[voting]
    if silent > 0:
        mute = (codes == SILENT) & (p > 0)
        law[mute] = p[mute] * silent ** (n - 1.0)
    off = EPS * (len(answers) * (n + 2.0) + 16.0 * n * (1.0 + np.log(n)) + 64.0)
    with np.errstate(divide="ignore"):
        return Law(np.log(law), min(1.0, off + 0.5 * abs(float(np.sum(law)) - 1.0)), 2.0 * off)


def _kind_chances(worth: Floats, mass: Floats, answers: list[Ints], silent: float, n: int) -> Floats:
    """Chance (G,) that a draw of each kind (one answer, one weight) is returned."""
    score, counts, chances, owner = [], [], [], []
    for a, members in enumerate(answers):
        drawn = np.array([c for c in _multisets(len(members), n) if any(c)], dtype=np.int64)
        none = np.arange(len(members))
        score.append(drawn @ worth[members])
        counts.append(drawn)
        chances.append(np.prod(_poisson(n * mass[members][none], drawn), axis=1))
        owner.append(np.full(len(drawn), a))
    level = _levels(np.concatenate([[], *score]), TIED * n * float(np.max(np.abs(worth), initial=0.0)))
    levels = np.split(level, np.cumsum([len(c) for c in counts])[:-1]) if counts else []
    top = int(max((int(ell.max()) for ell in levels), default=-1)) + 1
    size = len(answers)
    same, under = np.zeros((size, top, n + 1)), np.zeros((size, top, n + 1))
    for a in range(size):
        drawn_of = counts[a].sum(axis=1)
        np.add.at(same[a], (levels[a], drawn_of), chances[a])
        under[a, 1:] = np.cumsum(same[a], axis=0)[:-1]
        under[a, :, 0] += np.exp(-n * float(np.sum(mass[answers[a]])))
    mute = _poisson(np.array(n * silent), np.arange(n + 1))
    nodes, weights = np.polynomial.legendre.leggauss(size // 2 + 1)
    out = np.zeros(mass.size)
    others = np.zeros((size, top, n + 1))
    for z, share in zip(0.5 * (nodes + 1.0), 0.5 * weights, strict=True):
        f = under + z * same
        before, after = np.broadcast_to(mute, (top, n + 1)), [np.eye(1, n + 1).repeat(top, axis=0)]
        for b in range(size - 1, 0, -1):
            after.append(_product(f[b], after[-1]))
        for a in range(size):
            others[a] += share * _product(before, after[size - 1 - a])
            before = _product(before, f[a])
    for a, members in enumerate(answers):
        number = counts[a].sum(axis=1)
        each = chances[a] * others[a][levels[a], n - number]
        out[members] = each @ (counts[a] / number[:, None])
    return np.asarray(out / _poisson(np.array(float(n)), np.array(n)))


def _levels(score: Floats, slack: float) -> Ints:
    """Ranks of the scores (S,) from 0, of which those within `slack` of the next tie."""
    order = np.argsort(score, kind="stable")
    new = np.diff(score[order], prepend=score[order][:1]) > slack
    rank = np.empty(score.size, dtype=np.int64)
    rank[order] = np.cumsum(new)
    return rank


def _product(a: Floats, b: Floats) -> Floats:
    """Products of polynomials (L, n + 1), row by row, up to the n-th power."""
    out: Floats = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    size = out.shape[-1]
    for j in range(size):
        out[:, j:] += a[:, j : j + 1] * b[:, : size - j]
    return out
