"""Choosing among options that were measured on the same prompts, never worse than what there is without them.

    no harm    only options whose gain over the baseline is proved to be at least 0, at 95 % for all options together
               (`best_option.standing`), and the baseline itself
    no regret  of these the cheapest than which another option is better by more than the tolerance with a chance of 5 %
               at most: the share, among means drawn around the measured ones with the spread that prompts show, in
               which the best option of all that the budget allows lies that far above it

The first is a test, the second a weighing: of answers so given, at most about one in twenty regrets. With a margin (a
goal) the cheapest harmless option whose gain over a reference is proved to reach it. Shapes: S options, P prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gsi_theory.runs.terminal import counted
from gsi_theory.samples.intervals import Interval
from gsi_theory.types import Flags, Floats
from llm_check.logs.planner.best_option import by_cost, cross_fit, mean_error, standing

__all__ = ["FEWEST_PROMPTS", "Contest", "SafeChoice", "regret_chance", "safe_choice"]

FEWEST_PROMPTS = 5  # fewer do not show how prompts differ
CHANCE = 0.05
_DRAWS = 2000
_CLOSE = 0.02  # costs are estimates: a smaller saving is none
_MOST = 100.0  # times as many prompts: no number to plan with


@dataclass(frozen=True)
class Contest:
    """values (S, P) of the options; costs (S,); allowed (S,): in the budget, and fit to be recommended; rivals (S,):
    those whose being better is regretted; baseline: the option that no answer is worse than; tolerance: in units of the
    value; bounds: of the value; seed: of the draws; margin, reference: of a goal, None without."""

    values: Floats
    costs: Floats
    allowed: Flags
    rivals: Flags
    baseline: int
    tolerance: float
    bounds: tuple[float, float]
    seed: int = 0
    margin: float | None = None
    reference: int = 0


@dataclass(frozen=True)
class SafeChoice:
    """chosen: number of the option or None, with the reason and what would help; gain_low (S,): simultaneous lower
    bounds of the gain over the baseline; chance (S,): of regret; worth: value of the chosen, cross-fitted."""

    chosen: int | None
    reason: str
    improve: tuple[str, ...]
    gain_low: Floats
    chance: Floats
    worth: Interval | None = None


def regret_chance(contest: Contest, values: Floats) -> Floats:
    """Chance (S,) that some rival is better by more than the tolerance; an error of the means is Student's."""
    count, prompts = values.shape
    mean, _ = mean_error(values)
    rng = np.random.default_rng([contest.seed, 1])
    freedom = max(prompts - 1.0, 1.0)
    weights = rng.normal(size=(_DRAWS, prompts)) * np.sqrt(freedom / rng.chisquare(freedom, size=(_DRAWS, 1)))
    drawn = mean + weights @ (values - mean[:, None]).T / np.sqrt(prompts * max(prompts - 1, 1))
    best = drawn[:, contest.rivals].max(axis=1) if contest.rivals.any() else np.full(_DRAWS, -np.inf)
    rounding = 1e-9 * (contest.bounds[1] - contest.bounds[0])
    return np.asarray((best[:, None] - drawn > contest.tolerance + rounding).mean(axis=0)).reshape(count)


def _pick(contest: Contest, values: Floats) -> tuple[int | None, Floats, Floats]:
    """(choice, lower bounds of the gain (S,), chance of regret (S,)) on some prompts."""
    seed = contest.seed
    some = contest.allowed.copy()
    some[contest.baseline] = True
    rows = np.flatnonzero(some)
    low = np.full(values.shape[0], np.nan)
    low[rows] = standing(values[rows], values[contest.baseline], seed).lower
    good = contest.allowed & (np.nan_to_num(low, nan=-1.0) >= 0.0)
    if contest.margin is not None:
        rows = np.flatnonzero(contest.allowed)
        reached = np.full(values.shape[0], -np.inf)
        reached[rows] = standing(values[rows], values[contest.reference], seed).lower
        return _cheapest(contest, values, good & (reached >= contest.margin)), low, np.zeros(values.shape[0])
    chance = regret_chance(contest, values)
    return _cheapest(contest, values, good & (chance <= CHANCE)), low, chance


