"""The two sides of each published bound in ball arithmetic; the twin of sides.py, called by certify.py.

Each function takes `BallFacts` (inside its precision) and returns the balls (lhs, rhs) of `lhs ≤ rhs`, posed as in
sides.py. `PREMISES` lists what each bound assumes, decided exactly; the names are those of assumptions.py. Here are the
bounds on divergences and the race; certified/selection.py and certified/gate.py hold the others.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from flint import arb

from gsi_theory.certified import gate as certified_gate
from gsi_theory.certified import selection as certified_selection
from gsi_theory.certified.ball_facts import BallFacts, Excess, total
from gsi_theory.certified.ball_law import compare
from gsi_theory.certified.rational import ball
from gsi_theory.rules import softmax
from gsi_theory.rules.table import rule_named

__all__ = ["PREMISES", "SIDES", "Sides"]

Sides = Callable[[BallFacts], tuple[arb, arb]]
# Pieces of M that the search for the infimum in (M17) may look at; it converges quadratically, so few are needed.
TAIL_PIECES = 600


def _kl(f: BallFacts) -> arb:
    return f.draft_excess("softmax").kl_to()


def _growth(f: BallFacts) -> list[arb]:
    """log(1 + (w - 1)/n) where π > 0 (0 elsewhere)."""
    return [
        arb(0) if p.is_zero() or w is None else (w.log() if f.scheme.n == 1 else ((w - 1) / f.scheme.n).log1p())
        for p, w in zip(f.pi, f.w, strict=True)
    ]


def pointwise(f: BallFacts) -> tuple[arb, arb]:
    """(M10) as max over y of log(π/P_n) - log(1 + (w - 1)/n) ≤ 0."""
    gaps = [
        (p / q).log() - g for p, q, g in zip(f.pi, f.draft_law("softmax"), _growth(f), strict=True) if not p.is_zero()
    ]
    largest = gaps[0]
    for gap in gaps[1:]:
        largest = largest.max(gap)
    return largest, arb(0)


def kl_mean(f: BallFacts) -> tuple[arb, arb]:
    """(M11), first form: KL(π‖P_n) ≤ E_π log(1 + (w - 1)/n)."""
    return _kl(f), total([p * g for p, g in zip(f.pi, _growth(f), strict=True)])


def kl_chi2(f: BallFacts) -> tuple[arb, arb]:
    """(M11), last form: KL(π‖P_n) ≤ log(1 + χ²(π‖π_S)/n)."""
    return _kl(f), (f.chi2 / f.scheme.n).log1p()


def theorem_one(f: BallFacts, reading: str) -> tuple[arb, arb]:
    """(M12) at the smallest ε that n allows: KL(π‖Q) ≤ log(1 + asked/n) under reading "a", "b" or "osc"."""
    reward = f.instance.reward
    size = max(reward) - min(reward) if reading == "osc" else max(abs(r) for r in reward)
    exponent = ball(2 * f.scheme.beta * size)
    # (b) and osc ask (1 + χ²) e^x - 1, here without the ones
    asked = f.chi2_pair * (exponent.expm1() if reading == "a" else exponent.exp()) + exponent.expm1()
    return _kl(f), (asked / f.scheme.n).log1p()


def soft_bon(f: BallFacts, form: str) -> tuple[arb, arb]:
    """(M13): KL(π‖B) ≤ log(1 + CV²/n), CV² = χ²(π‖π_B), or its Kantorovich bound sinh²(β osc(r)/2)."""
    lhs = Excess(f.base_law, f.pi).kl_to()
    if form == "cv":
        spread = Excess(f.pi, f.base).chi2_from()
    else:
        reward = [r for r, b in zip(f.instance.reward, f.instance.base, strict=True) if b]
        spread = ball(f.scheme.beta * (max(reward) - min(reward)) / 2).sinh() ** 2
    return lhs, (spread / f.scheme.base_draws).log1p()


def reward_gap(f: BallFacts) -> tuple[arb, arb]:
    """(M14), r ≥ 0: (E_π r - E_{P_n} r)/E_π r ≤ (v - 1)/(n + v - 1), v = E_π[r w]/E_π r."""
    mean = total([p * r for p, r in zip(f.pi, f.reward, strict=True)])
    tilted = total([p * r * w for p, r, w in zip(f.pi, f.reward, f.w, strict=True) if w is not None])
    v = tilted / mean
    return -f.draft_excess("softmax").mean_change(f.reward) / mean, (v - 1) / (f.scheme.n + v - 1)


def drift(f: BallFacts) -> tuple[arb, arb]:
    """(M15): KL(P_n‖π_S) ≤ log(n/(1 + (n - 1) w_min/w_max)), softmax, w over the draft's support."""
    held = [w for w in f.w if w is not None]
    low, high = held[0], held[0]
    for w in held[1:]:
        low, high = low.min(w), high.max(w)
    ratio = low if low.is_zero() else low / high
    bound = (f.scheme.n / (1 + (f.scheme.n - 1) * ratio)).log()
    return Excess(f.draft_law("softmax"), f.draft).kl_from(), bound


