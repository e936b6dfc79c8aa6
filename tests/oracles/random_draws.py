"""Laws of the winner of N = fixed + Poisson(mean) draws, given N ≥ 1, in arithmetic of many digits. Imports no project
code.

Contract
- `mass` (K,): probabilities of one draw, floats or Fractions, divided by their sum.  `log_weight` (K,): floats in nats,
  -inf for weight zero; `fixed` ≥ 0 a whole number, `mean` ≥ 0, not both zero.
- G(s) = E s^N.  With phi(t) = sum_z mass e^{-t w(z)} and A(v) = sum_z mass (1 - v w(z))_+:
    softmax  mass w ∫_0^∞ e^{-t w} G'(phi(t)) dt, by the trapezoid rule in log t at step 3/16 (relative error 1e-22);
    race     mass w ∫_0^{1/w} G'(A(v)) dv, closed between the breakpoints 1/w;
    max      G(F) - G(F_-) on a level, F and F_- the masses up to it and below it, shared in proportion to mass.
  With probability G(m_0) - G(0) every draw has weight zero, m_0 the mass of these; then the winner is uniform.
  Everything is divided by P(N >= 1) = 1 - G(0).
- Differences of G are taken as they stand, at a precision far beyond what they cancel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from flint import arb, ctx, fmpq

STEP, WIDE, SETTLED = 0.1875, 55.0, 9.0


def _number(value: Any) -> arb:
    return arb(value) if isinstance(value, int | float) else arb(fmpq(value.numerator, value.denominator))


class Number:
    """N = fixed + Poisson(mean), given N >= 1, through G."""

    def __init__(self, fixed: int, mean: float) -> None:
        self.fixed, self.mean = fixed, arb(mean)
        self.some = 1 - self.pgf(arb(0))

    def pgf(self, s: arb) -> arb:
        """E s^N, not conditioned."""
        return s**self.fixed * (-self.mean * (1 - s)).exp()

    def slope(self, s: arb) -> arb:
        """d/ds E s^N, not conditioned."""
        first = self.fixed * s ** (self.fixed - 1) if self.fixed else arb(0)
        return (first + self.mean * s**self.fixed) * (-self.mean * (1 - s)).exp()


def _precision(mass: Sequence[Any], log_weight: Sequence[float], mean: float) -> int:
    """Bits: 192 beyond what differences of G cancel."""
    finite = [w for w in log_weight if w > -math.inf] or [0.0]
    smallest = min((float(m) for m in mass if m > 0), default=1.0)
    return 192 + int(3 * (max(finite) - min(finite))) + 2 * abs(math.frexp(mean)[1]) - 3 * math.frexp(smallest)[1]


def selection_law(mass: Sequence[Any], log_weight: Sequence[float], fixed: int, mean: float, rule: str) -> list[arb]:
    """Law (K,) of the winner, as balls far narrower than float64; unknown rule: ValueError."""
    if rule not in OF_RULE:
        raise ValueError(f"rule={rule!r} is unknown to the oracle: use one of {tuple(OF_RULE)}")
    silent = [m for m, w in zip(mass, log_weight, strict=True) if w == -math.inf]
    with ctx.workprec(_precision(silent, [], mean) if rule == "softmax" else _precision(mass, log_weight, mean)):
        mu, number = _normalized(mass), Number(fixed, mean)
        return [p / number.some for p in OF_RULE[rule](mu, log_weight, number)]


def score_gated_race(
    mass: Sequence[Any], log_weight: Sequence[float], fixed: int, mean: float, log_score: float
) -> tuple[list[arb], arb]:
    """(accepted mass (K,), P(reject)): the race, kept when its winning score w/U is at least e^log_score, finite."""
    with ctx.workprec(_precision(mass, [*log_weight, log_score], mean)):
        mu, number = _normalized(mass), Number(fixed, mean)
        accepted = _race(mu, log_weight, number, log_score)
        for y, w in enumerate(log_weight):
            if w == -math.inf:
                accepted[y] = arb(0)
        beaten = sum((m * max(1 - _ratio(w, log_score), arb(0)) for m, w in zip(mu, log_weight, strict=True)), arb(0))
        return [p / number.some for p in accepted], (number.pgf(beaten) - number.pgf(arb(0))) / number.some


def log_distance(law: Sequence[arb], log_prob: Sequence[float]) -> float:
    """Largest |log law - log_prob| where either is above 1e-300."""
    worst = 0.0
    with ctx.workprec(256):
        for p, q in zip(law, log_prob, strict=True):
            if float(p) > 1e-300 or q > math.log(1e-300):
                worst = max(worst, abs(float(p.log() - arb(float(q)))) if float(p) > 0 else math.inf)
    return worst


def tv_distance(law: Sequence[arb], log_prob: Sequence[float]) -> float:
    """Half the sum of |law - exp(log_prob)|, the exponentials as float64 takes them."""
    with ctx.workprec(256):
        return float(sum((abs(p - arb(math.exp(q))) for p, q in zip(law, log_prob, strict=True)), arb(0))) / 2


def _normalized(mass: Sequence[Any]) -> list[arb]:
    numbers = [_number(m) for m in mass]
    total = sum(numbers, arb(0))
    return [m / total for m in numbers]


def _ratio(log_weight: float, log_other: float) -> arb:
    """w/w', zero for weight zero."""
    return arb(0) if log_weight == -math.inf else (arb(log_weight) - arb(log_other)).exp()


