"""Selectors alone: functions from a list of candidates to the place of one, and the mistakes they make.

Ties are shared at random among the places (of a vote: among the answers). A selector that takes the first of equal
ones is right only where candidates stand in the order of their drawing, which a list does not promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import rel_entr

from gsi_theory.conformance.play import Rival
from gsi_theory.conformance.round_parts import softmax
from gsi_theory.errors import Named
from gsi_theory.types import Floats, Ints

__all__ = ["SELECTORS", "CandidateList", "ListSelector", "selector_design"]

TRIED, CHOSEN = 60, 6  # lists looked at, and played


@dataclass(frozen=True)
class CandidateList:
    """A list to select from: reward (n,), answer (n,) an int each, beta, and the generator to take randomness from."""

    reward: Floats
    answer: Ints
    beta: float
    rng: np.random.Generator

    @property
    def n(self) -> int:
        """How many."""
        return int(self.reward.size)


Listed = tuple[Floats, Ints, float]  # reward, answer, β


def _uniform(best: np.ndarray) -> Floats:
    return np.asarray(best / best.sum(), dtype=np.float64)


def _best(values: Floats) -> Floats:
    return _uniform(values == values.max())


def _one(place: int, n: int) -> Floats:
    return np.asarray(np.arange(n) == place, dtype=np.float64)


def _totals(answer: Ints, weight: Floats) -> Floats:
    """Total weight of each answer (A,)."""
    return np.asarray(np.bincount(answer, weights=weight), dtype=np.float64)


def _seen(answer: Ints, values: Floats) -> Floats:
    """Values of answers that nobody gave never win."""
    return np.where(np.bincount(answer, minlength=values.size) > 0, values, -np.inf)


def _means(answer: Ints, reward: Floats) -> Floats:
    return _totals(answer, reward) / np.maximum(np.bincount(answer), 1)


def _top(reward: Floats, count: int) -> Floats:
    """Chances of a uniform choice among the `count` largest, ties at the border shared."""
    border = np.sort(reward)[-count]
    above, level = reward > border, reward == border
    shared = (count - above.sum()) / count / level.sum()
    return np.asarray(np.where(above, 1.0 / count, np.where(level, shared, 0.0)), dtype=np.float64)


@dataclass(frozen=True)
class ListSelector:
    """id, words, law: a list -> chances of its places (n,), of a vote of its answers (A,); mistakes: id -> (words, the
    law of what does that instead)."""

    id: str
    words: str
    votes: bool
    law: Callable[[Listed], Floats]
    mistakes: dict[str, tuple[str, Callable[[Listed], Floats]]]


def _first_of(values: Callable[[Listed], Floats]) -> Callable[[Listed], Floats]:
    return lambda x: _one(int(np.argmax(values(x))), values(x).size)


def _last_of(values: Callable[[Listed], Floats]) -> Callable[[Listed], Floats]:
    return lambda x: _one(values(x).size - 1 - int(np.argmax(values(x)[::-1])), values(x).size)


def _ties(values: Callable[[Listed], Floats]) -> dict[str, tuple[str, Callable[[Listed], Floats]]]:
    return {
        "ties_to_first": ("of equal ones the first wins", _first_of(values)),
        "ties_to_last": ("of equal ones the last wins", _last_of(values)),
    }


def _by_candidate(chances: Callable[[Listed], Floats]) -> Callable[[Listed], Floats]:
    return lambda x: _totals(x[1], chances(x))


def _z(reward: Floats) -> Floats:
    spread = float(reward.std())
    return (reward - reward.mean()) / spread if spread > 0.0 else np.zeros(reward.size)


def _counts(x: Listed) -> Floats:
    return np.bincount(x[1]).astype(np.float64)


def _weights(x: Listed) -> Floats:
    return _seen(x[1], _totals(x[1], x[0]))


_UNIFORM = ("any candidate, whatever its reward", lambda x: _uniform(np.ones(x[0].size)))
_WORST = ("the lowest reward wins", lambda x: _best(-x[0]))
_FIRST = ("the first candidate, whatever its reward", lambda x: _one(0, x[0].size))
_ANY_ANSWER = ("any answer, however often it was given", lambda x: _uniform(_counts(x) > 0))


def _regularized(strength: int) -> ListSelector:
    def keep(x: Listed) -> int:
        return -(-x[0].size // strength)

    return ListSelector(
        f"regularized:{strength}",
        f"one of the ⌈n/{strength}⌉ largest rewards at random (M40)",
        False,
        lambda x: _top(x[0], keep(x)),
        {
            "rounded_down": ("⌊n/M⌋ for ⌈n/M⌉", lambda x: _top(x[0], max(x[0].size // strength, 1))),
            "one_more_kept": ("one more is kept", lambda x: _top(x[0], min(keep(x) + 1, x[0].size))),
            "best_of_n": ("the largest reward wins", lambda x: _best(x[0])),
            "uniform": _UNIFORM,
            "lowest": ("the lowest rewards are kept", lambda x: _top(-x[0], keep(x))),
        },
    )


SELECTORS: dict[str, ListSelector] = Named(
    "selector",
    {
        each.id: each
        for each in (
            ListSelector(
                "best_of_n",
                "the largest reward, ties at random (M5)",
                False,
                lambda x: _best(x[0]),
                _ties(lambda x: x[0])
                | {
                    "lowest": _WORST,
                    "softmax": ("a draw by e^{βr}", lambda x: softmax(x[2] * x[0])),
                    "uniform": _UNIFORM,
                    "first_candidate": _FIRST,
                },
            ),
            ListSelector(
                "soft_best_of_n",
                "a draw by weights e^{βr} (M3)",
                False,
                lambda x: softmax(x[2] * x[0]),
                {
                    "beta_missing": ("weights e^r", lambda x: softmax(x[0])),
                    "beta_divides": ("β divides: weights e^{r/β}", lambda x: softmax(x[0] / x[2])),
                    "reward_negated": ("weights e^{−βr}", lambda x: softmax(-x[2] * x[0])),
                    "rewards_standardized": ("z-scores for the rewards", lambda x: softmax(x[2] * _z(x[0]))),
                    "weights_linear": ("weights r", lambda x: _uniform(x[0])),
                    "greedy": ("the largest reward wins", lambda x: _best(x[0])),
                    "uniform": _UNIFORM,
                    "first_candidate": _FIRST,
                },
            ),
            _regularized(2),
            _regularized(4),
            ListSelector(
                "majority",
                "the most frequent answer, ties at random (M47)",
                True,
                lambda x: _best(_counts(x)),
                _ties(_counts)
                | {
                    "tie_by_first_given": (
                        "of equal ones the answer that was given first wins",
                        lambda x: _one(next(a for a in x[1] if _counts(x)[a] == _counts(x).max()), _counts(x).size),
                    ),
                    "weighted": ("answers are weighted by reward", lambda x: _best(_weights(x))),
                    "any_answer": _ANY_ANSWER,
                    "any_candidate": ("any candidate's answer", _by_candidate(lambda x: _uniform(np.ones(x[0].size)))),
                    "rarest": ("the rarest answer wins", lambda x: _best(_seen(x[1], -_counts(x)))),
                    "best_of_n": ("the answer of the largest reward", _by_candidate(lambda x: _best(x[0]))),
                },
            ),
            ListSelector(
                "weighted_majority",
                "the answer of the largest total reward, ties at random (M47)",
                True,
                lambda x: _best(_weights(x)),
                _ties(_weights)
                | {
                    "unweighted": ("answers are counted", lambda x: _best(_counts(x))),
                    "mean_reward": ("the largest mean reward wins", lambda x: _best(_seen(x[1], _means(x[1], x[0])))),
                    "best_of_n": ("the answer of the largest reward", _by_candidate(lambda x: _best(x[0]))),
                    "exponential": (
                        "answers are weighted by e^{βr}",
                        lambda x: _best(_seen(x[1], _totals(x[1], softmax(x[2] * x[0])))),
                    ),
                    "any_answer": _ANY_ANSWER,
                    "any_candidate": ("any candidate's answer", _by_candidate(lambda x: _uniform(np.ones(x[0].size)))),
                },
            ),
        )
    },
)


def _list(rng: np.random.Generator) -> Listed:
    """Rewards on a grid of eighths, so that ties and equal totals are exact, and three answers at most."""
    n = int(rng.integers(4, 7))
    return rng.integers(1, 8, n) / 8.0, rng.integers(0, 3, n), float(rng.choice([2.0, 3.0, 5.0]))


@lru_cache(maxsize=32)
def selector_design(name: str) -> tuple[tuple[Listed, ...], tuple[Floats, ...], tuple[Rival, ...]]:
    """(lists, law of each, rivals): CHOSEN of TRIED lists, each the one that adds most to the least told mistake."""
    selector = SELECTORS[name]
    rng = np.random.default_rng(50)
    lists = [_list(rng) for _ in range(TRIED)]
    size = [int(x[1].max()) + 1 if selector.votes else x[0].size for x in lists]
    wrong = {key: [law(x) for x in lists] for key, (_, law) in selector.mistakes.items()}
    right = [selector.law(x) for x in lists]
    gains = np.array(
        [[rel_entr(q, np.maximum(p, 1e-9)).sum() for q, p in zip(laws, right, strict=True)] for laws in wrong.values()]
    )
    pairs = np.array(
        [
            [rel_entr(q, np.maximum(p, 1e-9)).sum() for q, p in zip(a, b, strict=True)]
            for a in wrong.values()
            for b in wrong.values()
            if a is not b
        ]
    )
    chosen: list[int] = []
    for _ in range(CHOSEN):
        rest = [at for at in range(TRIED) if at not in chosen and size[at] > 1]

        def value(at: int) -> float:
            some = [*chosen, at]
            return float(gains[:, some].mean(axis=1).min() + np.minimum(pairs[:, some].mean(axis=1), 1.0).mean())

        chosen.append(max(rest, key=lambda at: (value(at), -at)))
    rivals = tuple(
        Rival("mistake", key, selector.mistakes[key][0], tuple(wrong[key][at] for at in chosen)) for key in wrong
    )
    return tuple(lists[at] for at in chosen), tuple(right[at] for at in chosen), rivals
