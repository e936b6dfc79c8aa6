"""Claims on the race rule (M17): its distance to π, its dominance over the softmax rule, its fall in n."""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gsi_theory import divergence
from gsi_theory.arrays.logscale import log1mexp
from gsi_theory.arrays.namespace import detached, rows_of, table
from gsi_theory.claims.assumptions import COVERED, POSITIVE, RACE
from gsi_theory.claims.claim import IDENTITY, Assumption, Claim, proved, twins
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import LARGEST_LOG, Sides, least
from gsi_theory.laws.selection_law import EPS, Law
from gsi_theory.types import Array, Namespace

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = ["TABLE", "decreasing", "dominance", "mixture", "ordered", "race_bound", "race_tail", "race_tv"]

GRID = 512  # values of M tried between e^-1 and the coverage constant, besides the weights themselves
BUDGET = 1 << 16  # entries of the largest temporary array: a few of them fit the cache
# Pieces of M that the search for the infimum in balls may look at; it converges quadratically, so few are needed.
TAIL_PIECES = 600


def race_tv(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ min{1, 2(1+χ²)/(e n), (1 - 1/C)^n}."""
    xp, (value, law), n = f.xp, f.tv("race"), f.n
    some = f.log_coverage > 0
    log_coverage = xp.where(some, f.log_coverage, 1.0)
    with np.errstate(under="ignore"):
        minimax = xp.where(some, xp.exp(n * log1mexp(-log_coverage)), 0.0)
    rhs = xp.clip(least(2.0 * (1.0 + f.chi2) / (math.e * n), minimax), None, 1.0)
    # n·log(1 - 1/C) inherits the error of log C times its derivative n/(C - 1).
    n, grown = detached(n), xp.expm1(xp.clip(detached(f.log_coverage), None, 700.0))
    sensitivity = n / xp.clip(grown, 1e-290, None)
    moved = xp.clip((sensitivity + n * EPS) * f.weight_error * 4.0, None, 1.0)
    return Sides(value, rhs, law.error + f.weight_error + detached(rhs) * moved + 16.0 * EPS, 1.0)


def race_tail(f: Facts) -> Sides:
    """(M17): TV(P_n^race, π) ≤ inf_M {E_M + (1 - A_M/M)^n}, over the weights and 512 values between them.

    Gradients are those at the best M found, which moves with its weight where it is one.
    """
    xp, (value, law) = f.xp, f.tv("race")
    mass = xp.exp(f.log_draft)
    weighted = f.covered & f.held
    w = xp.where(weighted, xp.exp(xp.clip(xp.where(weighted, f.log_w, 0.0), None, LARGEST_LOG)), 0.0)
    top = xp.clip(detached(f.log_coverage), 0.0, LARGEST_LOG)[..., None]
    step = table(np.arange(GRID) / (GRID - 1.0), mass)
    grid = xp.exp(-1.0 + (top + 1.0) * step)
    trial = xp.concat([xp.where(w > 0, w, float(np.exp(-1.0))), grid], axis=-1)
    # The best M is looked for without a graph, then the bound is taken there.
    masses, weights, trials = (xp.reshape(detached(v), (-1, v.shape[-1])) for v in (mass, w, trial))
    n = xp.reshape(detached(f.n), (-1, 1))
    parts = rows_of(n.shape[0], trial.shape[-1] * mass.shape[-1], BUDGET)
    best = xp.concat(
        [xp.argmin(_tail(xp, masses[part], weights[part], trials[part], n[part]), axis=-1) for part in parts]
    )
    chosen = xp.take_along_axis(trial, xp.reshape(best, (*f.shape, 1)), axis=-1)
    rhs = _tail(xp, mass, w, chosen, f.n[..., None])[..., 0]
    error = law.error + f.weight_error * (2.0 + xp.clip(detached(f.n), None, 1e3)) + 64.0 * EPS
    # a clipped weight has lost its part of E_M
    return Sides(value, rhs, xp.where(detached(f.log_coverage) > LARGEST_LOG, np.inf, error), 1.0)


def _tail(xp: Namespace, mass: Array, w: Array, trial: Array, n: Array) -> Array:
    """E_M + (1 - A_M/M)^n at every M of `trial` (..., T)."""
    each, bound = w[..., None, :], trial[..., None]
    above = xp.clip(each - bound, 0.0, None)
    with np.errstate(under="ignore"):
        tail = xp.squeeze(xp.matmul(above, mass[..., None]), axis=-1)
        reach = xp.squeeze(xp.matmul(each - above, mass[..., None]), axis=-1) / trial
        some = reach < 1.0
        return tail + xp.where(some, xp.exp(n * xp.log1p(-xp.where(some, reach, 0.0))), 0.0)


def dominance(f: Facts, kind: str) -> Sides:
    """(M17): the race's divergence is at most the softmax rule's, for the same n and weights."""
    if kind == "tv":
        (one, race), (other, softmax) = f.tv("race"), f.tv("softmax")
        return Sides(one, other, race.error + softmax.error + 2.0 * f.weight_error)
    if kind == "kl_forward":
        (one, error), (other, further) = f.kl("race"), f.kl("softmax")
        return Sides(one, other, error + further)
    values, error = [], 2.0 * EPS
    for rule in ("race", "softmax"):
        tv, law = f.tv(rule)
        values.append(divergence.kl(law.log_prob, f.log_pi))
        size = abs(detached(values[-1]))
        error = error + law.log_error * (2.0 * detached(tv) + 2.0 * size) + 16.0 * EPS * size
    return Sides(values[0], values[1], error)


def race_bound(f: Facts, form: str) -> Sides:
    """(M17), one form at a time: TV ≤ 2(1+χ²)/(e n) ("chi2"), half of that ("half"), E_π(1 - 1/w)_+ⁿ ("mean") or
    (1 - 1/C)ⁿ ("minimax"); trivial: 1."""
    xp, (value, law), n = f.xp, f.tv("race"), f.n
    if form in ("chi2", "half"):
        rhs = xp.clip((2.0 if form == "chi2" else 1.0) * (1.0 + f.chi2) / (math.e * n), None, 1.0)
        return Sides(value, rhs, law.error + 32.0 * f.weight_error + 16.0 * EPS, 1.0)
    if form == "mean":
        above = f.held & (f.log_w > 0)
        log_w = xp.where(above, xp.clip(xp.where(above, f.log_w, 1.0), None, LARGEST_LOG), 1.0)
        # x e^{-n x} ≤ 1/e n: a relative error of 1/w moves each power by at most 1/e, and (1 - 1/w)ⁿ⁻¹ n/w by 1.
        rhs = xp.sum(xp.where(above, f.pi * xp.exp(n[..., None] * log1mexp(-log_w)), 0.0), axis=-1)
        return Sides(value, rhs, law.error + 16.0 * f.weight_error + f.rounding, 1.0)
    rhs, moved = _missed(f)
    return Sides(value, rhs, law.error + f.weight_error + moved + 16.0 * EPS, 1.0)


def _missed(f: Facts) -> tuple[Array, Array]:
    """((1 - 1/C)ⁿ (...), its error): the error of log C times n (1 - 1/C)ⁿ/(C - 1)."""
    xp = f.xp
    some = f.log_coverage > 0
    with np.errstate(under="ignore"):
        value = xp.where(some, xp.exp(f.n * log1mexp(-xp.where(some, f.log_coverage, 1.0))), 0.0)
    n, grown = detached(f.n), xp.expm1(xp.clip(detached(f.log_coverage), None, 700.0))
    slope = n / xp.clip(grown, 1e-290, None) + n * EPS
    moved = detached(value) * xp.clip(4.0 * slope * f.weight_error, None, 1.0)
    # At C = 1 to rounding and n = 1 the bound itself is of the size of the rounding.
    return value, moved + xp.where(detached(f.n) < 8.0, 16.0 * f.weight_error, 0.0)


def mixture(f: Facts) -> Sides:
    """(M17): P_n^race ≥ p_n π with equality at the heaviest, p_n = 1 - (1 - 1/C)ⁿ: D_∞(π‖P_n) = -log p_n."""
    xp, law = f.xp, f.draft_law("race")
    apart = xp.where(f.held, f.log_pi, 0.0) - xp.where(f.held, law.log_prob, 0.0)
    missed, moved = _missed(f)
    seen = xp.clip(1.0 - missed, 1e-290, None)
    # For large C and small n/C p_n is n/C to first order: 1 - missed would cancel.
    some = f.log_coverage > 0
    log_missed = f.n * log1mexp(-xp.where(some, f.log_coverage, 1.0))
    near = some & (f.log_coverage < 600.0)
    rhs = -xp.log(-xp.expm1(xp.where(near, xp.clip(log_missed, None, -1e-290), -1.0)))
    rhs = xp.where(near, rhs, xp.where(some, f.log_coverage - xp.log(f.n), 0.0))
    error = law.log_error + 4.0 * f.weight_error + moved / detached(seen) + 16.0 * EPS
    far = 8.0 * f.weight_error + 8.0 * EPS * (1.0 + xp.abs(detached(f.log_coverage)))
    error = xp.where(detached(missed) < 0.5, error, law.log_error + far) + f.blind(law.log_prob)
    return Sides(xp.max(xp.where(f.held, apart, -np.inf), axis=-1), rhs, error, scale=1.0)


def _divergence(f: Facts, law: Law, kind: str) -> tuple[Array, Array]:
    """(D(law, π) (...), its error to first order in the errors of the log-probabilities)."""
    xp, log_q = f.xp, law.log_prob
    if kind == "tv":
        return divergence.tv(f.log_pi, log_q), law.error + 2.0 * f.weight_error
    if kind == "kl_forward":
        return f.kl_to(law)
    both = f.held & xp.isfinite(detached(log_q))
    t = xp.where(both, detached(log_q), 0.0) - xp.where(both, detached(f.log_pi), 0.0)
    off = law.log_error + 2.0 * f.weight_error
    if kind == "chi2":
        value = divergence.chi2(log_q, f.log_pi)
        steep = 2.0 * _weighted(xp, detached(log_q), t, both)
    elif kind == "chi2_reverse":
        value = divergence.chi2(f.log_pi, log_q)
        # |x² - 1| + |x - 1| with x = π/P.
        steep = _weighted(xp, detached(f.log_pi), -2.0 * t, both)
        steep = steep + _weighted(xp, detached(f.log_pi), -t, both)
    elif kind == "hockey":
        # γ = 2: Σ (P - 2π)_+; mostly zero, except where the law is far from the tilted policy.
        return divergence.hockey_stick(log_q, f.log_pi, 2.0), 2.0 * law.error + 4.0 * f.weight_error + f.outcomes * EPS
    elif kind == "renyi_half":
        value, steep = divergence.renyi(f.log_pi, log_q, 0.5), 1.0 + 0.0 * off
    else:
        value, steep = divergence.renyi(f.log_pi, log_q, np.inf), 1.0 + 0.0 * off
    size = xp.where(detached(value) < np.inf, xp.abs(detached(value)), 0.0)
    # Where both laws agree to rounding a χ² is the square of that rounding.
    smallest = 16.0 * EPS if kind.startswith("renyi") else 8.0 * off * off
    error = steep * off + smallest + 16.0 * EPS * size
    return value, error if kind in ("kl_reverse", "chi2") else error + f.blind(log_q)


def _weighted(xp: Namespace, log_p: Array, t: Array, where: Array) -> Array:
    """Σ p |e^t - 1| (...) over `where`; e^t may overflow where p e^t does not."""
    large = t > 300.0
    with np.errstate(over="ignore", under="ignore"):
        near = xp.exp(log_p) * xp.abs(xp.expm1(xp.where(large, 0.0, t)))
        terms = xp.where(large, xp.exp(xp.where(large, xp.where(where, log_p, 0.0) + t, 0.0)), near)
        return xp.sum(xp.where(where, terms, 0.0), axis=-1)


def ordered(f: Facts, kind: str) -> Sides:
    """(M17): D(P^race, π) ≤ D(P^softmax, π) at the same n, for any divergence of `_divergence`."""
    (one, error), (other, further) = (_divergence(f, f.draft_law(rule), kind) for rule in ("race", "softmax"))
    return Sides(one, other, error + further)


def decreasing(f: Facts, kind: str) -> Sides:
    """(M17): D(P_{n+1}^race, π) ≤ D(P_n^race, π)."""
    later = f.shared(("law", "race", "n + 1"), lambda rows: rows.draft_law("race", rows.n + 1.0))
    (one, error), (other, further) = (_divergence(f, law, kind) for law in (later, f.draft_law("race")))
    return Sides(one, other, error + further)


def race_bound_balls(f: BallFacts, form: str) -> tuple[arb, arb]:
    """`race_bound`; form "least" is `race_tv`, the smallest of three bounds."""
    n, halved = f.scheme.n, (1 + f.chi2) / (f.e * f.scheme.n)
    if form == "mean":
        pairs = [(p, s) for p, s in zip(f.pi, f.draft, strict=True) if not p.is_zero()]
        rhs = f.total([p * (1 - s / p).nonnegative_part() ** n for p, s in pairs])
    elif form == "minimax":
        rhs = f.missed
    else:
        rhs = f.ball(1).min(halved if form == "half" else 2 * (1 + f.chi2) / (f.e * n))
        rhs = rhs.min(f.missed) if form == "least" else rhs
    return f.draft_excess("race").tv(), rhs


@dataclass(frozen=True)
class _Piece:
    """E_M + A(1/M)ⁿ for M between two neighboring weights: (reach - M mass) + (light - weight/M)ⁿ."""

    reach: arb  # E_μ[w; w ≥ upper end]
    mass: arb  # μ(w ≥ upper end)
    light: arb  # μ(w ≤ lower end)
    weight: arb  # E_μ[w; w ≤ lower end]
    n: int

    def silent(self, m: arb) -> arb:
        """A(1/M)."""
        return (self.light - self.weight / m).nonnegative_part()

    def value(self, m: arb) -> arb:
        """The function at M."""
        return (self.reach - m * self.mass).nonnegative_part() + self.silent(m) ** self.n

    def lower(self, low: arb, high: arb) -> arb | None:
        """A lower bound between low and high; None where the function is monotone, its least value being at an end."""
        n, middle = self.n, (low * high).sqrt().mid()
        power = (self.silent(low) ** (n - 1)).union(self.silent(high) ** (n - 1))
        slope = -self.mass + n * power * self.weight * (1 / (low * low)).union(1 / (high * high))
        if slope >= 0 or slope <= 0:
            return None
        simple = (self.reach - high * self.mass).nonnegative_part() + self.silent(low) ** n
        by_slope = self.value(middle) - (low.union(high) - middle).abs_upper() * slope.abs_upper()
        return simple.lower().max(by_slope.lower())


def _infimum(smallest: arb, intervals: list[tuple[_Piece, arb, arb]]) -> arb:
    """A ball of the infimum, from its value at the ends and what lies between."""
    queue: list[tuple[float, int, arb, _Piece, arb, arb]] = []
    tried = 0

    def push(piece: _Piece, low: arb, high: arb) -> None:
        nonlocal tried
        tried += 1
        bound = piece.lower(low, high)
        if bound is not None:
            key = float(bound.log().mid()) if bound > 0 else -math.inf
            heapq.heappush(queue, (key, tried, bound, piece, low, high))

    for interval in intervals:
        push(*interval)
    while queue and tried < TAIL_PIECES:
        _, _, bound, piece, low, high = queue[0]
        if bound >= smallest.lower() * (1 - 2.0**-40):
            break
        heapq.heappop(queue)
        middle = (low * high).sqrt().mid()
        smallest = smallest.min(piece.value(middle))
        push(piece, low, middle)
        push(piece, middle, high)
    floor = smallest.lower()
    for _, _, bound, *_ in queue:
        floor = floor.min(bound)
    return floor.union(smallest)


def race_tail_balls(f: BallFacts) -> tuple[arb, arb]:
    """`race_tail`, the infimum enclosed by branch and bound over M.

    Below the least weight the function falls in M and above C it rises, so M runs between the two; it is smooth between
    neighboring weights.
    """
    from gsi_theory.certified.ball_law import compare

    inst, n = f.instance, f.scheme.n
    by_weight = functools.cmp_to_key(compare)
    order = sorted(
        (y for y in range(inst.size) if inst.draft[y] and inst.base[y]),
        key=lambda y: by_weight(f.draft_weight[y]),
    )
    w = [f.pi[y] / f.draft[y] for y in order]
    light, weight = f.total([s for s, b in zip(f.draft, inst.base, strict=True) if not b]), f.zero
    heavier = [(f.zero, f.zero)]
    for y, v in zip(order[:0:-1], w[:0:-1], strict=True):
        reach, mass = heavier[-1]
        heavier.append((reach + f.draft[y] * v, mass + f.draft[y]))
    pieces = []
    for y, v in zip(order, w, strict=True):
        light, weight = light + f.draft[y], weight + f.draft[y] * v
        reach, mass = heavier.pop()
        pieces.append(_Piece(reach, mass, light, weight, n))
    # at C the value is (1 - 1/C)ⁿ, because E_μ w = 1
    smallest = f.missed
    for piece, v in zip(pieces[:-1], w[:-1], strict=True):
        smallest = smallest.min(piece.value(v))
    return f.draft_excess("race").tv(), _infimum(smallest, list(zip(pieces[:-1], w[:-1], w[1:], strict=True)))


def _divergence_balls(f: BallFacts, rule: str, kind: str) -> arb:
    law, excess = f.draft_law(rule), f.draft_excess(rule)
    pairs = [(p, q) for p, q in zip(law, f.pi, strict=True) if not q.is_zero()]
    if kind == "chi2_reverse":
        return f.total([q * q / p for p, q in pairs]) - 1
    if kind == "hockey":
        return f.total([(p - 2 * q).nonnegative_part() for p, q in zip(law, f.pi, strict=True)])
    if kind == "renyi_half":
        return -2 * f.total([(p * q).sqrt() for p, q in pairs]).log()
    if kind == "renyi_max":
        return f.largest([(q / p).log() for p, q in pairs])
    return {"tv": excess.tv, "kl_forward": excess.kl_to, "kl_reverse": excess.kl_from, "chi2": excess.chi2_from}[kind]()


def ordered_balls(f: BallFacts, kind: str) -> tuple[arb, arb]:
    """`ordered` and `dominance`."""
    return _divergence_balls(f, "race", kind), _divergence_balls(f, "softmax", kind)


def decreasing_balls(f: BallFacts, kind: str) -> tuple[arb, arb]:
    """`decreasing`."""
    return _divergence_balls(f.with_draws(f.scheme.n + 1), "race", kind), _divergence_balls(f, "race", kind)


# divergence of a law {} from π: its name in ids, as LaTeX
_NAMES = {
    "tv": r"TV({},\pi)",
    "kl_forward": r"KL(\pi\|{})",
    "kl_reverse": r"KL({}\|\pi)",
    "chi2": r"\chi^2({}\|\pi)",
    "chi2_reverse": r"\chi^2(\pi\|{})",
    "hockey": r"E_2({}\|\pi)",
    "renyi_half": r"D_{{1/2}}(\pi\|{})",
    "renyi_max": r"D_\infty(\pi\|{})",
}
_TV, _RULES, _NEXT = r"TV(P_n^{race},\pi) \le ", ("P_n^{race}", "P_n^{softmax}"), ("P_{n+1}^{race}", "P_n^{race}")
_race = partial(Claim, source=RACE, assumptions=(COVERED,))
_own = partial(proved, assumptions=(COVERED,))


def _ordered(
    key: str, kind: str, laws: tuple[str, str], sides: Callable[[Facts, str], Sides], *assumptions: Assumption
) -> Claim:
    statement = r" \le ".join(_NAMES[kind].format(law) for law in laws)
    balls = decreasing_balls if laws is _NEXT else ordered_balls
    key = f"M17-{key.replace('_', '-')}"
    return _race(key, statement, *twins(sides, balls, kind), assumptions=(COVERED, *assumptions))


TABLE = (
    _race("M17-tv", _TV + r"\min\{1, 2(1+\chi^2)/(en), (1-1/C)^n\}", race_tv, lambda f: race_bound_balls(f, "least")),
    _race("M17-tv-chi2", _TV + r"2(1+\chi^2)/(en)", *twins(race_bound, race_bound_balls, "chi2")),
    _own("M17-tv-half", _TV + r"(1+\chi^2)/(en)", *twins(race_bound, race_bound_balls, "half")),
    _own("M17-tv-mean", _TV + r"E_\pi(1-1/w)_+^n", *twins(race_bound, race_bound_balls, "mean")),
    _race("M17-tv-minimax", _TV + "(1-1/C)^n", *twins(race_bound, race_bound_balls, "minimax")),
    _race("M17-tail", _TV + r"\inf_M E_M+(1-A_M/M)^n", race_tail, race_tail_balls),
    _race(
        "M17-mixture",
        r"\min_y P_n^{race}(y)/\pi(y) = 1-(1-1/C)^n",
        mixture,
        relation="=",
        logs=True,
        uncertified=IDENTITY,
    ),
    # as published, for weights w > 0
    *(_ordered(f"dominance-{kind}", kind, _RULES, dominance, POSITIVE) for kind in ("tv", "kl_forward", "kl_reverse")),
    # and in more divergences, where weights may be zero
    _ordered("dominance-zero-weights-tv", "tv", _RULES, ordered),
    _ordered("dominance-zero-weights-kl", "kl_forward", _RULES, ordered),
    *(
        _ordered(f"dominance-{kind}", kind, _RULES, ordered)
        for kind in ("chi2", "chi2_reverse", "hockey", "renyi_half", "renyi_max")
    ),
    *(_ordered(f"decreasing-{kind}", kind, _NEXT, decreasing) for kind in ("tv", "kl_forward", "chi2")),
)
