"""What a claim is, and how it is judged: on one instance and scheme into a verdict, on a batch into a judgement.

A claim compares two numbers, `lhs relation rhs`, with a bound on their numerical error, under named assumptions.

Outcomes: HOLDS, REFUTED, UNDECIDED (the slack is within the numerical error), VACUOUS (not refuted, but the bound is no
better than the trivial one), NOT_APPLICABLE (an assumption fails). An identity, relation "=", cannot have slack: it
HOLDS where the sides agree within an error of at most 1 % of the value or of its scale, is REFUTED where they differ by
more than the error, and UNDECIDED where the error is larger. A difference below that is not seen.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import array_api_compat
import numpy as np

from gsi_theory.arrays.namespace import detached, host
from gsi_theory.claims.facts import Facts
from gsi_theory.claims.sides import Sides
from gsi_theory.errors import InputError, quoted
from gsi_theory.instance import Instance, Scheme
from gsi_theory.types import Array, Namespace

if TYPE_CHECKING:
    from flint import arb

    from gsi_theory.certified.ball_facts import BallFacts

__all__ = [
    "HERE",
    "IDENTITY",
    "OUTCOMES",
    "Assumption",
    "Claim",
    "Judgement",
    "Outcome",
    "Verdict",
    "proved",
    "reading",
]

HERE = "proved in THEORY.md"
# What a claim without a twin in balls loses, where it is an equality.
IDENTITY = "an identity: enclosures that overlap prove no equality, so it is tested in floats alone"


class Outcome(enum.StrEnum):
    """What a claim's evaluation says; VACUOUS and NOT_APPLICABLE never count as support."""

    HOLDS = "HOLDS"
    REFUTED = "REFUTED"
    UNDECIDED = "UNDECIDED"
    VACUOUS = "VACUOUS"
    NOT_APPLICABLE = "NOT_APPLICABLE"


OUTCOMES = tuple(Outcome)
_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}


@dataclass(frozen=True)
class Verdict:
    """outcome; lhs and rhs; slack = rhs - lhs (for a limit or identity -|lhs - rhs|); error bound; reason in words.

    For NOT_APPLICABLE the numbers are None and the reason names the assumption that fails.
    """

    outcome: Outcome
    lhs: float | None
    rhs: float | None
    slack: float | None
    error: float | None
    reason: str


@dataclass(frozen=True)
class Judgement:
    """Verdicts on a batch, arrays (...): outcome indexes OUTCOMES; lhs, rhs, slack as in `Verdict`; error; trivial.

    Where the claim does not apply (`applies` False) lhs, rhs, slack and error are 0 and trivial is +inf; no entry is
    ever NaN. In torch lhs, rhs and slack carry gradients.
    """

    outcome: Array
    applies: Array
    lhs: Array
    rhs: Array
    slack: Array
    error: Array
    trivial: Array


@dataclass(frozen=True)
class Assumption:
    """What a claim assumes: its name, and the test of it on floats and on balls.

    `holds` gives booleans (...), without a warning on any row; `balls` decides it exactly on one rational case. None:
    claims that assume it cannot be certified.
    """

    name: str
    holds: Callable[[Facts], Array]
    balls: Callable[[BallFacts], bool] | None = None


