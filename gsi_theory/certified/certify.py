"""Certificates: a law, a divergence or a published bound recomputed in ball arithmetic from exact input.

    exact = ExactInstance(draft=["0.5", "0.3", "0.2"], base=["0.2", "0.3", "0.5"], reward=["0.1", "0.6", "0.9"])
    certify("kl", exact, ExactScheme("2.5", n=1000))           -> Enclosure(.lower, .upper, .mid, .radius)
    certify_claim("M12a", exact, ExactScheme(1, n=1))          -> Certificate(.lhs, .rhs, .outcome)

Enclosures are proved, so a REFUTED here is a counterexample, not a rounding error. A vector gives a tuple of
enclosures. Quantities are the table QUANTITIES; a claim holds its own sides in balls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from flint import arb

from gsi_theory.certified.ball_facts import BallFacts, total
from gsi_theory.certified.rational import Enclosure, ExactInstance, ExactScheme, enclose
from gsi_theory.claims import CLAIMS, Claim, Outcome
from gsi_theory.errors import InputError, nearest
from gsi_theory.instance import Scheme

__all__ = ["QUANTITIES", "Certificate", "certify", "certify_all", "certify_claim"]

# Precision goals tried, as multiples of the digits asked for: a difference of nearly equal numbers may need the second
# or third; a value that is zero can use none of them and ends as an enclosure of zero.
EFFORTS = (1, 2, 4)


def _expected_reward(f: BallFacts) -> arb:
    return total([p * r for p, r in zip(f.gated.law, f.reward, strict=True)])


def _tilted_reward_mean(f: BallFacts) -> arb:
    return total([p * r for p, r in zip(f.pi, f.reward, strict=True)])


# name -> ball or K balls; the names of `gsi law --json` mean the same here.
QUANTITIES: dict[str, Callable[[BallFacts], arb | list[arb]]] = {
    "tilted": lambda f: f.pi,
    "law": lambda f: f.gated.law,
    "draft_law": lambda f: f.draft_law(),
    "base_law": lambda f: f.base_law,
    "accepted": lambda f: f.gated.accepted,
    "p_accept": lambda f: f.gated.p_accept,
    "p_reject": lambda f: f.gated.p_reject,
    "expected_reward": _expected_reward,
    "tilted_reward_mean": _tilted_reward_mean,
    "kl": lambda f: f.law_excess.kl_to(),
    "kl_reverse": lambda f: f.law_excess.kl_from(),
    "tv": lambda f: f.law_excess.tv(),
    "draft_kl": lambda f: f.draft_excess().kl_to(),
    "draft_kl_reverse": lambda f: f.draft_excess().kl_from(),
    "draft_tv": lambda f: f.draft_excess().tv(),
    "chi2": lambda f: f.chi2,
    "chi2_pair": lambda f: f.chi2_pair,
    "coverage": lambda f: f.coverage,
    "best_tv": lambda f: f.best_tv,
}
SIGNED = ("expected_reward", "tilted_reward_mean")


@dataclass(frozen=True)
class Certificate:
    """lhs and rhs of a claim, enclosed; HOLDS or REFUTED only where the enclosures are disjoint (or touch, for ≤).

    UNDECIDED: they overlap at the highest precision tried, as where both sides are equal. NOT_APPLICABLE: an
    assumption fails (`reason` names it) and the sides are None.
    """

    lhs: Enclosure | None
    rhs: Enclosure | None
    outcome: Outcome
    reason: str = ""


def _goals(digits: int) -> list[int]:
    if not 1 <= digits <= 200:
        raise InputError(f"digits = {digits!r}: give a whole number from 1 to 200")
    # 30 bits of room for the arithmetic that combines the laws
    return [effort * (math.ceil(digits * math.log2(10.0)) + 30) for effort in EFFORTS]


def _good(x: Enclosure, digits: int) -> bool:
    """Relative radius ≤ 10^-digits; or so near zero that only zero is left to tell (10^-(2 digits + 10))."""
    return x.relative_radius <= 10.0**-digits or _at_zero(x, digits)


def _at_zero(x: Enclosure, digits: int) -> bool:
    return x.upper.is_finite() and x.lower.is_finite() and x.radius <= 10.0 ** -(2 * digits + 10)


def certify_all(
    names: list[str], instance: ExactInstance, scheme: Scheme | ExactScheme, digits: int = 20
) -> dict[str, Enclosure | tuple[Enclosure, ...]]:
    """`certify` for several quantities, which share their laws. Raises InputError on an unknown name."""
    for name in names:
        if name not in QUANTITIES:
            raise InputError(f"quantity {name!r}{nearest(name, QUANTITIES)}: give one of {', '.join(QUANTITIES)}")
    exact = ExactScheme.of(scheme)
    done: dict[str, Enclosure | tuple[Enclosure, ...]] = {}
    for goal in _goals(digits):
        facts = BallFacts(instance, exact, goal)
        with facts.precision():
            for name in names:
                if name not in done or not all(_good(x, digits) for x in _flat(done[name])):
                    done[name] = _enclosed(QUANTITIES[name](facts), digits, name)
        if all(_good(x, digits) for value in done.values() for x in _flat(value)):
            break
    for name, value in done.items():
        if any(x.lower != x.upper and not (x.lower.is_finite() and x.upper.is_finite()) for x in _flat(value)):
            raise ArithmeticError(f"{name}: no finite enclosure at {facts.goal} bits; ask for more digits")
    return done


def certify(
    name: str, instance: ExactInstance, scheme: Scheme | ExactScheme, digits: int = 20
) -> Enclosure | tuple[Enclosure, ...]:
    """Rigorous enclosure of QUANTITIES[name], of relative radius ≤ 10^-digits unless the value is next to zero.

    Divergences in nats, rewards in reward units. A float `Scheme` is taken as the binary numbers it holds. Raises
    InputError on bad input, ArithmeticError where no precision tried gives a finite enclosure or decides the gate.
    """
    return certify_all([name], instance, scheme, digits)[name]


def _flat(value: Enclosure | tuple[Enclosure, ...]) -> tuple[Enclosure, ...]:
    return value if isinstance(value, tuple) else (value,)


def _enclosed(value: arb | list[arb], digits: int, name: str) -> Enclosure | tuple[Enclosure, ...]:
    if isinstance(value, list):
        return tuple(_one(x, digits, name in SIGNED) for x in value)
    return _one(value, digits, name in SIGNED)


def _one(x: arb, digits: int, signed: bool) -> Enclosure:
    if x.is_nan():
        return Enclosure(Decimal("-Infinity"), Decimal("Infinity"))
    return enclose(x if signed else x.nonnegative_part(), digits)


def certify_claim(
    claim: str | Claim, instance: ExactInstance, scheme: Scheme | ExactScheme, digits: int = 20
) -> Certificate:
    """A claim, by its id or itself, judged on an exact instance by its sides in ball arithmetic.

    Precision rises until the sides are disjoint. Raises InputError for an unknown id, and for a claim without a twin in
    balls, such as the limits M7-* and M18 or an identity.
    """
    claim = CLAIMS[claim] if isinstance(claim, str) else claim
    if claim.balls is None or not claim.certifiable:
        lacking = [a.name for a in claim.assumptions if a.balls is None]
        why = claim.uncertified or f"no test in balls of: {', '.join(lacking) or 'its sides'}"
        raise InputError(f"claim {claim.id!r} has no certificate ({why}): evaluate it in floats")
    exact, certificate = ExactScheme.of(scheme), None
    for goal in _goals(digits):
        facts = BallFacts(instance, exact, goal)
        with facts.precision():
            for assumption in claim.assumptions:
                if assumption.balls is not None and not assumption.balls(facts):
                    return Certificate(None, None, Outcome.NOT_APPLICABLE, f"assumes {assumption.name}")
            lhs, rhs = (_one(x, digits, signed=True) for x in claim.balls(facts))
        certificate = Certificate(lhs, rhs, _judge(lhs, rhs, claim.relation))
        if certificate.outcome is not Outcome.UNDECIDED:
            return certificate
        if all(_at_zero(x, digits) for x in (lhs, rhs)):
            break
    assert certificate is not None
    return replace(certificate, reason="the sides agree as far as they are enclosed")


def _judge(lhs: Enclosure, rhs: Enclosure, relation: str) -> Outcome:
    if lhs.lower > rhs.upper or (relation == "=" and lhs.upper < rhs.lower):
        return Outcome.REFUTED
    if lhs.upper <= rhs.lower and relation == "<=":
        return Outcome.HOLDS
    return Outcome.UNDECIDED
