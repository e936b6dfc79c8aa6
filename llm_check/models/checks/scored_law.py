"""Tests of drawn steps against a law that nothing enumerates, from the conditional laws of their tokens alone.

Law of a step's first d tokens: a partition into cells of known mass, made of the law before any draw is looked at,
with 5 or more draws expected in every cell (Pearson's χ², and an exact binomial test of each cell). Whole steps: the
place of every token among the ids sorted by falling probability, made uniform by one random number each, is iid uniform
if the conditional laws are right (Rosenblatt's transform; χ² of equal bins), and the sum of log-probabilities, cut off
below, minus its expectation is a martingale (normal, two-sided; the direction in which temperatures differ).

What a χ² test of M draws finds: a sampler whose law differs by TV on the cells has noncentrality at least 4 M TV²,
since χ²(q‖p) ≥ 4 TV²; `detectable` is the TV that is found with probability 80 % at a level.

Shapes: M steps, T tokens, V ids; log-probabilities in nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from gsi_theory.types import Floats, Ints
from llm_check.models.decoding.reasoning_steps import PAD, StepRule
from llm_check.models.tiny.exact_steps import SMALLEST_EXPECTED, FrequencyTest, frequency_test

__all__ = [
    "FLOOR",
    "Z_LEAST",
    "PrefixCells",
    "StepLaw",
    "TokenFacts",
    "detectable",
    "mean_p",
    "prefix_cells",
    "rank_test",
    "token_facts",
]

POWER = 0.8
# Log-probabilities below this count as it: so bounded, a sum of a few hundred is near normal.
FLOOR = -5.0
# Variance of a sum, in squares of its largest term, from which its normal score is used.
Z_LEAST = 10.0
# Equal bins of ranks.
BINS = 20


class StepLaw(Protocol):
    """The law of next tokens after a position, by whoever is trusted."""

    def along(self, steps: NDArray[np.integer]) -> Iterator[tuple[slice, Floats]]:
        """For steps (M, T), padded, block by block: which rows, and the law (m, T + 1, V) before each token and after
        the last."""
        ...


@dataclass(frozen=True)
class PrefixCells:
    """A partition of the steps by their first `depth` tokens: the mass of every cell (C,), and where a step belongs."""

    depth: int
    mass: Floats
    leaves: dict[tuple[int, ...], int]
    others: dict[tuple[int, ...], int]

    def locate(self, steps: NDArray[np.integer]) -> Ints:
        """The cell of each step (M, T), padded."""
        return np.array([self._cell(row[row != PAD][: self.depth].tolist()) for row in steps], dtype=np.int64)

    def _cell(self, ids: list[int]) -> int:
        for k in range(1, len(ids) + 1):
            found = self.leaves.get(tuple(ids[:k]))
            if found is not None:
                return found
            if tuple(ids[:k]) not in self.others:
                return self.others[tuple(ids[: k - 1])]
        raise AssertionError("a step ended inside the partition without a cell of its own")


def prefix_cells(law: StepLaw, rule: StepRule, depth: int, draws: int) -> PrefixCells:
    """Cells of the first `depth` tokens (fewer where the step closes) with at least 5 of `draws` expected in each:
    paths as likely as that, what else follows an expanded path, and all that is rarer together."""
    least = SMALLEST_EXPECTED / draws
    leaves: dict[tuple[int, ...], int] = {}
    others: dict[tuple[int, ...], int] = {}
    mass: list[float] = [0.0]  # cell 0: all that is too rare for a cell of its own
    level: list[tuple[tuple[int, ...], float, int]] = [((), 1.0, rule.start_state)]
    for k in range(1, min(depth, rule.max_tokens) + 1):
        steps = np.array([path for path, _, _ in level], dtype=np.int32).reshape(len(level), k - 1)
        grown: list[tuple[tuple[int, ...], float, int]] = []
        for rows, laws in law.along(steps):
            for (path, above, state), row in zip(level[rows], laws[:, -1], strict=True):
                probability = above * np.exp(row)
                ids = np.flatnonzero(probability >= least)
                states, closed = rule.advance(np.full(len(ids), state), ids)
                for token, p, after, ends in zip(ids.tolist(), probability[ids].tolist(), states, closed, strict=True):
                    if ends or k == min(depth, rule.max_tokens):
                        leaves[*path, token] = len(mass)
                        mass.append(p)
                    else:
                        grown.append(((*path, token), p, int(after)))
                rest = float(probability.sum() - probability[ids].sum())
                others[path] = len(mass) if rest >= least else 0
                if rest >= least:
                    mass.append(rest)
                else:
                    mass[0] += rest
        level = grown
        if not level:
            break
    return PrefixCells(depth, np.array(mass) / sum(mass), leaves, others)


@dataclass(frozen=True)
class TokenFacts:
    """Of every token of M steps (M, T), 0 where padded.

    real: which are tokens
    logp: log-probability, nats
    below: mass of likelier ids (ties: of smaller number)
    excess: log-probability, cut off below at FLOOR, minus its expectation
    variance: of that
    """

    real: NDArray[np.bool_]
    logp: Floats
    below: Floats
    excess: Floats
    variance: Floats

    def of(self, rows: NDArray[np.integer]) -> tuple[Floats, Floats, Floats, Floats]:
        """(below, own probability, excess, variance) of all tokens of the steps `rows`, repeats allowed."""
        real = self.real[rows]
        own = np.exp(self.logp[rows][real])
        return self.below[rows][real], own, self.excess[rows][real], self.variance[rows][real]


def token_facts(law: StepLaw, steps: NDArray[np.integer]) -> TokenFacts:
    """`TokenFacts` of steps (M, T), padded."""
    facts = TokenFacts(steps != PAD, *(np.zeros(steps.shape) for _ in range(4)))
    for rows, laws in law.along(steps):
        at = np.nonzero(facts.real[rows])
        ids, here = steps[rows][at].astype(np.int64), (at[0] + rows.start, at[1])
        logp = laws[at]
        probability = np.exp(logp)
        own = logp[np.arange(len(ids)), ids]
        likelier = (logp > own[:, None]) | ((logp == own[:, None]) & (np.arange(logp.shape[1]) < ids[:, None]))
        np.maximum(logp, FLOOR, out=logp)
        mean = np.einsum("ij,ij->i", probability, logp)
        facts.logp[here], facts.excess[here] = own, np.maximum(own, FLOOR) - mean
        facts.below[here] = np.einsum("ij,ij->i", probability, likelier)
        facts.variance[here] = np.maximum(np.einsum("ij,ij,ij->i", probability, logp, logp) - mean**2, 0.0)
    return facts


def rank_test(below: Floats, own: Floats, uniforms: Floats) -> FrequencyTest:
    """Pearson's χ² of the places below + uniform · own in equal bins, at least 5 expected in each."""
    bins = max(1, min(BINS, int(len(below) / SMALLEST_EXPECTED)))
    places = np.minimum((bins * np.clip(below + uniforms * own, 0.0, 1.0)).astype(np.int64), bins - 1)
    return frequency_test(places, np.full(bins, 1.0 / bins))


def mean_p(excess: Floats, variance: Floats, largest: float) -> float | None:
    """Two-sided p-value of Σ excess = 0, terms at most `largest` of these variances; None where too little varies."""
    total = float(variance.sum())
    if total < Z_LEAST * largest**2:
        return None
    return float(2.0 * stats.norm.sf(abs(float(excess.sum())) / np.sqrt(total)))


def detectable(cells: int, draws: int, level: float) -> float | None:
    """The total variation on `cells` cells that χ² of so many draws finds with probability 80 % at `level`, at most 1;
    None for a single cell, which nothing can be found on."""
    if cells < 2:
        return None
    dof = cells - 1
    edge = stats.chi2.isf(level, dof)

    def missed(noncentrality: float) -> float:
        return float(stats.ncx2.sf(edge, dof, noncentrality)) - POWER

    high = 1.0
    while missed(high) < 0:
        high *= 2.0
    return float(min(1.0, 0.5 * np.sqrt(optimize.brentq(missed, 1e-9, high) / draws)))
