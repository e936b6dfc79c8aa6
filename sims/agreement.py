"""Monte Carlo beside an exact number: mean, standard error under the exact law, and whether all of them agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gsi_theory.types import Floats

__all__ = ["LEVEL", "Pair", "agreement", "beside", "bonferroni_bound", "excess_tv", "over_problems", "with_spread"]

# Many experiments are judged in one report, so that each may fail by chance once in a thousand seeds.
LEVEL = 0.001
# A mean of bounded numbers is near enough to normal when it sums so many squared ranges of variance.
EVENTS = 25.0

# (exact, simulated, standard error or None where the event is too rare for one)
Pair = tuple[float, float, float | None]


def beside(prob: Floats, values: Floats, outcomes: np.ndarray) -> Pair:
    """E f under the law prob (K,), the mean of f over simulated outcomes (draws,), and its exact standard error."""
    exact = float(prob @ values)
    variance = float(prob @ (values - exact) ** 2)
    spread, draws = float(np.ptp(values[prob > 0])), outcomes.size
    common = draws * variance >= EVENTS * spread**2 and spread > 0
    return exact, float(values[outcomes].mean()), float(np.sqrt(variance / draws)) if common else None


def excess_tv(prob: Floats, tilted: Floats, outcomes: np.ndarray) -> Pair:
    """TV(law, π) as law(A) - π(A), A = {law > π}: exact, and by the share of simulated outcomes in A."""
    above = (prob > tilted).astype(np.float64)
    exact, found, error = beside(prob, above, outcomes)
    inside = float(tilted @ above)
    return exact - inside, found - inside, error


def bonferroni_bound(level: float, comparisons: int) -> float:
    """The largest |z| of so many independent standard normals stays below it but for a chance of at most `level`."""
    from scipy import stats  # slow to import

    return float(stats.norm.isf(level / (2.0 * comparisons)))


def agreement(pairs: Iterable[Pair]) -> dict[str, Any]:
    """Largest |z| of the pairs that have a standard error, against the Bonferroni bound at LEVEL, for a summary."""
    z = [abs(found - exact) / error for exact, found, error in pairs if error]
    bound = bonferroni_bound(LEVEL, len(z)) if z else 0.0
    worst = max(z, default=0.0)
    return {"worst_abs_z": worst, "bonferroni_bound": bound, "comparisons": len(z), "level": LEVEL,
            "passed": worst <= bound}  # fmt: skip


def over_problems(rows: Iterable[Sequence[Any]], keys: int, stderr: int) -> list[tuple[Any, ...]]:
    """Rows that share their first `keys` entries as one: means of the others, and at place `stderr` the standard error
    of a mean of independent means (None where one of them has none)."""
    groups: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:keys]), []).append(row)
    out = []
    for key, own in groups.items():
        merged: list[Any] = []
        for place in range(keys, len(own[0])):
            values = [row[place] for row in own]
            if any(v is None for v in values):
                merged.append(None)
            elif place == stderr:
                merged.append(float(np.sqrt(np.sum(np.square(values)))) / len(own))
            else:
                merged.append(float(np.mean(values)))
        out.append((*key, *merged))
    return out


def with_spread(rows: Sequence[Sequence[Any]], keys: int, stderr: int, place: int) -> list[tuple[Any, ...]]:
    """`over_problems`, and last in each row the standard error over problems of the mean at `place` (None for one)."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:keys]), []).append(row[place])
    merged = over_problems(rows, keys, stderr)
    return [
        (*row, float(np.std(own, ddof=1) / np.sqrt(len(own))) if len(own) > 1 else None)
        for row, own in zip(merged, groups.values(), strict=True)
    ]
