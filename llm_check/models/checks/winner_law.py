"""The law of the winner among candidates that were drawn: exact for every set of them, whatever drew them.

Given a run's candidates and their log-weights, the rule's own mean over its one n-subset (M31) is the probability that
each wins; a score gate on the race passes with 1 - Π (1 - min(1, w/M)) (M9, T uniform). Shapes: R runs, n candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gsi_theory import Scheme
from gsi_theory.rules.rule import Rule
from gsi_theory.rules.table import rule_named
from gsi_theory.types import Floats

__all__ = ["places_of_winners", "score_gate_passes", "winner_probabilities"]


def winner_probabilities(log_weight: Floats, rule: str | Rule) -> Floats:
    """P(candidate j wins | candidates) (R, n)."""
    runs, n = log_weight.shape
    result = np.empty((runs, n))
    means, count = rule_named(rule).subset_means, np.array([n])
    for row, out in zip(log_weight, result, strict=True):
        order = np.argsort(row, kind="stable")
        out[order] = means(np.eye(n), row[order], count)[:, 0]
    return result / result.sum(axis=1, keepdims=True)


def score_gate_passes(log_weight: Floats, scheme: Scheme) -> Floats:
    """P(the winning score of the race is at least M = e^{βu} | candidates) (R,)."""
    assert scheme.threshold is not None
    below = 1.0 - np.exp(np.minimum(0.0, log_weight - scheme.beta * scheme.threshold))
    return 1.0 - below.prod(axis=1)


def places_of_winners(probability: Floats, winner: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """(mass of the likelier candidates, ties by number, and the winner's own) (R,): uniform once the own mass is
    spread by a random number, if the winners follow `probability` (R, n)."""
    rows = np.arange(len(winner))
    own = probability[rows, winner]
    earlier = np.arange(probability.shape[1]) < winner[:, None]
    likelier = (probability > own[:, None]) | ((probability == own[:, None]) & earlier)
    return (probability * likelier).sum(axis=1), own
