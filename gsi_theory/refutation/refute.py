"""The refuter: search the instance and scheme on which a claim comes closest to failing, or fails.

Rounds in a fixed order: hostile random points, gradient ascent from many of them (climb.py), differential evolution
for claims without a useful gradient. A claim refuted by a clear gap ends the search. Every round is a function of claim
and seed alone, so two runs that finish agree bit for bit on one machine; `seconds` only cuts rounds off, which the
finding then says (`complete` False). n_base = n throughout.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import differential_evolution

from gsi_theory.certified.certify import Certificate, certify_claim
from gsi_theory.claims.claim import OUTCOMES, Claim, Outcome, Verdict
from gsi_theory.claims.facts import Facts
from gsi_theory.instance import Instance, Scheme
from gsi_theory.moved import moved_names
from gsi_theory.refutation import climb
from gsi_theory.refutation.cases import judgments
from gsi_theory.refutation.search_space import NEVER, Space, excess, random_points, spaces_of
from gsi_theory.refutation.shrink import CLEAR, ExactCase, shrink
from gsi_theory.types import Floats

__all__ = ["QUICK", "ROUNDS", "Example", "Refutation", "Round", "Search", "refute", "search"]

__getattr__ = moved_names(__name__)


@dataclass(frozen=True)
class Round:
    """One step of the search: method "sample", "climb" or "global" on K = size; how many points, how many steps.

    `telling`: only n ≥ 2, and where the bound beats the trivial one; many bounds are equalities at n = 1. `wide`:
    masses to e^-300, β to 200 and n to 10^12.
    """

    method: str
    size: int
    points: int
    steps: int = 0
    telling: bool = False
    wide: bool = False


ROUNDS = (
    Round("sample", 2, 1024),
    Round("sample", 3, 1024),
    Round("sample", 1, 32),
    Round("climb", 2, 96, 150),
    Round("climb", 3, 96, 150),
    Round("global", 2, 60, 60),
    Round("climb", 2, 96, 150, telling=True),
    Round("climb", 3, 96, 150, telling=True),
    Round("climb", 2, 64, 200, wide=True),
    Round("climb", 2, 64, 200, telling=True, wide=True),
    Round("global", 2, 60, 80, wide=True),
    Round("climb", 4, 64, 150),
    Round("global", 3, 80, 60),
)
QUICK = (
    Round("sample", 2, 512),
    Round("sample", 3, 512),
    Round("climb", 2, 48, 80),
    Round("climb", 3, 48, 80),
    Round("climb", 2, 48, 80, telling=True),
    Round("global", 2, 40, 25),
)


@dataclass(frozen=True)
class Example:
    """An instance and scheme with the claim's verdict there; excess as in search_space.py; ratio = lhs/rhs or None."""

    instance: Instance
    scheme: Scheme
    verdict: Verdict
    excess: float
    ratio: float | None


@dataclass(frozen=True)
class Search:
    """What a search found: the worst example, the worst with n ≥ 2 and a bound that says something, and its effort."""

    worst: Example | None
    telling: Example | None
    evaluations: int
    rounds: int
    complete: bool
    gradient: bool

    @property
    def refuted(self) -> bool:
        """Whether the claim fails beyond the numerical error."""
        return self.worst is not None and self.worst.excess > 0


@dataclass(frozen=True)
class Refutation:
    """A claim, its search, and for a refuted one the minimal counterexample with its verdict and certificate.

    certificate is None where the claim has no sides in ball arithmetic. member: FILE.py:NAME of a user's own claim.
    """

    claim: Claim
    seed: int
    search: Search
    minimal: ExactCase | None
    verdict: Verdict | None
    certificate: Certificate | None
    member: str = ""

    @property
    def outcome(self) -> Outcome:
        """REFUTED, or HOLDS for "not refuted by this search" (NOT_APPLICABLE: no instance met the assumptions)."""
        if self.search.worst is None:
            return Outcome.NOT_APPLICABLE
        return Outcome.REFUTED if self.search.refuted else Outcome.HOLDS

    @property
    def surprise(self) -> bool:
        """Whether a claim that should hold is refuted."""
        return self.outcome is Outcome.REFUTED and self.claim.expected is Outcome.HOLDS


def refute(
    claim: Claim, seed: int = 0, seconds: float = 60.0, rounds: Sequence[Round] = ROUNDS, member: str = ""
) -> Refutation:
    """Search, shrink and certify; see the module. `seconds` bounds the search, to which shrinking adds a few.

    `member` (FILE.py:NAME) is how a recheck finds a claim that is not of the table.
    """
    searched = search(claim, seed, seconds, rounds)
    if not searched.refuted or searched.worst is None:
        return Refutation(claim, seed, searched, None, None, None, member)
    case = shrink(claim, ExactCase.of(searched.worst.instance, searched.worst.scheme))
    verdict = verdict_on(claim, *case.floats())
    certificate = certify_claim(claim, case.instance, case.scheme) if claim.certifiable else None
    return Refutation(claim, seed, searched, case, verdict, certificate, member)


