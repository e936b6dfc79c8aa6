"""Accuracy of solutions and paired differences between methods on the same problems, with intervals.

A grade is right, wrong or failed: failed says that the grader gave up, so such a solution counts neither way. Accuracy
is right/(right + wrong), and failures are reported beside it; a difference uses the problems graded under both methods.

    wilson               95 % score interval of a proportion
    paired_difference    p_1 - p_2 from b problems that only the first method solved and c that only the second did, of
                         m: (b - c)/m, Tango's 95 % score interval, and the p-value of McNemar's χ² without
                         correction, the same score at 0: the interval leaves out 0 exactly where it is below 5 %

Source of the interval: Tango, Statistics in Medicine 17 (1998) 891-908; of its use with this test: Fagerland, Lydersen,
Laake, BMC Medical Research Methodology 13:91 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from gsi_theory.errors import InputError

__all__ = ["Accuracy", "PairedDifference", "accuracy_of", "paired_difference", "wilson"]

LEVEL = 0.95
VERDICTS = ("right", "wrong", "failed")


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    interval = stats.binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Accuracy:
    """Counts of grades, and the share right of those graded (None where none was) with Wilson's interval."""

    right: int
    wrong: int
    failed: int
    accuracy: float | None
    low: float
    high: float


def _checked(verdicts: Sequence[str]) -> np.ndarray:
    for i, verdict in enumerate(verdicts):
        if verdict not in VERDICTS:
            raise InputError(f"verdict {verdict!r} of problem {i}: give one of {', '.join(VERDICTS)}")
    return np.array(list(map(str, verdicts)), dtype="<U6")


def accuracy_of(verdicts: Sequence[str]) -> Accuracy:
    """Accuracy of a list of verdicts "right", "wrong" or "failed". InputError for others."""
    grades = _checked(verdicts)
    right, wrong, failed = (int((grades == verdict).sum()) for verdict in VERDICTS)
    graded = right + wrong
    return Accuracy(right, wrong, failed, right / graded if graded else None, *wilson(right, graded))


@dataclass(frozen=True)
class PairedDifference:
    """`pairs` problems graded under both methods; `only_first`, `only_second` solved by one of them; `difference` of
    accuracies, first minus second, with its interval (None, -1, 1 without pairs); `p_value` of no difference."""

    pairs: int
    only_first: int
    only_second: int
    difference: float | None
    low: float
    high: float
    p_value: float


def paired_difference(first: Sequence[str], second: Sequence[str]) -> PairedDifference:
    """First minus second, verdicts of the same problems in the same order. InputError for unequal lengths."""
    if len(first) != len(second):
        raise InputError(
            f"paired verdicts of lengths {len(first)} and {len(second)}: give one of each problem for both"
        )
    one, two = _checked(first), _checked(second)
    graded = (one != "failed") & (two != "failed")
    pairs = int(graded.sum())
    only_first = int((graded & (one == "right") & (two == "wrong")).sum())
    only_second = int((graded & (one == "wrong") & (two == "right")).sum())
    if not pairs:
        return PairedDifference(0, 0, 0, None, -1.0, 1.0, 1.0)
    discordant = only_first + only_second
    p_value = float(2.0 * stats.norm.sf(abs(_score(0.0, only_first, only_second, pairs)))) if discordant else 1.0
    low, high = _tango(only_first, only_second, pairs)
    return PairedDifference(pairs, only_first, only_second, (only_first - only_second) / pairs, low, high, p_value)


def _score(delta: float, b: int, c: int, m: int) -> float:
    """Score statistic of p_1 - p_2 = delta: b - c - m·delta over its deviation at the restricted likelihood's maximum.

    The maximum over q = P(only the second) solves 2m q² + B q + C = 0, B = (2m - b + c)·delta - b - c,
    C = -c·delta·(1 - delta).
    """
    linear = (2 * m - b + c) * delta - b - c
    constant = -c * delta * (1.0 - delta)
    root = np.sqrt(max(linear * linear - 8.0 * m * constant, 0.0))
    only_second = max((root - linear) / (4.0 * m), 0.0)
    variance = m * max(2.0 * only_second + delta * (1.0 - delta), 0.0)
    gap = b - c - m * delta
    if variance <= 0.0:
        return 0.0 if gap == 0 else float(np.copysign(np.inf, gap))
    return float(gap / np.sqrt(variance))


def _tango(b: int, c: int, m: int) -> tuple[float, float]:
    """The deltas whose score statistic is within the normal quantile; the statistic falls in delta."""
    z, middle = float(stats.norm.ppf(0.5 + LEVEL / 2)), (b - c) / m

    def bound(sign: float, edge: float) -> float:
        inner = middle
        if abs(edge - inner) < 1e-12 or abs(_score(edge, b, c, m)) <= z:
            return edge
        return float(
            optimize.brentq(lambda delta: _score(delta, b, c, m) - sign * z, min(inner, edge), max(inner, edge))
        )

    return bound(1.0, -1.0), bound(-1.0, 1.0)
