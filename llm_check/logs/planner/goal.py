"""What a goal asks of the options, and the answer when it is proved.

Without a goal the answer is the cheapest option within the budget than which no other is better by more than the
tolerance; with one, the cheapest that is proved to reach it. Of costs within 2 % that of more value is taken, of
equal value that of less KL. What is not proved of any option is not answered: "cannot tell".

Every comparison is in pairs over units, at 95 % for all options at once (`choose`). Where the tail of the drafts'
weights was not seen (k̂ beyond `khat_limit`), what no draw has shown may decide a winner: its largest possible effect
is added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gsi_theory.errors import InputError
from gsi_theory.samples.intervals import Interval
from gsi_theory.types import Floats
from llm_check.logs.planner.best_option import Picker, behind_best, by_cost, cross_fit, pick_best, standing
from llm_check.logs.planner.option_table import PlanTable
from llm_check.logs.planner.scheme_grid import TOLERANCE
from llm_check.logs.planner.tail import draft_tail

__all__ = ["Choice", "Goal", "Question", "best_of", "cheapest_of", "unseen_effect", "worth_of"]

Bounds = tuple[float, float]  # of the value maximized
# An outcome of probability a was missed by all of N draws with probability above 5 % only if a N < log 20.
UNSEEN = float(-np.log(0.05))
LOOSEST = 0.5  # largest tolerance that is advised
CLOSE = 0.02  # costs are estimates: a smaller saving is none, and buys no loss of value
FAR = 100.0  # times as many candidates: no number to plan with


@dataclass(frozen=True)
class Goal:
    """What is question. At most one of min_gain (over one base draw), within (of soft best-of-n on the base, n =
    baseline_n): the cheapest option that reaches it; otherwise the cheapest that is as good, but for the tolerance, as
    the best. Only options that cost at most max_cost and are at most max_kl from the tilted policy count. value: the
    column to maximize; tolerance: share of the value's range by which the best may lie above the recommended."""

    max_cost: float = np.inf
    min_gain: float | None = None
    within: float | None = None
    baseline_n: int = 16
    max_kl: float = np.inf
    value: str = "reward"
    tolerance: float = TOLERANCE

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
            raise InputError(f"tolerance {self.tolerance!r}: give a share between 0 and 1, such as {TOLERANCE:g}")


@dataclass(frozen=True)
class Question:
    """allowed (S,): options that count; costs and kl_bound (S,): what they are preferred by; bounds: of the value;
    seed: of the bootstrap; borne (S,): those that may be chosen, all by default, others are compared with."""

    table: PlanTable
    allowed: NDArray[np.bool_]
    costs: Floats
    kl_bound: Floats
    bounds: Bounds
    seed: int = 0
    borne: NDArray[np.bool_] | None = None

    def cheapest(self, good: NDArray[np.int64], means: Floats) -> int | None:
        """Of the options `good` the one to take, by the means (S,) of all; None where there is none."""
        good = good if self.borne is None else good[self.borne[good]]
        if not good.size:
            return None
        close = good[self.costs[good] <= (1.0 + CLOSE) * self.costs[good].min()]
        return int(close[by_cost(means[close], np.zeros(close.size), self.kl_bound[close])[0]])


def unseen_effect(
    table: PlanTable, values: Floats, rows: NDArray[np.int64], chosen: int, bounds: Bounds
) -> tuple[Floats, float]:
    """What outcomes that no draw has shown may add to the shortfall of `chosen` against each of `rows`, and what they
    may take from the value of `chosen` alone; values (S,) are means.

    Among n draws with chance q they make an option at most q · (highest − lowest) better, and not better than the
    highest; worse likewise. Of two options the larger q counts, for they miss the same outcomes.
    """
    heavy = np.array([_heavy(table, s) for s in (*rows.tolist(), chosen)], dtype=np.float64)
    chance, (low, high) = np.minimum(1.0, UNSEEN * heavy / table.drafts), bounds
    up = np.clip(high - values[rows], 0.0, chance[:-1] * (high - low))
    down = float(np.clip(values[chosen] - low, 0.0, chance[-1] * (high - low)))
    return np.minimum(np.maximum(chance[:-1], chance[-1]) * (high - low), up + down), down


