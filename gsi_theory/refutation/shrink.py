"""Counterexamples made small: few outcomes, few drafts, short decimals, still refuting by a clear relative gap.

All numbers are terminating decimals, so that the result can be typed into an instance file and is exact there. First
every case of a small lattice of two outcomes is tried; if none refutes, the given case is simplified field by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

import numpy as np

from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims.claim import Claim
from gsi_theory.claims.facts import Facts
from gsi_theory.instance import Instance, Scheme
from gsi_theory.refutation.cases import batches
from gsi_theory.refutation.search_space import NEVER, excess
from gsi_theory.types import Floats, Record

__all__ = ["BARELY", "CLEAR", "ExactCase", "excess_of", "shrink"]

# A relative gap that a reader sees in two digits; below BARELY a gap is too thin to shrink.
CLEAR, BARELY = 1e-2, 1e-6


def _decimals(texts: str) -> tuple[Fraction, ...]:
    return tuple(map(Fraction, texts.split()))


# Simplest first.
MASSES = _decimals("0.5 0.25 0.75 0.2 0.8 0.1 0.9 0.4 0.6 0.3 0.7 0.05 0.95 0.01 0.99 0.001 0.999 0.0001 0.00001")
BETAS = _decimals("1 2 3 4 5 10 20 0.5 0.25 0.1")
REWARDS = _decimals("0 1 -1 0.5 -0.5 2 -2 0.25 0.75 0.1 0.9 -0.1 -0.9")
NUMBERS = (1, 2, 3, 4, 5, 6, 8, 10, 20, 50, 100, 1000, 10_000)
CUTS = _decimals("0 1 -1 0.5 -0.5 2 -2 0.1 0.25 0.75 3 -3 5 -5")
PAIRS = tuple((Fraction(a), Fraction(b)) for a, b in ((0, 0), (1, 0), (0, 1), (1, -1), (-1, 1), (0, -1), (-1, 0)))
MOST_DIGITS = 12


@dataclass(frozen=True)
class ExactCase:
    """A rational instance and scheme."""

    instance: ExactInstance
    scheme: ExactScheme

    @classmethod
    def of(cls, instance: Instance, scheme: Scheme) -> ExactCase:
        """The case of a float instance, within 1e-19 relative."""
        return cls(ExactInstance.near(instance), ExactScheme.of(scheme))

    def floats(self) -> tuple[Instance, Scheme]:
        """The nearest float instance and scheme."""
        return self.instance.to_instance(), self.scheme.to_scheme()


def excess_of(claim: Claim, cases: Sequence[ExactCase]) -> Floats:
    """How far the claim fails on each case, as `search_space.excess`."""
    values = np.full(len(cases), NEVER)
    for members, facts in batches([case.floats() for case in cases]):
        values[members] = excess(claim, facts)
    return values


def shrink(claim: Claim, case: ExactCase) -> ExactCase:
    """The simplest case found that refutes the claim by CLEAR, or by half the gap of `case` where that is less.

    A case refuted by less than BARELY comes back as it is.
    """
    value = float(excess_of(claim, [case])[0])
    if value < BARELY:
        return case
    goal = CLEAR if value >= CLEAR else max(value / 2.0, BARELY)
    simple = _from_lattice(claim, case.scheme, goal)
    if simple is not None:
        return simple
    for _ in range(6):
        before = case
        for candidates in _STAGES:
            case = _first(claim, candidates(case), goal) or case
        if case == before:
            break
    return case


def _first(claim: Claim, candidates: Iterable[ExactCase], goal: float) -> ExactCase | None:
    """The first candidate that still refutes by the goal."""
    cases = list(candidates)
    good = np.flatnonzero(excess_of(claim, cases) >= goal) if cases else np.array([], dtype=int)
    return cases[good[0]] if good.size else None


def _from_lattice(claim: Claim, scheme: ExactScheme, goal: float) -> ExactCase | None:
    """The simplest two-outcome case under the found rule and gate, or None."""
    cuts = CUTS[:5] if scheme.threshold is not None else ()
    # The scheme's own threshold may be all a claim lacks; None first, for a claim that needs none.
    for cut in (None, *cuts):
        axes = (MASSES, MASSES, PAIRS, BETAS[:7], NUMBERS[:7])
        index = np.array(list(product(*map(lambda axis: range(len(axis)), axes))))
        # Long numbers cost more than large ones; the order of the axes breaks ties.
        index = index[np.argsort(index @ np.array([1, 1, 1, 2, 2]), kind="stable")]
        for part in np.array_split(index, -(-len(index) // 8192)):
            good = np.flatnonzero(excess(claim, _lattice_facts(axes, part, scheme, cut)) >= goal)
            for row in good[:1]:
                p, q, reward, beta, n = (axis[i] for axis, i in zip(axes, part[row], strict=True))
                instance = ExactInstance((p, 1 - p), (q, 1 - q), reward)
                case = ExactCase(instance, ExactScheme(beta, n, cut, scheme.rule, None, scheme.gate))
                if excess_of(claim, [case])[0] >= goal:
                    return case
    return None


def _lattice_facts(axes: Sequence[Sequence[object]], index: Floats, scheme: ExactScheme, cut: Fraction | None) -> Facts:
    p, q, reward, beta, n = (np.array(axis, dtype=float)[i] for axis, i in zip(axes, index.T, strict=True))
    draft, base = (np.log(np.stack([v, 1.0 - v], axis=1)) for v in (p, q))
    threshold = None if cut is None else float(cut)
    return Facts.batch(draft, base, reward, beta, n, threshold, rule=scheme.rule, gate=scheme.gate)


def _fewer_outcomes(case: ExactCase) -> Iterator[ExactCase]:
    inst = case.instance
    for y in range(inst.size if inst.size > 1 else 0):
        draft, base, reward = (v[:y] + v[y + 1 :] for v in (inst.draft, inst.base, inst.reward))
        if sum(draft) and sum(base):
            draft, base = (tuple(v / sum(p) for v in p) for p in (draft, base))
            yield replace(case, instance=ExactInstance(draft, base, reward))


def _scheme_values(case: ExactCase, name: str, values: Iterable[object]) -> Iterator[ExactCase]:
    """The case with a field of the scheme replaced by each value, up to the one it has."""
    now = getattr(case.scheme, name)
    for value in values:
        if value == now:
            return
        changed: Record = {name: value} | ({"n_base": None} if name == "n" else {})
        yield replace(case, scheme=replace(case.scheme, **changed))


def _numbers(case: ExactCase) -> Iterator[ExactCase]:
    yield from _scheme_values(case, "n", (n for n in NUMBERS if n < case.scheme.n))


def _betas(case: ExactCase) -> Iterator[ExactCase]:
    yield from _scheme_values(case, "beta", (*BETAS, *_rounded(case.scheme.beta)))


def _thresholds(case: ExactCase) -> Iterator[ExactCase]:
    cut = case.scheme.threshold
    if cut is not None:
        near = _rounded(cut) if isinstance(cut, Fraction) else ()
        yield from _scheme_values(case, "threshold", (None, *CUTS, *near))


def _rounded(value: Fraction) -> list[Fraction]:
    return [round(value, digits) for digits in range(MOST_DIGITS + 1)]


def _rewards(case: ExactCase) -> Iterator[ExactCase]:
    """All rewards from {0, 1, -1} (K ≤ 4), then all rounded, then one at a time."""
    inst, now = case.instance, case.instance.reward
    whole = list(product(REWARDS[:3], repeat=inst.size)) if inst.size <= 4 else []
    whole.sort(key=lambda r: sum(map(abs, r)))
    whole += [tuple(round(r, d) for r in now) for d in range(MOST_DIGITS + 1)]
    for y in range(inst.size):
        values = REWARDS[: REWARDS.index(now[y])] if now[y] in REWARDS else REWARDS
        whole += [(*now[:y], value, *now[y + 1 :]) for value in values]
    cut = whole.index(now) if now in whole else len(whole)
    for reward in whole[:cut]:
        yield replace(case, instance=replace(inst, reward=reward))


def _policies(size: int, now: tuple[Fraction, ...]) -> list[tuple[Fraction, ...]]:
    """Policies of `size` outcomes, simplest first, ending with `now` rounded to ever more decimals."""
    policies: list[tuple[Fraction, ...]] = []
    if size == 2:
        policies = [(p, 1 - p) for p in MASSES]
    elif size == 3:
        policies = [(p, q, 1 - p - q) for p, q in product(MASSES, MASSES) if p + q < 1]
        policies.sort(key=lambda policy: max(v.denominator for v in policy))
    top = max(range(size), key=lambda y: now[y])
    for digits in range(1, MOST_DIGITS + 1):
        short = [round(p, digits) for p in now]
        short[top] += 1 - sum(short)
        if all((a > 0) == (b > 0) for a, b in zip(short, now, strict=True)):
            policies.append(tuple(short))
    return policies[: policies.index(now)] if now in policies else policies


def _drafts(case: ExactCase) -> Iterator[ExactCase]:
    for policy in _policies(case.instance.size, case.instance.draft):
        yield replace(case, instance=replace(case.instance, draft=policy))


def _bases(case: ExactCase) -> Iterator[ExactCase]:
    inst = case.instance
    for policy in _policies(inst.size, inst.base):
        yield replace(case, instance=replace(inst, base=policy))


_STAGES = (_fewer_outcomes, _numbers, _rewards, _betas, _drafts, _bases, _thresholds)
