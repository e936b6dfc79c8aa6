"""Counterexamples that a reader can check by hand: found on two outcomes with short numbers, or shortened.

`search` tries two-outcome cases whose probabilities have one decimal, then two, and so on; `shorten` takes any refuting
case to fewer outcomes, fewer draws and fewer decimals. Claims judge; nothing is restated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from gsi_theory.certified.rational import ExactInstance, ExactScheme
from gsi_theory.claims import OUTCOMES, Claim, Outcome, Verdict
from gsi_theory.instance import Instance, Scheme
from gsi_theory.refutation.cases import judgments
from gsi_theory.types import Json

__all__ = ["Case", "search", "shorten"]

# (drafts, most decimals): what fails at no small n, as a term 1/n for one of order n^{-1/2}, fails with round numbers
DECIMALS = ((1, 6), (2, 6), (8, 2))
# A shortened counterexample keeps this share of its gap, and stays this many numerical errors away from zero.
KEPT_GAP = 0.5
SAFETY = 1000.0


@dataclass(frozen=True)
class Case:
    """An instance as plain probabilities and rewards, with its scheme."""

    draft: tuple[float, ...]
    base: tuple[float, ...]
    reward: tuple[float, ...]
    scheme: Scheme

    @classmethod
    def of(cls, instance: Instance, scheme: Scheme) -> Case:
        """The case of an instance; probabilities are rounded to float64."""
        logs = instance.log_draft, instance.log_base
        draft, base = (tuple(np.exp(log).tolist()) for log in logs)
        return cls(draft, base, tuple(instance.reward.tolist()), scheme)

    def record(self) -> list[Json]:
        """The case as JSON, which `read` takes back."""
        s = self.scheme
        return [self.draft, self.base, self.reward, [s.beta, s.n, s.threshold, s.rule, s.n_base, s.gate]]

    @classmethod
    def read(cls, record: Sequence[Json]) -> Case:
        """The case of `record`."""
        draft, base, reward, scheme = record
        return cls(tuple(draft), tuple(base), tuple(reward), Scheme(*scheme))

    def verdict(self, claim: Claim) -> Verdict:
        """The claim's verdict on this case."""
        return claim.evaluate(*self.parts())

    def parts(self) -> tuple[Instance, Scheme]:
        """The instance and the scheme."""
        return Instance.from_probabilities(self.draft, self.base, self.reward), self.scheme

    def exact(self) -> tuple[ExactInstance, ExactScheme]:
        """The same with every number the decimal that it prints as."""
        s = self.scheme
        cut = s.threshold if s.threshold is None or np.isinf(s.threshold) else repr(s.threshold)
        texts: list[Json] = [[repr(v) for v in values] for values in (self.draft, self.base, self.reward)]
        instance = ExactInstance(*texts)
        return instance, ExactScheme(repr(s.beta), s.n, cut, str(s.rule), s.n_base, s.gate)


def _few_decimals(decimals: int) -> Iterator[tuple[float, float]]:
    """Pairs of probabilities up to ½ with one digit 1, 2 or 5, of which one needs exactly that many decimals."""
    values = [(round(m * 10.0**-k, k), k) for k in range(1, decimals + 1) for m in (5, 2, 1)]
    for (p, i), (q, j) in product(values, values):
        if max(i, j) == decimals:
            yield p, q


def _two_outcome_cases(rewards: Sequence[str], n: int, decimals: int) -> list[Case]:
    """Two-outcome cases whose probabilities have that many decimals."""
    patterns = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)] if "unsigned" in rewards else []
    patterns += [(1.0, -1.0), (-1.0, 1.0)] if "signed" in rewards else []
    cases = []
    for (p, q), reward, beta in product(_few_decimals(decimals), patterns, (1.0, 2.0, 3.0, 5.0)):
        draft, base = (p, round(1.0 - p, decimals)), (q, round(1.0 - q, decimals))
        cases.append(Case(draft, base, reward, Scheme(beta, n)))
    return cases