def _heavy(table: PlanTable, s: int) -> int:
    """n of an option that selects among drafts whose tail was not seen, else 0."""
    o = table.options[s]
    return o.n if table.tails[o.beta].heavy and o.weighs_ratio and o.n > 1 else 0


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
    worth = cross_fit(values, pick, None if table.fixed else bounds)
    if not table.fixed:
        return worth
    option, (low, high) = table.options[chosen], bounds
    n = option.n if option.threshold is None else max(option.n, option.n_base)
    shift = (high - low) * min(1.0, UNSEEN * n / min(table.drafts, table.base_draws))
    ends = np.maximum(worth.low - shift, low), np.minimum(worth.high + shift, high)
    return replace(worth, low=ends[0], high=ends[1], trusted=np.array(False))


@dataclass(frozen=True)
class _Near:
    """Options near the best by estimate (C,), with bounds of how much better another may be, the other, and what is
    allowed."""

    options: NDArray[np.int64]
    shortfall: Floats
    rival: NDArray[np.int64]
    allowance: float

    @property
    def good(self) -> NDArray[np.int64]:
        """Those than which no other is better by more than is allowed."""
        return self.options[self.shortfall <= self.allowance]


def _near(values: Floats, question: Question, tolerance: float) -> _Near:
    rows = np.flatnonzero(question.allowed)
    means = values[rows].mean(axis=1)
    every, (low, high) = values.mean(axis=1), question.bounds
    allowance = tolerance * (high - low)
    near = np.flatnonzero(means.max() - means <= allowance)
    effects = [unseen_effect(question.table, every, rows, int(rows[c]), question.bounds) for c in near]
    unseen, below = np.stack([up for up, _ in effects]), np.array([down for _, down in effects])
    # accepted parts are unbiased, not bounded: of a value beyond it the ceiling is none
    ceiling = max(high, float(means.max()))
    behind = behind_best(values[rows], near, unseen, question.seed, ceiling, below)
    shortfall = np.minimum(behind.shortfall, high - low)
    return _Near(rows[near], shortfall, rows[behind.rival], allowance)


def best_of(values: Floats, goal: Goal, question: Question) -> Choice:
    """The cheapest allowed option than which no other is better by more than the tolerance."""
    if not question.allowed.any():
        return Choice(None, "")

    def largest(training: Floats) -> int | None:
        return pick_best(training.mean(axis=1), question.allowed)

    def pick(training: Floats) -> int | None:
        return question.cheapest(_near(training, question, goal.tolerance).good, training.mean(axis=1))

    near, table = _near(values, question, goal.tolerance), question.table
    share = f"{100 * goal.tolerance:.3g}% of the range of the value ({near.allowance:.4g})"
    chosen = question.cheapest(near.good, values.mean(axis=1))
    if chosen is not None:
        at = int(np.flatnonzero(near.options == chosen)[0])
        reason = (
            f"the cheapest option within the budget than which no other is better by more than {share}: by "
            f"{near.shortfall[at]:.4g} at most (95 %, all options together)"
        )
        worth = worth_of(values, table, question.bounds, pick, chosen)
        return Choice(chosen, reason, (), worth, float(near.shortfall[at]))
    at = int(np.argmin(near.shortfall))
    shortfall, width = float(near.shortfall[at]), question.bounds[1] - question.bounds[0]
    first, rival = (table.options[int(s)] for s in (near.options[at], near.rival[at]))
    why = f"{rival.text()} may be better than {first.text()} by {shortfall:.4g}, more than {share}"
    if shortfall >= 0.9 * (question.bounds[1] - float(values[near.options[at]].mean())):
        why += ", about all that the largest reward leaves"
    at_stake = unseen_effect(table, values.mean(axis=1), near.rival[[at]], int(near.options[at]), question.bounds)[0]
    if at_stake[0] > 0.5 * shortfall:
        tail = table.tails[max(rival.beta, first.beta)]
        why += f"; cannot tell at β = {tail.beta:g}: {draft_tail([tail])}"
    help_, enough = _more(shortfall, near.allowance, table), _tolerance(shortfall, width)
    other = "a goal in units of the value, --within or --min-gain" if enough is None else f"--tolerance {enough:g}"
    return Choice(
        None,
        f"cannot tell the best of the options from this pool: {why}",
        (f"{help_} (or {other})", "fewer options: give the β, n and thresholds you can use"),
        worth_of(values, table, question.bounds, largest, int(largest(values) or 0)),
        shortfall,
    )


