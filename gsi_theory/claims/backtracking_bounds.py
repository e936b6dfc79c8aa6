"""Claims on the value-guided walk that may take steps back (M42), on the two-step tree of step_bounds.py. NumPy rows.

Its value is the draft's error: V̂(j) = e^{βV(j)} π_S(j)/π_B(j) after one step, exact at the leaves, so 1 + ε is the
largest of π_S/π_B and π_B/π_S over what the base has. Below a first step j the walk keeps the leaves in proportion to
the tilt, so the root, the K prefixes and the K sets of leaves below them are states enough. n is the number of steps
of the walk; in M42-worst it is H - 1, the steps whose values are noisy.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, gammaln

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log_sum
from gsi_theory.arrays.namespace import host, table
from gsi_theory.claims.assumptions import COVERED
from gsi_theory.claims.claim import Assumption, Claim, proved, reading, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.laws.selection_law import EPS
from gsi_theory.steps.backtracking_walk import (
    leaf_share_bound,
    mixing_bound,
    worst_forward_bound,
)
from gsi_theory.types import Floats

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["MOST_WALKED", "TABLE", "mixing"]

MOST_WALKED = 256
DEPTH = 2


@dataclass(frozen=True)
class _Values:
    """log π(j), the tilt of trajectories at its first step; log V̂/e^{βV} (..., K), -inf and 0 where the base has no
    mass; log(1 + ε) and error, nats (...)."""

    log_pi: Floats
    log_noise: Floats
    log_factor: Floats
    error: Floats


def _values_of(f: Facts) -> _Values:
    return f.once("noisy values of two steps", lambda: _values(f))


def _values(f: Facts) -> _Values:
    base, draft, reward, beta = (host(v) for v in (f.log_base, f.log_draft, f.reward, f.beta))
    held = np.isfinite(base)
    reward = np.where(held, reward, 0.0)
    largest = np.max(np.abs(reward), axis=-1)
    share = reward / np.where(largest > 0, largest, 1.0)[..., None]
    later = log_sum(base[..., None, :] + beta[..., None, None] * share[..., :, None] * reward[..., None, :])
    mass = base + beta[..., None] * reward + later
    noise = np.where(held, np.where(held, draft, 0.0) - np.where(held, base, 0.0), 0.0)
    size = 1.0 + 3.0 * beta * largest + 2.0 * np.max(np.where(held, np.abs(base) + np.abs(noise), 0.0), axis=-1)
    error = (32.0 + 2.0 * host(f.outcomes)) * EPS * size
    return _Values(mass - log_sum(mass)[..., None], noise, np.max(np.abs(noise), axis=-1), error)


def _factor(values: _Values) -> Floats:
    """1 + ε, at most 1e300."""
    return np.asarray(np.exp(np.minimum(values.log_factor, 690.0)))


def _sides(f: Facts, lhs: Floats, rhs: Floats, error: Floats, trivial: float = np.inf, scale: float = 1e-3) -> Sides:
    one, two, three = (table(np.asarray(v, dtype=np.float64), f.reward) for v in (lhs, rhs, error))
    return Sides(one, two, three, trivial, scale)


def leaf_share(f: Facts, published: bool) -> Sides:
    """(M42): 1/(2(1 + (1+ε)(H-1))), as published 1/(2(1+ε)H), ≤ stationary P(at a leaf), H = 2."""
    values = _values_of(f)
    # Beyond 1e300 the bound is below every share.
    factor = np.where(values.log_factor > 690.0, np.inf, _factor(values))
    lhs = 0.5 / (factor * DEPTH) if published else leaf_share_bound(factor, DEPTH)
    above = np.minimum(log_sum(values.log_pi + values.log_noise), 690.0)
    rhs = 0.5 / (1.0 + np.exp(above))
    return _sides(f, lhs, rhs, 8.0 * values.error * (lhs + rhs) + 1e-300)


def mixing(f: Facts) -> Sides:
    """(M42): TV(walk after n steps, stationary law) ≤ ½ √(1/μ₀ - 1)(1 - 1/(4HB))ⁿ; trivial: 1."""
    values, n = _values_of(f), np.floor(host(f.n))
    noise = values.log_noise
    held = np.isfinite(values.log_pi)
    log_c = values.log_pi + noise  # conductance of the first steps, in units of the second ones'
    total = log_sum(log_c)
    down, back = np.where(held, np.exp(log_c - total[..., None]), 0.0), expit(noise)
    scale = np.logaddexp(total, 0.0)
    whole = np.exp(-np.log(2.0) - scale)[..., None]
    inner = np.exp(np.logaddexp(log_c, values.log_pi)) * whole
    leaf = np.exp(values.log_pi) * whole
    root = 0.5 * np.exp(total - scale)
    at_root, at_inner, at_leaf = np.ones(n.shape), np.zeros(noise.shape), np.zeros(noise.shape)
    for step in range(int(np.max(n, initial=0.0))):
        live = step < n
        moved = (
            0.5 * at_root + 0.5 * np.sum(at_inner * back, axis=-1),
            0.5 * at_inner + 0.5 * (at_root[..., None] * down + at_leaf),
            0.5 * at_leaf + 0.5 * at_inner * (1.0 - back),
        )
        at_root = np.where(live, moved[0], at_root)
        at_inner, at_leaf = (
            np.where(live[..., None], m, v) for m, v in zip(moved[1:], (at_inner, at_leaf), strict=True)
        )
    lhs = 0.5 * (np.abs(at_root - root) + np.sum(np.abs(at_inner - inner) + np.abs(at_leaf - leaf), axis=-1))
    rhs = mixing_bound(host(f.n), np.exp(np.minimum(values.log_factor, 150.0)), DEPTH)
    return _sides(f, lhs, rhs, 4.0 * (n + 4.0) * values.error, 1.0)


def _downward_kl(f: Facts, first: bool) -> tuple[_Values, Floats]:
    values = _values_of(f)
    kept = values.log_noise - np.logaddexp(values.log_noise, 0.0) if first else values.log_noise
    terms = values.log_pi + kept
    law = np.clip(terms - log_sum(terms)[..., None], None, 0.0)
    return values, np.asarray(divergence.kl(values.log_pi, law))


def forward(f: Facts, form: str) -> Sides:
    """(M42): KL(tilt‖law without steps back) ≤ ½(H-1) log²(1+ε) for `factor`, ⅛ osc² of log V̂ - βV for `osc`."""
    values, lhs = _downward_kl(f, first=False)
    if form == "osc":  # ρ = V̂/e^{βV}
        held = np.isfinite(values.log_pi)
        top, low = (g(np.where(held, values.log_noise, s), axis=-1) for g, s in ((np.max, -np.inf), (np.min, np.inf)))
        rhs = 0.125 * (top - low) ** 2
    else:
        rhs = 0.5 * (DEPTH - 1.0) * values.log_factor**2
    return _sides(f, lhs, rhs, _kl_error(values, lhs))


def _kl_error(values: _Values, lhs: Floats) -> Floats:
    """Log-probabilities off by the error enter as (p - q) times it, of the size of √KL, and squared."""
    return 8.0 * values.error * (np.sqrt(np.minimum(2.0 * lhs, 1e300)) + lhs * EPS + values.error)


def first_leaf(f: Facts) -> Sides:
    """(M42): KL(tilt‖law of the first leaf) ≤ ⅛ log²(1+ε) at H = 2."""
    values, lhs = _downward_kl(f, first=True)
    return _sides(f, lhs, 0.125 * values.log_factor**2, _kl_error(values, lhs))


def first_leaf_is_tilt(f: Facts) -> Sides:
    """The reading that (M42) refutes: whoever stops at the first leaf has sampled the tilt."""
    values = _values_of(f)
    terms = values.log_pi + values.log_noise - np.logaddexp(values.log_noise, 0.0)
    law = np.clip(terms - log_sum(terms)[..., None], None, 0.0)
    lhs = np.asarray(divergence.tv(values.log_pi, law))
    return _sides(f, lhs, np.zeros(lhs.shape), 4.0 * values.error, scale=1e-2)


def _coins(f: Facts) -> tuple[Floats, Floats, Floats, Floats]:
    """(TV(Bin(n, ½), Bin(n, p)), its error, 1 + ε, n), p = σ(2 log(1 + ε))."""
    values, n = _values_of(f), np.floor(host(f.n))
    a = np.minimum(values.log_factor, 300.0)[..., None]
    count = n[..., None]
    k = np.arange(int(np.max(n, initial=1.0)) + 1.0)
    inside = k <= count
    choose = gammaln(count + 1.0) - gammaln(np.where(inside, k, 0.0) + 1.0)
    choose = choose - gammaln(np.where(inside, count - k, 0.0) + 1.0)
    fair = choose - count * np.log(2.0)
    loaded = choose - k * np.log1p(np.exp(-2.0 * a)) - (count - k) * (2.0 * a + np.log1p(np.exp(-2.0 * a)))
    apart = np.where(inside, np.abs(np.exp(np.where(inside, fair, 0.0)) - np.exp(np.where(inside, loaded, 0.0))), 0.0)
    size = 4.0 * count[..., 0] * (1.0 + a[..., 0]) + 8.0 * gammaln(count[..., 0] + 1.0) + 64.0
    return 0.5 * np.sum(apart, axis=-1), 4.0 * EPS * size, np.exp(a[..., 0]), n


def worst_low(f: Facts) -> Sides:
    """(M42): fair coins, values off by (1+ε)^±1, H = n + 1: the law without steps back is that far from the tilt."""
    tv, error, factor, _ = _coins(f)
    low = worst_forward_bound(factor, host(f.n) + 1.0)
    return _sides(f, low, tv, error + 8.0 * EPS)


def worst_high(f: Facts) -> Sides:
    """(M42): and no further than ½ √(H-1) log(1+ε); trivial: 1."""
    tv, error, _, _ = _coins(f)
    return _sides(f, tv, 0.5 * np.sqrt(host(f.n)) * _values_of(f).log_factor, error + 8.0 * EPS, 1.0)


class _BallValues:
    """Over the outcomes that the base has: π(j) balls, V̂/e^{βV} exact, 1 + ε exact."""

    def __init__(self, f: BallFacts) -> None:
        inst, beta = f.instance, f.scheme.beta
        rows = [(b, s, r) for b, s, r in zip(inst.base, inst.draft, inst.reward, strict=True) if b]
        top = max(abs(r) for _, _, r in rows) or Fraction(1)
        later = [f.total([f.ball(b) * f.ball(beta * r * x / top).exp() for b, _, x in rows]) for _, _, r in rows]
        mass = [f.ball(b) * f.ball(beta * r).exp() * z for (b, _, r), z in zip(rows, later, strict=True)]
        whole = f.total(mass)
        self.pi = [m / whole for m in mass]
        self.noise = [s / b for b, s, _ in rows]
        self.factor = max(max(x, 1 / x) for x in self.noise)
        self.log_factor = f.ball(self.factor).log()

    def law(self, f: BallFacts, kept: list[Fraction]) -> list[arb]:
        """∝ π times `kept`."""
        mass = [p * f.ball(x) for p, x in zip(self.pi, kept, strict=True)]
        whole = f.total(mass)
        return [m / whole for m in mass]

    def first_leaf(self, f: BallFacts) -> list[arb]:
        """The law of the first leaf's prefix."""
        return self.law(f, [x / (1 + x) for x in self.noise])