def _cheapest(contest: Contest, values: Floats, good: Flags) -> int | None:
    rows = np.flatnonzero(good)
    if not rows.size:
        return None
    close = rows[contest.costs[rows] <= (1.0 + _CLOSE) * contest.costs[rows].min()]
    return int(close[by_cost(values[close].mean(axis=1), np.zeros(close.size), close)[0]])


def safe_choice(contest: Contest, named: list[str], against: str) -> SafeChoice:
    """The choice, why, or why not; named (S,): the options in words; against: the baseline in words."""
    values = contest.values
    prompts = values.shape[1]
    if prompts < FEWEST_PROMPTS:
        reason = f"cannot tell from {counted(prompts, 'prompt')} what others are like"
        empty = np.full(values.shape[0], np.nan)
        return SafeChoice(None, reason, (f"draws of {FEWEST_PROMPTS} prompts or more",), empty, empty)
    chosen, low, chance = _pick(contest, values)
    if chosen is not None:
        worth = cross_fit(values, lambda part: _pick(contest, part)[0], contest.bounds)
        return SafeChoice(chosen, _because(contest, chosen, low, chance, against), (), low, chance, worth)
    reason, improve = _why_not(contest, low, chance, named, against)
    return SafeChoice(None, reason, improve, low, chance)


def _because(contest: Contest, chosen: int, low: Floats, chance: Floats, against: str) -> str:
    if chosen == contest.baseline:
        harm = f"it is {against}"
    else:
        harm = f"better than {against} by {low[chosen]:.4g} or more (95 %, all options together)"
    if contest.margin is not None:
        return f"the cheapest option that reaches the goal at 95 %, all options together; {harm}"
    return (
        f"{harm}; the cheapest such option than which another within the budget is better by more than "
        f"{contest.tolerance:.4g} with a chance of {100 * CHANCE:.0f} % at most (here {100 * chance[chosen]:.1f} %)"
    )


def _why_not(
    contest: Contest, low: Floats, chance: Floats, named: list[str], against: str
) -> tuple[str, tuple[str, ...]]:
    values, prompts = contest.values, contest.values.shape[1]
    mean, _ = mean_error(values)
    rows = np.flatnonzero(contest.allowed)
    top = int(rows[np.argmax(mean[rows])])
    gap, error = mean_error((values[top] - values[contest.baseline])[None])
    if contest.margin is not None:
        gap, error = mean_error((values[top] - values[contest.reference])[None])
        reason = (
            f"cannot tell that any option reaches the goal: {named[top]} differs by {gap[0]:+.4g} ± {error[0]:.2g} "
            f"from {named[contest.reference]}, asked is {contest.margin:+.4g}"
        )
        return reason, (_prompts(prompts, 2.5 * float(error[0]), float(gap[0]) - contest.margin),)
    harmless = np.nan_to_num(low, nan=-1.0) >= 0.0
    if not harmless[top]:
        reason = (
            f"cannot tell that {named[top]}, of the largest estimate, is no worse than {against}: the gain is "
            f"{gap[0]:+.4g} ± {error[0]:.2g}, at least {low[top]:+.4g} (95 %, all options together)"
        )
        return reason, (_prompts(prompts, float(gap[0] - low[top]), float(gap[0])), "fewer options: --n, --beta")
    best = int(np.where(contest.allowed & harmless, chance, np.inf).argmin())
    rivals = np.flatnonzero(contest.rivals)
    apart, errors = mean_error(values[rivals] - values[best])
    rival = int(np.argmax(apart + 1.645 * errors))
    reason = (
        f"cannot tell the best: than {named[best]} another may be better by more than {contest.tolerance:.4g} with a "
        f"chance of {100 * chance[best]:.0f} %, such as {named[int(rivals[rival])]}, by {apart[rival]:+.4g} ± "
        f"{errors[rival]:.2g}"
    )
    short = float(apart[rival] + 1.645 * errors[rival])
    return reason, (
        _prompts(prompts, 1.645 * float(errors[rival]), contest.tolerance - float(apart[rival])),
        f"or a tolerance of {short / (contest.bounds[1] - contest.bounds[0]):.2g} of the range (--tolerance)",
    )


def _prompts(prompts: int, spread: float, room: float) -> str:
    """How many prompts bring an error from `spread` to `room`."""
    if not 0.0 < spread < np.sqrt(_MOST) * room:
        return "many more prompts, larger n or other selectors"
    return f"about {np.ceil(prompts * max(spread / room, 1.0) ** 2):.0f} prompts"
