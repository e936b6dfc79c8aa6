"""How many candidates are drawn: fixed + Poisson(mean), through its generating function.

With s the probability that a candidate does not interfere, a law needs of the number N of candidates only
G(s) = E s^N = s^fixed · e^{-poisson (1 - s)}. A fixed n is (n, 0); a Poisson number given at least one is (0, m) (M24);
best-of-Poisson is (1, m) (M23).

Every law is that given N ≥ 1. For fixed = 0 and small m both G(s) - G(t) and P(N ≥ 1) are of the order m: their
quotient is taken by h(x) = (1 - e^{-x})/x, which is 1 at 0.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import array_api_compat
import numpy as np

from gsi_theory.arrays.logscale import log1mexp
from gsi_theory.arrays.namespace import as_number, as_numbers, detached, highest, table
from gsi_theory.errors import InputError, quoted
from gsi_theory.types import Array

__all__ = ["MOST", "Counts", "Draws", "as_count", "as_counts", "as_means"]

MOST = 2**53
# A Poisson number of this mean, given at least one, is one draw: the law differs by a relative m/2, below rounding.
ONE_DRAW = 2.0**-60


def as_count(value: object, name: str) -> int:
    """`value` as an integer ≥ 1 (NumPy integers and integral floats pass); InputError names `name` otherwise."""
    if isinstance(value, bool | np.bool_):
        raise InputError(f"{name} = {quoted(value)}: give a whole number from 1 to 2^53")
    try:
        count = operator.index(value) if not isinstance(value, float) else int(value)  # type: ignore[arg-type]
        whole = count == value
    except (TypeError, ValueError, OverflowError):
        count, whole = 0, False
    if not whole or count < 1 or count > MOST:
        raise InputError(f"{name} = {quoted(value)}: give a whole number from 1 to 2^53")
    return count


@dataclass(frozen=True)
class Draws:
    """`fixed` + Poisson(`poisson`) candidates, given at least one; with none fixed and a mean near 0 that is one.

    Raises InputError unless fixed is a whole number from 0 to 2^53, poisson a number from 0 to 2^53, and one of them
    positive: with both zero nothing is ever drawn.
    """

    fixed: int = 0
    poisson: float = 0.0

    def __post_init__(self) -> None:
        none = self.fixed == 0 and not isinstance(self.fixed, bool)
        object.__setattr__(self, "fixed", 0 if none else as_count(self.fixed, "fixed"))
        mean = as_number(self.poisson, "poisson", "give a mean from 0 to 2^53")
        if not 0 <= mean <= MOST:
            raise InputError(f"poisson = {self.poisson!r}: give a mean from 0 to 2^53")
        object.__setattr__(self, "poisson", mean)
        if self.fixed == 0 and mean == 0:
            raise InputError("fixed = 0 and poisson = 0: draw at least one candidate")

    @property
    def mean(self) -> float:
        """Expected number of candidates, given at least one."""
        return self.fixed + self.poisson if self.fixed else -self.poisson / float(np.expm1(-self.poisson))


@dataclass(frozen=True)
class Counts:
    """Draws of several laws at once, given at least one: arrays `fixed`, `poisson` (B, M) in the laws' namespace.

    Where fixed is 0, poisson is at least ONE_DRAW.
    """

    fixed: Array
    poisson: Array

    @property
    def log_largest(self) -> float:
        """log of the largest mean number, at least 0: how far left of log-time 0 the first winner may come (M3)."""
        return float(np.log(max(highest(self.fixed + self.poisson), 1.0)))

    @property
    def single(self) -> Array:
        """Where the number is exactly one, so that the law is the proposal itself."""
        return (self.fixed == 1) & (self.poisson == 0)

    @property
    def some(self) -> Array:
        """P(N ≥ 1), (B, M)."""
        xp = array_api_compat.array_namespace(self.fixed)
        return xp.where(self.fixed > 0, 1.0, -xp.expm1(-self.poisson))

    @property
    def _poisson_alone(self) -> Array:
        """The mean where no draw is fixed, elsewhere any positive number; (B, M, 1)."""
        xp = array_api_compat.array_namespace(self.fixed)
        return xp.where(self.fixed > 0, 1.0, self.poisson)[..., None]

    def log_pgf(self, log_s: Array, deficit: Array) -> Array:
        """log G(s) from log s and 1 - s, which broadcast against (B, M, 1)."""
        power = _times(self.fixed[..., None], log_s)
        return power - self.poisson[..., None] * deficit if self.random else power

    def log_unbeaten(self, log_s: Array, deficit: Array) -> Array:
        """log P(no draw interferes | N ≥ 1) = log (G(s) - G(0))/P(N ≥ 1), from log s and 1 - s."""
        level = self.log_pgf(log_s, deficit)
        if not self.random:
            return level
        mean = self._poisson_alone
        xp = array_api_compat.array_namespace(mean)
        alone = log_s + level + _log_h(mean * xp.exp(log_s)) - _log_h(mean)
        return xp.where(self.fixed[..., None] > 0, level, alone)

    def log_fall(self, log_s: Array, deficit: Array, log_quotient: Array, drop: Array) -> Array:
        """log (G(s) - G(t))/P(N ≥ 1) for t ≤ s, from log s, 1 - s, log t/s and s - t."""
        level, step = self.log_pgf(log_s, deficit), log1mexp(self.log_pgf_step(log_quotient, drop))
        if not self.random:
            return level + step
        mean = self._poisson_alone
        xp = array_api_compat.array_namespace(mean)
        with np.errstate(divide="ignore"):
            alone = xp.log(drop) + _log_h(mean * drop) - _log_h(mean)
        return level + xp.where(self.fixed[..., None] > 0, step, alone)

    @property
    def random(self) -> bool:
        """Whether any number of draws is random."""
        return bool(array_api_compat.array_namespace(self.poisson).any(self.poisson > 0))

    def log_slope(self, log_s: Array, deficit: Array) -> Array:
        """log G'(s)/P(N ≥ 1), from log s and 1 - s."""
        xp = array_api_compat.array_namespace(self.fixed)
        fixed, at_one = self.fixed[..., None], self.log_slope_at_one()[..., None]
        powers = _times(xp.maximum(fixed - 1.0, xp.zeros_like(fixed)), log_s)
        if not self.random:
            return at_one + powers
        poisson = self.poisson[..., None]
        # s and not 1 - (1 - s): near s = 0 that rounds to either side of zero.
        rate = xp.log(xp.where(fixed > 0, fixed + poisson * xp.exp(log_s), 1.0))
        return xp.where(fixed > 0, rate, at_one) + powers - poisson * deficit

    def log_slope_at_one(self) -> Array:
        """log G'(1)/P(N ≥ 1) = log E[N | N ≥ 1], (B, M)."""
        xp = array_api_compat.array_namespace(self.fixed)
        if not self.random:
            return xp.log(self.fixed)
        some, alone = self.fixed > 0, -_log_h(self._poisson_alone)[..., 0]
        return xp.where(some, xp.log(xp.where(some, self.fixed + self.poisson, 1.0)), alone)

    def log_pgf_step(self, log_quotient: Array, drop: Array) -> Array:
        """log G(t)/G(s) for t ≤ s, from log t/s and s - t."""
        return self.log_pgf(log_quotient, drop)


