"""Laws of the winner in ball arithmetic: every rule of law.py, proved enclosures, at any n.

Symbols. `mass` (K,) exact rationals that sum to one, `weight` (K,) `LogWeight`s, n draws. Results are K balls (flint
`arb`) that contain the law, each of relative radius ≤ 2^-goal (exact zeros stay exact); the working precision is
doubled until that holds. Equal weights are merged into levels; two weights are equal only if they are the same pair of
rationals, by Lindemann's theorem (THEORY.md, M35), so every comparison is decided.

softmax (M3): trapezoid rule in log-time with its proved relative error, every truncation inside the ball.
race (M4), its score gate (M9) and max (M5): closed forms.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx

from gsi_theory.certified.rational import ball
from gsi_theory.errors import InputError, nearest

__all__ = ["LogWeight", "compare", "race_excess", "race_score_balls", "selection_balls"]

MAX_BITS = 1 << 16


@dataclass(frozen=True)
class LogWeight:
    """log w = exponent + log(factor), nats, both exact; factor 0 is weight zero."""

    exponent: Fraction
    factor: Fraction

    def as_float(self) -> float:
        """Approximate value, for placing windows only."""
        return float(self.exponent) + _log(self.factor)


def _log(x: Fraction) -> float:
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
class _Levels:
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


def _levels(mass: Sequence[Fraction], weight: Sequence[LogWeight]) -> _Levels:
    total: dict[LogWeight, Fraction] = {}
    for m, lw in zip(mass, weight, strict=True):
        if m and lw.factor:
            total[lw] = total.get(lw, Fraction(0)) + m
    order = sorted(total, key=functools.cmp_to_key(compare), reverse=True)
    place = {lw: k for k, lw in enumerate(order)}
    zero = sum((m for m, lw in zip(mass, weight, strict=True) if not lw.factor), Fraction(0))
    return _Levels(order, [total[lw] for lw in order], zero, [place.get(lw) for lw in weight])


def _until(attempt: Callable[[], list[arb]], goal: int, n: int, what: str) -> list[arb]:
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
    mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, rule: str, goal: int = 96
) -> list[arb]:
    """The law (K,) of the winner among n draws (M2): softmax (M3), race (M4) or max (M5); see the module.

    Raises InputError for an unknown rule.
    """
    if rule not in _RATIOS:
        raise InputError(f"rule {rule!r}{nearest(rule, _RATIOS)}: give one of {', '.join(_RATIOS)}")
    levels = _levels(mass, weight)

    def attempt() -> list[arb]:
        if n == 1:
            return [ball(m) for m in mass]
        ratios = _RATIOS[rule](levels, n, goal)
        silent = ball(levels.zero) ** (n - 1)
        return [
            arb(0) if not m else ball(m) * (silent if k is None else ratios[k])
            for m, k in zip(mass, levels.of, strict=True)
        ]

    return _until(attempt, goal, n, rule)


def _between_zero_and(x: arb) -> arb:
    return arb(0).union(x)


def _step_error(m: int) -> arb:
    """Relative error of the trapezoid rule with step 1/m: 2/(cos a (e^{2πam} - 1)), here a = π/2 - 1/(2πm)."""
    a = arb.pi() / 2 - 1 / (2 * arb.pi() * m)
    return 2 / (a.cos() * ((2 * arb.pi() * a * m).exp() - 1))


class _Sweep:
    """One pass over the nodes x = j/m of (M3), t = e^x, levels entering and leaving their windows.

    Balls kept per node: φ(t)^{n-1} (`power`) and Σ_{nodes so far} t φ^{n-1} (`before`). Everything a window leaves out
    is inside a ball: a level not yet started adds 1 - e^{-tw} ∈ [0, tw], one that is gone e^{-tw} ∈ [0, e^{-tw'}] with
    w' the lightest gone; nodes left out below t_j (the left end, gaps) sum to at most t_j/(e^{1/m} - 1) times their
    largest φ^{n-1}; nodes beyond J with t_J w ≥ 1 to at most m e^{-t_J w} φ_J^{n-1}, because exp(u - e^u) falls there.
    """

    def __init__(self, levels: _Levels, n: int, m: int) -> None:
        self.w, self.mass, zero = levels.balls()
        self.n, self.m, size = n, m, len(self.w)
        self.gone, self.left, self.slope = [arb(0)], [zero], [arb(0)]
        for k in range(size):
            self.gone.append(self.gone[-1] + self.mass[k])
        for k in reversed(range(size)):
            self.left.insert(0, self.left[0] + self.mass[k])
            self.slope.insert(0, self.slope[0] + self.mass[k] * self.w[k])
        self.geometric = 1 / (arb(1) / m).expm1()
        self.before = arb(0)
        self.power = arb(1)
        self.sums: list[arb] = [arb(0)] * size
        self.result: list[arb] = [arb(0)] * size

    def node(self, j: int, jumped: bool, active: range, entering: range, leaving: range) -> None:
        """Take node j; `jumped`: nodes before it were left out."""
        t = (arb(j) / self.m).exp()
        if jumped:
            self.before += _between_zero_and(self.power * t * self.geometric)
        for k in entering:
            # e^{-sw} ∈ [1 - tw, 1] at every earlier node s < t
            self.sums[k] = self.before * (1 - _between_zero_and(t * self.w[k]))
        ring = {k: (-t * self.w[k]).exp() for k in active}
        phi = self.left[active.stop] - _between_zero_and(t * self.slope[active.stop])
        for k in active:
            phi += self.mass[k] * ring[k]
        if active.start:
            phi += _between_zero_and(self.gone[active.start] * (-t * self.w[active.start - 1]).exp())
        self.power = phi ** (self.n - 1)
        step = t * self.power
        self.before += step
        for k in active:
            self.sums[k] += step * ring[k]
        for k in leaving:
            beyond = _between_zero_and(self.power * ring[k]) if t * self.w[k] >= 1 else arb.nan()
            self.result[k] = self.n * (self.sums[k] * self.w[k] / self.m + beyond)


def _softmax_ratios(levels: _Levels, n: int, goal: int) -> list[arb]:
    """n w ∫ e^{-tw} φ^{n-1} dt of each level by the trapezoid rule in log-time (M3)."""
    nats = (goal + 10) * math.log(2.0)
    m = math.ceil((nats + 8.0) / math.pi**2)
    lightest = min([*levels.mass, *([levels.zero] if levels.zero else [])], default=Fraction(1))
    right = math.log(nats + math.log(n) - _log(lightest))
    top = levels.weight[0].exponent if levels.weight else Fraction(0)
    logs = [LogWeight(lw.exponent - top, lw.factor).as_float() for lw in levels.weight]
    start = [math.floor((-lw - math.log(n) - nats) * m) for lw in logs]
    stop = [math.ceil((-lw + right) * m) for lw in logs]
    # rounding of the approximate logs must not break the order of the windows
    start = [max(start[: k + 1]) for k in range(len(start))]
    stop = [max(stop[: k + 1]) for k in range(len(stop))]
    sweep = _Sweep(levels, n, m)
    first = last = 0  # active levels are first..last-1
    j = start[0] - 1 if start else 0
    while first < len(start):
        jumped = j < start[0] or (first == last and j + 1 < start[last])
        j = start[last] if jumped else j + 1
        entered = last
        while last < len(start) and start[last] <= j:
            last += 1
        left = first
        while left < last and stop[left] <= j:
            left += 1
        sweep.node(j, jumped, range(first, last), range(entered, last), range(first, left))
        first = left
    slack = arb(1, _step_error(m).abs_upper())
    return [x / slack for x in sweep.result]


def _race_pieces(levels: _Levels, n: int) -> tuple[list[arb], list[arb], list[arb], list[arb]]:
    """(w, slope S, A(1/w_k)ⁿ, piece (A_{k-1}ⁿ - A_kⁿ)/S_k) of each level of (M4); A is linear between the 1/w_k."""
    w, mass, zero = levels.balls()
    size = len(w)
    powers: list[arb] = []
    pieces: list[arb] = []
    slopes = [arb(0)] * (size + 1)
    for k in reversed(range(size)):
        slopes[k] = slopes[k + 1] + mass[k] * w[k]
    previous, edge = arb(1), arb(0)
    for k in range(size):
        lighter = sum(levels.mass[k:], Fraction(0))
        a = sum((mass[i] * (1 - w[i] / w[k]) for i in range(k + 1, size)), zero)
        if not lighter:  # only a gate below every weight: A stands still
            pieces.append(arb(0))
        else:
            share = slopes[k] * (1 / w[k] - edge) / previous
            kept = arb(-1) if a.is_zero() else (n * (-share).log1p()).expm1()
            pieces.append(-(previous**n) * kept / slopes[k])
        powers.append(a**n)
        previous, edge = a, 1 / w[k]
    return w, slopes[:size], powers, pieces


def _race_ratios(levels: _Levels, n: int, goal: int) -> list[arb]:
    """w_k n ∫_0^{1/w_k} A^{n-1} dv: the pieces up to the level's own breakpoint (M4)."""
    w, _, _, pieces = _race_pieces(levels, n)
    total, ratios = arb(0), []
    for k, piece in enumerate(pieces):
        total += piece
        ratios.append(w[k] * total)
    return ratios


def race_excess(mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, goal: int = 96) -> list[arb]:
    """P_n/π - 1 (K,) of the race rule where w > 0 (0 elsewhere), with relative accuracy however small it is.

    With w normalized, P_n/π = 1 - (1 - 1/C)ⁿ + n ∫_{1/C}^{1/w} A^{n-1} dv, so the excess is the sum of the pieces past
    the first breakpoint minus (1 - 1/C)ⁿ, with no one to subtract. The radius is ≤ 2^-goal of (1 - 1/C)ⁿ + |excess|.
    """
    levels = _levels(mass, weight)

    def attempt() -> list[arb]:
        _, slopes, powers, pieces = _race_pieces(levels, n)
        total, by_level = -powers[0], []
        for k, piece in enumerate(pieces):
            total += slopes[0] * piece if k else arb(0)
            by_level.append(total)
        return [arb(0) if k is None else by_level[k] for k in levels.of]

    bits = goal + 96 + 2 * n.bit_length()
    with ctx.workprec(bits):
        scale = _race_pieces(levels, n)[2][0]
    while bits <= MAX_BITS:
        with ctx.workprec(bits):
            result = attempt()
            if all(x.is_finite() and x.rad() <= arb(2) ** -goal * (scale + abs(x)).abs_upper() for x in result):
                return result
        bits *= 2
    raise ArithmeticError(f"race, n = {n}: no enclosure of P/π - 1 within {MAX_BITS} bits")


def race_score_balls(
    mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, score: LogWeight, goal: int = 96
) -> tuple[list[arb], arb]:
    """Race rule accepted when the winning score is ≥ M = e^`score` (M9): accepted masses (K,), P(reject) = A(1/M)ⁿ."""
    levels = _levels(mass, weight)
    if score in levels.weight:
        gate = levels.weight.index(score)
    else:
        gate = sum(compare(lw, score, "a weight and the score threshold") > 0 for lw in levels.weight)
        levels.weight.insert(gate, score)
        levels.mass.insert(gate, Fraction(0))
    place = {lw: k for k, lw in enumerate(levels.weight)}

    def attempt() -> list[arb]:
        w, _, powers, pieces = _race_pieces(levels, n)
        sums = [sum(pieces[: k + 1], arb(0)) for k in range(len(pieces))]
        accepted = [
            arb(0) if not (m and lw.factor) else ball(m) * w[place[lw]] * sums[min(place[lw], gate)]
            for m, lw in zip(mass, weight, strict=True)
        ]
        return [*accepted, powers[gate]]

    *accepted, reject = _until(attempt, goal, n, "race with the score gate")
    return accepted, reject


def _max_ratios(levels: _Levels, n: int, goal: int) -> list[arb]:
    """(Fⁿ - F_-ⁿ)/(F - F_-) of each level (M5), F the mass at or below it."""
    ratios = []
    below = sum(levels.mass, levels.zero)
    for m in levels.mass:
        upto, below = below, below - m
        kept = (n * (-ball(m / upto)).log1p()).expm1() if below else arb(-1)
        ratios.append(-(ball(upto) ** n) * kept / ball(m))
    return ratios


_RATIOS: dict[str, Callable[[_Levels, int, int], list[arb]]] = {
    "softmax": _softmax_ratios,
    "race": _race_ratios,
    "max": _max_ratios,
}
