"""Stopping rules by trying every sequence of draws, in fractions.  Imports no project code."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

__all__ = ["best_at_price", "kth_largest", "stopped", "stopped_falling"]


def stopped(
    mass: Sequence[Fraction], score: Sequence[Fraction], keep: Sequence[Fraction], most: int
) -> tuple[list[Fraction], list[Fraction]]:
    """(law of what is returned (K,), P(D = d) for d = 0..most): draw, keep y with chance keep[y]; if none of `most` was
    kept, return one of the draws of the largest score, each as likely."""
    law, number = [Fraction(0)] * len(mass), [Fraction(0)] * (most + 1)

    def after(seen: tuple[int, ...], chance: Fraction) -> None:
        if not chance:
            return
        if len(seen) == most:
            number[most] += chance
            top = max(score[y] for y in seen)
            best = [y for y in seen if score[y] == top]
            for y in best:
                law[y] += chance / len(best)
            return
        for y, p in enumerate(mass):
            law[y] += chance * p * keep[y]
            number[len(seen) + 1] += chance * p * keep[y]
            after((*seen, y), chance * p * (1 - keep[y]))

    after((), Fraction(1))
    return law, number


def best_at_price(mass: Sequence[Fraction], reward: Sequence[Fraction], cost: Fraction, most: int) -> Fraction:
    """Largest E[best reward drawn] - cost E D over all rules that draw once and at most `most` times, by backward
    induction: of the best so far and the draws that are left."""

    def worth(best: Fraction, left: int) -> Fraction:
        if left == 0:
            return best
        further = sum((p * worth(max(best, r), left - 1) for p, r in zip(mass, reward, strict=True)), -cost)
        return max(best, further)

    return sum((p * worth(r, most - 1) for p, r in zip(mass, reward, strict=True)), -cost)


def kth_largest(
    mass: Sequence[Fraction], reward: Sequence[Fraction], pilots: int, rank: int
) -> dict[Fraction, Fraction]:
    """The law of the rank-th largest of `pilots` rewards, all sequences tried."""
    out: dict[Fraction, Fraction] = {}
    for seen in product(range(len(mass)), repeat=pilots):
        chance = Fraction(1)
        for y in seen:
            chance *= mass[y]
        value = sorted((reward[y] for y in seen), reverse=True)[rank - 1]
        out[value] = out.get(value, Fraction(0)) + chance
    return out


def stopped_falling(
    mass: Sequence[Fraction], reward: Sequence[Fraction], cuts: Sequence[float]
) -> tuple[list[Fraction], list[Fraction]]:
    """As `stopped`, of 'stop when the best of d draws is at least cuts[d - 1], or after len(cuts)'; the best returned,
    each of those that tie as likely."""
    law, number = [Fraction(0)] * len(mass), [Fraction(0)] * (len(cuts) + 1)

    def after(seen: tuple[int, ...], chance: Fraction) -> None:
        if seen:
            top = max(reward[y] for y in seen)
            if top >= cuts[len(seen) - 1] or len(seen) == len(cuts):
                number[len(seen)] += chance
                best = [y for y in seen if reward[y] == top]
                for y in best:
                    law[y] += chance / len(best)
                return
        for y, p in enumerate(mass):
            if p:
                after((*seen, y), chance * p)

    after((), Fraction(1))
    return law, number
