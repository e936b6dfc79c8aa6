"""Tournaments (M25) by enumerating every type and every outcome in Fractions; imports no project code."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

HALF = Fraction(1, 2)


def _beats(one: bool, other: bool, right: Fraction) -> Fraction:
    """P(one wins a comparison with other)."""
    return HALF if one == other else (right if one else 1 - right)


def _wins_meeting(one: bool, other: bool, right: Fraction, comparisons: int) -> Fraction:
    """P(one wins the majority of the comparisons), a tie decided by a coin."""
    p = _beats(one, other, right)
    won = Fraction(0)
    for wins in range(comparisons + 1):
        mass = comb(comparisons, wins) * p**wins * (1 - p) ** (comparisons - wins)
        won += mass * (1 if 2 * wins > comparisons else HALF if 2 * wins == comparisons else 0)
    return won


def _knockout_winner(types: tuple[bool, ...], right: Fraction, comparisons: int) -> Fraction:
    """P(the winner is correct) of brackets of ⌈N/2⌉ and ⌊N/2⌋ candidates."""
    if len(types) == 1:
        return Fraction(types[0])
    middle = (len(types) + 1) // 2
    a, b = (_knockout_winner(part, right, comparisons) for part in (types[:middle], types[middle:]))
    upset = _wins_meeting(True, False, right, comparisons)
    return a * b + (a * (1 - b) + b * (1 - a)) * upset


def _league_winner(types: tuple[bool, ...], right: Fraction, comparisons: int) -> Fraction:
    """P(every candidate with the most wins is correct), each compared with opponents drawn with repetition."""
    size = len(types)
    if size == 1:
        return Fraction(types[0])
    laws = []
    for i, one in enumerate(types):
        p = sum(_beats(one, types[j], right) for j in range(size) if j != i) / Fraction(size - 1)
        laws.append([comb(comparisons, s) * p**s * (1 - p) ** (comparisons - s) for s in range(comparisons + 1)])
    won = Fraction(0)
    for scores in product(range(comparisons + 1), repeat=size):
        if all(t for t, s in zip(types, scores, strict=True) if s == max(scores)):
            mass = Fraction(1)
            for law, s in zip(laws, scores, strict=True):
                mass *= law[s]
            won += mass
    return won


def fail(kind: str, p: Fraction, right: Fraction, candidates: int, comparisons: int) -> Fraction:
    """P(the winner is not correct) of a "knockout" or "league" of candidates correct with probability p."""
    winner = {"knockout": _knockout_winner, "league": _league_winner}[kind]
    lost = Fraction(0)
    for types in product((False, True), repeat=candidates):
        mass = Fraction(1)
        for t in types:
            mass *= p if t else 1 - p
        lost += mass * (1 - winner(types, right, comparisons))
    return lost
