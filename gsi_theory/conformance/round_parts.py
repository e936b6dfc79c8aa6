"""One round of a method in parts that a mistake can change: who proposes, by what weights, what passes, what replaces.

    P(y) = S(y) a(y) + (1 − Σ S a) B(y)

with S the law of the selection among n drafts, a the chance that its winner passes, B the law of the fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np

from gsi_theory.arrays.logscale import log_sum
from gsi_theory.instance import Instance, Scheme, beta_times, tilted_reward
from gsi_theory.laws.rsd import sigmoid, step
from gsi_theory.laws.selection_law import selection_law
from gsi_theory.laws.speculative import speculative_law
from gsi_theory.methods import Method
from gsi_theory.rules.max import MAX
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.softmax import SOFTMAX
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Floats

__all__ = ["RoundParts", "lists", "parts_of", "scaled", "softmax"]


@dataclass(frozen=True)
class RoundParts:
    """proposal, weight (K,): log-law of a draft and its log-weight; n drafts, selected by `rule`.

    passes (K,): the chance that the winner passes. base (K,), base_weight (K,), n_base: the fallback's draws, selected
    by the same rule; `residual`: its log-law where it is no selection.
    """

    proposal: Floats
    weight: Floats
    n: int
    rule: Rule
    passes: Floats
    base: Floats
    base_weight: Floats
    n_base: int
    residual: Floats | None = None

    def selected(self, n: int | None = None, proposal: Floats | None = None) -> Floats:
        """S (K,), of n drafts, of another law."""
        log_law = self.proposal if proposal is None else proposal
        return np.exp(selection_law(log_law, self.weight, self.n if n is None else n, self.rule).log_prob)

    def fallback(self) -> Floats:
        """B (K,)."""
        if self.residual is not None:
            return np.exp(self.residual)
        return np.exp(selection_law(self.base, self.base_weight, self.n_base, self.rule).log_prob)

    def law(self, selected: Floats | None = None) -> Floats:
        """P (K,), with another S where one is given."""
        taken = (self.selected() if selected is None else selected) * self.passes
        return taken + max(1.0 - taken.sum(), 0.0) * self.fallback()

    @property
    def listed(self) -> bool:
        """Whether the rule is one whose choice from a list is a formula of the list: softmax or max."""
        return self.rule is SOFTMAX or self.rule is MAX

    def chances(self, outcomes: tuple[int, ...], weight: Floats | None = None) -> Floats:
        """The rule's choice from a list of outcomes: probabilities of its places."""
        values = (self.weight if weight is None else weight)[list(outcomes)]
        return (
            softmax(values)
            if self.rule is SOFTMAX
            else np.where(values == values.max(), 1.0, 0.0) / np.sum(values == values.max())
        )

    def enumerated(self, choose: Callable[[tuple[int, ...]], Floats]) -> Floats:
        """S (K,) where `choose` gives the places' chances of every list of n drafts."""
        law = np.zeros(self.proposal.size)
        for chance, outcomes in lists(self.proposal, self.n):
            np.add.at(law, list(outcomes), chance * choose(outcomes))
        return law


def softmax(values: Floats) -> Floats:
    """e^v/Σ e^v."""
    return np.asarray(np.exp(values - float(log_sum(values))))


def lists(log_prob: Floats, n: int) -> list[tuple[float, tuple[int, ...]]]:
    """Every multiset of n draws with its probability."""
    p = np.exp(log_prob)
    orders = [
        (factorial(n) // prod(factorial(each.count(y)) for y in set(each)), each)
        for each in combinations_with_replacement(np.flatnonzero(p).tolist(), n)
    ]
    return [(float(count * np.prod(p[list(each)])), each) for count, each in orders]


def scaled(log_prob: Floats, temperature: float) -> Floats:
    """The law at a sampling temperature, log-probabilities (K,)."""
    powered = log_prob / temperature
    return np.asarray(powered - float(log_sum(powered)))


def parts_of(method: Method, instance: Instance, scheme: Scheme) -> RoundParts | None:
    """The parts of a method's round; None for one whose round has others (searches, score gates, random numbers of
    draws, several proposals)."""
    if method.mixed or method.search != "all" or method.numbers != "fixed" or method.gate in ("score", "budget"):
        return None
    used = method.applied(scheme)
    drafted = method.proposal == "draft"
    raised, ratio = beta_times(instance.reward, used.beta), instance.log_ratio
    limit = np.log(used.n)
    weights = {
        "none": np.zeros(instance.size),
        "reward": raised,
        "best": instance.reward,
        "ratio": raised + ratio,
        "clipped": raised + np.minimum(ratio, limit),
        "clipped_both": raised + np.clip(ratio, -limit, limit),
    }
    passes, residual = np.ones(instance.size), None
    if method.gate == "tilted_reward" and used.threshold is not None:
        passes = step(used.threshold)(tilted_reward(instance, used.beta))
    elif method.gate == "reward" and used.threshold is not None:
        passes = step(used.threshold)(instance.reward)
    elif method.gate == "sigmoid" and used.threshold is not None:
        passes = sigmoid(used.threshold, used.beta)(instance.reward)
    elif method.gate == "ratio":
        passes, residual = np.exp(np.minimum(ratio, 0.0)), speculative_law(instance).residual_log_prob
    return RoundParts(
        instance.log_draft if drafted else instance.log_base,
        weights[method.weight],
        used.n,
        rule_named(used.rule),
        passes,
        instance.log_base,
        raised if method.fallback == "select" else np.zeros(instance.size),
        used.base_draws,
        residual if method.fallback == "residual" else None,
    )
