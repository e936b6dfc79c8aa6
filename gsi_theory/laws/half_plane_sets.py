"""The largest π(A) + g(μ(A), π_B(A)) over all sets A of outcomes, for g that is convex in every non-negative direction.

Some maximizer is {π > aμ + bπ_B} with 0 ≤ a ≤ n, 0 ≤ b ≤ m (M37), the slopes of g being at most n and m in size. In the
plane of (a, b) every outcome is a line aμ(y) + bπ_B(y) = π(y), which parts where y belongs to A from where it does not;
the sets are the cells of the arrangement of K lines. From a cell whose A is not empty a growing multiple of (a, b)
first crosses the line of one of A's own outcomes. So we walk along every line, sort where the others cross it, and have
the masses of the sets that hold the line's outcome from running sums. Only sums of positive terms
are formed: a mass of 1e-9 is right to rounding, which (1 - μ(A))^n needs at n = 10⁹.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.namespace import as_arrays, host, plain_number, rows_of, table
from gsi_theory.divergence import log_pair
from gsi_theory.errors import InputError, quoted
from gsi_theory.laws.draws import as_count
from gsi_theory.types import Array, Floats, Namespace

__all__ = ["Sources", "as_sources", "largest_over_sets", "log_missed"]

Value = Callable[[Floats, Floats, Floats], Floats]
MOST_OUTCOMES = 20_000  # 4e8 crossings: minutes
BUDGET = 2**20  # crossings at a time: a dozen arrays of 8 MB
# Lines nearer than this are one line: moving an outcome's masses by it moves no value by more.
SAME_LINE = 1e-13


@dataclass(frozen=True)
class Sources:
    """Target, draft and base, broadcast, (..., K) on the host; `like` is an array of the caller's namespace."""

    target: Floats
    draft: Floats
    base: Floats
    like: Array

    def rows(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        """The laws of the batch one after the other, as log-probabilities (K,)."""
        size = self.target.shape[-1]
        flat = (x.reshape(-1, size) for x in (self.target, self.draft, self.base))
        return zip(*flat, strict=True)

    def shaped(self, xp: Namespace, values: list[float]) -> Array:
        """One number a row of the batch, in the caller's namespace, between 0 and 1 but for rounding: clipped."""
        clipped = np.clip(np.array(values).reshape(self.target.shape[:-1]), 0.0, 1.0)
        return plain_number(table(clipped, self.like))


def as_sources(log_target: Array, log_draft: Array, log_base: Array, n: int, m: int) -> tuple[Namespace, Sources]:
    """The three laws checked and broadcast; InputError on shapes, NaN, values above 0, or n, m that are no counts."""
    for value, name in ((n, "n"), (m, "m")):
        if isinstance(value, bool | np.bool_) or value != 0:
            as_count(value, name)
    if n == 0 and m == 0:
        raise InputError("n = 0 and m = 0: draw at least one candidate")
    xp, (target, draft, base) = as_arrays(log_target=log_target, log_draft=log_draft, log_base=log_base)
    log_pair(target, draft)
    log_pair(target, base)
    log_pair(draft, base)
    parts = np.broadcast_arrays(*(host(x) for x in (target, draft, base)))
    contiguous = [np.ascontiguousarray(x) for x in parts]
    return xp, Sources(contiguous[0], contiguous[1], contiguous[2], target)


def log_missed(mass: Floats, count: int) -> Floats:
    """count · log(1 - mass): that none of `count` draws falls into a set; 0 draws miss every set."""
    if count == 0:
        return np.zeros_like(mass)
    with np.errstate(divide="ignore"):
        return count * np.log1p(-np.minimum(mass, 1.0))


def largest_over_sets(
    log_target: Floats, log_draft: Floats, log_base: Floats, n: int, m: int, value: Value
) -> tuple[float, tuple[float, float, float]]:
    """(max over A of value(π(A), μ(A), π_B(A)), those three masses at the maximum); laws (K,) in nats.

    `value` is π(A) + g of the other two, g convex in non-negative directions with slopes between -n, -m and 0. Every
    number compared is the value of a set, so the result exceeds the maximum by rounding only.
    """
    with np.errstate(under="ignore"):
        masses = np.stack([np.exp(x) for x in (log_target, log_draft, log_base)])
    inside = masses[0] > n * masses[1] + m * masses[2]
    core = masses[:, inside].sum(axis=-1)
    best, where = -np.inf, core
    for sums in _cells(masses[:, ~inside & (masses[0] > 0)], core):
        values = value(*sums)
        top = int(np.argmax(values))
        if values.flat[top] > best:
            best, where = float(values.flat[top]), sums.reshape(3, -1)[:, top]
    return best, (float(where[0]), float(where[1]), float(where[2]))


def _cells(masses: Floats, core: Floats) -> Iterator[Floats]:
    """Masses (3, ...) of the sets core ∪ {π > aμ + bπ_B}, every such set among them; `masses` (3, K) has π > 0."""
    yield core[:, None]
    size = masses.shape[-1]
    if size > MOST_OUTCOMES:
        raise InputError(
            f"{quoted(size)} outcomes with π ≤ nμ + mπ_B: give at most {MOST_OUTCOMES}; outcomes of equal quotients "
            "π/μ and π/π_B may be added up to one"
        )
    scale = masses[1] + masses[2]  # positive: else π > nμ + mπ_B = 0
    level, across, along = masses / scale
    foot = across**2 + along**2  # at least ½: the two add up to 1
    for rows in rows_of(size, size, BUDGET):
        u, v = across[rows, None], along[rows, None]
        reach = (level / foot)[rows, None]
        slope = v * across - u * along
        offset = level - reach * (u * across + v * along)
        same = (np.abs(slope) <= SAME_LINE) & (np.abs(offset) <= SAME_LINE * (level + level[rows, None]))
        same[np.arange(same.shape[0]), np.arange(size)[rows]] = True
        fixed = (slope == 0.0) & ~same
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            crossing = np.where(fixed | same, np.inf, offset / slope)
        order = np.argsort(crossing, axis=-1)
        leaves, enters = (slope > 0) & ~same, (slope < 0) & ~same
        always = core[:, None] + masses @ (fixed & (offset > 0)).T.astype(np.float64)
        turned = masses @ same.T.astype(np.float64)
        zero = np.zeros((order.shape[0], 1))
        sums = np.empty((3, order.shape[0], size + 1))
        for part, mass in enumerate(masses):
            sorted_mass = mass[order]
            came = np.cumsum(np.where(np.take_along_axis(enters, order, axis=-1), sorted_mass, 0.0), axis=-1)
            left = np.where(np.take_along_axis(leaves, order, axis=-1), sorted_mass, 0.0)
            still = np.cumsum(left[:, ::-1], axis=-1)[:, ::-1]
            sums[part] = np.concatenate([zero, came], axis=-1) + np.concatenate([still, zero], axis=-1)
        sums += always[:, :, None]
        sums += turned[:, :, None]
        yield sums
