"""How well a reward ranks answers: AUC over all answers and within problems, and best-of-n by it, with errors.

AUC is the chance that a right answer has the higher reward than a wrong one, ties counted half (Mann-Whitney). Over all
answers it also pays for knowing which problems are easy; *within problems*, its mean over problems that have answers of
both kinds, it does not, and that is what selection among the answers to one problem needs. Errors are over problems,
which are independent: of the mean within problems, its standard error; over all answers, the jackknife over problems.
No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from gsi_theory import estimate
from gsi_theory.types import Floats

__all__ = ["BestOfN", "Ranking", "auc", "best_of_n", "ranking"]


@dataclass(frozen=True)
class Ranking:
    """AUC over all answers and within problems, with standard errors; NaN where there is none.

    answers, problems: how many; mixed: problems with answers of both kinds, which `within` is a mean over
    """

    overall: float
    overall_error: float
    within: float
    within_error: float
    answers: int
    problems: int
    mixed: int


def auc(reward: Floats, right: NDArray[np.bool_]) -> float:
    """The chance (ties half) that a right answer's reward (M,) is above a wrong one's; NaN without both kinds."""
    count, total = int(right.sum()), len(right)
    if count in (0, total):
        return float("nan")
    return float((rankdata(reward)[right].sum() - count * (count + 1) / 2) / (count * (total - count)))


def ranking(reward: Floats, right: NDArray[np.bool_], problem: NDArray[np.int64]) -> Ranking:
    """The AUCs of rewards (M,) of answers to problems (M,), numbered in any way."""
    numbers = np.unique(problem)
    own = np.array([auc(reward[problem == k], right[problem == k]) for k in numbers])
    mixed = own[~np.isnan(own)]
    without = np.array([auc(reward[problem != k], right[problem != k]) for k in numbers])
    size = len(numbers)
    spread = np.sqrt((size - 1) / size * np.sum((without - without.mean()) ** 2)) if size > 1 else np.nan
    return Ranking(
        overall=auc(reward, right),
        overall_error=float(spread),
        within=float(mixed.mean()) if len(mixed) else float("nan"),
        within_error=float(mixed.std(ddof=1) / np.sqrt(len(mixed))) if len(mixed) > 1 else float("nan"),
        answers=len(right),
        problems=size,
        mixed=len(mixed),
    )


@dataclass(frozen=True)
class BestOfN:
    """Accuracy of the answer with the highest reward among n, mean over problems, standard errors; one entry per n.

    accuracy, oracle: of the best by the reward, and by the truth itself
    change: accuracy less that at `reference` answers, problem by problem: below zero beyond it is over-optimization
    """

    ns: tuple[int, ...]
    reference: int
    accuracy: Floats
    accuracy_error: Floats
    oracle: Floats
    oracle_error: Floats
    change: Floats
    change_error: Floats


def best_of_n(
    reward: Floats, right: NDArray[np.bool_], problem: NDArray[np.int64], ns: Sequence[int], reference: int = 4
) -> BestOfN:
    """Best-of-n from a pool of answers to each problem: exactly the mean over all n-subsets of its answers (M31, M5;
    equal rewards share), then the mean over problems. InputError for an n larger than a problem's pool."""
    counts = (*ns, reference)
    curves = []
    for k in np.unique(problem):
        own, truth = reward[problem == k], right[problem == k].astype(float)
        curves.append([estimate.subset_mean(truth, score, counts, "max").value for score in (own, truth)])
    table = np.array(curves)  # (problems, 2, n's and the reference)
    change = table[:, :1] - table[:, :1, -1:]
    columns = np.concatenate([table, change], axis=1)[:, :, :-1]
    mean, error = columns.mean(axis=0), columns.std(axis=0, ddof=1) / np.sqrt(len(columns))
    return BestOfN(tuple(ns), reference, mean[0], error[0], mean[1], error[1], mean[2], error[2])
