"""What a goal asks of the options, and the answer when it is proved: the best in a budget, or the cheapest that does.

Every comparison is in pairs over units and simultaneous over all options (`choose`). Where the tail of the drafts'
weights was not seen (k̂ beyond `khat_limit`), what no draw has shown may decide a winner: its largest possible effect
is added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.intervals import Interval
from llm_check.planner.choose import Picker, cross_fit, pick_best, standing
from llm_check.planner.table import PlanTable
from llm_check.planner.tail import draft_tail

__all__ = ["Choice", "Goal", "best_of", "cheapest_of", "unseen_effect", "worth_of"]

Floats = NDArray[np.float64]
Bounds = tuple[float, float]  # of the value maximized
# An outcome of probability a was missed by all of N draws with probability above 5 % only if a N < log 20.
UNSEEN = float(-np.log(0.05))
LOOSEST = 0.5  # largest tolerance that is advised
FAR = 100.0  # times as many candidates: no number to plan with


@dataclass(frozen=True)
class Goal:
    """What is asked. At most one of min_gain (over one base draw), within (of soft best-of-n on the base, n =
    baseline_n): the cheapest option that reaches it; otherwise the best of those that cost at most max_cost and are at
    most max_kl from the tilted policy. value: the column to maximize; tolerance: share of the value the best may lie
    above the recommended."""

    max_cost: float = np.inf
    min_gain: float | None = None
    within: float | None = None
    baseline_n: int = 16
    max_kl: float = np.inf
    value: str = "reward"
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.min_gain is not None and self.within is not None:
            raise InputError("both min_gain and within: state one goal")
        if self.min_gain is not None and not np.isfinite(self.min_gain):
            raise InputError(f"min_gain {self.min_gain!r}: give a finite number")
        if self.within is not None and not 0 <= self.within < np.inf:
            raise InputError(f"within {self.within!r}: give a finite number ≥ 0")
        if self.baseline_n < 1:
            raise InputError(f"baseline_n {self.baseline_n!r}: give 1 or more")
        for name, number in (("max_cost", self.max_cost), ("max_kl", self.max_kl)):
            if not number > 0:
                raise InputError(f"{name} {number!r}: give a positive number")
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance {self.tolerance!r}: give a share between 0 and 1, such as 0.01")


def unseen_effect(table: PlanTable, rows: NDArray[np.int64], chosen: int, bounds: Bounds) -> Floats:
    """What outcomes that no draw has shown may add to the shortfall of `chosen` against each of `rows`."""
    out = np.empty(rows.size)
    for k, s in enumerate(rows.tolist()):
        pair = (table.options[s], table.options[chosen])
        heavy = [o.n for o in pair if table.tails[o.beta].heavy and o.method == "gsi" and o.n > 1]
        out[k] = min(1.0, UNSEEN * max(heavy) / table.drafts) * (bounds[1] - bounds[0]) if heavy else 0.0
    return out


@dataclass(frozen=True)
class Choice:
    """chosen: number of the option, None for "cannot tell" (why in reason, what would help in improve).

    worth: its value, cross-fitted, with a 95 % interval; shortfall: the bound that was tested.
    """

    chosen: int | None
    reason: str
    improve: tuple[str, ...] = ()
    worth: Interval | None = None
    shortfall: float = 0.0


def worth_of(values: Floats, table: PlanTable, bounds: Bounds, pick: Picker, chosen: int) -> Interval:
    """Value of the choice, in `bounds`. With the prompts held fixed, what no draw has shown widens the interval."""
    found = cross_fit(values, pick, None if table.fixed else bounds)
    if not table.fixed:
        return found
    option, (low, high) = table.options[chosen], bounds
    n = option.n if option.threshold is None else max(option.n, option.n_base)
    shift = (high - low) * min(1.0, UNSEEN * n / min(table.drafts, table.base_draws))
    ends = np.maximum(found.low - shift, low), np.minimum(found.high + shift, high)
    return replace(found, low=ends[0], high=ends[1], trusted=np.array(False))


def best_of(values: Floats, allowed: NDArray[np.bool_], table: PlanTable, goal: Goal, bounds: Bounds) -> Choice:
    """The best allowed option, if no other can be better by more than the tolerance."""

    def pick(training: Floats) -> int | None:
        return pick_best(training.mean(axis=1), allowed)

    chosen = pick(values)
    if chosen is None:
        return Choice(None, "")
    worth = worth_of(values, table, bounds, pick, chosen)
    rows = np.flatnonzero(allowed)
    place = standing(values[rows], values[chosen])
    unseen = unseen_effect(table, rows, chosen, bounds)
    upper = np.minimum(place.upper + unseen, bounds[1] - bounds[0])
    worst = int(np.argmax(upper))
    shortfall, mean = float(max(upper[worst], 0.0)), abs(float(values[chosen].mean()))
    allowance = goal.tolerance * mean
    if shortfall <= allowance:
        reason = (
            f"no other option within the budget is better by more than {shortfall:.4f} (95 %, all options together), "
            f"{100 * goal.tolerance:.3g}% of the value is {allowance:.4f}"
        )
        return Choice(chosen, reason, (), worth, shortfall)
    rival = table.options[int(rows[worst])]
    share = f"{100 * goal.tolerance:.3g}% of the value ({allowance:.4f})"
    why = f"{rival.text()} may be better by {shortfall:.4f}, more than {share}"
    if unseen[worst] > 0.5 * shortfall:
        tail = table.tails[max(rival.beta, table.options[chosen].beta)]
        why += f"; cannot tell at β = {tail.beta:g}: {draft_tail([tail])}"
    reason = f"cannot tell the best of the options from this pool: {why}"
    help_ = _more((shortfall / max(allowance, 1e-300)) ** 2, table)
    enough = _tolerance(shortfall, mean)
    improve = (
        help_ if enough is None else f"{help_} (or --tolerance {enough:g})",
        "fewer options: give the β, n and thresholds you can use",
    )
    return Choice(None, reason, improve, worth, shortfall)


def _tolerance(shortfall: float, mean: float) -> float | None:
    """The least tolerance of two digits at which a shortfall is allowed; None where it would be no goal any more."""
    if not shortfall < mean:
        return None
    digit = 10.0 ** (np.floor(np.log10(shortfall / mean)) - 1.0)
    found = float(np.ceil(shortfall / mean / digit - 1e-9) * digit)
    return found + digit * (found * mean < shortfall) if found <= LOOSEST else None


def _more(factor: float, table: PlanTable) -> str:
    """What so many times the independent units are. Prompts that are held fixed are not drawn again: candidates are."""
    if not table.fixed:
        return f"about {_times(factor)} times as many prompts"
    if factor > FAR:
        return "many more candidates, or 10 prompts or more"
    return f"about {_times(factor)} times as many candidates, or 10 prompts or more"


def _times(factor: float) -> str:
    """A factor in words, rounded up: one that is nearly enough is not one."""
    return f"{np.ceil(10.0 * factor) / 10.0:.1f}" if factor < 10.0 else f"{min(factor, 1e6):.0f}"


def cheapest_of(
    values: Floats,
    allowed: NDArray[np.bool_],
    reference: int,
    margin: float,
    costs: Floats,
    what: str,
    table: PlanTable,
    bounds: Bounds,
) -> Choice:
    """The cheapest allowed option whose value is at least the reference's plus `margin`, proved at 95 %."""
    rows = np.flatnonzero(allowed)
    if rows.size == 0:
        return Choice(None, "")
    unseen = unseen_effect(table, rows, reference, bounds)

    def pick(training: Floats) -> int | None:
        good = rows[standing(training[rows], training[reference]).lower - unseen >= margin]
        return int(good[np.argmin(costs[good])]) if good.size else None

    chosen = pick(values)
    if chosen is not None:
        reason = f"the cheapest option that is {what}, at 95 % for all together"
        return Choice(chosen, reason, (), worth_of(values, table, bounds, pick, chosen))
    place = standing(values[rows], values[reference])
    lower = place.lower - unseen
    top = int(np.argmax(lower))
    reason = (
        f"cannot tell that any option is {what}: asked is {margin:+.4f}, the best bound is {lower[top]:+.4f}, "
        f"its estimate {place.gap[top]:+.4f}"
    )
    if place.lower[top] >= margin:
        tail = table.tails[table.options[int(rows[top])].beta]
        reason += f", less {unseen[top]:.4f} for unseen drafts at β = {tail.beta:g}: {draft_tail([tail])}"
    spread = place.quantile * place.error[top] + unseen[top]
    if place.gap[top] > margin:
        return Choice(None, reason, (_more((spread / max(place.gap[top] - margin, 1e-12)) ** 2, table),))
    rest = np.flatnonzero(~allowed)
    if rest.size and float(values[rest].mean(axis=1).max() - values[reference].mean()) > margin:
        return Choice(None, reason, ("a larger budget (--max-cost, --max-kl): options beyond it reach it",))
    return Choice(None, reason, ("larger n, other β",))
