"""Monte Carlo beside exact numbers: means and counts, their standard errors under the exact law, and whether all agree.

Counts of outcomes are judged cell by cell: the count of every outcome expected at least ten times, the pooled count of
the rest, and the count of acceptances. Under the exact law each is binomial; its z is the two-sided normal deviate of
the exact binomial tail, which for large counts is (count - expected)/standard error and stays valid for small ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from gsi_theory.types import Floats, Ints, Record

__all__ = [
    "LEVEL",
    "Comparison",
    "Pair",
    "agreement",
    "beside",
    "bonferroni_bound",
    "compare",
    "cost_z",
    "excess_tv",
    "over_problems",
    "within_bound",
]

# Many experiments are judged in one report, so that each may fail by chance once in a thousand seeds.
LEVEL = 0.001
# A mean of bounded numbers is near enough to normal when it sums so many squared ranges of variance.
EVENTS = 25.0
POOLED_BELOW = 10.0

Row = TypeVar("Row", bound=NamedTuple)


class Pair(NamedTuple):
    """An exact number, its simulation, and the standard error (None where the event is too rare for one)."""

    exact: float
    simulated: float | None
    stderr: float | None


@dataclass(frozen=True)
class Comparison:
    """z of the outcome counts (cells,), z of the acceptances (None without a gate), TV of frequencies to the law."""

    z: Floats
    acceptance_z: float | None
    tv: float

    @property
    def count(self) -> int:
        """Number of comparisons made."""
        return self.z.size + (self.acceptance_z is not None)

    @property
    def worst(self) -> float:
        """Largest |z| of all."""
        return float(max(np.max(np.abs(self.z)), abs(self.acceptance_z or 0.0)))


def beside(prob: Floats, values: Floats, outcomes: Ints) -> Pair:
    """E f under the law prob (K,), the mean of f over simulated outcomes (draws,), and its exact standard error."""
    exact = float(prob @ values)
    variance = float(prob @ (values - exact) ** 2)
    spread, draws = float(np.ptp(values[prob > 0])), outcomes.size
    common = draws * variance >= EVENTS * spread**2 and spread > 0
    return Pair(exact, float(values[outcomes].mean()), float(np.sqrt(variance / draws)) if common else None)


def excess_tv(prob: Floats, tilted: Floats, outcomes: Ints) -> Pair:
    """TV(law, π) as law(A) - π(A), A = {law > π}: exact, and by the share of simulated outcomes in A."""
    above = (prob > tilted).astype(np.float64)
    exact, simulated, error = beside(prob, above, outcomes)
    inside = float(tilted @ above)
    return Pair(exact - inside, None if simulated is None else simulated - inside, error)


def bonferroni_bound(level: float, comparisons: int) -> float:
    """The largest |z| of so many independent standard normals stays below it but for a chance of at most `level`."""
    from scipy import stats  # slow to import

    return float(stats.norm.isf(level / (2.0 * comparisons)))


def within_bound(comparisons: int, worst: float, level: float = LEVEL) -> Record:
    """For a summary: the largest |z| of so many comparisons against its Bonferroni bound."""
    bound = bonferroni_bound(level, comparisons) if comparisons else 0.0
    return {
        "worst_abs_z": worst,
        "bonferroni_bound": bound,
        "comparisons": comparisons,
        "level": level,
        "passed": worst <= bound,
    }


def agreement(pairs: Iterable[tuple[float, float | None, float | None]]) -> Record:
    """`within_bound` of the pairs (exact, simulated, standard error) that have a standard error."""
    z = [abs(simulated - exact) / error for exact, simulated, error in pairs if simulated is not None and error]
    return within_bound(len(z), max(z, default=0.0))


def _deviate(count: Floats, draws: int, p: Floats) -> Floats:
    """Normal deviate of the two-sided binomial tail of `count` in `draws` at probability p; inf where impossible."""
    from scipy import stats  # slow to import

    tail = np.minimum(stats.binom.cdf(count, draws, p), stats.binom.sf(count - 1, draws, p))
    gap, variance = count - draws * p, draws * p * (1.0 - p)
    plain = np.where(variance > 0, np.abs(gap) / np.sqrt(np.where(variance > 0, variance, 1.0)), np.inf)
    # Beyond 37 deviations the tail leaves float64, and the plain quotient says enough.
    return np.sign(gap) * np.where(tail > 0, stats.norm.isf(np.clip(tail, 1e-310, 0.5)), plain)


def compare(prob: Floats, p_accept: float | None, outcomes: Ints, accepted: np.ndarray) -> Comparison:
    """Counts of `outcomes` (draws,) and `accepted` (draws,) against a law: prob (K,) and p_accept (None: no gate)."""
    draws = outcomes.size
    count = np.bincount(outcomes, minlength=prob.size).astype(np.float64)
    kept = (draws * prob >= POOLED_BELOW) | (prob == 0.0)
    # The law carries rounding of 1e-15, so its largest entry may exceed one by as much.
    p, x = np.r_[prob[kept], prob[~kept].sum()], np.r_[count[kept], count[~kept].sum()]
    used = np.r_[(prob[kept] > 0) | (count[kept] > 0), bool(np.any(~kept))]
    z = _deviate(x[used], draws, np.minimum(p[used], 1.0))
    acceptance_z = None
    if p_accept is not None:
        acceptance_z = float(_deviate(np.array([float(accepted.sum())]), draws, np.array([p_accept]))[0])
    return Comparison(z, acceptance_z, 0.5 * float(np.sum(np.abs(count / draws - prob))))


def cost_z(counts: np.ndarray, expected: float) -> float | None:
    """z of the mean of a simulated cost (rounds,) against its expectation; None where too rare an event decides it.

    The normal approximation needs about a hundred events: rounds times the larger of variance and deviation.
    """
    variance, gap = float(np.var(counts)), float(np.mean(counts)) - expected
    if counts.size * max(variance, abs(gap)) < 100.0:
        return None
    return gap / float(np.sqrt(max(variance, 1e-12) / counts.size))


def over_problems(rows: Sequence[Row], keys: int, spread_of: str | None = None) -> list[Row]:
    """Rows that share their first `keys` entries as one: means of the others, and as `stderr` the standard error of a
    mean of independent means; None where one of them has none.

    With `spread_of`, the entry `spread` is the standard error over problems of that mean (None for one problem).
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:keys]), []).append(row)
    merged = []
    for group in groups.values():
        values: dict[str, float | None] = {}
        for name, column in list(zip(group[0]._fields, zip(*group, strict=True), strict=True))[keys:]:
            if any(v is None for v in column):
                values[name] = None
            elif name == "stderr":
                values[name] = float(np.sqrt(np.sum(np.square(column)))) / len(column)
            else:
                values[name] = float(np.mean(column))
        if spread_of is not None:
            each = [getattr(row, spread_of) for row in group]
            values["spread"] = float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
        merged.append(group[0]._replace(**values))
    return merged
