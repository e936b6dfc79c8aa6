"""What a plan says of a log that has no log-probabilities: options, their values and costs, the choice. One record for
logs of one model (`one_model`) and of two (`cascade`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import InputError
from gsi_theory.runs.json_output import plain, with_schema
from gsi_theory.types import Flags, Floats, Ints, Record
from llm_check.logs.curves.draw_source import LogNotes
from llm_check.logs.planner.best_option import mean_error, pareto_front
from llm_check.logs.planner.goal import Goal
from llm_check.logs.planner.safe_choice import Contest, SafeChoice, safe_choice

__all__ = ["TOLERANCE", "DrawOption", "DrawPlan", "choose", "refuse_goal", "refused", "value_bounds"]

TOLERANCE = 0.01  # of the value's range


@dataclass(frozen=True)
class DrawOption:
    """method: a selector, or "stopping"; of two models best_of_n_draft, best_of_n_base or "cascade"; n draws (of the
    draft), β, threshold on the reward below which n_base draws of the base are made; of stopping n is the most draws,
    threshold the reward at which no more are made and mean_draws their mean number; needs_key: whether choosing needs
    the answer key, so that nobody can deploy it."""

    method: str
    n: int
    beta: float | None = None
    threshold: float | None = None
    n_base: int | None = None
    needs_key: bool = False
    mean_draws: float | None = None

    def text(self) -> str:
        """In words."""
        if self.mean_draws is not None and self.threshold is not None:
            return (
                f"stopping at reward ≥ {self.threshold:.4g}, at most {self.n} draws, {self.mean_draws:.3g} on average"
            )
        parts = [self.method.replace("_", " "), *([f"n = {self.n}"] if self.n else [])]
        parts += [f"β = {self.beta:g}"] if self.beta is not None else []
        parts += [f"reward ≥ {self.threshold:.4g}"] if self.threshold is not None else []
        parts += [f"n_base = {self.n_base}"] if self.n_base is not None else []
        return ", ".join(parts)


@dataclass(frozen=True)
class DrawPlan:
    """kind: "one_model" or "cascade"; options with values (S, P) over the prompts compared and costs (S,) in `unit`;
    speaking (S,): prompts that have enough draws for an option, own (S,): its mean over them; allowed (S,): which may
    be recommended; choice; baseline: the option that no answer is worse than; value and bounds: what is maximized;
    limits and assumptions: what the log cannot tell, and what was supposed."""

    kind: str
    options: tuple[DrawOption, ...]
    values: Floats
    costs: Floats
    unit: str
    speaking: Ints
    own: Floats
    allowed: Flags
    choice: SafeChoice
    baseline: int
    value: str
    bounds: tuple[float, float]
    goal: Goal
    limits: tuple[str, ...]
    assumptions: tuple[str, ...]
    about: LogNotes
    seed: int

    @property
    def recommendation(self) -> int | None:
        """Number of the option, or None."""
        return self.choice.chosen

    @property
    def reason(self) -> str:
        """Why it is recommended, or none is."""
        return self.choice.reason

    @property
    def front(self) -> Ints:
        """Options that no other beats in value at no more cost, of those that can be deployed, and the recommended."""
        open_ = np.array([not o.needs_key for o in self.options])
        rows = np.flatnonzero(open_)
        if not rows.size:
            return rows
        front = rows[pareto_front(self.values[rows].mean(axis=1), self.costs[rows])]
        chosen = [] if self.recommendation is None else [self.recommendation]
        every = np.unique([*front.tolist(), *chosen])
        return every[np.argsort(self.costs[every], kind="stable")]

    def option(self, s: int) -> Record:
        """One option as `gsi plan --json` shows it."""
        option, choice = self.options[s], self.choice
        mean, error = mean_error(self.values[[s]])
        gain, gain_error = mean_error((self.values[s] - self.values[self.baseline])[None])
        if self.values.shape[1] < 2:  # one prompt shows no error
            error, gain_error = np.full(1, np.nan), np.full(1, np.nan)
        return {
            "method": option.method,
            "rule": _RULES.get(option.method),
            "gate": "none" if option.threshold is None else "reward",
            "n": option.n,
            "n_base": option.n_base,
            "beta": option.beta,
            "threshold": option.threshold,
            "mean_draws": option.mean_draws,
            "value": mean[0],
            "value_se": error[0],
            "gain": gain[0],
            "gain_se": gain_error[0],
            "gain_low": choice.gain_low[s],
            "regret_chance": choice.chance[s],
            "cost": self.costs[s],
            "kl_bound": None,
            "needs_key": option.needs_key,
            "prompts": self.speaking[s],
            "value_of_all_prompts": self.own[s],
            "on_front": bool((self.front == s).any()),
        }

    def record(self) -> Record:
        """The object of `gsi plan --json`."""
        chosen, worth, recommended = self.recommendation, self.choice.worth, None
        if chosen is not None and worth is not None:
            recommended = self.option(chosen) | {
                "value": worth.value,
                "value_se": worth.stderr,
                "low": worth.low,
                "high": worth.high,
                "trusted": worth.trusted,
                "value_on_all": self.values[chosen].mean(),
                "tokens": None,
                "command": None,
            }
        fields = {
            "kind": self.kind,
            "recommendation": recommended,
            "reason": self.reason,
            "improve": list(self.choice.improve),
            "limits": list(self.limits),
            "assumptions": list(self.assumptions),
            "cost_unit": self.unit,
            "maximized": self.value,
            "value_range": list(self.bounds),
            "tolerance": self.goal.tolerance,
            "prompts": self.values.shape[1],
            "front": self.front,
            "chosen": chosen,
            "baseline": self.baseline,
            "iid": self.about.facts.get("iid"),
            "reward_is_grade": bool(self.about.facts.get("reward_is_grade")),
            "seed": self.seed,
            "left_out": self.about.left_out,
            "valid": self.about.verdict["valid"],
            "doctor": self.about.verdict,
            "decides": None,
            "options": [self.option(s) for s in range(len(self.options))],
        }
        record: Record = plain(with_schema("plan", fields))
        return record


_RULES = {"soft_best_of_n": "softmax", "race": "race"} | dict.fromkeys(
    ("best_of_n", "best_of_n_draft", "best_of_n_base", "cascade", "stopping"), "max"
)


def refuse_goal(goal: Goal, kind: str) -> None:
    """InputError for parts of a goal that need log-probabilities, or a base."""
    if np.isfinite(goal.max_kl):
        raise InputError(f"max_kl {goal.max_kl:g} on {kind}: without log-probabilities of two models there is no bound")
    if goal.within is not None and kind == "a log of one model":
        raise InputError(f"within {goal.within:g} on {kind}: there is no base to be within of, give min_gain")


def refused(about: LogNotes) -> tuple[str, tuple[str, ...]] | None:
    """Why nothing may be recommended from a log, and what would help: its draws were declared dependent, or the doctor
    finds that its numbers are not what they seem; None where neither is so."""
    if about.facts.get("iid") is False:
        how = about.facts.get("how", "declared so")
        reason = f"the draws are not independent ({how}): what fresh draws would do cannot be told"
        return reason, ("draws that are independent, one law a prompt",)
    if about.verdict["errors"]:
        wrong = ", ".join(about.verdict["errors"])
        return f"the log is not valid: {wrong} (gsi doctor says more)", ("what gsi doctor advises",)
    return None


def value_bounds(about: LogNotes, value: str, stated: tuple[float, float] | None) -> tuple[float, float]:
    """The range of the value: 0 and 1 of correctness, the stated range of the reward, else what the log shows.

    Raises InputError for a value that the log lacks, a stated range that the log leaves.
    """
    if value not in about.ranges:
        raise InputError(f"value {value!r}: this log has {', '.join(about.ranges) or 'neither reward nor correct'}")
    if value == "correct":
        return 0.0, 1.0
    least, most = about.ranges[value]
    low, high = stated or (about.stated if value == "reward" else (-np.inf, np.inf))
    if stated is not None and not (np.isfinite([low, high]).all() and low <= least and most <= high and low < high):
        raise InputError(f"reward range {low:g} {high:g}: the log holds {least:g} to {most:g}, give their range")
    return (low if np.isfinite(low) else least), (high if np.isfinite(high) else most)


def choose(
    options: Sequence[DrawOption],
    values: Floats,
    costs: Floats,
    goal: Goal,
    bounds: tuple[float, float],
    about: LogNotes,
    baseline: int,
    reference: int,
    against: str,
    seed: int,
) -> tuple[SafeChoice, Flags]:
    """(choice, which may be recommended (S,)): options that anybody can deploy, within the budget."""
    deployable = np.array([not o.needs_key for o in options])
    allowed = deployable & (costs <= goal.max_cost * (1 + 1e-9))
    nothing = np.full(len(options), np.nan)
    refusal = refused(about)
    if refusal is not None:
        return SafeChoice(None, *refusal, nothing, nothing), allowed
    if not allowed.any():
        least = float(costs[deployable].min()) if deployable.any() else np.inf
        reason = f"nothing costs {goal.max_cost:.4g} or less: the cheapest is {least:.4g}"
        if not deployable.any():
            reason = "every selector that this log allows needs the answer key"
        return SafeChoice(None, reason, (), nothing, nothing), allowed
    margin = goal.min_gain if goal.within is None else -goal.within
    tolerance = goal.tolerance * (bounds[1] - bounds[0])
    contest = Contest(values, costs, allowed, allowed, baseline, tolerance, bounds, seed, margin, reference)
    return safe_choice(contest, [o.text() for o in options], against), allowed
