"""The softmax rule in ball arithmetic (M3): the trapezoid rule in log-time with its proved relative error, every
truncation inside the ball."""

from __future__ import annotations

import math
from fractions import Fraction

from flint import arb

from gsi_theory.certified.ball_law import Levels, LogWeight, log_of_rational
from gsi_theory.certified.rational import ball

__all__ = ["softmax_ratios"]


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

    def __init__(self, levels: Levels, n: int, m: int) -> None:
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


def softmax_ratios(levels: Levels, n: int, goal: int) -> tuple[list[arb], arb]:
    """n w ∫ e^{-tw} φ^{n-1} dt of each level by the trapezoid rule in log-time, and P/μ of weight zero (M3)."""
    nats = (goal + 10) * math.log(2.0)
    m = math.ceil((nats + 8.0) / math.pi**2)
    lightest = min([*levels.mass, *([levels.zero] if levels.zero else [])], default=Fraction(1))
    right = math.log(nats + math.log(n) - log_of_rational(lightest))
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
    return [x / slack for x in sweep.result], ball(levels.zero) ** (n - 1)
