"""From prompts to curves: means over prompts with intervals and bands, paired differences, the turning point (M47).

The reduction of `gsi curve`: it reads `PromptCurves` alone, however those were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.samples.curve_bands import CurveBands, curve_bands
from gsi_theory.samples.turning_point import TurningPoint, turning_point
from gsi_theory.types import Flags, Floats, Record
from llm_check.logs.curves.prompt_curves import CurveKey, PromptCurves
from llm_check.logs.curves.selectors import SELECTORS

__all__ = ["CurveLine", "Paired", "Turning", "curve_lines", "keys_of", "paired_lines", "shared_length", "turnings"]

Bounds = tuple[float, float]
_ARRAYS = ("low_prompts", "high_prompts", "low_fixed", "high_fixed", "low", "high")


@dataclass(frozen=True)
class CurveLine:
    """One curve over prompts: which, at which ns, its bands; simulation (M,): the part of se_fixed that comes of
    subsets drawn at random, 0 where the curve is exact; needs_key: whether picking needs the answer key."""

    key: CurveKey
    bands: CurveBands
    simulation: Floats
    needs_key: bool

    def record(self, mean: str = "mean") -> Record:
        """An entry of "curves"; `mean` names the column of means."""
        band, key = self.bands, self.key
        return {
            "selector": key.selector,
            "beta": key.beta,
            "value": key.value,
            "needs_key": self.needs_key,
            mean: band.mean,
            "se_prompts": band.se_prompts,
            "se_fixed": band.se_fixed,
            **{name: getattr(band, name) for name in _ARRAYS},
            "speaking": band.speaking,
            "simulation": self.simulation,
        }


@dataclass(frozen=True)
class Paired:
    """Differences of two logs, this less the other, on `prompts` shared prompts; how many prompts of either are left
    out; a line a curve that both have."""

    prompts: int
    left_out: tuple[int, int]
    lines: tuple[CurveLine, ...]


@dataclass(frozen=True)
class Turning:
    """The test for one gold value of a selector; gain: of the mean reward from n = 1 to the last."""

    key: CurveKey
    turn: TurningPoint
    gain: float


def curve_lines(
    curves: PromptCurves,
    bounds: Mapping[str, Bounds],
    level: float,
    graded: bool = False,
    chosen: Flags | None = None,
    points: int | None = None,
) -> tuple[CurveLine, ...]:
    """Every curve over the prompts, or over those chosen (P,) at the first `points` ns.

    bounds: of a value, if known; graded: whether the reward is a grade, which the answer key gave.
    """
    rows = slice(None) if chosen is None else chosen
    lines, ns = [], np.asarray(curves.plan.ns[:points])
    for c, key in enumerate(curves.plan.keys):
        value, variance = curves.value[rows, c, :points], curves.variance[rows, c, :points]
        bands = curve_bands(value, variance, curves.draws[rows], ns, level, bounds.get(key.value), curves.plan.seed)
        drawn = _simulation(curves.simulation[rows, c, :points], value)
        lines.append(CurveLine(key, bands, drawn, _needs_key(key, graded)))
    return tuple(lines)


def _needs_key(key: CurveKey, graded: bool) -> bool:
    entry = SELECTORS[key.selector]
    return entry.needs_key or (graded and "reward" in entry.needs)


def _simulation(simulation: Floats, value: Floats) -> Floats:
    speaks = np.isfinite(value)
    return np.sqrt(np.where(speaks, simulation**2, 0.0).sum(axis=0)) / np.maximum(speaks.sum(axis=0), 1)


def shared_length(curves: PromptCurves) -> int:
    """How many of the ns a curve over the same prompts has: those that at least half of the prompts have draws for."""
    half = float(np.quantile(curves.draws, 0.5, method="lower"))
    return int(np.searchsorted(curves.plan.ns, half, side="right"))


def turnings(curves: PromptCurves, bounds: Mapping[str, Bounds], level: float) -> tuple[Turning, ...]:
    """Whether best-of-n's gold values turn down, of prompts that have draws for every n that half of them have."""
    out = []
    keys, points = curves.plan.keys, shared_length(curves)
    for c, key in enumerate(keys):
        reward = CurveKey(key.selector, key.beta, "reward")
        if key.selector != "best_of_n" or key.value == "reward" or reward not in keys or points < 2:
            continue
        rows = np.isfinite(curves.value[:, c, :points]).all(axis=1)
        turn = turning_point(
            curves.value[rows, c, :points],
            np.asarray(curves.plan.ns[:points]),
            level,
            bounds.get(key.value),
            curves.plan.seed,
        )
        if turn is not None:
            up = curves.value[rows, keys.index(reward)]
            out.append(Turning(key, turn, float((up[:, points - 1] - up[:, 0]).mean())))
    return tuple(out)


def paired_lines(
    this: PromptCurves, other: PromptCurves, bounds: Mapping[str, Bounds], level: float, graded: bool = False
) -> Paired:
    """Differences of two logs of the same prompts, joined by name, with the plan's ns alike.

    Raises InputError where they share no prompt or no curve.
    """
    shared, at, there = np.intersect1d(
        np.array(this.prompts, dtype=object), np.array(other.prompts, dtype=object), return_indices=True
    )
    if not shared.size:
        raise InputError(
            f"the logs share no prompt_id (such as {this.prompts[0]!r} and {other.prompts[0]!r}): name prompts alike"
        )
    keys = [key for key in this.plan.keys if key in other.plan.keys]
    if not keys:
        raise InputError("the logs share no curve: they need reward, correct or answer alike")
    lines, ns = [], np.asarray(this.plan.ns)
    draws = np.minimum(this.draws[at], other.draws[there])
    for key in keys:
        c, k = this.plan.keys.index(key), other.plan.keys.index(key)
        value = this.value[at, c] - other.value[there, k]
        variance = this.variance[at, c] + other.variance[there, k]
        ends = bounds.get(key.value)
        wide = None if ends is None else (ends[0] - ends[1], ends[1] - ends[0])
        bands = curve_bands(value, variance, draws, ns, level, wide, this.plan.seed)
        drawn = np.hypot(this.simulation[at, c], other.simulation[there, k])
        lines.append(CurveLine(key, bands, _simulation(drawn, value), _needs_key(key, graded)))
    left = len(this.prompts) - shared.size, len(other.prompts) - shared.size
    return Paired(int(shared.size), left, tuple(lines))


def keys_of(values: Sequence[str], betas: Sequence[float], select: Sequence[str]) -> tuple[CurveKey, ...]:
    """The curves that a log with these columns has, of the selectors asked."""
    keys = []
    for name in select:
        entry = SELECTORS[name]
        if set(entry.needs) <= set(values):
            for beta in betas if entry.tilts else (None,):
                keys += [CurveKey(name, beta, value) for value in entry.values if value in values]
    return tuple(keys)