@dataclass(frozen=True)
class Claim:
    r"""One published or proved guarantee, `lhs relation rhs` under assumptions.

    id: begins with its formula's number in THEORY.md, as M12-osc. statement: LaTeX. sides: both sides in floats, on
    rows of `Facts` where the assumptions hold. balls: their twin, (lhs, rhs) as balls of one `BallFacts`; None where
    there is none, and then `uncertified` says why, and so what is lost. source: whom it is taken from. relation: "<="
    or "=". expected: HOLDS, or REFUTED for a reading that fails. logs: the sides are logs of what the statement
    compares, which matters to `ratio` alone. smooth: whether both sides carry torch gradients, finite where the value
    is; if not, they are detached. most_outcomes: cost; the largest K at which sweeps judge a claim that costs more than
    linear time in K, or recursions, and then at one n in turn; None for a cheap one.
    """

    id: str
    statement: str
    sides: Callable[[Facts], Sides]
    balls: Callable[[BallFacts], tuple[arb, arb]] | None = None
    assumptions: tuple[Assumption, ...] = ()
    source: str = "unpublished"
    relation: str = "<="
    expected: Outcome = Outcome.HOLDS
    uncertified: str = ""
    logs: bool = False
    smooth: bool = True
    most_outcomes: int | None = None

    def __post_init__(self) -> None:
        if self.relation not in ("<=", "="):
            raise InputError(f"claim {self.id}: relation {self.relation!r}: give '<=' or '='")
        if not callable(self.sides) or not _are_assumptions(self.assumptions):
            what = f"sides {quoted(self.sides)}, assumptions {quoted(self.assumptions)}"
            raise InputError(f"claim {self.id}: {what}: give a function of Facts, and a tuple of Assumption")

    @property
    def formula(self) -> str:
        """The number of its formula in THEORY.md, "M12" of "M12-osc"; of another id what stands before a hyphen."""
        number = re.match(r"M\d+", self.id)
        return number[0] if number else self.id.partition("-")[0]

    @property
    def first_hand(self) -> bool:
        """Whether the statement is in its authors' own words (ours, proved here), not known from a transcription."""
        return self.source == HERE

    @property
    def certifiable(self) -> bool:
        """Whether ball arithmetic knows the claim's sides and its assumptions."""
        return self.balls is not None and all(a.balls is not None for a in self.assumptions)

    def evaluate(self, instance: Instance, scheme: Scheme) -> Verdict:
        """Judge the claim on one instance and scheme."""
        facts = Facts.of(instance, scheme)
        for assumption in self.assumptions:
            if not bool(assumption.holds(facts)):
                return Verdict(Outcome.NOT_APPLICABLE, None, None, None, None, f"assumes {assumption.name}")
        judged = self.judge(facts)
        outcome = OUTCOMES[int(judged.outcome)]
        reason = {
            Outcome.UNDECIDED: "the slack is within the numerical error",
            Outcome.VACUOUS: f"the bound is no better than the trivial {float(judged.trivial):.6g}",
        }.get(outcome, "")
        if outcome is Outcome.UNDECIDED and self.relation == "=":
            reason = "the error exceeds 1 % of the value"
        lhs, rhs, slack, error = (float(v) + 0.0 for v in (judged.lhs, judged.rhs, judged.slack, judged.error))
        return Verdict(outcome, lhs, rhs, slack, error, reason)

    def applies(self, facts: Facts) -> Array:
        """Where every assumption holds, booleans (...)."""
        holds = facts.xp.isfinite(facts.beta)
        for assumption in self.assumptions:
            holds = holds & assumption.holds(facts)
        return holds

    def judge(self, facts: Facts) -> Judgement:
        """The claim on every row; only rows where it applies are computed, and claims share the laws of `facts`."""
        xp, applies = facts.xp, self.applies(facts)
        if not bool(xp.any(applies)):
            zero, endless = xp.zeros_like(facts.beta), xp.full_like(facts.beta, np.inf)
            outcome = xp.full(facts.shape, _CODE[Outcome.NOT_APPLICABLE], dtype=xp.int64, device=_device(facts.beta))
            return Judgement(outcome, applies, zero, zero, zero, zero, endless)
        sides = self.sides(facts.rows(applies))
        lhs, rhs = (_spread(facts, applies, v if self.smooth else detached(v), 0.0) for v in (sides.lhs, sides.rhs))
        error, trivial = (
            _spread(facts, applies, detached(v), filler) for v, filler in ((sides.error, 0.0), (sides.trivial, np.inf))
        )
        error = xp.where(xp.isnan(error), np.inf, error)  # ∞ − ∞ or ∞/∞ of a χ² beyond float64
        scale = _spread(facts, applies, detached(sides.scale), 1.0)
        if self.relation == "=":
            slack = 0.0 - abs(lhs - rhs)  # 0.0, not -0.0, where they agree
            outcome = _limit_codes(xp, slack, rhs, error, scale)
        else:
            endless = rhs == np.inf
            slack = xp.where(endless, np.inf, xp.where(endless, 0.0, rhs) - xp.where(endless, 0.0, lhs))
            outcome = _bound_codes(xp, slack, rhs, error, trivial)
        outcome = xp.where(applies, outcome, _CODE[Outcome.NOT_APPLICABLE])
        return Judgement(outcome, applies, lhs, rhs, slack, error, trivial)

    def ratio(self, facts: Facts) -> Array:
        """lhs/rhs (...): 1 is tight, above 1 a bound fails; with gradients in torch, finite ones where it is finite.

        The divisor is never smaller in size than the error bound, so that rounding alone never shows as tightness and
        rhs = 0 is no exception. With `logs` it is e^{lhs - rhs}. 0 where the claim does not apply or rhs = +inf.
        """
        xp, judged = facts.xp, self.judge(facts)
        known = judged.applies & (judged.rhs != np.inf) & xp.isfinite(judged.error)
        lhs, rhs = (xp.where(known, v, 0.0) for v in (judged.lhs, judged.rhs))
        with np.errstate(over="ignore", under="ignore"):
            if self.logs:
                return xp.where(known, xp.exp(lhs - rhs), 0.0)
            # 1e-290 keeps the quotient of a bound on probabilities finite where even the error is zero.
            least = xp.clip(xp.where(known, judged.error, 1.0), 1e-290, None)
            small = abs(rhs) < least
            return lhs / xp.where(small, xp.where(rhs < 0, -least, least), rhs)


