"""The law of a vote among n iid draws, by summing over every multiset of draws, in fractions.  Imports no project code.

Contract
- `mass` (K,) Fractions that sum to one; `answers` (K,) hashable, None for an outcome without an answer; `weights` (K,).
- The answer with the largest sum of weights of its draws wins, ties shared; one of its draws is returned, uniformly.
  Answers that nobody drew cannot win; if no draw has an answer one of all is returned.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from fractions import Fraction

from tests.oracles.enumeration import draws

__all__ = ["vote_law"]


def vote_law(
    mass: Sequence[Fraction], answers: Sequence[Hashable], weights: Sequence[Fraction], n: int
) -> list[Fraction]:
    """Law (K,) of the returned outcome."""
    law = [Fraction(0)] * len(mass)
    for counts, probability in draws(mass, n):
        score: dict[Hashable, Fraction] = {}
        for c, answer, weight in zip(counts, answers, weights, strict=True):
            if c and answer is not None:
                score[answer] = score.get(answer, Fraction(0)) + c * weight
        best = {a for a, s in score.items() if s == max(score.values())} or {None}
        for winner in best:
            size = sum(c for c, a in zip(counts, answers, strict=True) if a == winner)
            for y, (c, a) in enumerate(zip(counts, answers, strict=True)):
                if a == winner:
                    law[y] += probability * Fraction(c, size) / len(best)
    return law
