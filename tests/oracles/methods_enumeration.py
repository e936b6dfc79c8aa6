"""Laws and expected costs of every method by summing over every possible draw.  Imports no project code.

Contract
- `draft`, `base` (K,): exact policies (Fraction).  `tilt` (K,): e^{beta r}, positive (Fraction).  `reward` (K,).
- A method's oracle takes a `Setting` and returns a `Truth`: law (K,), acceptance (None without a gate) and the
  expected numbers a round, all Fractions.
- `cut` is e^{beta u} for the tilted-reward gate and M for score gates; None means no gate for the former and
  M = n * E_draft[weight] for the latter.  `reward_cut` is u for the reward gate; None means E_base[reward].
- Clipping is at n, the exponential of log n.
- Poisson numbers are summed until their probabilities are below 1e-17 (these in 40-digit floats).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

from tests.oracles import enumeration

__all__ = ["ORACLES", "Setting", "Truth", "early_exit_calls", "first_passage", "fixed_allocation_law"]

Vector = list[Fraction]


@dataclass(frozen=True)
class Setting:
    draft: Sequence[Fraction]
    base: Sequence[Fraction]
    tilt: Sequence[Fraction]
    reward: Sequence[Fraction]
    n: int
    n_base: int
    cut: Fraction | None = None
    reward_cut: Fraction | None = None
    slope: Fraction = Fraction(0)

    @property
    def weight(self) -> Vector:
        """Weights of draft candidates; zero where the draft has no mass (never drawn)."""
        return [t * b / d if d else Fraction(0) for t, b, d in zip(self.tilt, self.base, self.draft, strict=True)]


@dataclass(frozen=True)
class Truth:
    law: Sequence[Any]
    p_accept: Fraction | None = None
    draft_samples: Any = 0
    base_samples: Any = 0
    base_scored: Any = 0
    draft_scored: Any = 0
    reward_calls: Any = 0


def fixed_allocation_law(
    masses: Sequence[Sequence[Fraction]], weight: Sequence[Fraction], counts: Sequence[int], rule: str
) -> Vector:
    """Winner among counts[j] draws from masses[j], all in one selection."""
    law = [Fraction(0)] * len(weight)
    used = [(mass, count) for mass, count in zip(masses, counts, strict=True) if count]
    for parts in itertools.product(*(enumeration.draws(mass, count) for mass, count in used)):
        drawn = [sum(part[0][i] for part in parts) for i in range(len(weight))]
        probability = math.prod((part[1] for part in parts), start=Fraction(1))
        for i, win in enumerate(enumeration.winner_given_draw(drawn, weight, rule)):
            law[i] += probability * win
    return law


def _mixed(accepted: Sequence[Fraction], rest: Sequence[Fraction]) -> Vector:
    reject = 1 - sum(accepted, Fraction(0))
    return [a + reject * b for a, b in zip(accepted, rest, strict=True)]


def _fallback(s: Setting, rule: str) -> Vector:
    return enumeration.selection_law(s.base, s.tilt, s.n_base, rule)


def _selected(source: str, rule: str, tilted: bool = False) -> Callable[[Setting], Truth]:
    def oracle(s: Setting) -> Truth:
        lowest = min(s.reward)
        # any increasing function of the reward serves rule max
        weight = [r - lowest + 1 for r in s.reward] if rule == "max" else s.weight if tilted else s.tilt
        law = enumeration.selection_law(getattr(s, source), weight, s.n, rule)
        costs = {f"{source}_samples": s.n, "base_scored": s.n if tilted else 0}
        return Truth(law, reward_calls=s.n, **costs)

    return oracle


def _poisson(
    s: Setting, source: str, weight: Sequence[Fraction], rule: str, mean: int, extra: int
) -> tuple[list[Any], Any]:
    """(law, expected count) for extra + Poisson(mean) draws given at least one, in 40-digit floats for speed."""
    with mpmath.workdps(40):
        mass = [mpmath.mpf(m.numerator) / m.denominator for m in getattr(s, source)]
        values = [mpmath.mpf(w.numerator) / w.denominator for w in weight]
        law, count, total, k = [mpmath.mpf(0)] * len(weight), mpmath.mpf(0), mpmath.mpf(0), 0
        probability = mpmath.exp(-mean)
        while k <= mean or probability > 1e-17:
            if k + extra > 0:
                for drawn, ways in enumeration.draws(mass, k + extra):
                    for i, win in enumerate(enumeration.winner_given_draw(drawn, values, rule)):
                        law[i] += probability * ways * win
                count, total = count + probability * (k + extra), total + probability
            k += 1
            probability = probability * mean / k
        return [a / total for a in law], count / total


def _gsi_poisson(s: Setting) -> Truth:
    law, count = _poisson(s, "draft", s.weight, "softmax", s.n, 0)
    return Truth(law, draft_samples=count, base_scored=count, reward_calls=count)


def _best_of_poisson(s: Setting) -> Truth:
    weight = [r - min(s.reward) + 1 for r in s.reward]
    law, count = _poisson(s, "base", weight, "max", s.n - 1, 1)
    return Truth(law, base_samples=count, reward_calls=count)


def _gsi(rule: str, one_base: bool = False) -> Callable[[Setting], Truth]:
    def oracle(s: Setting) -> Truth:
        n_base = 1 if one_base else s.n_base
        accept = [s.cut is None or w >= s.cut for w in s.weight]
        law, p, _, _ = enumeration.gsi_law(s.draft, s.base, s.weight, s.tilt, accept, s.n, n_base, rule)
        extra = (1 - p) * n_base
        return Truth(law, None if s.cut is None else p, s.n, extra, s.n, 0, s.n + extra)

    return oracle


def _score(s: Setting, weight: Sequence[Fraction]) -> Fraction:
    return s.n * sum(d * w for d, w in zip(s.draft, weight, strict=True)) if s.cut is None else s.cut


def first_passage(
    mass: Sequence[Fraction], weight: Sequence[Fraction], M: Fraction, n: int
) -> tuple[Vector, Fraction, Fraction]:
    """(accepted mass (K,), P(reject), expected candidates scored), one candidate after the other."""
    passing = [m * min(Fraction(1), w / M) for m, w in zip(mass, weight, strict=True)]
    accepted, searching, scored = [Fraction(0)] * len(mass), Fraction(1), Fraction(0)
    for _ in range(n):
        scored += searching
        accepted = [a + searching * p for a, p in zip(accepted, passing, strict=True)]
        searching *= 1 - sum(passing, Fraction(0))
    return accepted, searching, scored


def _first_passage(s: Setting) -> Truth:
    accepted, reject, scored = first_passage(s.draft, s.weight, _score(s, s.weight), s.n)
    extra = reject * s.n_base
    return Truth(_mixed(accepted, _fallback(s, "race")), 1 - reject, scored, extra, scored, 0, scored + extra)


def _all_above(floors: Sequence[Fraction]) -> Fraction:
    """P(U_(j) > floors[j] for every j) for the order statistics of as many uniforms, cell by cell.

    U_(j) > a is "fewer than j + 1 of them are <= a" (j from zero), so only counts below each floor matter.
    """
    m = len(floors)
    limits = {a: min(j for j, b in enumerate(floors) if b == a) for a in set(floors)}
    state, low = {0: Fraction(1)}, Fraction(0)
    for a in sorted(limits):
        following: dict[int, Fraction] = {}
        for count, ways in state.items():
            for more in range(m - count + 1):
                if count + more <= limits[a]:
                    step = ways * (a - low) ** more / math.factorial(more)
                    following[count + more] = following.get(count + more, Fraction(0)) + step
        state, low = following, a
    return sum(
        (w * (1 - low) ** (m - c) / math.factorial(m - c) for c, w in state.items()), Fraction(0)
    ) * math.factorial(m)


def early_exit_calls(
    mass: Sequence[Fraction], weight: Sequence[Fraction], bound: Fraction, n: int, M: Fraction = Fraction(0)
) -> Fraction:
    """Expected candidates scored in ascending order of uniform noise T until no later one can win (or reach M).

    Candidate k is scored when T_(k) <= bound/M and w_j/T_(j) < bound/T_(k) for all j < k.  The ratios
    T_(j)/T_(k), j < k, are the order statistics of k - 1 uniforms and independent of T_(k).
    """
    reach = min(Fraction(1), bound / M) if M else Fraction(1)
    total = Fraction(0)
    for k in range(1, n + 1):
        within = sum(math.comb(n, i) * reach**i * (1 - reach) ** (n - i) for i in range(k, n + 1))
        for earlier in itertools.product(range(len(mass)), repeat=k - 1):
            probability = math.prod((mass[y] for y in earlier), start=Fraction(1))
            if probability:
                total += within * probability * _all_above([weight[y] / bound for y in earlier])
    return total


def _expgsi(
    clip: bool = True, two: bool = False, gated: bool = False, early: bool = False
) -> Callable[[Setting], Truth]:
    def oracle(s: Setting) -> Truth:
        ratio = [b / d if d else Fraction(0) for b, d in zip(s.base, s.draft, strict=True)]
        if clip:
            ratio = [max(min(x, Fraction(s.n)), Fraction(1, s.n) if two else Fraction(0)) for x in ratio]
        weight = [t * x for t, x in zip(s.tilt, ratio, strict=True)]
        M = _score(s, weight) if gated else Fraction(0)
        law, p = enumeration.score_gate_law(s.draft, weight, M, s.n)
        extra = (1 - p) * s.n_base if gated else 0
        law = _mixed(law, _fallback(s, "race")) if gated else law
        scored = early_exit_calls(s.draft, weight, max(s.tilt) * s.n, s.n, M) if early else s.n
        return Truth(law, p if gated else None, s.n, extra, scored, 0, scored + extra)

    return oracle


def _pooled(rule: str, random: bool = False) -> Callable[[Setting], Truth]:
    def oracle(s: Setting) -> Truth:
        own, other = s.n, s.n_base
        mix = [(own * d + other * b) / Fraction(own + other) for d, b in zip(s.draft, s.base, strict=True)]
        weight = [b * t / m if m else Fraction(0) for b, t, m in zip(s.base, s.tilt, mix, strict=True)]
        law = (
            enumeration.selection_law(mix, weight, own + other, rule)
            if random
            else fixed_allocation_law([s.draft, s.base], weight, [own, other], rule)
        )
        return Truth(law, None, own, other, own, other, own + other)

    return oracle


def _verified(s: Setting, omega: Sequence[Fraction]) -> Truth:
    accepted = [d * o for d, o in zip(s.draft, omega, strict=True)]
    p = sum(accepted, Fraction(0))
    return Truth(_mixed(accepted, s.base), p, 1, 1 - p, 0, 0, 1)


def _base_mean(s: Setting) -> Fraction:
    return sum((b * r for b, r in zip(s.base, s.reward, strict=True)), Fraction(0))


def _rsd(s: Setting) -> Truth:
    u = _base_mean(s) if s.reward_cut is None else s.reward_cut
    return _verified(s, [Fraction(r >= u) for r in s.reward])


def _rsd_sigmoid(s: Setting) -> Truth:
    u = _base_mean(s) if s.reward_cut is None else s.reward_cut
    return _verified(s, [Fraction(1 / (1 + math.exp(-float(s.slope * (r - u))))) for r in s.reward])


def _rsd_budget(s: Setting) -> Truth:
    """Fills the acceptance of GSI (softmax) from the top of the reward, level by level."""
    p, mean = _gsi("softmax")(s).p_accept, _base_mean(s)
    left, omega = Fraction(1) if p is None else p, [Fraction(0)] * len(s.reward)
    for level in sorted(set(s.reward), reverse=True):
        at = [i for i, r in enumerate(s.reward) if r == level]
        mass = sum(s.draft[i] for i in at)
        share = Fraction(1) if level > mean or mass <= left else max(left, Fraction(0)) / mass
        for i in at:
            omega[i] = share
        left -= share * mass
    return _verified(s, omega)


def _speculative(s: Setting) -> Truth:
    accepted = [d * min(Fraction(1), b / d) if d else Fraction(0) for d, b in zip(s.draft, s.base, strict=True)]
    rest = [max(b - d, Fraction(0)) for d, b in zip(s.draft, s.base, strict=True)]
    total = sum(rest, Fraction(0))
    residual = [x / total for x in rest] if total else list(s.base)
    p = sum(accepted, Fraction(0))
    return Truth(_mixed(accepted, residual), p, 1, 1 - p, 1, 0, 0)


ORACLES: dict[str, Callable[[Setting], Truth]] = {
    "draft": lambda s: Truth(s.draft, draft_samples=1),
    "base": lambda s: Truth(s.base, base_samples=1),
    "soft_bon_draft": _selected("draft", "softmax"),
    "soft_bon_base": _selected("base", "softmax"),
    "best_of_n_draft": _selected("draft", "max"),
    "best_of_n_base": _selected("base", "max"),
    "best_of_poisson": _best_of_poisson,
    "gsi_ungated": _selected("draft", "softmax", tilted=True),
    "gsi_ungated_race": _selected("draft", "race", tilted=True),
    "gsi_poisson": _gsi_poisson,
    "gsi": _gsi("softmax"),
    "gsi_race": _gsi("race"),
    "gsi_one_base": _gsi("softmax", one_base=True),
    "gsi_score_gate": _expgsi(clip=False, gated=True),
    "first_passage": _first_passage,
    "expgsi": _expgsi(),
    "expgsi_two_sided": _expgsi(two=True),
    "expgsi_early_exit": _expgsi(early=True),
    "expgsi_score_gate": _expgsi(gated=True, early=True),
    "pooled": _pooled("softmax"),
    "pooled_race": _pooled("race"),
    "pooled_random": _pooled("softmax", random=True),
    "rsd": _rsd,
    "rsd_sigmoid": _rsd_sigmoid,
    "rsd_budget": _rsd_budget,
    "speculative": _speculative,
}
