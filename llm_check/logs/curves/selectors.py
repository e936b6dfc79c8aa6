"""What picks one of n draws of one model, as a table: a selector is one record here (M47)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gsi_theory.errors import Named
from gsi_theory.samples.draw_curve import DrawCurve, best_of_n, weighted_by_reward
from gsi_theory.samples.vote_samples import weighted_majority
from gsi_theory.samples.votes import majority
from gsi_theory.types import Floats, Ints

__all__ = ["SELECTORS", "DrawArrays", "Selector"]


@dataclass(frozen=True)
class DrawArrays:
    """Rows of one position: reward (R,) or None, answer (R,) codes (−1: none) or None, counts (R,); errors: whether
    variances are wanted where they cost more than the values."""

    reward: Floats | None
    answer: Ints | None
    counts: Ints
    errors: bool = True


@dataclass(frozen=True)
class Selector:
    """How a draw is picked.

    needs      columns of the log, beside the value's
    values     what the winner may be worth: names of columns
    title      in words
    tilts      whether it has a β
    needs_key  whether picking itself needs the answer key, so that nobody can deploy it
    curve      (draws, values (V, R), ns, β, generator) -> DrawCurve
    """

    needs: tuple[str, ...]
    values: tuple[str, ...]
    title: str
    curve: Callable[[DrawArrays, Floats, Ints, float, np.random.Generator], DrawCurve]
    tilts: bool = False
    needs_key: bool = False


def _by_reward(rule: str) -> Callable[[DrawArrays, Floats, Ints, float, np.random.Generator], DrawCurve]:
    def curve(draws: DrawArrays, values: Floats, ns: Ints, beta: float, rng: np.random.Generator) -> DrawCurve:
        assert draws.reward is not None
        return weighted_by_reward(draws.reward, values, draws.counts, ns, beta, rule, draws.errors)

    return curve


def _best(draws: DrawArrays, values: Floats, ns: Ints, beta: float, rng: np.random.Generator) -> DrawCurve:
    assert draws.reward is not None
    return best_of_n(draws.reward, values, draws.counts, ns)


def _some_right(draws: DrawArrays, values: Floats, ns: Ints, beta: float, rng: np.random.Generator) -> DrawCurve:
    return best_of_n(values[0], values, draws.counts, ns)


def _votes(draws: DrawArrays, values: Floats, ns: Ints, beta: float, rng: np.random.Generator) -> DrawCurve:
    assert draws.answer is not None
    return majority(draws.answer, values[0], draws.counts, ns, rng)


def _weighted_votes(draws: DrawArrays, values: Floats, ns: Ints, beta: float, rng: np.random.Generator) -> DrawCurve:
    assert draws.answer is not None and draws.reward is not None
    return weighted_majority(draws.answer, draws.reward, values[0], draws.counts, ns, rng)


_WORTH = ("reward", "correct", "gold_reward")
SELECTORS: dict[str, Selector] = Named(
    "selector",
    {
        "best_of_n": Selector(("reward",), _WORTH, "the largest reward", _best),
        "soft_best_of_n": Selector(("reward",), _WORTH, "chance ∝ e^(β·reward)", _by_reward("softmax"), tilts=True),
        "race": Selector(("reward",), _WORTH, "race at e^(β·reward)", _by_reward("race"), tilts=True),
        "majority": Selector(("answer",), ("correct",), "the answer with most votes", _votes),
        "weighted_majority": Selector(
            ("answer", "reward"), ("correct",), "the answer with the largest sum of rewards", _weighted_votes
        ),
        "pass_at_k": Selector((), ("correct",), "some draw is right", _some_right, needs_key=True),
    },
)