def _times(count: Array, log_s: Array) -> Array:
    """count · log s with 0 · -inf = 0."""
    xp = array_api_compat.array_namespace(count)
    if bool(xp.all(count > 0)):
        return count * log_s
    return count * xp.where((count == 0) & (log_s == -xp.inf), 0.0, log_s)


def _log_h(x: Array) -> Array:
    """log (1 - e^{-x})/x for x ≥ 0, 0 at x = 0."""
    xp = array_api_compat.array_namespace(x)
    y = xp.where(x > 0.0, x, 1.0)
    return xp.where(x > 0.0, xp.log(-xp.expm1(-y) / y), 0.0)


def as_counts(n: Array, like: Array) -> tuple[Array, Array]:
    """(fixed, poisson) arrays of one shape from an int, a Draws or an array of whole numbers; InputError otherwise.

    `Counts` pass as they are, real numbers included: (M2) is a law for every real n ≥ 1, and the caller has checked.
    """
    if isinstance(n, Counts):
        return n.fixed, n.poisson
    if isinstance(n, Draws):
        one = n.fixed == 0 and n.poisson < ONE_DRAW
        fixed, poisson = np.asarray(float(one or n.fixed)), np.asarray(0.0 if one else n.poisson)
    elif hasattr(n, "ndim") or isinstance(n, (list, tuple, range)):
        fixed = as_numbers(detached(n), "n")
        if fixed.size == 0:
            raise InputError(f"n of shape {fixed.shape}: give at least one whole number")
        bad = np.flatnonzero(~((fixed >= 1) & (fixed <= MOST) & (fixed == np.round(fixed))))
        if bad.size:
            where = f"n[{bad[0]}]" if fixed.ndim else "n"
            raise InputError(f"{where} = {fixed.ravel()[bad[0]]:g}: give whole numbers from 1 to 2^53")
        poisson = np.zeros_like(fixed)
    else:
        fixed, poisson = np.asarray(float(as_count(n, "n"))), np.asarray(0.0)
    return table(fixed, like), table(poisson, like)


def as_means(n: Array, like: Array) -> Array:
    """Expected numbers of draws, reals from 1 to 2^53, as an array in the namespace of `like`; InputError otherwise."""
    means = as_numbers(detached(n), "n")
    bad = np.flatnonzero(~((means >= 1) & (means <= MOST)))
    if bad.size or means.size == 0:
        where = f"n[{bad[0]}] = {means.ravel()[bad[0]]:g}" if means.ndim and bad.size else f"n = {quoted(n)}"
        raise InputError(f"{where}: give expected numbers of draws from 1 to 2^53")
    return table(means, like)
