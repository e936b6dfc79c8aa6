"""Where best-of-n by a proxy reward turns down in its gold value, exactly on a finite set (M43).

By levels of the proxy, F_1 < … < F_L = 1 the masses up to them and ḡ_l their mean gold values, the mean gold value of
best-of-n is V(n) = ḡ_L - Σ (ḡ_{l+1} - ḡ_l) F_l^n, and V(n+1) - V(n) = Σ (ḡ_{l+1} - ḡ_l)(1 - F_l) F_l^n changes sign at
most as often as the jumps ḡ_{l+1} - ḡ_l do along l. On a log the test for a turn is `samples.turning_point`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.arrays.namespace import as_numbers, sum_tolerance
from gsi_theory.errors import InputError
from gsi_theory.laws.draws import as_count
from gsi_theory.laws.reward_levels import LARGEST
from gsi_theory.types import Array, Floats, Ints

__all__ = ["GoldPeak", "gold_peak"]

_GRID = 1.02  # ratio of neighboring n at which signs are looked at
_ROUNDING = 64.0 * np.finfo(float).eps


@dataclass(frozen=True)
class GoldPeak:
    """n of the largest gold value among 1..most, the least of those that rounding cannot tell apart, its value, and
    the value at `most`; turns: the whole numbers n at which V stops rising or falling, ascending; falls_forever:
    whether V falls from some n on; certain: whether no turn within 1..most can have been missed."""

    n: int
    value: float
    last: float
    turns: tuple[int, ...]
    falls_forever: bool
    certain: bool


def gold_peak(log_mass: Array, reward: Array, gold: Array, most: int = 1 << 20) -> GoldPeak:
    """The turning points of best-of-n's mean gold value V(n), whole n from 1 to `most`, ties of the proxy shared.

    log_mass, reward (the proxy), gold (K,). Signs are looked at on a grid of ratio 1.02, and between two of different
    sign halved down to a whole number; certain if Descartes' rule leaves no room for two more (always if gold rises and
    then falls along the proxy, or is monotone); steps and jumps that rounding cannot tell from 0 count as none. Raises
    InputError on shapes, NaN, masses that do not sum to one, bad `most`.
    """
    logs, proxy, values = (
        as_numbers(x, name) for x, name in ((log_mass, "log_mass"), (reward, "reward"), (gold, "gold"))
    )
    sizes = np.concatenate([np.abs(proxy), np.abs(values)])
    if logs.ndim != 1 or not logs.shape == proxy.shape == values.shape or not bool((sizes <= LARGEST).all()):
        raise InputError(
            f"log_mass {logs.shape}, reward {proxy.shape}, gold {values.shape}: give K finite numbers each"
        )
    mass = np.exp(logs)
    if not abs(mass.sum() - 1.0) <= sum_tolerance(log_mass):
        raise InputError(f"log_mass: the masses sum to {mass.sum():.9g}, give log-probabilities that sum to 1")
    last, some = as_count(most, "most"), mass > 0
    _, level = np.unique(proxy[some], return_inverse=True)
    low = float(values[some].min())
    part: Floats = np.bincount(level, weights=mass[some]).astype(np.float64)
    mean = np.bincount(level, weights=mass[some] * (values[some] - low)) / part
    above = np.append(np.cumsum(part[::-1])[::-1][1:], 0.0)[:-1] / mass.sum()  # 1 - F_l, l < L
    width = float(mean.max())
    jumps = np.diff(mean)
    jumps = np.where(np.abs(jumps) > _ROUNDING * width, jumps, 0.0)  # levels of equal gold are one

    def parts(n: Ints | int, power: Floats) -> tuple[Floats, Floats]:
        """(Σ power · F^n, the sum of its terms' sizes) at each n."""
        decay = np.exp(np.atleast_1d(n)[:, None] * np.log1p(-np.minimum(above, 1.0 - 1e-300)))
        return decay @ power, decay @ np.abs(power)

    def value(n: int) -> float:
        return low + float(mean[-1] - parts(n, jumps)[0][0])

    def signs(n: Ints) -> Ints:
        """Of V(n+1) - V(n), 0 where rounding decides."""
        step, size = parts(n, jumps * above)
        told = np.abs(step) > _ROUNDING * (jumps.size + 16.0) * size
        return np.where(told, np.sign(step), 0).astype(np.int64)

    grid = np.unique(np.minimum(np.ceil(_GRID ** np.arange(np.ceil(np.log(last) / np.log(_GRID)) + 1)), last))
    seen = signs(grid.astype(np.int64))
    known = np.flatnonzero(seen)
    turns = []
    for i, j in zip(known[:-1].tolist(), known[1:].tolist(), strict=True):
        if seen[i] != seen[j]:
            left, right = int(grid[i]), int(grid[j])
            while right - left > 1:
                middle = (left + right) // 2
                left, right = (middle, right) if signs(np.array([middle]))[0] == seen[i] else (left, middle)
            turns.append(right)
    kinks = np.sign(jumps[jumps != 0.0])
    allowed = int(np.count_nonzero(np.diff(kinks)))
    candidates = sorted({1, *turns, last})
    worth = [value(n) for n in candidates]
    top = max(worth)
    best = next(n for n, v in zip(candidates, worth, strict=True) if v >= top - _ROUNDING * width)
    falls = bool(kinks.size and kinks[-1] < 0)
    # signs at both ends of the real line: a change before the first n, or after the last, is not among the turns
    ends = 0 if not known.size else int(seen[known[0]] != kinks[0]) + int(seen[known[-1]] != kinks[-1])
    certain = not kinks.size or (bool(known.size) and allowed - ends - len(turns) < 2)
    return GoldPeak(best, value(best), worth[-1], tuple(turns), falls, certain)
