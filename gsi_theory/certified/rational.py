"""Exact input and certified output: rational instances and schemes, and enclosures with decimal ends.

Every number is a rational: an int, a Fraction, a Decimal or a decimal string is what it says, a float is the binary
number it holds. Policies are divided by their exact sum. An `Enclosure` is an interval that is proved to contain the
value; its ends are decimals rounded outward.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq

from gsi_theory.arrays.namespace import SUM_TOLERANCE
from gsi_theory.errors import InputError
from gsi_theory.instance import Instance, Scheme
from gsi_theory.targets.target_table import require_plain

__all__ = ["Enclosure", "ExactInstance", "ExactScheme", "as_fraction", "ball", "enclose"]

# A power of ten beyond this would need integers of megabytes: such a number is a typing slip or an attack.
LARGEST_EXPONENT = 20_000
_WIDE = decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
Exact = int | float | str | Decimal | Fraction


def as_fraction(value: object, place: str) -> Fraction:
    """`value` as an exact rational; InputError names `place` for anything that is not a finite number."""
    try:
        if isinstance(value, bool | np.bool_):
            raise ValueError("a truth value")
        if isinstance(value, str) and "/" not in value:
            value = Decimal(value.strip())
        if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) > LARGEST_EXPONENT and value:
            raise ValueError(f"an exponent beyond ±{LARGEST_EXPONENT}")
        if isinstance(value, np.generic):
            value = value.item()
        return Fraction(value)  # type: ignore[call-overload]  # TypeError: no number
    except (TypeError, ValueError, OverflowError, ZeroDivisionError, decimal.InvalidOperation) as error:
        raise InputError(f"{place} = {value!r}: give a finite number (int, decimal, fraction or float)") from error


def ball(x: Fraction | int) -> arb:
    """The rational as a ball at the working precision."""
    return arb(fmpq(x.numerator, x.denominator))


def _vector(values: Iterable[object], name: str) -> tuple[Fraction, ...]:
    try:
        items = tuple(values)
    except TypeError as error:
        raise InputError(f"{name} = {values!r}: give a flat list of K ≥ 1 numbers") from error
    if not items or isinstance(values, str):
        raise InputError(f"{name} = {values!r}: give a flat list of K ≥ 1 numbers")
    return tuple(as_fraction(v, f"{name}[{i}]") for i, v in enumerate(items))


def _policy(values: tuple[Fraction, ...], name: str) -> tuple[Fraction, ...]:
    for i, v in enumerate(values):
        if v < 0:
            raise InputError(f"{name}[{i}] = {float(v)!r}: give finite probabilities ≥ 0")
    total = sum(values, Fraction(0))
    if abs(total - 1) > Fraction(str(SUM_TOLERANCE)):
        raise InputError(f"{name} sums to {float(total)!r}: give probabilities that sum to 1 within {SUM_TOLERANCE:g}")
    return tuple(v / total for v in values)


@dataclass(frozen=True)
class ExactInstance:
    """draft π_S, base π_B and reward r as K rationals each; policies are normalized by their exact sum.

    Raises InputError on lengths that differ, K = 0, negative mass, sums further from one than 1e-9, non-numbers.
    """

    draft: tuple[Fraction, ...]
    base: tuple[Fraction, ...]
    reward: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        fields = {name: _vector(getattr(self, name), name) for name in ("draft", "base", "reward")}
        if len({len(v) for v in fields.values()}) > 1:
            lengths = ", ".join(f"{k} {len(v)}" for k, v in fields.items())
            raise InputError(f"lengths differ ({lengths}): give one K for all")
        for name in ("draft", "base"):
            fields[name] = _policy(fields[name], name)
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def near(cls, instance: Instance) -> ExactInstance:
        """A rational instance within 1e-19 relative of a float one, whose log-masses are not logs of rationals."""
        with ctx.workprec(64):
            policies = [
                [Fraction(0) if v == -np.inf else _rational(arb(float(v)).exp().mid()) for v in logs]
                for logs in (instance.log_draft, instance.log_base)
            ]
        draft, base = ([v / sum(p) for v in p] for p in policies)
        return cls(tuple(draft), tuple(base), tuple(Fraction(float(r)) for r in instance.reward))

    @property
    def size(self) -> int:
        """K."""
        return len(self.reward)

    def to_instance(self) -> Instance:
        """The float instance: logs rounded to nearest, so that masses below 1e-308 survive."""
        with ctx.workprec(128):
            draft, base = (
                np.array([float(ball(v).log().mid()) if v else -np.inf for v in p]) for p in (self.draft, self.base)
            )
        return Instance(draft, base, np.array([float(r) for r in self.reward]))


@dataclass(frozen=True)
class ExactScheme:
    """A `Scheme` with rational beta and threshold (±inf stay floats): same fields, same meaning, same InputError."""

    beta: Fraction | Any
    n: int
    threshold: Fraction | float | Any | None = None
    rule: str = "softmax"
    n_base: int | None = None
    gate: str = "tilted_reward"

    def __post_init__(self) -> None:
        beta = as_fraction(self.beta, "beta")
        if beta < 0:
            raise InputError(f"beta = {self.beta!r}: give a finite number ≥ 0")
        object.__setattr__(self, "beta", beta)
        cut = self.threshold
        if cut is not None:
            infinite = isinstance(cut, float | Decimal) and math.isinf(cut)
            object.__setattr__(self, "threshold", float(cut) if infinite else as_fraction(cut, "threshold"))
        float_scheme = self.to_scheme()
        object.__setattr__(self, "n", float_scheme.n)
        object.__setattr__(self, "n_base", float_scheme.n_base)

    @classmethod
    def of(cls, scheme: Scheme | ExactScheme) -> ExactScheme:
        """The same scheme, its floats taken as the binary numbers they hold."""
        if isinstance(scheme, ExactScheme):
            return scheme
        require_plain(scheme.target, "ball arithmetic")
        return cls(*(getattr(scheme, f) for f in ("beta", "n", "threshold", "rule", "n_base", "gate")))

    def to_scheme(self) -> Scheme:
        """The float scheme."""
        cut = None if self.threshold is None else float(self.threshold)
        return Scheme(float(self.beta), self.n, cut, self.rule, self.n_base, self.gate)

    @property
    def base_draws(self) -> int:
        """Draws of the fallback (n_base, or n)."""
        return self.n if self.n_base is None else self.n_base


@dataclass(frozen=True)
class Enclosure:
    """lower ≤ value ≤ upper, proved. Decimals rounded outward (`str` gives exact decimal strings); ±Infinity legal."""

    lower: Decimal
    upper: Decimal

    @property
    def mid(self) -> float:
        """The middle as a float (rounded)."""
        if not self.lower.is_finite() or self.lower == self.upper:
            return float(self.lower)
        return float(_WIDE.divide(_WIDE.add(self.lower, self.upper), Decimal(2)))

    @property
    def radius(self) -> float:
        """Half the width, rounded up; 0 for an infinite value."""
        if self.lower == self.upper:
            return 0.0
        half = _WIDE.divide(_WIDE.subtract(self.upper, self.lower), Decimal(2))
        return math.nextafter(float(half), math.inf)

    @property
    def relative_radius(self) -> float:
        """Half the width over the end nearer zero; inf when the enclosure holds zero and more."""
        if self.lower == self.upper:
            return 0.0
        least = min(self.lower.copy_abs(), self.upper.copy_abs())  # abs() would round to the current context
        if least == 0 or self.lower < 0 < self.upper or not self.upper.is_finite():
            return math.inf
        return float(_WIDE.divide(_WIDE.subtract(self.upper, self.lower), _WIDE.multiply(Decimal(2), least)))

    def contains(self, value: Exact) -> bool:
        """Whether a number lies inside, compared exactly."""
        exact = Decimal(value) if isinstance(value, str) else value
        return bool(self.lower <= exact <= self.upper)

    def distance(self, value: float) -> float:
        """How far a float lies outside; 0 inside, inf where one is infinite and the other below the largest float."""
        given = Decimal(value)
        if self.lower <= given <= self.upper or (value == math.inf and float(self.lower) == math.inf):
            return 0.0
        if not given.is_finite() or not self.lower.is_finite():
            return math.inf
        return float(_WIDE.subtract(self.lower, given) if given < self.lower else _WIDE.subtract(given, self.upper))

    def text(self, digits: int = 20) -> str:
        """`middle ± radius` with the middle at `digits` significant digits and that rounding inside the radius."""
        if self.lower == self.upper and (not self.lower.is_finite() or not self.lower):
            return str(self.lower) if self.lower else "0"
        shown = decimal.Context(digits, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
        middle = shown.divide(_WIDE.add(self.lower, self.upper), Decimal(2))
        reach = max(_WIDE.subtract(self.upper, middle), _WIDE.subtract(middle, self.lower))
        if not reach:
            return str(middle.normalize(shown))
        up = decimal.Context(2, decimal.ROUND_UP, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
        return f"{middle} ± {up.plus(reach):.1e}"

    def __str__(self) -> str:
        return str(self.lower) if self.lower == self.upper else f"[{self.lower}, {self.upper}]"


def enclose(x: arb, digits: int = 20) -> Enclosure:
    """The ball's interval with ends of `digits` + 6 significant decimal digits, rounded outward.

    The ball must not be NaN (ArithmeticError).
    """
    if x.is_nan():
        raise ArithmeticError("a ball that holds everything: raise the precision")
    return Enclosure(_end(x.lower(), digits + 6, -1), _end(x.upper(), digits + 6, 1))


def _end(x: arb, digits: int, side: int) -> Decimal:
    """The exact number x as a decimal of `digits` digits that lies on its `side` (-1: at or below, 1: above)."""
    if not x.is_finite():
        return Decimal("Infinity") if x > 0 else Decimal("-Infinity")
    if x.is_zero():
        return Decimal(0)
    with ctx.workprec(x.bits() + 4 * digits + 128):
        log10 = abs(x).log() / arb(10).log()
        place = _integer(log10.mid().floor()) + 1 - digits
        scaled = x * arb(10) ** -place
        whole = scaled.lower().floor() if side < 0 else scaled.upper().ceil()
        return Decimal(_integer(whole)).scaleb(place, _WIDE)


def _integer(x: arb) -> int:
    whole = x.unique_fmpz()
    if whole is None:
        raise ArithmeticError(f"{x} holds more than one integer: raise the precision")
    return int(whole)


def _rational(x: arb) -> Fraction:
    value = x.fmpq()
    return Fraction(int(value.p), int(value.q))