def leaf_share_balls(f: BallFacts, published: bool) -> tuple[arb, arb]:
    """`leaf_share`."""
    values = _BallValues(f)
    bound = 2 * values.factor * DEPTH if published else 2 * (1 + values.factor * (DEPTH - 1))
    above = f.total([p * f.ball(x) for p, x in zip(values.pi, values.noise, strict=True)])
    return f.ball(Fraction(1) / bound), 1 / (2 * (1 + above))


def mixing_balls(f: BallFacts) -> tuple[arb, arb]:
    """`mixing`."""
    values, half = _BallValues(f), Fraction(1, 2)
    mass = [p * f.ball(x) for p, x in zip(values.pi, values.noise, strict=True)]
    whole = f.total(mass)
    down = [m / whole for m in mass]
    back = [f.ball(x / (1 + x)) for x in values.noise]
    root, inner, leaf = f.ball(Fraction(1)), [f.zero] * len(mass), [f.zero] * len(mass)
    for _ in range(f.scheme.n):
        up = f.total([x * b for x, b in zip(inner, back, strict=True)])
        moved = [(x + root * d + y) / 2 for x, d, y in zip(inner, down, leaf, strict=True)]
        leaf = [(y + x * (1 - b)) / 2 for x, b, y in zip(inner, back, leaf, strict=True)]
        root, inner = (root + up) / 2, moved
    still = 2 * (whole + 1)
    apart = abs(root - whole / still)
    apart += f.total([abs(x - (m + p) / still) for x, m, p in zip(inner, mass, values.pi, strict=True)])
    apart += f.total([abs(y - p / still) for y, p in zip(leaf, values.pi, strict=True)])
    way, start = 1 + 2 * values.factor, 2 * values.factor * (1 + values.factor)
    rate = f.ball(1 - 1 / (4 * DEPTH * way)) ** f.scheme.n
    return apart / 2, f.ball(half) * f.ball(start - 1).sqrt() * rate


