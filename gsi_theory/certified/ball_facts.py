"""What certificates need of one exact instance under one scheme, in ball arithmetic; the twin of facts.py.

Vectors are lists of K balls (flint `arb`). A law P is compared with the tilted policy π through its excess x = P/π - 1
where π > 0 and its stray mass P(π = 0), because divergences of nearly equal laws are sums of small positive terms in x.
Everything must be used inside `facts.precision()`, which sets flint's working precision.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

from flint import arb, ctx

from gsi_theory.certified.ball_law import LogWeight, compare, selection_balls
from gsi_theory.certified.rational import ExactInstance, ExactScheme, ball
from gsi_theory.rules.table import rule_named, score_gate_of

__all__ = ["BallFacts", "Excess", "Gated", "total"]

ONE = Fraction(1)


def total(terms: list[arb]) -> arb:
    """Sum of balls; 0 for none."""
    return sum(terms, arb(0))


def _around_mid(x: arb, value: arb, slope: arb) -> arb:
    """f over the ball x from f at its middle and a ball of f' over x (mean value theorem)."""
    return value + arb(0, (x.rad() * slope.abs_upper()).upper())


def _small(x: arb) -> arb:
    """x²/2 (1 ± 2|x|): for |x| ≤ 1/2 it contains both x - log(1 + x) and (1 + x) log(1 + x) - x (their series)."""
    return x * x / 2 * (1 + arb(0, (2 * x.abs_upper()).upper()))


def _forward(x: arb, ratio: arb) -> arb:
    """x - log(1 + x) ≥ 0 for the excess x and the ratio 1 + x."""
    if x.abs_upper() < arb(2) ** -ctx.prec:
        return _small(x)
    if x.mid() < -0.5:
        return ratio - 1 - ratio.log()
    return _around_mid(x, x.mid() - x.mid().log1p(), x / (1 + x))


def _reverse(x: arb, ratio: arb) -> arb:
    """(1 + x) log(1 + x) - x ≥ 0 for the excess x and the ratio 1 + x; 1 at x = -1."""
    if ratio.is_zero():
        return arb(1)
    if x.abs_upper() < arb(2) ** -ctx.prec:
        return _small(x)
    if x.mid() < -0.5:
        return ratio * ratio.log() - ratio + 1
    return _around_mid(x, (1 + x.mid()) * x.mid().log1p() - x.mid(), x.log1p())


class Excess:
    """A law P against a law Q on the same set, from balls of both: x = P/Q - 1 where Q > 0, stray P where Q = 0.

    Exact zeros are zeros of the law. `x` may be given where it is known better than by P/Q - 1.
    """

    def __init__(self, p: list[arb], q: list[arb], x: list[arb] | None = None) -> None:
        inside = [y for y, v in enumerate(q) if not v.is_zero()]
        self._terms = [(y, q[y], p[y] / q[y] - 1 if x is None else x[y], p[y] / q[y]) for y in inside]
        self._stray = [(y, v) for y, v in enumerate(p) if q[y].is_zero() and not v.is_zero()]

    def kl_to(self) -> arb:
        """KL(Q‖P) = Σ Q (x - log(1 + x)) + stray, since both laws sum to one; +inf where P misses mass."""
        if any(ratio.is_zero() for *_, ratio in self._terms):
            return arb.pos_inf()
        return total([q * _forward(x, ratio) for _, q, x, ratio in self._terms]) + total([p for _, p in self._stray])

    def kl_from(self) -> arb:
        """KL(P‖Q) = Σ Q ((1 + x) log(1 + x) - x); +inf when P strays."""
        if self._stray:
            return arb.pos_inf()
        return total([q * _reverse(x, ratio) for _, q, x, ratio in self._terms])

    def tv(self) -> arb:
        """½ (Σ Q |x| + stray)."""
        return (total([q * abs(x) for _, q, x, _ in self._terms]) + total([p for _, p in self._stray])) / 2

    def chi2_from(self) -> arb:
        """χ²(P‖Q) = Σ Q x²; +inf when P strays."""
        if self._stray:
            return arb.pos_inf()
        return total([q * x * x for _, q, x, _ in self._terms])

    def mean_change(self, values: list[arb]) -> arb:
        """E_P f - E_Q f."""
        return total([q * x * values[y] for y, q, x, _ in self._terms] + [p * values[y] for y, p in self._stray])


