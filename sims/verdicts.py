"""Which guarantees survive random instances, and what is the simplest case against those that do not?

Every claim of gsi_theory.claims is judged on random small cases (inequalities on all of them, limits on every tenth),
on the named families, and, where it is expected to fail, on two-outcome instances whose numbers have one decimal, then
two, and so on until one refutes it. Claims judge; verdicts are only counted and counterexamples shortened here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, product
from typing import Any

import numpy as np

from gsi_theory.claims import CLAIMS, OUTCOMES, Claim, Outcome, Verdict
from gsi_theory.instance import Instance, Scheme
from gsi_theory.judging import judgements
from gsi_theory.logscale import Array
from sims.families import FAMILIES, REWARDS, passing_threshold, random_case, signed

__all__ = [
    "QUESTION",
    "SETTINGS",
    "Case",
    "Tally",
    "collect",
    "judge",
    "merged",
    "plan",
    "search",
    "shorten",
    "tally",
    "work",
]

QUESTION = "Which published guarantees hold, how tight are they, and what refutes the others?"
SETTINGS: dict[str, tuple[Any, Any]] = {
    "instances": (3_000, range(1, 100_000_001)),
    "claims": (",".join(CLAIMS), tuple(CLAIMS)),
    "rewards": (",".join(REWARDS), REWARDS),
    "families": (",".join(FAMILIES), tuple(FAMILIES)),
}
LIMITS_EVERY = 10
NAMED_BETAS = (1.0, 20.0)
NAMED_NS = (1, 4, 64)
MOST_DECIMALS = 6
# A shortened counterexample keeps this share of its gap, and stays this many numerical errors away from zero.
KEPT_GAP = 0.5
SAFETY = 1000.0
COLUMNS: dict[str, tuple[str, ...]] = {
    "claims": (
        "id", "formula", "statement", "source", "expected", "evaluations", "holds", "refuted", "undecided", "vacuous",
        "not_applicable", "outcome", "surprise", "largest_ratio",
    ),
    "counterexamples": (
        "id", "draft", "base", "reward", "beta", "n", "rule", "threshold", "lhs", "rhs", "error",
    ),
}  # fmt: skip

Job = tuple[Any, ...]


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

    def verdict(self, claim: Claim) -> Verdict:
        """The claim's verdict on this case."""
        return claim.evaluate(*self.parts())

    def parts(self) -> tuple[Instance, Scheme]:
        """The instance and the scheme."""
        return Instance.from_probabilities(self.draft, self.base, self.reward), self.scheme


@dataclass(frozen=True)
class Tally:
    """Outcomes counted for one claim, the largest lhs/rhs where an inequality holds, the case with the largest gap."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    ratio: float | None = None
    worst: Case | None = None
    gap: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """REFUTED if anything was, else the strongest support seen."""
        order = (Outcome.REFUTED, Outcome.HOLDS, Outcome.UNDECIDED, Outcome.VACUOUS)
        return next((o for o in order if self.counts[o]), Outcome.NOT_APPLICABLE)


def tally(claim: Claim, cases: Sequence[Case], judged: Mapping[str, Array]) -> Tally:
    """The tally of a claim's judgement, arrays (number of cases,) by field; of equal gaps the earlier case stays."""
    codes, slack, rhs = judged["outcome"], judged["slack"], judged["rhs"]
    counts = Counter({o: count for i, o in enumerate(OUTCOMES) if (count := int(np.sum(codes == i)))})
    shown = (codes == OUTCOMES.index(Outcome.HOLDS)) & (rhs > 0) & (rhs < np.inf)
    ratio = None
    if claim.relation == "<=" and shown.any():
        ratio = max(float(np.max(judged["lhs"][shown] / rhs[shown])), 0.0)
    gaps = np.where(codes == OUTCOMES.index(Outcome.REFUTED), -slack, 0.0)
    top = int(np.argmax(gaps)) if gaps.size else 0
    if not gaps.size or gaps[top] <= 0:
        return Tally(counts, ratio)
    return Tally(counts, ratio, cases[top], float(gaps[top]))


def merged(one: Tally, other: Tally) -> Tally:
    """Both tallies together; of equal gaps the case of `one` stays."""
    ratios = [tally.ratio for tally in (one, other) if tally.ratio is not None]
    top = other if other.gap > one.gap else one
    return Tally(one.counts + other.counts, max(ratios, default=None), top.worst, top.gap)


def judge(claims: Mapping[str, Claim], cases: Sequence[tuple[Instance, Scheme]]) -> dict[str, Tally]:
    """Every claim on every case; the claims share the laws of a batch."""
    known = [Case.of(instance, scheme) for instance, scheme in cases]
    return {key: tally(claims[key], known, judged) for key, judged in judgements(claims, cases).items()}


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