def best_of_n(f: BallFacts) -> tuple[arb, arb]:
    """(M16): KL(P_n^max‖π_S) ≤ log n - (n - 1)/n."""
    n = arb(f.scheme.n)
    return Excess(f.draft_law("max"), f.draft).kl_from(), n.log() - (n - 1) / n


def race_tv(f: BallFacts) -> tuple[arb, arb]:
    """(M17): TV(P_n^race, π) ≤ min{1, 2(1 + χ²)/(e n), (1 - 1/C)ⁿ}."""
    n = f.scheme.n
    minimax = (1 - 1 / f.coverage).nonnegative_part() ** n
    bound = arb(1).min(2 * (1 + f.chi2) / (arb.const_e() * n)).min(minimax)
    return f.draft_excess("race").tv(), bound


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


def race_tail(f: BallFacts) -> tuple[arb, arb]:
    """(M17): TV(P_n^race, π) ≤ inf_M {E_M + (1 - A_M/M)ⁿ}, the infimum enclosed by branch and bound over M.

    Below the least weight the function falls in M and above C it rises, so M runs between the two; it is smooth between
    neighboring weights.
    """
    inst, n = f.instance, f.scheme.n
    by_weight = functools.cmp_to_key(compare)
    order = sorted(
        (y for y in range(inst.size) if inst.draft[y] and inst.base[y]),
        key=lambda y: by_weight(f.draft_weight[y]),
    )
    w = [f.pi[y] / f.draft[y] for y in order]
    light, weight = total([s for s, b in zip(f.draft, inst.base, strict=True) if not b]), arb(0)
    heavier = [(arb(0), arb(0))]
    for y, v in zip(order[:0:-1], w[:0:-1], strict=True):
        reach, mass = heavier[-1]
        heavier.append((reach + f.draft[y] * v, mass + f.draft[y]))
    pieces = []
    for y, v in zip(order, w, strict=True):
        light, weight = light + f.draft[y], weight + f.draft[y] * v
        reach, mass = heavier.pop()
        pieces.append(_Piece(reach, mass, light, weight, n))
    # at C the value is (1 - 1/C)ⁿ, because E_μ w = 1
    least = (1 - 1 / f.coverage).nonnegative_part() ** n
    for piece, v in zip(pieces[:-1], w[:-1], strict=True):
        least = least.min(piece.value(v))
    return f.draft_excess("race").tv(), _infimum(least, list(zip(pieces[:-1], w[:-1], w[1:], strict=True)))


def _infimum(least: arb, intervals: list[tuple[_Piece, arb, arb]]) -> arb:
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
        if bound >= least.lower() * (1 - arb(2) ** -40):
            break
        heapq.heappop(queue)
        middle = (low * high).sqrt().mid()
        least = least.min(piece.value(middle))
        push(piece, low, middle)
        push(piece, middle, high)
    floor = least.lower()
    for _, _, bound, *_ in queue:
        floor = floor.min(bound)
    return floor.union(least)


def dominance(f: BallFacts, kind: str) -> tuple[arb, arb]:
    """(M17): the race's divergence is at most the softmax rule's, for the same n and weights."""
    sides = [f.draft_excess(rule) for rule in ("race", "softmax")]
    value = {"tv": Excess.tv, "kl_forward": Excess.kl_to, "kl_reverse": Excess.kl_from}[kind]
    return value(sides[0]), value(sides[1])


