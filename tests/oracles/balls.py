"""Guaranteed enclosures of the laws at any n, in ball arithmetic (python-flint).  Imports no project code.

Contract
- `mass` (K,), `log_weight` (K,) in nats: ints, floats or Fractions, taken as the exact numbers they are
  (log_weight may be -inf).  Masses are divided by their exact sum, because (1 + 1e-16)^n is far from 1 at
  n = 1e9.  Meant for K <= 8 or so.
- Each function returns K `arb` balls that contain the law of the winner among n candidates, of relative
  radius below 2^-84 < 1e-25; it doubles the working precision until that holds, and raises ArithmeticError
  beyond MAX_BITS.  Later arithmetic on the balls rounds to the caller's `flint.ctx.prec`, 53 bits unless set.
- If every candidate has weight zero the winner is uniform among the n: outcomes of weight zero together get
  mass0^n, in proportion to mass, and the integrals below run over the others.

Softmax.  Give candidate i a clock of rate w_i: the first to ring is i with probability w_i / sum w.  So
P(y) = n mu_y int_0^inf w_y e^{-t w_y} phi(t)^{n-1} dt, phi(t) = sum_z mu_z e^{-t w_z} being the chance that
another clock is silent up to t.  As phi decreases, a stretch (s, t) contributes between
n mu_y (e^{-s w_y} - e^{-t w_y}) phi(t)^{n-1} and the same with phi(s)^{n-1}: a proved two-sided bound that
needs no quadrature, holds for s = 0 and t = inf, and settles every stretch negligible beside the total.
The few stretches left, cut to length 1 in x = log t, go to flint's rigorous integrator.
Race.  v_i = U_i / w_i is uniform on (0, 1/w_i); the smallest wins.  Another candidate exceeds v with chance
A(v) = sum_z mu_z (1 - v w_z)_+, linear between the sorted 1/w, so the integral
P(y) = n mu_y w_y int_0^{1/w_y} A(v)^{n-1} dv is a sum of terms (A(left)^n - A(right)^n) / slope.
Max.  The winner's level is at most l when all n draws are, and ties are shared in proportion to mass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from flint import acb, arb, ctx, fmpq

__all__ = ["GOAL_BITS", "MAX_BITS", "max_law_balls", "race_law_balls", "softmax_law_balls"]

GOAL_BITS = 84  # 2^-84 = 5e-26
MAX_BITS = 8192
Real = int | float | Fraction
Levels = list[tuple[Fraction, Fraction]]  # (log-weight, its total mass), distinct and descending


def softmax_law_balls(mass: Sequence[Real], log_weight: Sequence[Real], n: int, precision_bits: int = 192) -> list[arb]:
    """Softmax law (K,) as balls: see the module docstring for the integral and its proved tails."""
    return _law(mass, log_weight, n, precision_bits, _softmax_ratios)


def race_law_balls(mass: Sequence[Real], log_weight: Sequence[Real], n: int, precision_bits: int = 192) -> list[arb]:
    """Race law (K,) as balls: a closed form on each interval between the sorted 1/w."""
    return _law(mass, log_weight, n, precision_bits, _race_ratios)


def max_law_balls(mass: Sequence[Real], log_weight: Sequence[Real], n: int, precision_bits: int = 192) -> list[arb]:
    """Max law (K,) as balls: F^n - F_-^n shared over each level in proportion to mass."""
    return _law(mass, log_weight, n, precision_bits, _max_ratios)


def _law(
    mass: Sequence[Real],
    log_weight: Sequence[Real],
    n: int,
    precision_bits: int,
    ratios: Callable[[Levels, Fraction, int], list[arb]],
) -> list[arb]:
    """mass times P(y)/mass(y), which depends on the log-weight alone; raises the precision as needed."""
    if n < 1 or len(mass) != len(log_weight):
        raise ValueError(f"n={n}, {len(mass)} masses, {len(log_weight)} weights: need n >= 1, equal lengths")
    exact = [Fraction(m) for m in mass]
    total = sum(exact, Fraction(0))
    if min(exact) < 0 or total <= 0:
        raise ValueError(f"mass={list(mass)}: masses must be nonnegative with a positive sum")
    exact = [m / total for m in exact]
    logs = [None if ell == -math.inf else Fraction(ell) for ell in log_weight]
    grouped: dict[Fraction, Fraction] = {}
    for m, ell in zip(exact, logs, strict=True):
        if m and ell is not None:
            grouped[ell] = grouped.get(ell, Fraction(0)) + m
    levels = sorted(grouped.items(), reverse=True)
    zero = sum((m for m, ell in zip(exact, logs, strict=True) if ell is None), Fraction(0))
    bits = precision_bits
    while bits <= MAX_BITS:
        with ctx.workprec(bits):
            by_level = dict(zip((ell for ell, _ in levels), ratios(levels, zero, n), strict=True))
            silent = _ball(zero) ** (n - 1)
            law = [
                arb(0) if not m else _ball(m) * (silent if ell is None else by_level[ell])
                for m, ell in zip(exact, logs, strict=True)
            ]
            if all(p.rel_accuracy_bits() >= GOAL_BITS for p, m in zip(law, exact, strict=True) if m):
                return law
        bits *= 2
    raise ArithmeticError(f"n={n}: no enclosure of relative radius 2^-{GOAL_BITS} within {MAX_BITS} bits")


def _ball(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def _max_ratios(levels: Levels, zero: Fraction, n: int) -> list[arb]:
    """P(level)/mass(level): F_-^n ((F/F_-)^n - 1) loses no digits when the level is light."""
    result = []
    below = sum((m for _, m in levels), zero)
    for _, m in levels:
        upto, below = below, below - m
        gain = -(n * (-_ball(m / upto)).log1p()).expm1() if below else arb(1)
        result.append(_ball(upto) ** n * gain / _ball(m))
    return result


def _race_ratios(levels: Levels, zero: Fraction, n: int) -> list[arb]:
    """P(y)/mass(y) of each level; interval k runs from 1/w_{k-1} (or 0) to 1/w_k, for levels k, k+1, ..."""
    result: list[arb] = []
    collected = arb(0)  # w_k times the integral of n A^(n-1) over the intervals so far
    for k, (ell, _) in enumerate(levels):
        active = levels[k:]
        slope = sum((_ball(m) * _ball(other - ell).exp() for other, m in active), arb(0))  # over w_k
        if k == 0:
            left, width = arb(1), arb(1)  # width of the interval times w_k
        else:
            step = _ball(ell - levels[k - 1][0])
            collected *= step.exp()
            width = -step.expm1()
            gaps = (-_ball(other - levels[k - 1][0]).expm1() * _ball(m) for other, m in active)
            left = sum(gaps, _ball(zero))
        if k == len(levels) - 1 and not zero:
            drop = left**n  # A vanishes at the right end, where log1p below would meet -1
        else:
            drop = -(left**n) * (n * (-(slope * width / left)).log1p()).expm1()
        collected += drop / slope
        result.append(collected)
    return result


def _softmax_ratios(levels: Levels, zero: Fraction, n: int) -> list[arb]:
    if n == 1:
        return [arb(1) for _ in levels]
    return [_softmax_ratio(levels, zero, n, ell) for ell, _ in levels]


def _softmax_ratio(levels: Levels, zero: Fraction, n: int, ell: Fraction) -> arb:
    """n int_0^inf w e^{-tw} phi(t)^{n-1} dt for log w = ell: bracket the half-line, refine what matters.

    P(y)/mu(y) >= e^-2 w/w_max suggests where the middle stretch may end; the brackets of the two tails, not
    this choice, make the result rigorous.
    """
    spread = float(levels[0][0] - levels[-1][0])
    start = math.floor(-levels[0][0]) - math.ceil(math.log(n)) - GOAL_BITS - 4
    stop = math.ceil(-levels[-1][0]) + math.ceil(math.log(spread + GOAL_BITS + math.log(n))) + 1
    stretches: list[tuple[int | None, int | None]] = [(None, start), (start, stop), (stop, None)]
    settled = arb(0)
    while stretches:
        bounds = [_bracket(a, b, levels, zero, n, ell) for a, b in stretches]
        total = sum((low for low, _ in bounds), settled.lower())  # a lower bound of the whole integral
        negligible = total * arb(2) ** -(GOAL_BITS + 14)
        todo: list[tuple[int | None, int | None]] = []
        for (a, b), (low, high) in zip(stretches, bounds, strict=True):
            if a is None or b is None or high - low <= negligible:
                settled += low.union(high)
            elif b - a > 1:
                todo += [(a, (a + b) // 2), ((a + b) // 2, b)]
            else:
                # both enclose the same number: an empty intersection would raise
                settled += _integrate(a, b, levels, zero, n, ell, negligible).intersection(low.union(high))
        stretches = todo
    return settled


def _bracket(a: int | None, b: int | None, levels: Levels, zero: Fraction, n: int, ell: Fraction) -> tuple[arb, arb]:
    """Lower and upper bound of the stretch a < log t < b; None means t = 0 on the left, inf on the right."""
    w = _ball(ell).exp()
    rings = arb(1)  # chance that a clock of rate w first rings inside the stretch
    if a is not None and b is not None:
        rings = (-arb(a).exp() * w).exp() * -(-(arb(b).exp() - arb(a).exp()) * w).expm1()
    elif a is not None:
        rings = (-arb(a).exp() * w).exp()
    elif b is not None:
        rings = -(-arb(b).exp() * w).expm1()
    silent_a = arb(1) if a is None else _silence(acb(a), levels, zero).real ** (n - 1)
    silent_b = _ball(zero) ** (n - 1) if b is None else _silence(acb(b), levels, zero).real ** (n - 1)
    return (n * rings * silent_b).lower(), (n * rings * silent_a).upper()


def _silence(x: acb, levels: Levels, zero: Fraction) -> acb:
    """phi(e^x)."""
    return sum((_ball(m) * (-(x + _ball(ell)).exp()).exp() for ell, m in levels), acb(_ball(zero)))


def _integrate(a: int, b: int, levels: Levels, zero: Fraction, n: int, ell: Fraction, tolerance: arb) -> arb:
    """The stretch a < log t < b by flint's rigorous integrator, in the variable x = log t."""

    def integrand(x: acb, _analytic: bool) -> acb:
        # n - 1 is an integer, so exp((n-1) log phi) is phi^(n-1) whatever the branch, hence entire: the flag
        # may be ignored.  Where the ball of phi holds zero, log gives a non-finite ball and flint bisects.
        clock = x + _ball(ell)
        return n * (clock - clock.exp() + (n - 1) * _silence(x, levels, zero).log()).exp()

    return acb.integral(integrand, a, b, abs_tol=tolerance).real