def _searched(claim: Claim, rewards: Sequence[str], n: int, decimals: int) -> Tally:
    """The claim on two-outcome cases where it applies: without a gate, or else with a threshold of ½."""
    total, cases = Tally(), _two_outcome_cases(rewards, n, decimals)
    for threshold in (None, 0.5):
        cases = [replace(case, scheme=replace(case.scheme, threshold=threshold)) for case in cases]
        judged = judgements({claim.id: claim}, [case.parts() for case in cases])[claim.id]
        applies = judged["applies"] > 0
        part = {name: values[applies] for name, values in judged.items()}
        total = merged(total, tally(claim, list(compress(cases, applies)), part))
        cases = list(compress(cases, ~applies))
        if not cases:
            break
    return total


def search(claim: Claim, rewards: Sequence[str]) -> Tally:
    """Verdicts on two-outcome cases of one draft, then two, of ever more decimals, until one kind refutes the claim."""
    total = Tally()
    # A limit does not depend on n.
    for n, decimals in product((1,) if claim.relation == "=" else (1, 2), range(1, MOST_DECIMALS + 1)):
        total = merged(total, _searched(claim, rewards, n, decimals))
        if total.worst is not None:
            break
    return total


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


def plan(seed: int, settings: Mapping[str, Any]) -> list[Job]:
    """Jobs: searches (the longest) first, then the named families, then the random cases in blocks."""
    claims, rewards, count = settings["claims"], settings["rewards"], settings["instances"]
    jobs: list[Job] = [("search", key, rewards) for key in claims if CLAIMS[key].expected is Outcome.REFUTED]
    jobs += [("named", claims, seed, family, kind) for family in settings["families"] for kind in rewards]
    block = min(2_000, max(100, count // 20))
    jobs += [("random", claims, seed, rewards, i, min(i + block, count)) for i in range(0, count, block)]
    return jobs


def _named_cases(seed: int, family: str, kind: str) -> list[tuple[Instance, Scheme]]:
    instance = FAMILIES[family].build(seed)
    instance = signed(instance) if kind == "signed" else instance
    return [(instance, Scheme(beta, n, passing_threshold(instance, beta))) for n in NAMED_NS for beta in NAMED_BETAS]


def work(job: Job) -> tuple[dict[str, Tally], int, int]:
    """Tallies by claim, number of instances, number of those with r ≥ 0 (a search counts none)."""
    kind, *rest = job
    if kind == "search":
        key, rewards = rest
        return {key: search(CLAIMS[key], rewards)}, 0, 0
    keys, seed, *where = rest
    limits = {key: CLAIMS[key] for key in keys if CLAIMS[key].relation == "="}
    bounds = {key: CLAIMS[key] for key in keys if key not in limits}
    if kind == "named":
        cases = _named_cases(seed, *where)
        tallies = judge(bounds, cases) | judge(limits, cases[: len(NAMED_BETAS)])
        return tallies, 1, int(where[1] == "unsigned")
    rewards, start, stop = where
    cases = [random_case(np.random.default_rng([seed, 20, i]), rewards) for i in range(start, stop)]
    tallies = judge(bounds, cases) | judge(limits, cases[-start % LIMITS_EVERY :: LIMITS_EVERY])
    return tallies, len(cases), sum(float(np.min(instance.reward)) >= 0 for instance, _ in cases)


def _claim_row(claim: Claim, total: Tally) -> tuple[Any, ...]:
    order = (Outcome.HOLDS, Outcome.REFUTED, Outcome.UNDECIDED, Outcome.VACUOUS, Outcome.NOT_APPLICABLE)
    surprise = total.outcome is Outcome.REFUTED and claim.expected is Outcome.HOLDS
    counts = tuple(total.counts[o] for o in order)
    head = claim.id, claim.formula, claim.statement, claim.source, str(claim.expected), total.counts.total()
    return *head, *counts, str(total.outcome), surprise, total.ratio


def collect(
    seed: int, settings: Mapping[str, Any], results: Sequence[tuple[dict[str, Tally], int, int]]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], list[tuple[Any, ...]]]]]:
    """Tables `claims` and `counterexamples`; a case found by the search is preferred to one met at random."""
    tallies = {key: Tally() for key in settings["claims"]}
    found: dict[str, Case] = {}
    for part, instances, _ in results:
        for key, new in part.items():
            tallies[key] = merged(tallies[key], new)
            if not instances and new.worst is not None:
                found[key] = new.worst
    rows: list[tuple[Any, ...]] = []
    for key, total in tallies.items():
        case = found.get(key, total.worst)
        if case is not None:
            case = shorten(CLAIMS[key], case)
            verdict, s = case.verdict(CLAIMS[key]), case.scheme
            values = verdict.lhs, verdict.rhs, verdict.error
            rows.append((key, case.draft, case.base, case.reward, s.beta, s.n, s.rule, s.threshold, *values))
    table = [_claim_row(CLAIMS[key], total) for key, total in tallies.items()]
    summary = {
        "seed": seed,
        "evaluations": sum(total.counts.total() for total in tallies.values()),
        "instances": sum(count for _, count, _ in results),
        "unsigned_instances": sum(count for _, _, count in results),
        "surprises": sum(bool(row[COLUMNS["claims"].index("surprise")]) for row in table),
    }
    return summary, {"claims": (COLUMNS["claims"], table), "counterexamples": (COLUMNS["counterexamples"], rows)}