@dataclass(frozen=True)
class Gated:
    """The law G of (M6) or (M9): law (K,), accepted masses (K,), p_accept and p_reject, each relatively accurate."""

    law: list[arb]
    accepted: list[arb]
    p_accept: arb
    p_reject: arb


@dataclass(frozen=True)
class BallFacts:
    """Derived quantities with balls of relative radius about 2^-goal before the arithmetic that combines them."""

    instance: ExactInstance
    scheme: ExactScheme
    goal: int = 96
    _laws: dict[str, list[arb]] = field(default_factory=dict, repr=False, compare=False)

    zero = arb(0)
    ball = staticmethod(ball)
    total = staticmethod(total)
    excess = staticmethod(Excess)

    @staticmethod
    def largest(values: list[arb]) -> arb:
        """Maximum of at least one ball."""
        return functools.reduce(arb.max, values)

    @staticmethod
    def smallest(values: list[arb]) -> arb:
        """Minimum of at least one ball."""
        return functools.reduce(arb.min, values)

    @staticmethod
    def pinsker(chi2: arb, n: int) -> arb:
        """√(½ log(1 + χ²/n))."""
        return ((chi2.nonnegative_part() / n).log1p() / 2).nonnegative_part().sqrt()

    def precision(self) -> AbstractContextManager[object]:
        """The working precision of everything here."""
        context: AbstractContextManager[object] = ctx.workprec(self.goal + 128)
        return context

    @cached_property
    def covered(self) -> bool:
        """Whether the draft covers the base."""
        return all(s > 0 or b == 0 for s, b in zip(self.instance.draft, self.instance.base, strict=True))

    @cached_property
    def draft_weight(self) -> list[LogWeight]:
        """β r + ℓ: factor π_B/π_S (zero where the draft has no mass, which no draw shows)."""
        inst, beta = self.instance, self.scheme.beta
        return [
            LogWeight(beta * r, b / s) if s else LogWeight(Fraction(0), Fraction(0))
            for s, b, r in zip(inst.draft, inst.base, inst.reward, strict=True)
        ]

    @cached_property
    def base_weight(self) -> list[LogWeight]:
        """β r."""
        return [LogWeight(self.scheme.beta * r, ONE) for r in self.instance.reward]

    @cached_property
    def draft(self) -> list[arb]:
        """π_S."""
        return [ball(s) for s in self.instance.draft]

    @cached_property
    def base(self) -> list[arb]:
        """π_B."""
        return [ball(b) for b in self.instance.base]

    @cached_property
    def reward(self) -> list[arb]:
        """r."""
        return [ball(r) for r in self.instance.reward]

    @cached_property
    def pi(self) -> list[arb]:
        """The tilted policy π (M1); exact zeros where the base has none."""
        inst, beta = self.instance, self.scheme.beta
        top = max(r for r, b in zip(inst.reward, inst.base, strict=True) if b)
        tilt = [
            ball(b) * ball(beta * (r - top)).exp() if b else arb(0) for b, r in zip(inst.base, inst.reward, strict=True)
        ]
        z = total(tilt)
        return [t / z for t in tilt]

    @cached_property
    def w(self) -> list[arb | None]:
        """Normalized weight π/π_S where the draft has mass, else None."""
        return [None if s.is_zero() else p / s for p, s in zip(self.pi, self.draft, strict=True)]

    @cached_property
    def pi_over_draft(self) -> Excess:
        """π against π_S."""
        return Excess(self.pi, self.draft)

    @cached_property
    def chi2(self) -> arb:
        """χ²(π‖π_S)."""
        return self.pi_over_draft.chi2_from()

    @cached_property
    def chi2_pair(self) -> arb:
        """χ²(π_B‖π_S)."""
        return Excess(self.base, self.draft).chi2_from()

    @cached_property
    def chi2_base(self) -> arb:
        """χ²(π‖π_B)."""
        return Excess(self.pi, self.base).chi2_from()

    @cached_property
    def centered(self) -> list[arb]:
        """r - min r over the outcomes that some policy has, 0 elsewhere."""
        inst = self.instance
        real = [s > 0 or b > 0 for s, b in zip(inst.draft, inst.base, strict=True)]
        low = min(r for r, y in zip(inst.reward, real, strict=True) if y)
        return [ball(r - low) if y else arb(0) for r, y in zip(inst.reward, real, strict=True)]

    @cached_property
    def osc(self) -> arb:
        """osc(r) over the outcomes that some policy has."""
        return self.largest(self.centered)

    @cached_property
    def coverage(self) -> arb:
        """C = sup π/π_S."""
        if not self.covered:
            return arb.pos_inf()
        return self.largest([arb(0), *self.drawn_w])

    @cached_property
    def drawn_w(self) -> list[arb]:
        """w of the outcomes that the draft has."""
        return [w for w in self.w if w is not None]

    @property
    def missed(self) -> arb:
        """(1 - 1/C)ⁿ."""
        return (1 - 1 / self.coverage).nonnegative_part() ** self.scheme.n

    def excess_share(self, mass: list[arb], n: int) -> arb:
        """E_π[(w - 1)_+/(n - 1 + w)] of the proposal `mass`."""
        pairs = [(p, q) for p, q in zip(self.pi, mass, strict=True) if not p.is_zero()]
        return total([p * (p - q).nonnegative_part() / ((n - 1) * q + p) for p, q in pairs])

    @property
    def e(self) -> arb:
        """e at the working precision."""
        return arb.const_e()

    def with_draws(self, n: int) -> BallFacts:
        """The same with n drafts."""
        return replace(self, scheme=replace(self.scheme, n=n), _laws={})

    def draft_law(self, rule: str | None = None) -> list[arb]:
        """Ungated law Q of the draft winner (default: the scheme's rule)."""
        rule = rule or self.scheme.rule
        if rule not in self._laws:
            self._laws[rule] = selection_balls(self.instance.draft, self.draft_weight, self.scheme.n, rule, self.goal)
        return self._laws[rule]

    def draft_excess(self, rule: str | None = None) -> Excess:
        """Q against π; by the rule's own formula where it has one, accurate however close Q is to π."""
        rule = rule or self.scheme.rule
        law, near = self.draft_law(rule), None
        excess = rule_named(rule).ball_excess
        if excess and self.covered:
            near = excess(self.instance.draft, self.draft_weight, self.scheme.n, self.goal)
        return Excess(law, self.pi, near)

    @cached_property
    def base_law(self) -> list[arb]:
        """Law B of the base winner among n_base draws, the scheme's rule."""
        s = self.scheme
        return selection_balls(self.instance.base, self.base_weight, s.base_draws, s.rule, self.goal)

    @cached_property
    def base_excess(self) -> Excess:
        """B against π."""
        return Excess(self.base_law, self.pi)

    @property
    def score(self) -> LogWeight:
        """The score threshold e^{βu} of (M9), a finite u."""
        assert self.scheme.threshold is not None
        return LogWeight(self.scheme.beta * Fraction(self.scheme.threshold), ONE)

    @cached_property
    def scored(self) -> tuple[list[arb], arb]:
        """(accepted masses (K,), P(reject)) of the race rule behind the score gate (M9)."""
        return self._scored_by("race")

    def _scored_by(self, rule: str) -> tuple[list[arb], arb]:
        gate = score_gate_of(rule)
        return gate.balls(self.instance.draft, self.draft_weight, self.scheme.n, self.score, self.goal)

    def law_of(self, mass: list[Fraction], weight: list[LogWeight], n: int, rule: str = "softmax") -> list[arb]:
        """The law of the winner among n draws from another proposal."""
        return selection_balls(mass, weight, n, rule, self.goal)

    def accepts(self, y: int) -> bool:
        """Whether r̃(y) ≥ u, decided exactly (at β = 0: r where ℓ = 0, ±inf by the sign of ℓ).

        Raises ArithmeticError naming the candidate if the largest precision does not separate r̃ from u.
        """
        cut, weight, beta = self.scheme.threshold, self.draft_weight[y], self.scheme.beta
        draft, base, reward = (getattr(self.instance, f)[y] for f in ("draft", "base", "reward"))
        if cut is None or cut == float("-inf") or (draft == 0 and base > 0):
            return True
        if draft == 0:  # neither policy has it: ℓ = 0, as in Instance.log_ratio
            return bool(reward >= cut)
        if base == 0:
            return False
        if beta == 0:
            return bool(base > draft or (base == draft and reward >= cut))
        if cut == float("inf"):
            return False
        return compare(weight, LogWeight(beta * Fraction(cut), ONE), f"candidate {y} against the threshold") >= 0

    def ties(self) -> list[str]:
        """In words, what rounding may decide wrongly: r̃ = u exactly, ℓ = 0 at β = 0, equal weights where a rule
        goes by their order."""
        cut, beta, lines = self.scheme.threshold, self.scheme.beta, []
        drawn = [y for y in range(self.instance.size) if self.instance.draft[y] and self.instance.base[y]]
        if cut is not None and self.scheme.gate == "tilted_reward":
            equal = [y for y in drawn if self.draft_weight[y].factor == 1]
            at = [y for y in equal if self.instance.reward[y] == cut]
            if at:
                lines.append(f"the tilted reward of y = {at} equals the threshold exactly")
            elif equal and not beta:
                lines.append(f"β = 0 and both policies give y = {equal} the same mass")
        by_order = rule_named(self.scheme.rule).order_only
        for weight in dict.fromkeys(self.draft_weight[y] for y in drawn) if by_order else ():
            same = [y for y in drawn if self.draft_weight[y] == weight]
            if len(same) > 1:
                lines.append(f"the weights of y = {same} are exactly equal")
        return lines

    @cached_property
    def accepted(self) -> list[bool]:
        """A = {r̃ ≥ u}."""
        return [self.accepts(y) for y in range(self.instance.size)]

    @cached_property
    def gated(self) -> Gated:
        """The gated law G: (M6), or (M9) with gate "score"; Q without a threshold."""
        s, cut = self.scheme, self.scheme.threshold
        if s.gate == "score" and cut is not None and cut not in (float("inf"), float("-inf")):
            kept, reject = self._scored_by(s.rule)
        else:
            law = self.draft_law()
            endless = s.gate == "score" and cut is not None
            inside = [cut == float("-inf")] * self.instance.size if endless else self.accepted
            kept = [q if a else arb(0) for q, a in zip(law, inside, strict=True)]
            reject = total([q for q, a in zip(law, inside, strict=True) if not a])
        law = [k if reject.is_zero() else k + reject * b for k, b in zip(kept, self.base_law, strict=True)]
        accept = arb(1) if reject.is_zero() else total(kept)
        return Gated(law, kept, accept, arb(1) if accept.is_zero() else reject)

    @cached_property
    def law_excess(self) -> Excess:
        """G against π."""
        if self.gated.p_reject.is_zero():
            return self.draft_excess()
        return Excess(self.gated.law, self.pi)

    @cached_property
    def best_tv(self) -> arb:
        """(M19): max over superlevel sets A of w of (1 - μ(A))ⁿ - π(Aᶜ); A starts at the mass the draft misses."""
        inst = self.instance
        reach = [y for y in range(inst.size) if inst.draft[y] and inst.base[y]]
        key = functools.cmp_to_key(compare)
        reach.sort(key=lambda y: key(self.draft_weight[y]), reverse=True)
        rest = [arb(0)]
        for y in reversed(reach[1:]):
            rest.append(rest[-1] + self.pi[y])
        best = total([p for p, s in zip(self.pi, inst.draft, strict=True) if not s])
        mass = Fraction(0)
        for y in reach:
            mass += inst.draft[y]
            best = best.max(ball(1 - mass) ** self.scheme.n - rest.pop())
        return best