def _are_assumptions(values: object) -> bool:
    return isinstance(values, tuple) and all(isinstance(a, Assumption) for a in values)


# A guarantee that THEORY.md proves, and a reading in circulation that is false.
proved = partial(Claim, source=HERE)
reading = partial(Claim, expected=Outcome.REFUTED)


def twins(
    sides: Callable[..., Sides], balls: Callable[..., tuple[arb, arb]], *form: object
) -> tuple[Callable[[Facts], Sides], Callable[[BallFacts], tuple[arb, arb]]]:
    """The sides and their twin in balls of one form of a bound: both functions take it after the facts."""
    return lambda f: sides(f, *form), lambda f: balls(f, *form)


def _device(array: Array) -> Array:
    return array_api_compat.device(array)


def _spread(facts: Facts, applies: Array, values: Array, filler: float) -> Array:
    """Values of the rows that apply, back in their places (...), the filler elsewhere."""
    xp = facts.xp
    chosen = host(applies)
    if chosen.all():
        return values + xp.zeros_like(facts.beta)
    count = int(chosen.sum())
    values = values + xp.zeros(count, dtype=xp.float64, device=_device(facts.beta))
    place = np.maximum(np.cumsum(chosen.reshape(-1)) - 1, 0).reshape(chosen.shape)
    index = xp.asarray(place, device=_device(facts.beta))
    return xp.where(applies, values[index], filler)


def _codes(xp: Namespace, cases: tuple[tuple[Array, Outcome], ...]) -> Array:
    """Codes of the first condition that is true; HOLDS where none is."""
    codes = xp.zeros_like(cases[0][0], dtype=xp.int64)
    for condition, outcome in reversed(cases):
        codes = xp.where(condition, _CODE[outcome], codes)
    return codes


def _limit_codes(xp: Namespace, slack: Array, rhs: Array, error: Array, scale: Array) -> Array:
    size = abs(rhs)
    unclear = ~(error <= 0.01 * xp.where(size > scale, size, scale))
    return _codes(xp, ((unclear, Outcome.UNDECIDED), (-slack > error, Outcome.REFUTED)))


def _bound_codes(xp: Namespace, slack: Array, rhs: Array, error: Array, trivial: Array) -> Array:
    return _codes(
        xp,
        (
            (slack < -error, Outcome.REFUTED),
            (rhs >= trivial, Outcome.VACUOUS),
            (slack <= error, Outcome.UNDECIDED),
        ),
    )