def search(claim: Claim, seed: int = 0, seconds: float = 60.0, rounds: Sequence[Round] = ROUNDS) -> Search:
    """The rounds on every space where the claim applies, until refuted by CLEAR, done, or out of time."""
    state = _State(claim, seed, time.monotonic() + seconds)
    spaces = spaces_of(claim)
    done = 0
    for number, step in enumerate(rounds):
        for place, space in enumerate(spaces):
            if time.monotonic() > state.deadline:
                break
            _METHODS[step.method](state, step, space, np.random.default_rng([seed, number, place]))
        else:
            done += 1
            if state.worst is not None and state.worst.excess >= CLEAR:
                break
            continue
        break
    finished = time.monotonic() <= state.deadline
    return Search(state.worst, state.telling, state.evaluations, done, finished, state.gradient)


class _State:
    """What the rounds gather. A round that time cut off still counts its best points."""

    def __init__(self, claim: Claim, seed: int, deadline: float) -> None:
        self.claim, self.seed, self.deadline = claim, seed, deadline
        self.worst: Example | None = None
        self.telling: Example | None = None
        self.evaluations = 0
        self.gradient = climb.available()

    def note(self, space: Space, points: Floats) -> Floats:
        """Judge points at whole n, keep the worst; their excess (B,)."""
        facts = space.facts(points)
        value, told = excess(self.claim, facts), excess(self.claim, facts, telling=True)
        self.evaluations += len(points)
        self.worst = _kept(self.claim, facts, value, self.worst)
        told = np.where((facts.n >= 2) & (told > -1.0), told, NEVER)
        self.telling = _kept(self.claim, facts, told, self.telling)
        return value


def _kept(claim: Claim, facts: Facts, value: Floats, best: Example | None) -> Example | None:
    top = int(np.argmax(value))
    if value[top] <= NEVER or (best is not None and value[top] <= best.excess):
        return best
    cut = float(facts.threshold[top])
    instance = Instance(facts.log_draft[top], facts.log_base[top], facts.reward[top])
    scheme = Scheme(
        float(facts.beta[top]), int(facts.n[top]), None if np.isnan(cut) else cut, facts.rule, None, facts.gate
    )
    verdict = verdict_on(claim, instance, scheme)
    return Example(instance, scheme, verdict, float(value[top]), _ratio(claim, verdict))


def verdict_on(claim: Claim, instance: Instance, scheme: Scheme) -> Verdict:
    """The claim's verdict, by way of a batch of one row, as the search judged it."""
    judged = judgments({claim.id: claim}, [(instance, scheme)])[claim.id]
    outcome = OUTCOMES[int(judged["outcome"][0])]
    if outcome is Outcome.NOT_APPLICABLE:
        return Verdict(outcome, None, None, None, None, "an assumption fails")
    lhs, rhs, slack, error = (float(judged[name][0]) for name in ("lhs", "rhs", "slack", "error"))
    return Verdict(outcome, lhs, rhs, slack, error, "")


def _ratio(claim: Claim, verdict: Verdict) -> float | None:
    """lhs/rhs, of what they are logs of where they are; None for rhs ≤ 0 or no numbers."""
    if verdict.lhs is None or verdict.rhs is None:
        return None
    if claim.logs:
        return float(np.exp(np.clip(verdict.lhs - verdict.rhs, -700.0, 700.0)))
    return verdict.lhs / verdict.rhs if verdict.rhs > 0 else None


def _place(step: Round, space: Space) -> Space:
    return replace(space, size=step.size, least_n=2 if step.telling else 1, wide=step.wide)


def _sample(state: _State, step: Round, space: Space, rng: np.random.Generator) -> None:
    space = _place(step, space)
    state.note(space, random_points(space, step.points, rng))


def _climb(state: _State, step: Round, space: Space, rng: np.random.Generator) -> None:
    """From the best half of a sample and as many of its others: first over real n, then at the rounded n."""
    if not state.gradient:
        return
    space = _place(step, space)
    pool = random_points(space, 8 * step.points, rng)
    order = np.argsort(-state.note(space, pool), kind="stable")
    half = step.points // 2
    start = pool[np.concatenate([order[:half], rng.choice(order[half:], step.points - half, replace=False)])]
    for whole, steps in ((False, step.steps), (True, step.steps // 2)):
        start, _ = climb.climb(state.claim, space, start, steps, whole, step.telling, state.deadline)
        state.evaluations += len(start) * steps
        state.note(space, start)


def _global(state: _State, step: Round, space: Space, rng: np.random.Generator) -> None:
    """Differential evolution over the same box, a generation at a time."""
    space = _place(step, space)

    def cost(points: Floats) -> Floats:
        return -state.note(space, points.T)

    differential_evolution(
        cost,
        list(zip(*space.bounds, strict=True)),
        init=random_points(space, step.points, rng),
        maxiter=step.steps,
        tol=0.0,
        polish=False,
        updating="deferred",
        vectorized=True,
        seed=rng,
        callback=lambda *_, **__: time.monotonic() > state.deadline,
    )


_METHODS: dict[str, Callable[[_State, Round, Space, np.random.Generator], None]] = {
    "sample": _sample,
    "climb": _climb,
    "global": _global,
}