def decreasing(f: BallFacts, kind: str) -> tuple[arb, arb]:
    """(M17): the race's divergence to π at n + 1 is at most that at n."""
    later = replace(f, scheme=replace(f.scheme, n=f.scheme.n + 1), _laws={})
    value = {"tv": Excess.tv, "kl_forward": Excess.kl_to, "chi2": Excess.chi2_from}[kind]
    return value(later.draft_excess("race")), value(f.draft_excess("race"))


def rule_limit(f: BallFacts) -> tuple[arb, arb]:
    """(M19): no rule is closer to π than best_tv; the scheme's own rule is the witness."""
    return f.best_tv, f.draft_excess().tv()


def gate_vanishes(f: BallFacts) -> tuple[arb, arb]:
    """The reading that (M7) refutes, lim TV(G_n, π) = 0: the limit is a(1 - a), a = π(A), against 0."""
    inside = total([p for p, a in zip(f.pi, f.accepted, strict=True) if a])
    outside = total([p for p, a in zip(f.pi, f.accepted, strict=True) if not a])
    return inside * outside, arb(0)


SIDES: dict[str, Sides] = {
    "M7-vanishes": gate_vanishes,
    "M10": pointwise,
    "M11-mean": kl_mean,
    "M11-chi2": kl_chi2,
    "M12a": lambda f: theorem_one(f, "a"),
    "M12b": lambda f: theorem_one(f, "b"),
    "M12c": lambda f: theorem_one(f, "b"),
    "M12-osc": lambda f: theorem_one(f, "osc"),
    "M13-cv": lambda f: soft_bon(f, "cv"),
    "M13-sinh": lambda f: soft_bon(f, "sinh"),
    "M14": reward_gap,
    "M14-signed": reward_gap,
    "M15": drift,
    "M16": best_of_n,
    "M17-tv": race_tv,
    "M17-tail": race_tail,
    "M17-dominance-tv": lambda f: dominance(f, "tv"),
    "M17-dominance-kl-forward": lambda f: dominance(f, "kl_forward"),
    "M17-dominance-kl-reverse": lambda f: dominance(f, "kl_reverse"),
    "M17-decreasing-tv": lambda f: decreasing(f, "tv"),
    "M17-decreasing-kl-forward": lambda f: decreasing(f, "kl_forward"),
    "M17-decreasing-chi2": lambda f: decreasing(f, "chi2"),
    "M19": rule_limit,
    **certified_selection.SIDES,
    **certified_gate.SIDES,
}


def _sure(x: arb) -> bool:
    """Whether x > 0; a sum of signed terms that encloses zero counts as not."""
    return bool(x > 0)


def _splits(f: BallFacts) -> bool:
    held = {a for p, a in zip(f.pi, f.accepted, strict=True) if not p.is_zero()}
    return held == {True, False}


PREMISES: dict[str, Callable[[BallFacts], bool]] = {
    "that the draft covers the base": lambda f: f.covered,
    "rewards r ≥ 0": lambda f: min(f.instance.reward) >= 0,
    "E_π r > 0": lambda f: _sure(total([p * r for p, r in zip(f.pi, f.reward, strict=True)])),
    "n + v > 1": lambda f: _sure(
        total([p * r * (f.scheme.n - 1 + w) for p, r, w in zip(f.pi, f.reward, f.w, strict=True) if w is not None])
    ),
    "n ≥ 2": lambda f: f.scheme.n >= 2,
    "a finite threshold": lambda f: f.scheme.threshold is not None and math.isfinite(f.scheme.threshold),
    "M ≥ C": certified_gate.high_score,
    "a step at or above E_{π_B} r": certified_gate.high_step,
    "weights that are not constant": lambda f: (
        len({w for w, s in zip(f.draft_weight, f.instance.draft, strict=True) if s}) > 1
    ),
    "a threshold on the tilted reward": lambda f: f.scheme.threshold is not None and f.scheme.gate != "score",
    "that the gate splits the tilted policy, 0 < π(A) < 1": _splits,
    "w > 0 on the draft's support": lambda f: all(
        b > 0 for s, b in zip(f.instance.draft, f.instance.base, strict=True) if s
    ),
    "rule softmax": lambda f: rule_named(f.scheme.rule) is softmax.SOFTMAX,
    "rule softmax or race": lambda f: rule_named(f.scheme.rule).converges,
}