def _worst(claim: Claim, cases: Sequence[Case]) -> tuple[Case | None, list[Case]]:
    """The case refuted by the largest gap (of equal ones the first), and those where the claim does not apply."""
    judged = judgments({claim.id: claim}, [case.parts() for case in cases])[claim.id]
    gaps = np.where(judged["outcome"] == OUTCOMES.index(Outcome.REFUTED), -judged["slack"], 0.0)
    idle = [case for case, applies in zip(cases, judged["applies"], strict=True) if not applies]
    return (cases[int(np.argmax(gaps))] if np.any(gaps > 0) else None), idle


def search(claim: Claim, rewards: Sequence[str]) -> Case | None:
    """A two-outcome case of one draft, then two, then eight, of the fewest decimals of which one refutes the claim.

    Without a gate, or else with a threshold of one half.
    """
    # A limit does not depend on n.
    ladder = DECIMALS[:1] if claim.relation == "=" else DECIMALS
    for n, decimals in ((n, k) for n, most in ladder for k in range(1, most + 1)):
        cases = _two_outcome_cases(rewards, n, decimals)
        for threshold in (None, 0.5):
            cases = [replace(case, scheme=replace(case.scheme, threshold=threshold)) for case in cases]
            found, cases = _worst(claim, cases)
            if found is not None:
                return found
            if not cases:
                break
    return None


def _rounded_policy(policy: Sequence[float], decimals: int) -> tuple[float, ...] | None:
    """The policy at so many decimals, its largest entry taking the rest; None when an entry would lose its mass."""
    top = int(np.argmax(policy))
    short = [round(p, decimals) for p in policy]
    short[top] = round(1.0 - sum(short[:top] + short[top + 1 :]), decimals)
    kept = all((new > 0) == (old > 0) for new, old in zip(short, policy, strict=True))
    return tuple(short) if kept else None


def _rounded(case: Case, name: str, decimals: int) -> Case | None:
    """The case with one field rounded, or None when that is no case."""
    if name in ("draft", "base"):
        policy = _rounded_policy(getattr(case, name), decimals)
        if policy is None:
            return None
        return replace(case, draft=policy) if name == "draft" else replace(case, base=policy)
    if name == "reward":
        return replace(case, reward=tuple(round(r, decimals) + 0.0 for r in case.reward))
    value = getattr(case.scheme, name)
    return None if value is None else replace(case, scheme=replace(case.scheme, **{name: round(value, decimals)}))


def _without(case: Case, index: int) -> Case | None:
    """The case without one outcome, policies scaled up; None when a policy has no other mass."""

    def rest(values: tuple[float, ...]) -> tuple[float, ...]:
        return values[:index] + values[index + 1 :]

    draft, base = rest(case.draft), rest(case.base)
    if not (sum(draft) > 0 and sum(base) > 0):
        return None
    draft, base = (tuple(p / sum(policy) for p in policy) for policy in (draft, base))
    return Case(draft, base, rest(case.reward), case.scheme)


def shorten(claim: Claim, case: Case) -> Case:
    """A simpler case that still refutes the claim, far beyond the numerical error and with half of the gap or more.

    Fewest outcomes first, then fewest drafts, then the fewest decimals of each field. A case that is refuted only
    barely comes back as it is.
    """
    first = case.verdict(claim)

    def solid(simpler: Case | None) -> bool:
        verdict = simpler.verdict(claim) if simpler is not None else None
        if verdict is None or verdict.outcome is not Outcome.REFUTED:
            return False
        gap = -(verdict.slack or 0.0)
        return gap >= max(-KEPT_GAP * (first.slack or 0.0), SAFETY * (verdict.error or 0.0))

    if not solid(case):
        return case
    index = 0
    while index < len(case.draft) > 1:
        fewer = _without(case, index)
        case, index = (fewer, 0) if fewer is not None and solid(fewer) else (case, index + 1)
    trials = [
        replace(case, scheme=replace(case.scheme, n=n, n_base=n)) for n in (1, 2, 5, 10, 100) if n < case.scheme.n
    ]
    case = next(filter(solid, trials), case)
    for name in ("reward", "beta", "threshold", "draft", "base"):
        case = next((c for d in range(13) if (c := _rounded(case, name, d)) is not None and solid(c)), case)
    return case