def _all_zero(mu: list[arb], log_weight: Sequence[float], number: Number) -> list[arb]:
    """What weight zero wins: the draws all have it, and the winner is uniform among them."""
    zero = [w == -math.inf for w in log_weight]
    none = sum((m for m, z in zip(mu, zero, strict=True) if z), arb(0))
    chance = number.pgf(none) - number.pgf(arb(0))
    return [m / none * chance if z and m > 0 else arb(0) for m, z in zip(mu, zero, strict=True)]


def _softmax(mu: list[arb], log_weight: Sequence[float], number: Number) -> list[arb]:
    law = _all_zero(mu, log_weight, number)
    live = [y for y, w in enumerate(log_weight) if w > -math.inf and mu[y] > 0]
    silent = sum((m for m, w in zip(mu, log_weight, strict=True) if w == -math.inf), arb(0))
    reach = math.log(max(float(number.mean) + number.fixed, 1.0)) + WIDE
    # Further left of every candidate the integrand grows like e^x up to the next window: it holds e^{-WIDE} of that.
    nodes = set()
    for y in live:
        nodes |= set(range(math.floor((-log_weight[y] - reach) / STEP), math.ceil((-log_weight[y] + SETTLED) / STEP)))
    for j in nodes:
        phi, flows = silent, []
        for y in live:
            u = arb(j * STEP) + arb(log_weight[y])
            rate = u.exp() if u < SETTLED else None
            quiet = arb(0) if rate is None else (-rate).exp()
            phi = phi + mu[y] * quiet
            flows.append(arb(0) if rate is None else rate * quiet)
        slope = number.slope(phi)
        for y, flow in zip(live, flows, strict=True):
            law[y] = law[y] + mu[y] * flow * slope * STEP
    return law


def _race(mu: list[arb], log_weight: Sequence[float], number: Number, log_score: float = -math.inf) -> list[arb]:
    law = _all_zero(mu, log_weight, number)
    live = [w for w in {*log_weight, log_score} if w > -math.inf]
    for y, own in enumerate(log_weight):
        if own == -math.inf:
            continue
        # v runs in units of 1/w(y) from 0 to the least of 1/w(y), 1/M; A is linear between the breakpoints w(y)/w.
        last = max(own, log_score)
        ends = [arb(0), *(_ratio(own, w) for w in sorted((w for w in live if w >= last), reverse=True))]
        total = arb(0)
        for low, high in pairwise(ends):
            middle = (low + high) / 2
            fall = sum((m * _ratio(w, own) for m, w in zip(mu, log_weight, strict=True)
                        if not middle * _ratio(w, own) > 1), arb(0))  # fmt: skip
            if fall > 0:
                total += (number.pgf(_missed(mu, log_weight, own, low)) -
                          number.pgf(_missed(mu, log_weight, own, high))) / fall  # fmt: skip
        law[y] = mu[y] * total
    return law


def _missed(mu: list[arb], log_weight: Sequence[float], own: float, v: arb) -> arb:
    """A at v/w(own)."""
    terms = ((m, v * _ratio(w, own)) for m, w in zip(mu, log_weight, strict=True))
    return sum((m * (1 - x) for m, x in terms if x < 1), arb(0))


def _max(mu: list[arb], log_weight: Sequence[float], number: Number) -> list[arb]:
    law = []
    for y, own in enumerate(log_weight):
        below = sum((m for m, w in zip(mu, log_weight, strict=True) if w < own), arb(0))
        level = sum((m for m, w in zip(mu, log_weight, strict=True) if w == own), arb(0))
        chance = number.pgf(below + level) - number.pgf(below)
        law.append(mu[y] / level * chance if level > 0 else arb(0))
    return law


OF_RULE = {"softmax": _softmax, "race": _race, "max": _max}
