"""Does the gold value turn down with n while the reward that selects goes up (M47)?

Best-of-n's mean reward never falls with n: the maximum of more draws is larger, prompt by prompt. Its gold value may.
Tested is "the gold value at no n exceeds that at the last": for every n the fall g(n) − g(last) has an interval from
the prompts' own differences, all of them together at the level. If one lies above 0 the curve has turned down, wherever
the largest point was looked for; with two-sided 95 % bands a curve that never falls is accused in at most 2.5 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.samples.curve_bands import curve_bands
from gsi_theory.types import Floats, Ints

__all__ = ["TurningPoint", "turning_point"]


@dataclass(frozen=True)
class TurningPoint:
    """n of the largest gold value (`peak`) and the last n; the fall between them with its interval (all n together);
    `turns`: whether some fall to the last n is sure; `surest`: the n whose fall has the largest lower end."""

    peak: int
    last: int
    fall: float
    low: float
    high: float
    turns: bool
    surest: int
    prompts: int


def turning_point(
    gold: Floats,
    ns: Ints,
    level: float = 0.95,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> TurningPoint | None:
    """The test on gold values (P, M) of the same prompts at ns (M,) ascending; None below two prompts or two ns.

    bounds: of the gold value."""
    if gold.shape[0] < 2 or ns.size < 2:
        return None
    falls = gold[:, :-1] - gold[:, -1:]
    wide = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    nothing = np.full(falls.shape, np.inf)  # the spread over prompts is all the error there is
    band = curve_bands(falls, nothing, np.full(len(falls), ns[-1]), ns[:-1], level, wide, seed)
    peak = int(np.argmax(gold.mean(axis=0)))
    surest = int(np.argmax(band.low))
    if peak == ns.size - 1:
        fall, low, high = 0.0, 0.0, 0.0
    else:
        fall, low, high = float(band.mean[peak]), float(band.low[peak]), float(band.high[peak])
    turns = bool(band.low[surest] > 0)
    return TurningPoint(int(ns[peak]), int(ns[-1]), fall, low, high, turns, int(ns[surest]), gold.shape[0])
