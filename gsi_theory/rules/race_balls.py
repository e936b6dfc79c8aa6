"""The race rule in ball arithmetic: its law (M4), its gate on the score (M9) and P_n/π - 1, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import arb, ctx

from gsi_theory.certified.ball_law import MAX_BITS, Levels, LogWeight, compare, levels_of, until_small
from gsi_theory.certified.rational import ball

__all__ = ["race_excess", "race_ratios", "race_score_balls"]


def _race_pieces(levels: Levels, n: int) -> tuple[list[arb], list[arb], list[arb], list[arb]]:
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


def race_ratios(levels: Levels, n: int) -> tuple[list[arb], arb]:
    """w_k n ∫_0^{1/w_k} A^{n-1} dv of each level, the pieces up to its own breakpoint; and that of weight zero (M4)."""
    w, _, _, pieces = _race_pieces(levels, n)
    total, ratios = arb(0), []
    for k, piece in enumerate(pieces):
        total += piece
        ratios.append(w[k] * total)
    return ratios, ball(levels.zero) ** (n - 1)


def race_excess(mass: Sequence[Fraction], weight: Sequence[LogWeight], n: int, goal: int = 96) -> list[arb]:
    """P_n/π - 1 (K,) of the race rule where w > 0 (0 elsewhere), with relative accuracy however small it is.

    With w normalized, P_n/π = 1 - (1 - 1/C)ⁿ + n ∫_{1/C}^{1/w} A^{n-1} dv, so the excess is the sum of the pieces past
    the first breakpoint minus (1 - 1/C)ⁿ, with no one to subtract. The radius is ≤ 2^-goal of (1 - 1/C)ⁿ + |excess|.
    """
    levels = levels_of(mass, weight)

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
    levels = levels_of(mass, weight)
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

    *accepted, reject = until_small(attempt, goal, n, "race with the score gate")
    return accepted, reject
