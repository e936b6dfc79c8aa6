"""Logistic regression with an L2 penalty, by Newton's method: the same numbers on every rerun. No torch here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from gsi_theory.errors import InputError
from gsi_theory.types import Floats

__all__ = ["fit_logistic"]

_STEPS = 100
_CLOSE = 1e-10


def fit_logistic(features: Floats, right: NDArray[np.bool_], penalty: float) -> tuple[Floats, float]:
    """(w (F,), b) that minimize the mean over rows (M, F) of the logistic loss plus penalty/2 |w'|², w' the weights of
    standardized features; a feature that never varies gets the weight zero.

    Raises InputError unless the rows are of both kinds and the penalty is above zero.
    """
    if not right.any() or right.all():
        raise InputError(f"{len(right)} answers to learn from, all {'right' if right.all() else 'wrong'}: draw more")
    if not penalty > 0:
        raise InputError(f"penalty {penalty}: give a number above zero")
    mean, scale = features.mean(axis=0), features.std(axis=0)
    varies = scale > 1e-12 * np.maximum(1.0, np.abs(mean))
    scale = np.where(varies, scale, 1.0)
    rows = np.ones((len(right), features.shape[1] + 1))
    rows[:, :-1] = np.where(varies, (features - mean) / scale, 0.0)
    ridge = np.append(np.full(features.shape[1], penalty), 0.0)
    weight, step = np.zeros(rows.shape[1]), np.inf
    for _ in range(_STEPS):
        chance = expit(rows @ weight)
        slope = rows.T @ (chance - right) / len(right) + ridge * weight
        curvature = (rows * (chance * (1.0 - chance) / len(right))[:, None]).T @ rows
        curvature[np.diag_indices_from(curvature)] += ridge
        change = cho_solve(cho_factor(curvature), slope)
        # Newton's step, shortened where it is long: the loss is convex, its curvature bounded.
        weight -= change / max(1.0, float(np.sqrt(change @ (curvature @ change))))
        step = float(np.abs(change).max())
        if step < _CLOSE:
            break
    plain = weight[:-1] / scale
    return plain, float(weight[-1] - plain @ np.where(varies, mean, 0.0))
