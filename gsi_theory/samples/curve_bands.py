"""A curve over prompts: its mean at every n, two intervals, and a band that holds at all n at once (M47).

Input is one estimate a prompt and n (P, M), NaN where a prompt has fewer than n draws, and its variance. Prompts are
independent. Two truths, as in `intervals.py`: the mean over prompts like these, and over these prompts.

The band is for prompts like these. With R the correlations over prompts of the curve's points, q the 95 % quantile of
max |Z| for Z ~ N(0, R) (a multiplier bootstrap, Chernozhukov, Chetverikov and Kato, Ann. Stat. 41, 2013), every point
has the interval of level 2Φ(q) − 1, at least the level asked and at most Bonferroni's: what makes a single interval
hold at few prompts, at skewed and at 0/1 values, makes the band hold; q is widened a little for few prompts. Of one
prompt the band is Bonferroni's for this prompt.

Where these prompts' interval is not trusted (few successes or failures) and bounds are known, betting on the prompts'
estimates holds for them too: for independent X_i in [0, 1] of mean θ_i, average θ, E Π(1 + λ(X_i/θ − 1)) =
Π(1 + λ(θ_i/θ − 1)) ≤ 1, the geometric being below the arithmetic mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, stdtrit

from gsi_theory.samples.intervals import Interval, fixed_mean, population_mean, spread_over, with_betting
from gsi_theory.types import Flags, Floats, Ints

__all__ = ["CurveBands", "curve_bands", "simultaneous_level"]

_DRAWS = 4096  # of the Gaussian vector, for q
FAILURES = 10.0  # sets' worth of distance to the nearer bound, from which the spread of the draws is trusted
WIDER = 10.0  # q is widened by 1 + 10/P²: P prompts show P − 1 ways to differ, and far quantiles need more
SPREAD = 4.0  # prompts that make up a spread that is trusted
_SAME = 1e-12  # of the largest value: a spread that is rounding


@dataclass(frozen=True)
class CurveBands:
    """Arrays (M,), NaN where nothing can be said: mean; standard errors over prompts like these (`se_prompts`) and of
    these (`se_fixed`); their intervals at each n; `low`, `high`: the band; `speaking`: prompts with n draws;
    `trusted_*`: 1 where the spread makes the interval, 0 where betting does."""

    mean: Floats
    speaking: Ints
    se_prompts: Floats
    se_fixed: Floats
    low_prompts: Floats
    high_prompts: Floats
    low_fixed: Floats
    high_fixed: Floats
    low: Floats
    high: Floats
    trusted_prompts: Floats
    trusted_fixed: Floats


def curve_bands(
    values: Floats,
    variance: Floats,
    draws: Ints,
    ns: Ints,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> CurveBands:
    """The curve over prompts from values and variance (P, M), the latter inf where a prompt has one draw; draws (P,).

    bounds: the least and largest value of the quantity, if known. Raises InputError as `population_mean`.
    """
    points = values.shape[1]
    speaks = np.isfinite(values)
    speaking = speaks.sum(axis=0)
    columns = {name: np.full(points, np.nan) for name in CurveBands.__dataclass_fields__ if name != "speaking"}
    joint = simultaneous_level(values, level, seed)
    single = 1.0 - (1.0 - level) / max(int((speaking > 0).sum()), 1)
    patterns, pattern = np.unique(speaks, axis=1, return_inverse=True)
    for k in range(patterns.shape[1]):
        at, prompts = np.flatnonzero(pattern.ravel() == k), patterns[:, k]
        part, spread = values[np.ix_(prompts, at)], variance[np.ix_(prompts, at)]
        if part.shape[0] == 0:
            continue
        columns["mean"][at] = part.mean(axis=0)
        known = np.isfinite(spread).all(axis=0)
        sets = draws[prompts].sum() / ns[at]
        close = 2 * ns[at] > draws[prompts].min()
        for name, own_level in (("fixed", level), ("band", single)):
            if known.any() and (name == "fixed" or part.shape[0] == 1):
                here = _these(part[:, known], spread[:, known], sets[known], close[known], own_level, bounds)
                _put(columns, name, at[known], here)
        if part.shape[0] > 1:
            _put(columns, "prompts", at, population_mean(part, level, bounds))
            _put(columns, "band", at, population_mean(part, joint, bounds))
    return CurveBands(speaking=speaking, **columns)


def _these(
    values: Floats, variance: Floats, sets: Floats, close: Flags, level: float, bounds: tuple[float, float] | None
) -> Interval:
    """These prompts' interval; by betting where it is not trusted.

    sets (M,): disjoint sets of n draws in all; close (M,): where n > N/2. There the jackknife's error is mostly too
    large, and where the spread over prompts, which contains the error, is less, that serves.
    """
    count = values.shape[0]
    here = fixed_mean(values, np.sqrt(variance), level)
    if count > 2 and close.any():
        spread = values.std(axis=0, ddof=1) / np.sqrt(count)
        less = close & (spread < here.stderr)
        reach = stdtrit(count - 1.0, 0.5 + 0.5 * level) * spread
        here = Interval(
            here.value,
            np.where(less, spread, here.stderr),
            np.where(less, here.value - reach, here.low),
            np.where(less, here.value + reach, here.high),
            np.where(less, spread_over(values) >= SPREAD, here.trusted),
        )
    if bounds is None:
        return here
    low, high = bounds
    inside = sets * np.minimum(here.value - low, high - here.value) >= FAILURES * (high - low)
    return with_betting(replace(here, trusted=np.logical_and(here.trusted, inside)), values, bounds, level)


def _put(columns: dict[str, Floats], kind: str, at: Ints, interval: Interval) -> None:
    if kind == "band":
        columns["low"][at], columns["high"][at] = interval.low, interval.high
    else:
        columns[f"se_{kind}"][at], columns[f"trusted_{kind}"][at] = interval.stderr, interval.trusted
        columns[f"low_{kind}"][at], columns[f"high_{kind}"][at] = interval.low, interval.high


def simultaneous_level(values: Floats, level: float, seed: int = 0) -> float:
    """The level of single intervals that hold together at `level`, from the correlations of values (P, M) over prompts;
    NaN: a prompt that does not speak. Between `level` and Bonferroni's."""
    speaks = np.isfinite(values)
    number = speaks.sum(axis=0)
    used = number > 1
    if used.sum() < 2:
        return level
    values, speaks, number = values[:, used], speaks[:, used], number[used]
    mean = np.where(speaks, values, 0.0).sum(axis=0) / number
    apart = np.where(speaks, values - mean, 0.0)
    size = np.sqrt((apart**2).sum(axis=0))
    moves = size > _SAME * np.abs(mean) * np.sqrt(number)
    scaled = apart[:, moves] / size[moves]
    correlation = np.einsum("pa,pb->ab", scaled, scaled)
    eigenvalues, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, root.shape[1]))
    largest = np.abs(normal @ root.T).max(axis=1, initial=0.0)
    miss, points = 1.0 - level, int(used.sum())
    few = 1.0 + WIDER / float(number.min()) ** 2
    own = 2.0 * float(ndtr(-few * np.quantile(largest, level))) if moves.any() else miss
    # points that no prompt moves are not seen to depend on the others
    still = points - int(moves.sum())
    return 1.0 - min(max(own / (1 + min(still, 1)), miss / points), miss)
