"""Targets solved as they are defined, λ by its own equation, in 60-digit floats or fractions.  Imports no project code.

Contract
- `log_base` (K,) nats and `reward` (K,) are taken as the exact numbers they hold; exp(log_base) is divided by its sum.
- A target is "kl", "chi2", "order:q" or "power:alpha".  `tilt` gives (g, lam): g (K,) is pi/pi_B as mpf, zero where
  the base or the target has no mass, lam what r is compared with (the log of the mean tilt over beta for kl).
- chi2 is solved in the arithmetic of its inputs: over the m best levels 1 + beta (r - lam) is linear in lam, and the
  right m is the one whose lam leaves exactly these levels positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

__all__ = ["MP_DIGITS", "chi2_law", "law", "tilt"]

MP_DIGITS = 60
Number = Any


def chi2_law(base: Sequence[Number], reward: Sequence[Number], beta: Number) -> tuple[list[Number], Number]:
    """(pi (K,), lam) of pi_B (1 + beta (r - lam))_+, exactly for Fractions; beta > 0."""
    pairs = [(p, r) for p, r in zip(base, reward, strict=True) if p > 0]
    for border in sorted({r for _, r in pairs}, reverse=True):
        upper = [(p, r) for p, r in pairs if r >= border]
        mass = sum(p for p, _ in upper)
        lam = (mass + beta * sum(p * r for p, r in upper) - 1) / (beta * mass)
        below = [r for _, r in pairs if r < border]
        if 1 + beta * (border - lam) >= 0 and all(1 + beta * (r - lam) <= 0 for r in below):
            return [p * max(1 + beta * (r - lam), 0 * p) for p, r in zip(base, reward, strict=True)], lam
    raise AssertionError("no level is the border")


def _order(base: Sequence[Any], reward: Sequence[Any], beta: Any, q: Any) -> tuple[list[Any], Any]:
    power = 1 / (q - 1)

    def weights(lam: Any) -> list[Any]:
        inside = [1 + (q - 1) * beta * (r - lam) for r in reward]
        return [(x**power if x > 0 else (mpmath.mpf(0) if q > 1 else mpmath.inf)) for x in inside]

    def total(lam: Any) -> Any:
        return mpmath.fsum(p * w for p, w in zip(base, weights(lam), strict=True) if p > 0)

    live = [r for p, r in zip(base, reward, strict=True) if p > 0]
    if q < 1:  # lam may be nearer to the largest reward than any digits tell: bisect what is left there, by its log
        top = max(live)
        low, high = mpmath.mpf(-4000), mpmath.mpf(0)
        for _ in range(220):
            middle = (low + high) / 2
            left = mpmath.exp(middle)
            weight = [(left + (1 - q) * beta * (top - r)) ** power if r <= top else mpmath.mpf(0) for r in reward]
            more = mpmath.fsum(p * w for p, w in zip(base, weight, strict=True)) > 1
            low, high = (middle, high) if more else (low, middle)
        return weight, top - (1 - left) / ((1 - q) * beta)
    low, high = min(live), max(live)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if total(middle) > 1 else (low, middle)
    return weights(high), high


def tilt(log_base: Sequence[float], reward: Sequence[float], beta: float, target: str) -> tuple[list[Any], Any]:
    """(pi/pi_B (K,), lam), see the module's text; ValueError for an unknown target."""
    with mpmath.workdps(MP_DIGITS):
        base = [mpmath.exp(mpmath.mpf(x)) if x > -mpmath.inf else mpmath.mpf(0) for x in log_base]
        whole = mpmath.fsum(base)
        base, r, b = [p / whole for p in base], [mpmath.mpf(x) for x in reward], mpmath.mpf(beta)
        kind, _, parameter = target.partition(":")
        if kind == "power":
            raised = [p ** (mpmath.mpf(parameter) - 1) if p > 0 else mpmath.mpf(0) for p in base]
            norm, lam = mpmath.fsum(p * g for p, g in zip(base, raised, strict=True)), mpmath.mpf(0)
            g = [x / norm for x in raised]
        elif kind not in ("kl", "chi2", "order"):
            raise ValueError(f"target={target!r} is unknown to the oracle")
        elif b == 0:
            g, lam = [mpmath.mpf(1)] * len(base), mpmath.mpf(0)
        elif kind == "kl":
            top = max(x for p, x in zip(base, r, strict=True) if p > 0)
            raised = [mpmath.exp(b * (x - top)) for x in r]
            norm = mpmath.fsum(p * w for p, w in zip(base, raised, strict=True))
            g, lam = [w / norm for w in raised], top + mpmath.log(norm) / b
        elif kind == "chi2":
            _, lam = chi2_law(base, r, b)
            g = [max(1 + b * (x - lam), mpmath.mpf(0)) for x in r]
        else:
            g, lam = _order(base, r, b, mpmath.mpf(parameter))
        return [w if p > 0 else mpmath.mpf(0) for p, w in zip(base, g, strict=True)], lam


def law(log_base: Sequence[float], reward: Sequence[float], beta: float, target: str) -> list[Any]:
    """The target's law (K,) as mpf."""
    with mpmath.workdps(MP_DIGITS):
        g, _ = tilt(log_base, reward, beta, target)
        base = [mpmath.exp(mpmath.mpf(x)) if x > -mpmath.inf else mpmath.mpf(0) for x in log_base]
        terms = [p * w for p, w in zip(base, g, strict=True)]
        whole = mpmath.fsum(terms)
        return [t / whole for t in terms]
