"""Laws of the winner in ball arithmetic: proved enclosures at any n, by each rule's own `balls`.

Symbols. `mass` (K,) exact rationals that sum to one, `weight` (K,) `LogWeight`s, n draws. Results are K balls (flint
`arb`) that contain the law, each of relative radius ≤ 2^-goal (exact zeros stay exact); the working precision is
doubled until that holds. Equal weights are merged into levels; two weights are equal only if they are the same pair of
rationals, by Lindemann's theorem (THEORY.md, M35), so every comparison is decided.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx

from gsi_theory.certified.rational import ball
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named

__all__ = [
    "MAX_BITS",
    "Levels",
    "LogWeight",
    "compare",
    "levels_of",
    "log_of_rational",
    "selection_balls",
    "until_small",
]

MAX_BITS = 1 << 16


@dataclass(frozen=True)
class LogWeight:
    """log w = exponent + log(factor), nats, both exact; factor 0 is weight zero."""

    exponent: Fraction
    factor: Fraction

    def as_float(self) -> float:
        """Approximate value, for placing windows only."""
        return float(self.exponent) + log_of_rational(self.factor)


def log_of_rational(x: Fraction) -> float:
    """log of a positive rational of any size, to rounding."""
    return math.log(x.numerator) - math.log(x.denominator)


def compare(a: LogWeight, b: LogWeight, what: str = "two weights") -> int:
    """Sign of log w_a - log w_b, both factors positive. Decided by balls; a tie only if the rationals are the same.

    Raises ArithmeticError naming `what` if MAX_BITS do not separate them (they differ, but by less than 2^-MAX_BITS).
    """
    gap, ratio = a.exponent - b.exponent, a.factor / b.factor
    if ratio == 1 or gap == 0:
        return (gap > 0) - (gap < 0) + (ratio > 1) - (ratio < 1)
    bits = 64
    while bits <= MAX_BITS:
        with ctx.workprec(bits):
            difference = ball(gap) + ball(ratio).log()
            if difference > 0:
                return 1
            if difference < 0:
                return -1
        bits *= 2
    raise ArithmeticError(f"{what}: {MAX_BITS} bits do not tell which is larger")


@dataclass(frozen=True)
class Levels:
    """Distinct positive weights descending, their total masses, the mass of weight zero, and each candidate's level."""

    weight: list[LogWeight]
    mass: list[Fraction]
    zero: Fraction
    of: list[int | None]

    def balls(self) -> tuple[list[arb], list[arb], arb]:
        """(w relative to e^exponent of the first, masses, zero mass) at the working precision."""
        first = self.weight[0].exponent if self.weight else Fraction(0)
        w = [ball(lw.exponent - first).exp() * ball(lw.factor) for lw in self.weight]
        return w, [ball(m) for m in self.mass], ball(self.zero)


def levels_of(mass: Sequence[Fraction], weight: Sequence[LogWeight]) -> Levels:
    total: dict[LogWeight, Fraction] = {}
    for m, lw in zip(mass, weight, strict=True):
        if m and lw.factor:
            total[lw] = total.get(lw, Fraction(0)) + m
    order = sorted(total, key=functools.cmp_to_key(compare), reverse=True)
    place = {lw: k for k, lw in enumerate(order)}
    zero = sum((m for m, lw in zip(mass, weight, strict=True) if not lw.factor), Fraction(0))
    return Levels(order, [total[lw] for lw in order], zero, [place.get(lw) for lw in weight])


def until_small(attempt: Callable[[], list[arb]], goal: int, n: int, what: str) -> list[arb]:
    """`attempt` at doubling precision until every ball is exact or of relative radius ≤ 2^-goal."""
    bits = goal + 96 + 2 * n.bit_length()
    while bits <= MAX_BITS:
        with ctx.workprec(bits):
            result = attempt()
            if all(x.is_exact() or (x.is_finite() and x.rel_accuracy_bits() > goal) for x in result):
                return result
        bits *= 2
    raise ArithmeticError(f"{what}, n = {n}: no enclosure of relative radius 2^-{goal} within {MAX_BITS} bits")


def selection_balls(
    mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, rule: str | Rule, goal: int = 96
) -> list[arb]:
    """The law (K,) of the winner among n draws (M2) by a rule of the table; see the module.

    Raises InputError for an unknown rule.
    """
    levels, rule = levels_of(mass, weight), rule_named(rule)

    def attempt() -> list[arb]:
        if n == 1:
            return [ball(m) for m in mass]
        ratios, silent = rule.balls(levels, n, goal)
        return [
            arb(0) if not m else ball(m) * (silent if k is None else ratios[k])
            for m, k in zip(mass, levels.of, strict=True)
        ]

    return until_small(attempt, goal, n, rule.name)