def forward_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`forward`."""
    values = _BallValues(f)
    lhs = f.excess(values.law(f, values.noise), values.pi).kl_to()
    if form == "osc":
        return lhs, f.ball(max(values.noise) / min(values.noise)).log() ** 2 / 8
    return lhs, values.log_factor**2 / 2


def first_leaf_balls(f: BallFacts) -> tuple[arb, arb]:
    """`first_leaf`."""
    values = _BallValues(f)
    return f.excess(values.first_leaf(f), values.pi).kl_to(), values.log_factor**2 / 8


def first_leaf_tv_balls(f: BallFacts) -> tuple[arb, arb]:
    """`first_leaf_is_tilt`."""
    values = _BallValues(f)
    return f.excess(values.first_leaf(f), values.pi).tv(), f.zero


def _coin_balls(f: BallFacts) -> tuple[arb, _BallValues]:
    values, n = _BallValues(f), f.scheme.n
    square = values.factor**2
    p, choose, terms = square / (1 + square), 1, []
    for k in range(n + 1):
        terms.append(abs(f.ball(Fraction(choose, 2**n)) - choose * f.ball(p) ** k * f.ball(1 - p) ** (n - k)))
        choose = choose * (n - k) // (k + 1)
    return f.total(terms) / 2, values


def worst_low_balls(f: BallFacts) -> tuple[arb, arb]:
    """`worst_low`."""
    tv, values = _coin_balls(f)
    m = f.scheme.n - 1 + f.scheme.n % 2
    inside = values.log_factor * f.ball(Fraction(m + 1, 2)).sqrt()
    return f.ball(Fraction(m, m + 1)).sqrt() * inside.erf() / 2, tv


def worst_high_balls(f: BallFacts) -> tuple[arb, arb]:
    """`worst_high`."""
    tv, values = _coin_balls(f)
    return tv, f.ball(Fraction(f.scheme.n)).sqrt() * values.log_factor / 2


WALKED = Assumption(f"n ≤ {MOST_WALKED}", lambda f: f.n <= MOST_WALKED, lambda f: f.scheme.n <= MOST_WALKED)
_VGB = "VGB, arXiv 2510.03149, as read second-hand"
_proved = partial(proved, smooth=False, most_outcomes=64)

TABLE = (
    _proved(
        "M42-leaves",
        r"\frac1{2(1+(1+\varepsilon)(H-1))} \le \mu(\text{leaves})",
        *twins(leaf_share, leaf_share_balls, False),
        (COVERED,),
    ),
    Claim(
        "M42-leaves-read",
        r"\frac1{2(1+\varepsilon)H} \le \mu(\text{leaves})",
        *twins(leaf_share, leaf_share_balls, True),
        (COVERED,),
        source=_VGB,
        smooth=False,
        most_outcomes=64,
    ),
    _proved(
        "M42-mixing",
        r"TV(P^n(root,\cdot),\mu) \le \tfrac12\sqrt{1/\mu_0-1}\,(1-1/(4HB))^n",
        mixing,
        mixing_balls,
        (COVERED, WALKED),
    ),
    _proved(
        "M42-forward",
        r"KL(\pi\|forward) \le \tfrac12(H-1)\log^2(1+\varepsilon)",
        *twins(forward, forward_balls, "factor"),
        (COVERED,),
    ),
    _proved(
        "M42-forward-osc",
        r"KL(\pi\|forward) \le \tfrac18(H-1)osc^2(\log\rho)",
        *twins(forward, forward_balls, "osc"),
        (COVERED,),
    ),
    _proved(
        "M42-first-leaf",
        r"KL(\pi\|\text{first leaf}) \le \tfrac18\log^2(1+\varepsilon)\ \text{at}\ H=2",
        first_leaf,
        first_leaf_balls,
        (COVERED,),
    ),
    reading(
        "M42-first-leaf-exact",
        r"\text{law of the first leaf} = \pi",
        first_leaf_is_tilt,
        first_leaf_tv_balls,
        (COVERED,),
        source="the natural reading of a walk that is stopped at its first leaf",
        relation="=",
        smooth=False,
        most_outcomes=64,
    ),
    _proved(
        "M42-worst",
        r"\sqrt{m/(m+1)}\,(N(\sqrt{m+1}\log(1+\varepsilon))-\tfrac12) \le TV(\pi,forward)\ \text{of coins}",
        worst_low,
        worst_low_balls,
        (COVERED, WALKED),
    ),
    _proved(
        "M42-worst-high",
        r"TV(\pi,forward) \le \tfrac12\sqrt{H-1}\,\log(1+\varepsilon)\ \text{of coins}",
        worst_high,
        worst_high_balls,
        (COVERED, WALKED),
    ),
)
