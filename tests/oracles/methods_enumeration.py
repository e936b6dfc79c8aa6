"""Laws and expected costs of every method by summing over every possible draw.  Imports no project code.

Contract
- `draft`, `base` (K,): exact policies (Fraction).  `tilt` (K,): e^{beta r}, positive (Fraction).  `reward` (K,).
- `truth` takes a `Setting` and the fields of a method's record as plain words and numbers, and returns a `Truth`: law
  (K,), acceptance (None without a gate) and the expected numbers a round, all Fractions.
- `cut` is e^{beta u} for the tilted-reward gate and M for score gates; None means no gate for the former and
  M = n * E_draft[weight] for the latter.  `reward_cut` is u for the reward gate; None means E_base[reward].
- `further`: exact policies of further drafters and their numbers of draws.
- Clipping is at n, the exponential of log n.
- Poisson numbers are summed until their probabilities are below 1e-17 (these in 40-digit floats).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped, unused-ignore]

from tests.oracles import enumeration

__all__ = ["Setting", "Truth", "early_exit_calls", "first_passage", "fixed_allocation_law", "truth"]

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


def _mixture(
    s: Setting, proposal: str, rule: str, further: tuple[Sequence[Sequence[Fraction]], Sequence[int]] | None
) -> Truth:
    """Draws of several policies in one selection, weights base * tilt / mixture."""
    own, other, pooled = s.n, s.n_base, proposal.startswith("pooled")
    policies, counts = [s.draft, s.base], [own, other]
    if not pooled:
        assert further is not None
        policies, counts = [s.draft, *further[0]], [own, *further[1]]
    total = sum(counts)
    mix = [sum(c * p[y] for c, p in zip(counts, policies, strict=True)) / Fraction(total) for y in range(len(s.base))]
    weight = [b * t / m if m else Fraction(0) for b, t, m in zip(s.base, s.tilt, mix, strict=True)]
    law = (
        enumeration.selection_law(mix, weight, total, rule)
        if proposal.endswith("_random")
        else fixed_allocation_law(policies, weight, counts, rule)
    )
    if pooled:
        return Truth(law, None, own, other, own, other, total)
    return Truth(law, None, total, 0, total, total * (len(counts) - 1), total)


def _base_mean(s: Setting) -> Fraction:
    return sum((b * r for b, r in zip(s.base, s.reward, strict=True)), Fraction(0))


def _omega(s: Setting, gate: str) -> list[Fraction]:
    """How likely one draft is accepted."""
    u = _base_mean(s) if s.reward_cut is None else s.reward_cut
    if gate == "reward":
        return [Fraction(r >= u) for r in s.reward]
    if gate == "sigmoid":
        return [Fraction(1 / (1 + math.exp(-float(s.slope * (r - u))))) for r in s.reward]
    if gate == "ratio":
        return [min(Fraction(1), b / d) if d else Fraction(0) for d, b in zip(s.draft, s.base, strict=True)]
    assert gate == "budget"
    # Fills the acceptance of GSI (softmax) from the top of the reward, level by level.
    accept = [s.cut is None or w >= s.cut for w in s.weight]
    p = enumeration.gsi_law(s.draft, s.base, s.weight, s.tilt, accept, s.n, s.n_base, "softmax")[1]
    left, mean, omega = p if s.cut is not None else Fraction(1), _base_mean(s), [Fraction(0)] * len(s.reward)
    for level in sorted(set(s.reward), reverse=True):
        at = [i for i, r in enumerate(s.reward) if r == level]
        mass = sum(s.draft[i] for i in at)
        share = Fraction(1) if level > mean or mass <= left else max(left, Fraction(0)) / mass
        for i in at:
            omega[i] = share
        left -= share * mass
    return omega


def _one_draft(s: Setting, gate: str, fallback: str) -> Truth:
    accepted = [d * o for d, o in zip(s.draft, _omega(s, gate), strict=True)]
    p, rest = sum(accepted, Fraction(0)), list(s.base)
    if fallback == "residual":
        rest = [max(b - d, Fraction(0)) for d, b in zip(s.draft, s.base, strict=True)]
        total = sum(rest, Fraction(0))
        rest = [x / total for x in rest] if total else list(s.base)
    n_base, judged = 1, 0
    if fallback == "select":
        rest, n_base, judged = enumeration.selection_law(s.base, s.tilt, s.n_base, "softmax"), s.n_base, s.n_base
    scored, asked = (1, 0) if gate == "ratio" else (0, 1)
    return Truth(_mixed(accepted, rest), p, 1, (1 - p) * n_base, scored, 0, asked + (1 - p) * judged)


def _weights(s: Setting, proposal: str, weight: str) -> list[Fraction]:
    """Weights of the candidates of `proposal`; any increasing function of the reward serves rule max."""
    ratio = [b / d if d else Fraction(0) for b, d in zip(s.base, s.draft, strict=True)]
    if weight == "none":
        return [Fraction(1)] * len(ratio)
    if weight == "best":
        return [r - min(s.reward) + 1 for r in s.reward]
    if weight == "reward":
        return list(s.tilt)
    if weight.startswith("clipped"):
        low = Fraction(1, s.n) if weight == "clipped_both" else Fraction(0)
        ratio = [max(min(x, Fraction(s.n)), low) for x in ratio]
    assert weight in ("ratio", "clipped", "clipped_both") and proposal == "draft"
    return [t * x for t, x in zip(s.tilt, ratio, strict=True)]


def truth(
    s: Setting,
    *,
    proposal: str,
    weight: str,
    rule: str,
    search: str,
    gate: str | None,
    fallback: str,
    n: int | None,
    n_base: int | None,
    numbers: str,
    further: tuple[Sequence[Sequence[Fraction]], Sequence[int]] | None = None,
) -> Truth:
    """Law and costs of one step of the method that these fields describe."""
    asked, s = s, replace(s, n=n or s.n, n_base=n_base or s.n_base)
    if proposal not in ("draft", "base"):
        return _mixture(s, proposal, rule, further)
    if gate in ("reward", "sigmoid", "budget", "ratio"):
        return _one_draft(replace(asked, n_base=s.n_base), gate, fallback)
    mass, values, count = getattr(s, proposal), _weights(s, proposal, weight), Fraction(s.n)
    judged, scored = (
        weight != "none",
        weight not in ("none", "reward", "best") or (gate is not None and s.cut is not None),
    )
    if numbers != "fixed":
        mean, extra = (s.n, 0) if numbers == "poisson" else (s.n - 1, 1)
        law, count = _poisson(s, proposal, values, rule, mean, extra)
    else:
        law = enumeration.selection_law(mass, values, s.n, rule)
    looked, p = count, None
    M = _score(s, values) if gate == "score" else Fraction(0)
    if search == "early_exit":
        looked = early_exit_calls(s.draft, values, max(s.tilt) * s.n, s.n, M)
    if search == "first_passage":
        accepted, reject, looked = first_passage(s.draft, values, M, s.n)
        count, p = looked, 1 - reject
    elif gate == "score":
        accepted, p = enumeration.score_gate_law(s.draft, values, M, s.n)
    elif gate == "tilted_reward" and s.cut is not None:
        # r + log-ratio/beta >= u, whatever the selection weighs
        accepted = [q if w >= s.cut else Fraction(0) for q, w in zip(law, s.weight, strict=True)]
        p = sum(accepted, Fraction(0))
    back = Fraction(0)
    if p is not None:
        law, back = _mixed(accepted, _fallback(s, rule)), (1 - p) * s.n_base
    drafted = proposal == "draft"
    return Truth(
        law, p, count if drafted else 0, back if drafted else count, looked if scored else 0, 0,
        (looked if judged else 0) + back,
    )  # fmt: skip