def _tolerance(shortfall: float, width: float) -> float | None:
    """The least tolerance of two digits at which a shortfall is allowed; None where it would be no goal any more."""
    if not 0.0 < shortfall < width:
        return None
    digit = 10.0 ** (np.floor(np.log10(shortfall / width)) - 1.0)
    least = float(np.ceil(shortfall / width / digit - 1e-9) * digit)
    return least + digit * (least * width < shortfall) if least <= LOOSEST else None


def _more(shown: float, allowed: float, table: PlanTable) -> str:
    """How many times the independent units bring an error from `shown` to `allowed`. Prompts that are held fixed are
    not drawn again: candidates are."""
    # a ratio of FAR or more is not squared: it may be infinite
    factor = (shown / allowed) ** 2 if shown < FAR * allowed else np.inf
    many = f"about {_times(factor)} times as many" if factor <= FAR else "many more"
    return f"{many} candidates, or 10 prompts or more" if table.fixed else f"{many} prompts"


def _times(factor: float) -> str:
    """A factor in words, rounded up: one that is nearly enough is not one."""
    return f"{np.ceil(10.0 * factor) / 10.0:.1f}" if factor < 10.0 else f"{np.ceil(factor):.0f}"


def cheapest_of(values: Floats, reference: int, margin: float, what: str, question: Question) -> Choice:
    """The cheapest allowed option whose value is at least the reference's plus `margin`, proved at 95 %."""
    rows, table = np.flatnonzero(question.allowed), question.table
    if rows.size == 0:
        return Choice(None, "")
    unseen = unseen_effect(table, values.mean(axis=1), rows, reference, question.bounds)[0]

    def pick(training: Floats) -> int | None:
        against = standing(training[rows], training[reference], question.seed)
        return question.cheapest(rows[against.lower - unseen >= margin], training.mean(axis=1))

    chosen = pick(values)
    if chosen is not None:
        reason = f"the cheapest option that is {what}, at 95 % for all together"
        return Choice(chosen, reason, (), worth_of(values, table, question.bounds, pick, chosen))
    against = standing(values[rows], values[reference], question.seed)
    lower = against.lower - unseen
    top = int(np.argmax(lower))
    reason = (
        f"cannot tell that any option is {what}: asked is {margin:+.4f}, the best bound is {lower[top]:+.4f}, "
        f"its estimate {against.gap[top]:+.4f}"
    )
    if against.lower[top] >= margin:
        tail = table.tails[table.options[int(rows[top])].beta]
        reason += f", less {unseen[top]:.4f} for unseen drafts at β = {tail.beta:g}: {draft_tail([tail])}"
    spread = against.quantile * against.error[top] + unseen[top]
    if against.gap[top] > margin:
        return Choice(None, reason, (_more(spread, float(against.gap[top]) - margin, table),))
    rest = np.flatnonzero(~question.allowed)
    if rest.size and float(values[rest].mean(axis=1).max() - values[reference].mean()) > margin:
        return Choice(None, reason, ("a larger budget (--max-cost, --max-kl): options beyond it reach it",))
    return Choice(None, reason, ("larger n, other β",))
